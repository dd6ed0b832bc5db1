"""Cloud Workflows put together: its state and its routes."""

from localcloud.identity import Identity
from localcloud.logs import LogService
from localcloud.rights.actors import Actors
from localcloud.routing import Route
from localcloud.times import Clock
from localcloud.workflows.deployments import Deployments, Key
from localcloud.workflows.execution_routes import ExecutionRoutes
from localcloud.workflows.executions import Executions
from localcloud.workflows.history import OnStep
from localcloud.workflows.hosts import Hosts
from localcloud.workflows.settings import execution_settings
from localcloud.workflows.workflow_routes import WorkflowRoutes


class WorkflowService:
    """Workflows and executions; `on_step` is called for each step that starts.

    `hosts` may be filled until the first execution starts.
    """

    def __init__(
        self,
        logs: LogService,
        hosts: Hosts,
        clock_speed: float = 1.0,
        on_step: OnStep | None = None,
        identity: Identity | None = None,
        actors: Actors | None = None,
    ):
        self._deployments = Deployments()
        self._executions = Executions(logs, hosts, Clock(clock_speed), on_step, identity, actors)
        self._workflow_routes = WorkflowRoutes(self._deployments, self._executions)
        self._execution_routes = ExecutionRoutes(self._deployments, self._executions)

    def routes(self) -> list[Route]:
        return self._workflow_routes.routes()

    def execution_routes(self) -> list[Route]:
        """Return the routes of workflowexecutions.googleapis.com."""
        return self._execution_routes.routes()

    def control_routes(self) -> list[Route]:
        return self._execution_routes.control_routes()

    def need(self, workflow: Key) -> None:
        """Raise unless the workflow is deployed."""
        self._deployments.get(workflow)

    def start(self, workflow: Key, argument: str) -> None:
        """Start an execution with an argument in JSON, for a service that passes an event on.

        Raises
        ------
        ApiError
            There is no such workflow, the argument is too large, or too many executions run.
        """
        settings = execution_settings({"argument": argument})
        self._executions.create(self._deployments.get(workflow), settings)

    def forget_all(self) -> None:
        self._executions.forget_all()
        self._deployments.forget_all()
        self._workflow_routes.forget_all()
