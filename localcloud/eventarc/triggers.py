"""Triggers: which bucket's objects start which workflow, in memory only, checked as Eventarc checks them.

https://cloud.google.com/eventarc/docs/reference/rest/v1/projects.locations.triggers. Of the events, those of
finalized objects of a bucket are emulated, and of the destinations, workflows; all others are refused.
"""

import hashlib
import re
import threading
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

from localcloud.eventarc.chain import Chain
from localcloud.iam import EVENTARC_AGENT, AccountService
from localcloud.labels import check_labels
from localcloud.messages import ApiError
from localcloud.projects import PROJECT_NUMBER
from localcloud.rights.callers import need_to_act_as
from localcloud.storage.buckets import Buckets
from localcloud.times import now
from localcloud.workflows.service import WorkflowService

FINALIZED = "google.cloud.storage.object.v1.finalized"
_TRIGGER_ID = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_WORKFLOW = re.compile(r"projects/([^/]+)/locations/([^/]+)/workflows/([^/]+)")
_FIELDS = {"destination", "eventFilters", "labels", "name", "serviceAccount", "transport"}
_CHANGEABLE = {"destination", "eventFilters", "labels", "serviceAccount"}
_OUTPUT = {"transport", "uid", "createTime", "updateTime", "etag"}

Key = tuple[str, str, str]  # project, location, trigger or workflow


@dataclass(frozen=True)
class Trigger:
    """Starts an execution of `workflow` for each object that is finalized in `bucket`."""

    key: Key
    bucket: str
    workflow: Key
    account: str  # e-mail
    settings: dict[str, Any]  # as they were sent
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    create_time: str = field(default_factory=now)
    update_time: str = ""

    @property
    def name(self) -> str:
        project, location, trigger_id = self.key
        return f"projects/{project}/locations/{location}/triggers/{trigger_id}"

    def resource(self) -> dict[str, Any]:
        return {
            **self.settings,
            "name": self.name,
            "uid": self.uid,
            "createTime": self.create_time,
            "updateTime": self.update_time or self.create_time,
            "etag": hashlib.sha256(f"{self.uid}{self.update_time}".encode()).hexdigest()[:16],
        }


