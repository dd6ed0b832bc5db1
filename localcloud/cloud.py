"""The emulated cloud put together: its services, who may use them, and the ports they answer on."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

from localcloud.batch.service import BatchService, BatchSettings
from localcloud.build.service import BuildService
from localcloud.compute import ComputeService
from localcloud.control import RequestLog, control_routes
from localcloud.eventarc.service import EventarcService
from localcloud.faults import Faults
from localcloud.git import GitService
from localcloud.iam import AccountService, token_routes, with_bearer
from localcloud.identity import Identity
from localcloud.infra.service import InfraService
from localcloud.log_metrics import LogMetrics
from localcloud.logs import LogService
from localcloud.members import OWNER
from localcloud.monitoring.service import MonitoringService
from localcloud.ports import Ports
from localcloud.projects import Projects
from localcloud.registry import RegistryService
from localcloud.repositories import RepositoryRoutes
from localcloud.rights.actors import Actors
from localcloud.rights.delay import Delays
from localcloud.rights.doors import Addresses, Doors
from localcloud.rights.enforcement import Rights
from localcloud.rights.resources import policies
from localcloud.routing import Route, Router
from localcloud.run.gateway import Gateway
from localcloud.run.instance import SERVICES
from localcloud.run.instances import IDLE_SECONDS, Instances
from localcloud.run.service import RunService
from localcloud.secrets import SecretService
from localcloud.services import ServiceUsage
from localcloud.storage.service import StorageService
from localcloud.times import Clock
from localcloud.workflows.history import print_step
from localcloud.workflows.hosts import Hosts, local_hosts
from localcloud.workflows.service import WorkflowService


@dataclass(frozen=True)
class CloudOptions:
    """How to run the emulated cloud; port 0 means any free port."""

    storage_port: int = 0
    apis_port: int = 0
    clock_speed: float = 1.0  # of the services: at 60, a sleep of a minute takes a second
    batch: BatchSettings = field(default_factory=BatchSettings)
    runs_builds: bool = True
    builders: Mapping[str, Sequence[str]] = field(default_factory=dict)  # commands that replace images
    idle_seconds: float = IDLE_SECONDS  # of the services' clock, until an instance of Cloud Run is stopped
    service: Sequence[str] = SERVICES  # command of an instance of Cloud Run, in place of its image
    terraform: Path | None = None  # configuration file with which Terraform plans blueprints
    shows_steps: bool = False  # print the steps of workflows to standard error
    rights_of: str = ""  # project whose policies are enforced; without it, everybody may do everything
    iam_delay_seconds: float = 0.0  # of the services' clock, until a changed policy counts


@contextmanager
def start_cloud(state: Path, options: CloudOptions) -> Iterator[dict[str, str]]:
    """Serve until the block ends; yield the address of each port."""
    addresses: dict[str, str] = {}  # filled once the ports are known
    services = _Services(state, options, addresses)
    faults, log = Faults(), RequestLog()
    control = [*services.control_routes(), *control_routes(faults, log, services.resets())]
    storage = services.storage.router(faults, control, services.rights)
    apis = Router([*control, *services.routes()], by_host=services.gateway().match)
    ports = Ports({"storage": storage, "apis": apis}, faults, log)
    addresses |= ports.open(OWNER, storage=options.storage_port, apis=options.apis_port)
    if options.rights_of:
        services.doors.open_with(ports.open)
    services.hosts.update(local_hosts(**addresses))
    try:
        yield addresses
    finally:
        services.stop()
        _remove(state / "builds", state / "infra")  # what those left that were stopped


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


class _Service(Protocol):
    """One of the services, or what several of them share."""

    def forget_all(self) -> None: ...


@runtime_checkable
class _Controlled(Protocol):
    """What has routes of its own under /_emulator."""

    def control_routes(self) -> list[Route]: ...


class _Services:
    """The services of an emulated cloud; a new one is made in __init__, and has a line in _routes."""

    def __init__(self, state: Path, options: CloudOptions, main: Addresses):
        speed = options.clock_speed
        self.rights = Rights(options.rights_of, Delays(options.iam_delay_seconds, Clock(speed)))
        self.doors = Doors(main)
        actors = Actors(self.doors, self.rights)
        self.hosts, self.identity = Hosts(), Identity()
        self.logs, self.git, self.compute = LogService(), GitService(), ComputeService()
        self.registry, self.metrics = RegistryService(), LogMetrics()
        self.accounts = AccountService()
        self.storage = StorageService(state / "storage", self.accounts)
        self.projects = Projects(self.accounts.has)
        self.secrets = SecretService(self.accounts)
        self.usage = ServiceUsage(self.projects, self.accounts)
        self.repositories = RepositoryRoutes(self.registry, self.accounts)
        self.monitoring = MonitoringService(self.metrics.has)
        self.builds = BuildService(
            state / "builds",
            actors,
            self.secrets,
            self.logs,
            self.registry,
            options.builders,
            runs=options.runs_builds,
        )
        on_step = print_step if options.shows_steps else None
        self.workflows = WorkflowService(self.logs, self.hosts, speed, on_step, self.identity, actors)
        self.batch = BatchService(self.logs, actors, state / "batch", options.batch, speed)
        self.instances = Instances(
            self.logs, actors, state / "run", Clock(speed), options.idle_seconds, options.service
        )
        self.run = RunService(self.accounts, self.registry, self.instances)
        self.eventarc = EventarcService(self.storage.buckets, self.workflows, self.accounts, actors, speed)
        self.infra = InfraService(
            self.storage, self.accounts, self.projects, actors, state / "infra", options.terraform, speed
        )
        self._connect()

    def _connect(self) -> None:
        """Have services hear of what happens in others, and rights judge by the policies of all."""
        self.accounts.on_deletion += [
            self.storage.buckets.rename_deleted,
            self.projects.rename_deleted,
            self.rights.delays.forget_account,
        ]
        self.storage.objects.observers.append(self.eventarc.observe)
        policy_of = policies(
            bucket=self.storage.buckets.policy,
            account=self.accounts.policy,
            secret=self.secrets.policy,
            repository=self.repositories.policy,
            service=self.run.policy,
            project=self.projects.policy,
        )
        self.rights.judge_by(policy_of, self.accounts.is_enabled)

    @cached_property
    def _routes(self) -> dict[_Service, dict[str, list[Route]]]:
        """Routes by service and API. A service is before those that it uses, and so emptied before them.

        For requests the order does not matter: no two services answer the same.
        """
        return {
            self.infra: {"config": self.infra.routes()},
            self.eventarc: {"eventarc": self.eventarc.routes()},
            self.workflows: {
                "workflowexecutions": self.workflows.execution_routes(),
                "workflows": self.workflows.routes(),
            },
            self.batch: {"batch": self.batch.routes()},
            self.builds: {"cloudbuild": self.builds.routes()},
            self.run: {"run": self.run.routes(), "cloudquotas": self.run.quota_routes()},
            self.repositories: {"artifactregistry": self.repositories.routes()},
            self.registry: {"artifactregistry": self.registry.routes()},
            self.monitoring: {"monitoring": self.monitoring.routes()},
            self.metrics: {"logging": self.metrics.routes()},
            self.compute: {"compute": self.compute.routes(), "cloudquotas": self.compute.quota_routes()},
            self.accounts: {"iam": self.accounts.routes()},
            self.usage: {},  # can never be disabled: see routes()
            self.projects: {
                "cloudresourcemanager": self.projects.routes(),
                "cloudbilling": self.projects.billing_routes(),
            },
            self.secrets: {"secretmanager": self.secrets.routes()},
            self.instances: {},
            self.logs: {"logging": self.logs.routes()},
            self.rights: {},
            self.git: {},
            self.storage: {},  # has a port of its own
        }

    def resets(self) -> list[Callable[[], None]]:
        """Return the functions that empty the services, in order."""
        return [service.forget_all for service in self._routes]

    def control_routes(self) -> list[Route]:
        parts = [*self._routes, self.doors]
        return [route for each in parts if isinstance(each, _Controlled) for route in each.control_routes()]

    def routes(self) -> list[Route]:
        """Return the routes of all APIs, which ask for a token, for rights, and whether the API is enabled.

        Those of other sites have their own ways to know who asks.
        """
        of_sites = [
            *token_routes(self.accounts, self.identity, self.rights),
            *self.git.routes(),
            *self.builds.page_routes(),
        ]
        of_apis = [
            route
            for by_api in self._routes.values()
            for api, routes in by_api.items()
            for route in self.usage.guarded(api, self.rights.guarded(routes))
        ]
        return [*of_sites, *with_bearer([*of_apis, *self.rights.guarded(self.usage.routes())])]

    def gateway(self) -> Gateway:
        """Return what answers at the hosts of services of Cloud Run."""
        return Gateway(self.instances, self.identity, self.rights)

    def stop(self) -> None:
        """Stop all that runs."""
        self.eventarc.forget_all()
        self.workflows.forget_all()
        self.builds.stop()
        self.batch.stop()
        self.instances.close()
