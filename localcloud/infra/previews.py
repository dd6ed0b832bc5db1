"""Previews: what a blueprint would change, of its own or for a deployment. Kept in memory until deleted.

https://cloud.google.com/infrastructure-manager/docs/reference/rest/v1/projects.locations.previews
"""

import re
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

from localcloud.iam import AccountService
from localcloud.infra.builds import DENIED, PREVIEW, Builds, Run
from localcloud.infra.deployments import Deployments, keys_in
from localcloud.infra.operations import TYPES, Operations
from localcloud.infra.requests import (
    DEPLOYMENT_FIELDS,
    MODES,
    PREVIEW_FIELDS,
    Settings,
    check_place,
    check_settings,
    invalid,
    version_of,
)
from localcloud.messages import ApiError
from localcloud.times import now

_DEPLOYMENT = re.compile(r"projects/([^/]+)/locations/([^/]+)/deployments/([^/]+)")
_TAKEN = ("terraformBlueprint", "serviceAccount", "tfVersionConstraint", "workerPool", "artifactsGcsBucket")
_METADATA = "previewMetadata"

Key = tuple[str, str, str]  # project, location, preview


@dataclass
class Preview:
    key: Key
    settings: Settings
    version: str  # of Terraform
    state: str = "CREATING"
    facts: dict[str, Any] = field(default_factory=dict)  # of its run
    plan: str = ""  # address of the folder with the plan
    is_busy: bool = True
    create_time: str = field(default_factory=now)

    @property
    def name(self) -> str:
        return _name_of(self.key)

    def resource(self) -> dict[str, Any]:
        return {
            "previewMode": MODES[0],
            **self.settings,
            "name": self.name,
            "createTime": self.create_time,
            "state": self.state,
            "tfVersion": self.version,
            **self.facts,
        }


class Previews:
    """The previews of all projects."""

    def __init__(
        self, accounts: AccountService, builds: Builds, operations: Operations, deployments: Deployments
    ):
        self._accounts, self._builds, self._operations = accounts, builds, operations
        self._deployments = deployments
        self._previews: dict[Key, Preview] = {}
        self._lock = threading.Lock()

    def forget_all(self) -> None:
        with self._lock:
            self._previews.clear()

    def create(self, project: str, location: str, wanted: str, asked: Settings) -> dict[str, Any]:
        """Begin a preview, under a name of its own if none is wanted, and return the operation."""
        given = str(asked.get("name", "")).rpartition("/")[2]
        key = project, location, wanted or given or f"preview-{uuid.uuid4().hex[:20]}"
        check_place("preview", location, key[2])
        settings = {name: value for name, value in self._completed(asked).items() if name != "name"}
        check_settings(settings, PREVIEW_FIELDS, project, self._accounts)
        version = version_of(settings)
        with self._lock:
            if key in self._previews:
                raise ApiError(409, f"Resource '{_name_of(key)}' already exists")
            preview = self._previews[key] = Preview(key, settings, version)
        operation = self._operations.begin(preview.name, "create")
        threading.Thread(target=self._run, args=(preview, operation["name"]), daemon=True).start()
        return operation

    def get(self, key: Key) -> dict[str, Any]:
        with self._lock:
            return self._found(key).resource()

    def in_location(self, project: str, location: str) -> list[dict[str, Any]]:
        """Return the previews of a location, or of all for "-"."""
        with self._lock:
            return [self._previews[key].resource() for key in keys_in(self._previews, project, location)]

    def delete(self, key: Key) -> dict[str, Any]:
        with self._lock:
            preview = self._found(key)
            if preview.is_busy:
                raise ApiError(409, f"Preview '{preview.name}' is being created.", status="ABORTED")
            del self._previews[key]
            preview.state = "DELETED"
        operation = self._operations.begin(preview.name, "delete")
        self._operations.finish(operation["name"], {"@type": TYPES + "Preview", **preview.resource()})
        return operation

    def plan(self, key: Key) -> str:
        """Return the address of the folder with a preview's plan."""
        with self._lock:
            preview = self._found(key)
            if preview.plan:
                return preview.plan
        reason = "localcloud made no plan: see --terraform" if preview.state == "SUCCEEDED" else preview.state
        raise ApiError(400, f"Preview '{preview.name}' has no plan: {reason}", status="FAILED_PRECONDITION")

    def _completed(self, asked: Settings) -> Settings:
        """Return the settings with what the deployment that they refer to has."""
        reference = asked.get("deployment")
        if reference is None:
            return asked
        found = _DEPLOYMENT.fullmatch(str(reference))
        if not found:
            raise invalid(f"deployment {reference!r} must be projects/P/locations/L/deployments/D")
        deployment = self._deployments.get((found[1], found[2], found[3]))
        taken = {name: deployment[name] for name in _TAKEN if name in deployment.keys() & DEPLOYMENT_FIELDS}
        return taken | asked

    def _found(self, key: Key) -> Preview:
        if found := self._previews.get(key):
            return found
        raise ApiError(404, f"Resource '{_name_of(key)}' was not found")

    def _run(self, preview: Preview, operation: str) -> None:
        project, location, name = preview.key
        destroys = preview.settings.get("previewMode") == "DELETE"
        run = Run(PREVIEW, project, location, preview.settings, preview.version, name, destroys)
        outcome = self._builds.run(
            run, lambda **facts: self._operations.report(operation, _METADATA, **facts)
        )
        facts: dict[str, Any] = {"build": run.build} | ({"logs": outcome.log} if outcome.log else {})
        if outcome.mistakes:
            code = outcome.code if outcome.code == DENIED else "PREVIEW_BUILD_RUN_FAILED"
            status = {"code": 9, "message": outcome.text}
            facts |= {"errorCode": code, "errorStatus": status, "tfErrors": outcome.errors()}
        elif outcome.plan:
            facts["previewArtifacts"] = {"artifacts": outcome.plan}
        with self._lock:
            preview.facts, preview.plan, preview.is_busy = facts, outcome.plan, False
            preview.state = "FAILED" if outcome.mistakes else "SUCCEEDED"
            resource = preview.resource()
        self._operations.finish(operation, {"@type": TYPES + "Preview", **resource})


def _name_of(key: Key) -> str:
    project, location, preview = key
    return f"projects/{project}/locations/{location}/previews/{preview}"
