"""Deployments and their revisions: created, updated and deleted, each by a run that others wait for.

https://cloud.google.com/infrastructure-manager/docs/reference/rest/v1/projects.locations.deployments. All is
kept in memory.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from localcloud.iam import AccountService
from localcloud.infra.builds import APPLY, DENIED, DESTROY, Builds, Outcome, Run
from localcloud.infra.operations import TYPES, Operations
from localcloud.infra.requests import (
    DEPLOYMENT_FIELDS,
    Settings,
    check_place,
    check_settings,
    invalid,
    version_of,
)
from localcloud.infra.versions import is_older
from localcloud.messages import ApiError
from localcloud.projects import PROJECT_NUMBER
from localcloud.times import now

POLICIES = ("DELETE", "ABANDON", "DELETE_POLICY_UNSPECIFIED", "")
_METADATA = "deploymentMetadata"
_NOT_OF_REVISIONS = {"labels", "annotations", "artifactsGcsBucket"}

Key = tuple[str, str, str]  # project, location, deployment


@dataclass
class Deployment:
    """A deployment as it is now; the lock of `Deployments` guards it."""

    key: Key
    settings: Settings  # as they were sent last
    version: str  # of Terraform
    state: str = "CREATING"
    facts: dict[str, Any] = field(default_factory=dict)  # errorCode, stateDetail, ... of the last run
    revisions: list[dict[str, Any]] = field(default_factory=list)
    operation: str = ""  # that holds the lock; empty without one
    create_time: str = field(default_factory=now)
    update_time: str = field(default_factory=now)

    @property
    def name(self) -> str:
        return name_of(self.key)

    def resource(self) -> dict[str, Any]:
        latest = {"latestRevision": self.revisions[-1]["name"]} if self.revisions else {}
        return {
            **self.settings,
            "name": self.name,
            "createTime": self.create_time,
            "updateTime": self.update_time,
            "state": self.state,
            "lockState": "LOCKED" if self.operation else "UNLOCKED",
            "tfVersion": self.version,
            **latest,
            **self.facts,
        }


class Deployments:
    """The deployments of all projects."""

    def __init__(self, accounts: AccountService, builds: Builds, operations: Operations):
        self._accounts, self._builds, self._operations = accounts, builds, operations
        self._deployments: dict[Key, Deployment] = {}
        self._lock = threading.Lock()

    def forget_all(self) -> None:
        with self._lock:
            self._deployments.clear()

    def create(self, key: Key, asked: Settings) -> dict[str, Any]:
        """Begin a deployment, and return the operation."""
        check_place("deployment", key[1], key[2])
        settings, version = self._checked(key, asked)
        with self._lock:
            if key in self._deployments:
                raise ApiError(409, f"Resource '{name_of(key)}' already exists")
            deployment = self._deployments[key] = Deployment(key, settings, version)
            return self._begin(deployment, "create", "CREATING")

    def update(self, key: Key, asked: Settings) -> dict[str, Any]:
        """Begin a new revision of a deployment, and return the operation."""
        with self._lock:
            self._found(key)
        settings, version = self._checked(key, asked)
        with self._lock:
            deployment = self._unlocked(key)
            before = deployment.settings
            if settings.get("artifactsGcsBucket") != before.get("artifactsGcsBucket"):
                raise invalid("artifacts_gcs_bucket cannot be changed")
            if is_older(version, deployment.version):
                raise invalid(
                    f"Terraform {version} is older than {deployment.version}, which the deployment has"
                )
            deployment.settings, deployment.version = settings, version
            return self._begin(deployment, "update", "UPDATING")

    def delete(self, key: Key, force: bool, policy: str) -> dict[str, Any]:
        """Begin the deletion of a deployment, and return the operation."""
        if policy not in POLICIES:
            raise invalid(f"delete_policy {policy!r} must be DELETE or ABANDON")
        with self._lock:
            deployment = self._unlocked(key)
            if deployment.revisions and not force:
                raise ApiError(
                    400,
                    f"Resource '{deployment.name}' has revisions; set force to delete them, too.",
                    status="FAILED_PRECONDITION",
                )
            operation = self._operations.begin(deployment.name, "delete")
            deployment.operation, deployment.state = operation["name"], "DELETING"
            run = self._run(deployment, DESTROY, "delete")
        threading.Thread(target=self._delete, args=(deployment, run), daemon=True).start()
        return operation

    def get(self, key: Key) -> dict[str, Any]:
        with self._lock:
            return self._found(key).resource()

    def in_location(self, project: str, location: str) -> list[dict[str, Any]]:
        """Return the deployments of a location, or of all for "-"."""
        with self._lock:
            keys = keys_in(self._deployments, project, location)
            return [self._deployments[key].resource() for key in keys]

    def revisions(self, key: Key) -> list[dict[str, Any]]:
        with self._lock:
            return [dict(each) for each in self._found(key).revisions]

    def _checked(self, key: Key, asked: Settings) -> tuple[Settings, str]:
        if asked.get("name", name_of(key)) != name_of(key):
            raise invalid(f"name {asked['name']!r} differs from the address, {name_of(key)}")
        check_settings(asked, DEPLOYMENT_FIELDS, key[0], self._accounts)
        return {name: value for name, value in asked.items() if name != "name"}, version_of(asked)

    # The lock must be held for the methods below, up to the threads.

    def _found(self, key: Key) -> Deployment:
        if found := self._deployments.get(key):
            return found
        raise ApiError(404, f"Resource '{name_of(key)}' was not found")

    def _unlocked(self, key: Key) -> Deployment:
        """Return a deployment that no operation works on."""
        found = self._found(key)
        if found.operation:
            raise ApiError(
                409,
                f"Deployment '{found.name}' is locked by operation {found.operation}: "
                "unable to queue the operation.",
                status="ABORTED",
            )
        return found

    def _run(self, deployment: Deployment, kind: str, revision: str) -> Run:
        project, location, name = deployment.key
        return Run(kind, project, location, deployment.settings, deployment.version, f"{name}/{revision}")

    def _begin(self, deployment: Deployment, verb: str, state: str) -> dict[str, Any]:
        operation = self._operations.begin(deployment.name, verb)
        deployment.operation, deployment.state = operation["name"], state
        deployment.facts = {}
        number = f"r-{len(deployment.revisions)}"
        run = self._run(deployment, APPLY, number)
        kept = deployment.settings.keys() - _NOT_OF_REVISIONS
        revision = {
            **{name: deployment.settings[name] for name in sorted(kept)},
            "name": f"{deployment.name}/revisions/{number}",
            "createTime": now(),
            "updateTime": now(),
            "action": verb.upper(),
            "state": "APPLYING",
            "tfVersion": deployment.version,
            "build": run.build,
        }
        deployment.revisions.append(revision)
        threading.Thread(target=self._apply, args=(deployment, revision, run), daemon=True).start()
        return operation

    # The threads.

    def _apply(self, deployment: Deployment, revision: dict[str, Any], run: Run) -> None:
        operation = deployment.operation
        outcome = self._outcome(run, operation)
        number = revision["name"].rpartition("/")[2]
        with self._lock:
            revision |= _ended(run, outcome)
            deployment.state = "FAILED" if outcome.mistakes else "ACTIVE"
            deployment.facts = _failure(outcome, "REVISION_FAILED", f"{number} failed: {outcome.text}")
            deployment.operation, deployment.update_time = "", now()
            resource = deployment.resource()
        self._operations.finish(operation, {"@type": TYPES + "Deployment", **resource})

    def _delete(self, deployment: Deployment, run: Run) -> None:
        operation = deployment.operation
        outcome = self._outcome(run, operation)
        with self._lock:
            deployment.operation, deployment.update_time = "", now()
            deployment.state = "FAILED" if outcome.mistakes else "DELETED"
            deployment.facts = _failure(outcome, "DELETE_BUILD_RUN_FAILED", outcome.text)
            if outcome.mistakes:
                logs = {"deleteLogs": outcome.log} if outcome.log else {}
                deployment.facts |= {"tfErrors": outcome.errors(), "deleteBuild": run.build, **logs}
            elif self._deployments.get(deployment.key) is deployment:
                del self._deployments[deployment.key]
            resource = deployment.resource()
        error = f"Deletion of {deployment.name} failed: {outcome.text}" if outcome.mistakes else ""
        self._operations.finish(operation, {"@type": TYPES + "Deployment", **resource}, error)

    def _outcome(self, run: Run, operation: str) -> Outcome:
        return self._builds.run(run, lambda **facts: self._operations.report(operation, _METADATA, **facts))


def keys_in(keys: Iterable[Key], project: str, location: str) -> list[Key]:
    """Return the keys of a location, or of all for "-", sorted; `project` may be its number."""
    return sorted(key for key in keys if project in (key[0], PROJECT_NUMBER) and location in (key[1], "-"))


def name_of(key: Key) -> str:
    project, location, deployment = key
    return f"projects/{project}/locations/{location}/deployments/{deployment}"


def _failure(outcome: Outcome, code: str, text: str) -> dict[str, Any]:
    """Return what a resource shows of a run that failed; nothing of one that succeeded."""
    if not outcome.mistakes:
        return {}
    logs = {"errorLogs": outcome.log} if outcome.log else {}
    return {"errorCode": outcome.code if outcome.code == DENIED else code, "stateDetail": text, **logs}


def _ended(run: Run, outcome: Outcome) -> dict[str, Any]:
    """Return what a revision shows once its run has ended."""
    facts: dict[str, Any] = {"updateTime": now(), "state": "FAILED" if outcome.mistakes else "APPLIED"}
    if outcome.log:
        facts["logs"] = outcome.log
    if outcome.mistakes:
        failure = _failure(outcome, "APPLY_BUILD_RUN_FAILED", outcome.text)
        return {**facts, **failure, "tfErrors": outcome.errors()}
    artifacts = {"artifacts": outcome.plan} if outcome.plan else {}
    content = run.settings["terraformBlueprint"]["gcsSource"]
    return {**facts, "applyResults": {"content": content, **artifacts}}
