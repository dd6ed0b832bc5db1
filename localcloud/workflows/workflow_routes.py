"""The REST API of workflows: deploy, describe, list, delete, and their operations.

https://cloud.google.com/workflows/docs/reference/rest/v1/projects.locations.workflows. An invalid source is
refused at once, not by the operation.
"""

import threading
import uuid
from collections import OrderedDict
from typing import Any

from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.pages import page_of
from localcloud.routing import Route
from localcloud.times import now
from localcloud.workflows.deployments import Deployments, Workflow
from localcloud.workflows.executions import Executions
from localcloud.workflows.settings import check_workflow_id, masked, settable

LOCATION = "/v1/projects/{project}/locations/{location}"
WORKFLOW = LOCATION + "/workflows/{workflow}"
# Other services have operations on the same port and path.
_OPERATION_PREFIX = "workflows-"
MAX_OPERATIONS = 1000
_TYPES = "type.googleapis.com/google.cloud.workflows.v1."


class WorkflowRoutes:
    def __init__(self, deployments: Deployments, executions: Executions):
        self._deployments, self._executions = deployments, executions
        self._operations: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        return [
            Route("POST", LOCATION + "/workflows", self.create),
            Route("GET", LOCATION + "/workflows", self.list),
            Route("GET", WORKFLOW + ":listRevisions", self.list_revisions),
            Route("GET", WORKFLOW, self.get),
            Route("PATCH", WORKFLOW, self.update),
            Route("DELETE", WORKFLOW, self.delete),
            Route("GET", LOCATION + f"/operations/{_OPERATION_PREFIX}{{operation}}", self.get_operation),
        ]

    def forget_all(self) -> None:
        with self._lock:
            self._operations.clear()

    def create(self, request: Request, project: str, location: str) -> Response:
        workflow_id = request.query.get("workflowId", "")
        check_workflow_id(workflow_id)
        settings = settable(request.json())
        workflow = self._deployments.create((project, location, workflow_id), settings)
        return self._done(workflow, "create", workflow.resource())

    def list(self, request: Request, project: str, location: str) -> Response:
        resources = [workflow.resource() for workflow in self._deployments.list(project, location)]
        return json_response(page_of("workflows", zip(resources, resources, strict=True), request, 500, 1000))

    def get(self, request: Request, project: str, location: str, workflow: str) -> Response:
        found = self._deployments.get((project, location, workflow))
        wanted = request.query.get("revisionId")
        if not wanted:
            return json_response(found.resource())
        for revision in found.revisions:
            if revision.revision_id == wanted:
                return json_response(found.resource(revision))
        raise ApiError(404, f"Revision {wanted} of {found.name} does not exist.")

    def list_revisions(self, request: Request, project: str, location: str, workflow: str) -> Response:
        found = self._deployments.get((project, location, workflow))
        resources = [found.resource(revision) for revision in reversed(found.revisions)]
        return json_response(page_of("workflows", zip(resources, resources, strict=True), request, 20, 100))

    def update(self, request: Request, project: str, location: str, workflow: str) -> Response:
        changes = masked(request.json(), request.query.get("updateMask", ""))
        updated = self._deployments.update((project, location, workflow), changes)
        return self._done(updated, "update", updated.resource())

    def delete(self, request: Request, project: str, location: str, workflow: str) -> Response:
        """Delete a workflow and its executions, and cancel those that run."""
        deleted = self._deployments.delete((project, location, workflow))
        self._executions.forget(deleted)
        return self._done(deleted, "delete", None)

    def get_operation(self, request: Request, project: str, location: str, operation: str) -> Response:
        with self._lock:
            found = self._operations.get(_OPERATION_PREFIX + operation)
        if found is None:
            raise ApiError(404, f"Operation {_OPERATION_PREFIX}{operation} does not exist.")
        return json_response(found)

    def _done(self, workflow: Workflow, verb: str, resource: dict[str, Any] | None) -> Response:
        """Answer with an operation that is done already, and keep it for later requests."""
        operation_id = _OPERATION_PREFIX + str(uuid.uuid4())
        place = workflow.name.partition("/workflows/")[0]
        response = {"@type": _TYPES + "Workflow", **resource} if resource else {"@type": _EMPTY}
        operation = {
            "name": f"{place}/operations/{operation_id}",
            "metadata": {
                "@type": _TYPES + "OperationMetadata",
                "createTime": now(),
                "endTime": now(),
                "target": workflow.name,
                "verb": verb,
                "apiVersion": "v1",
            },
            "done": True,
            "response": response,
        }
        with self._lock:
            self._operations[operation_id] = operation
            while len(self._operations) > MAX_OPERATIONS:
                self._operations.popitem(last=False)
        return json_response(operation)


_EMPTY = "type.googleapis.com/google.protobuf.Empty"
