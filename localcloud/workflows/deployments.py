"""Deployed workflows and their revisions, in memory only."""

import secrets
import threading
from dataclasses import dataclass, field
from typing import Any

from localcloud.messages import ApiError
from localcloud.projects import PROJECT_NUMBER
from localcloud.rights.callers import need_to_act_as
from localcloud.times import now
from localcloud.workflows.blocks import Program
from localcloud.workflows.parser import parse_workflow
from localcloud.workflows.settings import check_settings, service_account
from localcloud.workflows.source import SourceError

MAX_REVISIONS = 100  # of a workflow; older ones are dropped
# Settings of the workflow itself; all others belong to a revision.
_COMMON = ("description", "labels")
_DEFAULTS = {"callLogLevel": "CALL_LOG_LEVEL_UNSPECIFIED"}

Key = tuple[str, str, str]  # project, location, workflow


@dataclass(frozen=True)
class Revision:
    """One version of a workflow, as executions run it."""

    revision_id: str
    settings: dict[str, Any]
    program: Program
    create_time: str = field(default_factory=now)


@dataclass
class Workflow:
    project: str
    location: str
    workflow_id: str
    common: dict[str, Any]
    revisions: list[Revision]
    create_time: str = field(default_factory=now)
    update_time: str = ""

    @property
    def name(self) -> str:
        return f"projects/{self.project}/locations/{self.location}/workflows/{self.workflow_id}"

    @property
    def newest(self) -> Revision:
        return self.revisions[-1]

    def resource(self, revision: Revision | None = None) -> dict[str, Any]:
        shown = revision or self.newest
        return {
            "name": self.name,
            "state": "ACTIVE",
            "revisionId": shown.revision_id,
            "createTime": self.create_time,
            "updateTime": self.update_time or self.create_time,
            "revisionCreateTime": shown.create_time,
            **_DEFAULTS,
            **shown.settings,
            **self.common,
        }

    def add_revision(self, settings: dict[str, Any]) -> None:
        number = int(self.newest.revision_id.partition("-")[0]) + 1 if self.revisions else 1
        self.revisions.append(_revision(number, settings, self.project))
        del self.revisions[:-MAX_REVISIONS]


class Deployments:
    """The workflows of all projects; a project may be named by its number, too."""

    def __init__(self):
        self._workflows: dict[Key, Workflow] = {}
        self._lock = threading.RLock()

    def forget_all(self) -> None:
        with self._lock:
            self._workflows.clear()

    def create(self, key: Key, settings: dict[str, Any]) -> Workflow:
        check_settings(settings)
        _need_account(settings, key[0])
        workflow = Workflow(*key, common={}, revisions=[])
        workflow.common = {name: settings[name] for name in _COMMON if name in settings}
        workflow.add_revision({name: settings[name] for name in settings if name not in _COMMON})
        with self._lock:
            if self._key(key) in self._workflows:
                raise ApiError(409, f"Workflow {workflow.name} already exists.")
            self._workflows[key] = workflow
        return workflow

    def update(self, key: Key, changes: dict[str, Any]) -> Workflow:
        """Apply changes, None meaning the default; add a revision if a setting of the revision changes."""
        check_settings({name: value for name, value in changes.items() if value is not None})
        with self._lock:
            workflow = self.get(key)
            settings = _changed(workflow.newest.settings, changes, common=False)
            # The documentation does not say whether new labels alone need it; who deploys has it anyway.
            _need_account(settings, workflow.project)
            if changes.keys() - set(_COMMON):
                workflow.add_revision(settings)
            workflow.common = _changed(workflow.common, changes, common=True)
            workflow.update_time = now()
        return workflow

    def get(self, key: Key) -> Workflow:
        with self._lock:
            found = self._workflows.get(self._key(key))
        if found is None:
            project, location, workflow_id = key
            name = f"projects/{project}/locations/{location}/workflows/{workflow_id}"
            raise ApiError(404, f"Workflow '{name}' does not exist.")
        return found

    def list(self, project: str, location: str) -> list[Workflow]:
        """Return the workflows of a location, or of all locations for "-", in order of their names."""
        with self._lock:
            found = [self._workflows[key] for key in sorted(self._workflows)]
        return [
            each
            for each in found
            if project in (each.project, PROJECT_NUMBER) and location in (each.location, "-")
        ]

    def delete(self, key: Key) -> Workflow:
        with self._lock:
            found = self.get(key)
            del self._workflows[self._key(key)]
        return found

    def _key(self, key: Key) -> Key:
        """Return the key under which a workflow is stored, for a key that may have the project's number."""
        if key in self._workflows or key[0] != PROJECT_NUMBER:
            return key
        return next((each for each in self._workflows if each[1:] == key[1:]), key)


def _changed(old: dict[str, Any], changes: dict[str, Any], *, common: bool) -> dict[str, Any]:
    mine = {name: value for name, value in changes.items() if (name in _COMMON) == common}
    return {name: value for name, value in {**old, **mine}.items() if value is not None}


def _need_account(settings: dict[str, Any], project: str) -> None:
    """Refuse a caller who may not act as a workflow's account.

    https://cloud.google.com/workflows/docs/authentication
    """
    account = service_account(settings.get("serviceAccount", ""), project)
    need_to_act_as(account, project)


def _revision(number: int, settings: dict[str, Any], project: str) -> Revision:
    try:
        program = parse_workflow(settings.get("sourceContents", ""))
    except SourceError as wrong:
        raise ApiError(400, str(wrong)) from wrong
    account = service_account(settings.get("serviceAccount", ""), project)
    revision_id = f"{number:06d}-{secrets.token_hex(2)[:3]}"
    return Revision(revision_id, {**settings, "serviceAccount": account}, program)
