"""The emulated cloud put together: its services, who may use them, and the ports they answer on."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

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
from localcloud.rights.doors import Doors
from localcloud.rights.enforcement import Rights
from localcloud.rights.resources import policies
from localcloud.routing import Router
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
    iam_delay: float = 0.0  # seconds of the services' clock until a changed policy counts


@contextmanager
def start_cloud(state: Path, options: CloudOptions) -> Iterator[dict[str, str]]:
    """Serve until the block ends; yield the address of each port."""
    addresses: dict[str, str] = {}  # filled once the ports are known
    faults, log = Faults(), RequestLog()
    accounts = AccountService()
    storage, projects = StorageService(state / "storage", accounts), Projects(accounts.has)
    doors, rights = Doors(addresses), _rights(options)
    actors = Actors(doors, rights)
    accounts.on_deletion += [
        storage.buckets.rename_deleted,
        projects.rename_deleted,
        rights.delays.forget_account,
    ]
    secrets, logs, git = SecretService(accounts), LogService(), GitService()
    usage, registry, compute = ServiceUsage(projects, accounts), RegistryService(), ComputeService()
    repositories, metrics = RepositoryRoutes(registry, accounts), LogMetrics()
    monitoring = MonitoringService(metrics.has)
    builds = BuildService(
        state / "builds", actors, secrets, logs, registry, options.builders, runs=options.runs_builds
    )
    hosts, identity = Hosts(), Identity()
    workflows = WorkflowService(
        logs, hosts, options.clock_speed, print_step if options.shows_steps else None, identity, actors
    )
    batch = BatchService(logs, actors, state / "batch", options.batch, options.clock_speed)
    instances = Instances(
        logs, actors, state / "run", Clock(options.clock_speed), options.idle_seconds, options.service
    )
    run = RunService(accounts, registry, instances)
    eventarc = EventarcService(storage.buckets, workflows, accounts, actors, options.clock_speed)
    infra = InfraService(
        storage, accounts, projects, actors, state / "infra", options.terraform, options.clock_speed
    )
    storage.objects.observers.append(eventarc.observe)
    rights.judge_by(
        policies(
            bucket=storage.buckets.policy,
            account=accounts.policy,
            secret=secrets.policy,
            repository=repositories.policy,
            service=run.policy,
            project=projects.policy,
        ),
        accounts.is_enabled,
    )
    # A service is emptied before the services it uses.
    services = [
        infra,
        eventarc,
        workflows,
        batch,
        builds,
        run,
        registry,
        repositories,
        monitoring,
        metrics,
        compute,
        accounts,
        usage,
        projects,
        secrets,
    ]
    resets = [
        *(each.forget_all for each in (*services, instances, logs, rights)),
        git.forget_all,
        storage.forget_all,
    ]
    control = [
        *(
            route
            for each in (
                git,
                infra,
                eventarc,
                workflows,
                batch,
                projects,
                registry,
                compute,
                run,
                instances,
                rights,
                doors,
            )
            for route in each.control_routes()
        ),
        *control_routes(faults, log, resets),
    ]
    by_api = {
        "workflowexecutions": workflows.execution_routes(),
        "workflows": workflows.routes(),
        "batch": batch.routes(),
        "cloudbilling": projects.billing_routes(),
        "cloudbuild": builds.routes(),
        "artifactregistry": [*repositories.routes(), *registry.routes()],
        "compute": compute.routes(),
        "cloudquotas": [*run.quota_routes(), *compute.quota_routes()],
        "config": infra.routes(),
        "eventarc": eventarc.routes(),
        "iam": accounts.routes(),
        "cloudresourcemanager": projects.routes(),
        "run": run.routes(),
        "secretmanager": secrets.routes(),
        "logging": [*metrics.routes(), *logs.routes()],
        "monitoring": monitoring.routes(),
    }
    enabled = [
        route for api, routes in by_api.items() for route in usage.guarded(api, rights.guarded(routes))
    ]
    guarded = with_bearer([*enabled, *rights.guarded(usage.routes())])
    apis = Router(
        [*control, *token_routes(accounts, identity, rights), *git.routes(), *builds.page_routes(), *guarded],
        by_host=Gateway(instances, identity, rights).match,
    )
    ports = Ports({"storage": storage.router(faults, control, rights), "apis": apis}, faults, log)
    addresses |= ports.open(OWNER, storage=options.storage_port, apis=options.apis_port)
    if options.rights_of:
        doors.open_with(ports.open)
    hosts.update(local_hosts(**addresses))
    try:
        yield addresses
    finally:
        for stop in (eventarc.forget_all, workflows.forget_all, builds.stop, batch.stop, instances.close):
            stop()
        _remove(state / "builds", state / "infra")  # what those left that were stopped


def _rights(options: CloudOptions) -> Rights:
    return Rights(options.rights_of, Delays(options.iam_delay, Clock(options.clock_speed)))


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