class Triggers:
    """The triggers of all projects, and what they may refer to."""

    def __init__(self, buckets: Buckets, workflows: WorkflowService, accounts: AccountService, chain: Chain):
        self._buckets, self._workflows, self._accounts = buckets, workflows, accounts
        self._chain = chain
        self._triggers: dict[Key, Trigger] = {}
        self._lock = threading.Lock()

    def forget_all(self) -> None:
        with self._lock:
            self._triggers.clear()

    def create(self, key: Key, settings: dict[str, Any]) -> Trigger:
        if not _TRIGGER_ID.fullmatch(key[2]):
            raise _invalid(f"the trigger id {key[2]!r} is not 1 to 63 of lowercase letters, digits and -")
        trigger = self._checked(key, settings)
        self._chain.check_trigger(key[0], trigger.bucket)
        with self._lock:
            if key in self._triggers:
                raise ApiError(409, f"Resource '{trigger.name}' already exists")
            self._triggers[key] = trigger
        self._accounts.agent(EVENTARC_AGENT)
        return trigger

    def change(self, key: Key, settings: dict[str, Any], mask: str) -> Trigger:
        """Replace the settings that a mask names; without a mask, those that are sent."""
        names = [each.partition(".")[0] for each in mask.split(",") if each] or [*settings]
        if unknown := set(names) - _CHANGEABLE - _OUTPUT - {"name"}:
            raise _invalid(f"{sorted(unknown)[0]} of a trigger cannot be changed")
        old = self.get(key)
        new = {name: settings[name] for name in names if name in settings and name in _CHANGEABLE}
        kept = {
            name: value
            for name, value in old.settings.items()
            if name not in names or name not in _CHANGEABLE
        }
        checked = self._checked(old.key, {**kept, **new})
        changed = replace(checked, uid=old.uid, create_time=old.create_time, update_time=now())
        with self._lock:
            self._found(key)
            self._triggers[old.key] = changed
        return changed

    def get(self, key: Key) -> Trigger:
        with self._lock:
            return self._found(key)

    def in_location(self, project: str, location: str) -> list[Trigger]:
        """Return the triggers of a location, or of all locations for "-", in order of their names."""
        with self._lock:
            found = [self._triggers[key] for key in sorted(self._triggers)]
        return [
            each
            for each in found
            if project in (each.key[0], PROJECT_NUMBER) and location in (each.key[1], "-")
        ]

    def delete(self, key: Key) -> Trigger:
        with self._lock:
            return self._triggers.pop(self._found(key).key)

    def of(self, bucket: str) -> list[Trigger]:
        """Return the triggers that a bucket's objects set off."""
        with self._lock:
            return [each for each in self._triggers.values() if each.bucket == bucket]

    def exists(self, trigger: Trigger) -> bool:
        with self._lock:
            found = self._triggers.get(trigger.key)
        return found is not None and found.uid == trigger.uid

    def _found(self, key: Key) -> Trigger:
        if found := self._triggers.get(key):
            return found
        project, location, trigger_id = key
        name = f"projects/{project}/locations/{location}/triggers/{trigger_id}"
        raise ApiError(404, f"Resource '{name}' was not found")

    def _checked(self, key: Key, settings: dict[str, Any]) -> Trigger:
        if unknown := settings.keys() - _FIELDS:
            raise _invalid(f"{sorted(unknown)[0]} is not a setting of a trigger in localcloud")
        if (settings.get("transport") or {}).get("pubsub", {}).get("topic"):
            raise _invalid("a topic may be given for triggers of Pub/Sub messages only")
        check_labels(settings.get("labels") or {})
        bucket = _bucket_of(settings.get("eventFilters"))
        workflow = _workflow_of(settings.get("destination"))
        account = str(settings.get("serviceAccount", "")).rpartition("/")[2]
        if not account:
            raise _invalid("a service account is required for a trigger with a workflow as destination")
        need_to_act_as(account, key[0])
        self._need(account, bucket, workflow)
        location = self._buckets.get(bucket)["location"].lower()
        if location != key[1]:
            raise _invalid(
                f'Bucket "{bucket}" location "{location}" does not match trigger location "{key[1]}". '
                f'Try again by creating the trigger in "{location}".'
            )
        return Trigger(key, bucket, workflow, account, settings)

    def _need(self, account: str, bucket: str, workflow: Key) -> None:
        """Refuse a trigger that refers to something that is not there."""
        try:
            self._accounts.need(account)
            self._buckets.need(bucket)
            self._workflows.need(workflow)
        except ApiError as missing:
            raise _invalid(missing.message) from missing


def _bucket_of(filters: Any) -> str:
    """Return the bucket that the filters of a trigger name."""
    if not isinstance(filters, list) or not all(isinstance(each, dict) for each in filters):
        raise _invalid("eventFilters must be a list of attributes and values")
    found = {str(each.get("attribute")): str(each.get("value")) for each in filters}
    if len(found) != len(filters) or any(each.get("operator") for each in filters):
        raise _invalid("each attribute of eventFilters may be given once, and without an operator")
    if found.get("type") != FINALIZED:
        raise _invalid(f"the event type {found.get('type')!r} is not emulated; {FINALIZED} is")
    if found.keys() != {"type", "bucket"}:
        raise _invalid(f"events of {FINALIZED} are filtered by type and bucket, not by {', '.join(found)}")
    return found["bucket"]


def _workflow_of(destination: Any) -> Key:
    """Return the project, location and id of the workflow that is the destination."""
    name = destination.get("workflow") if isinstance(destination, dict) else None
    found = _WORKFLOW.fullmatch(name) if isinstance(name, str) else None
    if not found or destination.keys() != {"workflow"}:
        raise _invalid("the destination must be a workflow: projects/P/locations/L/workflows/W")
    return found.group(1, 2, 3)


def _invalid(reason: str) -> ApiError:
    return ApiError(400, f"The request was invalid: {reason}")
