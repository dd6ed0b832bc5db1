"""Cloud Run put together: its Admin API, and its quotas as Cloud Quotas shows them.

A service is deployed to instances; how these run, and how callers reach them, is not here.
"""

from localcloud.iam import AccountService
from localcloud.policies import Policy
from localcloud.registry import RegistryService
from localcloud.routing import Route
from localcloud.run.deployments import Deployments, Instances
from localcloud.run.quotas import Quotas
from localcloud.run.routes import RunRoutes


class RunService:
    """The services of all projects."""

    def __init__(self, accounts: AccountService, registry: RegistryService, instances: Instances):
        self._quotas = Quotas()
        self._deployments = Deployments(accounts, registry, self._quotas, instances)
        accounts.on_deletion.append(self._deployments.rename_deleted)

    def policy(self, project: str, region: str, service: str) -> Policy:
        return self._deployments.policy_if_there((project, region, service))

    def routes(self) -> list[Route]:
        return RunRoutes(self._deployments).routes()

    def quota_routes(self) -> list[Route]:
        """Return the routes of Cloud Quotas."""
        return self._quotas.routes()

    def control_routes(self) -> list[Route]:
        return self._quotas.control_routes()

    def forget_all(self) -> None:
        self._deployments.forget_all()
        self._quotas.forget_all()
