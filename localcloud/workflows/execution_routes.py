"""The REST API of executions: start, describe, list, cancel, callbacks; and the steps of each.

https://cloud.google.com/workflows/docs/reference/executions/rest/v1/projects.locations.workflows.executions
"""

from collections.abc import Iterator
from typing import Any

from localcloud import times
from localcloud.control import PREFIX
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.pages import page_of, whole_number
from localcloud.routing import Route
from localcloud.workflows.callbacks import METHODS
from localcloud.workflows.deployments import Deployments, Workflow
from localcloud.workflows.executions import Execution, Executions
from localcloud.workflows.settings import execution_settings
from localcloud.workflows.workflow_routes import WORKFLOW

_EXECUTIONS = WORKFLOW + "/executions"
_EXECUTION = _EXECUTIONS + "/{execution}"
_MAX_PAGE = {"BASIC": 1000, "FULL": 100}
# Earlier spellings of the documentation, and of gcloud's help.
_ALIASES = {"executionID": "executionId", "workflowRevisionID": "workflowRevisionId"}
_ORDERS = ("executionId", "state", "createTime", "startTime", "endTime", "duration", "workflowRevisionId")


class ExecutionRoutes:
    def __init__(self, deployments: Deployments, executions: Executions):
        self._deployments, self._executions = deployments, executions

    def routes(self) -> list[Route]:
        return [
            Route("POST", _EXECUTIONS, self.create),
            Route("GET", _EXECUTIONS, self.list),
            Route("POST", _EXECUTION + ":cancel", self.cancel),
            Route("GET", _EXECUTION, self.get),
            Route("GET", _EXECUTION + "/callbacks", self.list_callbacks),
            *(
                Route(method, _EXECUTION + "/callbacks/{callback}", self.receive_callback)
                for method in METHODS
                if method != "HEAD"  # the router treats it as GET
            ),
        ]

    def control_routes(self) -> list[Route]:
        return [Route("GET", PREFIX + "executions/{execution}/steps", self.steps)]

    def create(self, request: Request, project: str, location: str, workflow: str) -> Response:
        found = self._deployments.get((project, location, workflow))
        settings = execution_settings(request.json())
        return json_response(self._executions.create(found, settings).resource())

    def get(self, request: Request, project: str, location: str, workflow: str, execution: str) -> Response:
        found = self._execution((project, location, workflow), execution)
        return json_response(found.summary() if _view(request, "FULL") == "BASIC" else found.resource())

    def list(self, request: Request, project: str, location: str, workflow: str) -> Response:
        found = self._deployments.get((project, location, workflow))
        view = _view(request, "BASIC")
        ordered = _ordered(self._executions.list(found), request.query.get("orderBy", ""))
        return json_response(page_of("executions", _shown(ordered, view), request, 100, _MAX_PAGE[view]))

    def cancel(
        self, request: Request, project: str, location: str, workflow: str, execution: str
    ) -> Response:
        found = self._execution((project, location, workflow), execution)
        self._executions.cancel(found)
        return json_response(found.resource())

    def list_callbacks(
        self, request: Request, project: str, location: str, workflow: str, execution: str
    ) -> Response:
        found = self._execution((project, location, workflow), execution)
        callbacks = found.run.callbacks.resources(found.name) if found.run else []
        return json_response({"callbacks": callbacks} if callbacks else {})

    def receive_callback(
        self, request: Request, project: str, location: str, workflow: str, execution: str, callback: str
    ) -> Response:
        run = self._execution((project, location, workflow), execution).run
        if run is None:
            raise ApiError(404, "The execution is not running: it accepts no callbacks.")
        run.callbacks.receive(callback, request)
        run.wake_all()
        return json_response({})

    def steps(self, request: Request, execution: str) -> Response:
        """Show up to 1,000 newest steps after the step number `after`, and the peak of memory."""
        found = self._executions.find(execution)
        if found is None:
            raise ApiError(404, f"There is no execution {execution}.")
        after = whole_number(request.query, "after")
        steps = found.history.resource(after) if found.history else []
        run = found.run
        memory = run.memory.peak_bytes if run else found.peak_memory_bytes
        shown = {"execution": found.name, "state": found.state, "peakMemoryBytes": memory, "steps": steps}
        return json_response(shown)

    def _execution(self, key: tuple[str, str, str], execution_id: str) -> Execution:
        workflow: Workflow = self._deployments.get(key)
        return self._executions.get(workflow, execution_id)


def _shown(executions: list[Execution], view: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each execution twice: as the filter reads it, and as it is shown."""
    for execution in executions:
        whole = execution.resource()
        also = {
            "executionId": execution.execution_id,
            "stepName": [step["step"] for step in execution.current_steps()],
            "label": execution.labels,
        }
        seen = whole | also
        for alias, name in _ALIASES.items():
            seen[alias] = seen[name]
        yield seen, execution.summary() if view == "BASIC" else whole


def _view(request: Request, default: str) -> str:
    view = request.query.get("view", "").replace("EXECUTION_VIEW_UNSPECIFIED", "") or default
    if view not in _MAX_PAGE:
        raise ApiError(400, f"The view {view} is not one of {', '.join(_MAX_PAGE)}.")
    return view


def _ordered(executions: list[Execution], order_by: str) -> list[Execution]:
    """Return the executions sorted by the fields of `order_by`."""
    ordered = list(executions)
    # The sort is stable, so the last field comes first.
    for field in reversed([each.split() for each in order_by.split(",") if each.strip()]):
        name, direction = _ALIASES.get(field[0], field[0]), field[1:]
        if name not in _ORDERS or direction not in ([], ["asc"], ["desc"]):
            raise ApiError(400, f"Executions are not ordered by {' '.join(field)}.")
        ordered.sort(key=lambda each: _order_key(each, name), reverse=direction == ["desc"])
    return ordered


def _order_key(execution: Execution, name: str) -> Any:
    if name == "duration":
        return float(execution.summary().get("duration", "0s")[:-1])
    if name.endswith("Time") and name in (resource := execution.resource()):
        return times.parse(resource[name]).timestamp()
    return execution.execution_id if name == "executionId" else execution.resource().get(name, 0)
