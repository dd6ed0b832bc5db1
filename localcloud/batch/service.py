"""Cloud Batch put together: its jobs, what runs its tasks, and its routes."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localcloud.batch.agents import Agents
from localcloud.batch.attempt import Workshop
from localcloud.batch.containers import Containers
from localcloud.batch.faults import BatchFaults
from localcloud.batch.jobs import JobStore
from localcloud.batch.processes import Processes
from localcloud.batch.routes import JobRoutes, TaskRoutes
from localcloud.batch.scheduler import Scheduler
from localcloud.batch.variables import VariableSource
from localcloud.control import fault_routes
from localcloud.logs import LogService
from localcloud.rights.actors import Actors
from localcloud.routing import Route

MODES = ("processes", "docker", "null")
SCRIPTS = Path(__file__).parents[2] / "scripts"


@dataclass(frozen=True)
class BatchSettings:
    """How tasks run."""

    mode: str = "processes"  # one of MODES
    slots: int = field(default_factory=lambda: os.cpu_count() or 1)  # tasks at once, except null tasks
    scripts: Path = SCRIPTS  # replaces the image's /scripts
    images: Mapping[str, str] = field(default_factory=dict)  # local tag by name in a registry
    queue_seconds: float = 0.02  # QUEUED, and again SCHEDULED; of the emulator's clock


class BatchService:
    """The jobs of all projects."""

    def __init__(
        self,
        logs: LogService,
        actors: Actors,
        state: Path,
        settings: BatchSettings,
        clock_speed: float = 1.0,
    ):
        self._faults = BatchFaults()
        self._store = JobStore()
        self._scheduler = Scheduler(
            self._store,
            self._faults,
            _workshop(logs, actors, state, settings),
            Agents(actors),
            settings.slots,
            settings.queue_seconds,
            clock_speed,
        )
        self._jobs = JobRoutes(self._store, self._scheduler, settings.mode)

    def routes(self) -> list[Route]:
        return [*self._jobs.routes(), *TaskRoutes(self._store).routes()]

    def control_routes(self) -> list[Route]:
        """Return the emulator's own routes for the faults of Batch; faults.py describes them."""
        return fault_routes("batch/faults", self._faults)

    def forget_all(self) -> None:
        """Kill all tasks and remove all jobs and faults."""
        self._faults.clear()
        self._scheduler.delete_all()
        self._store.forget_requests()
        self._jobs.operations.forget_all()

    def stop(self) -> None:
        """Kill all tasks and wait until they are gone."""
        self._scheduler.stop()


def _workshop(logs: LogService, actors: Actors, state: Path, settings: BatchSettings) -> Workshop | None:
    if settings.mode == "null":
        return None
    state = state.absolute()  # each task has another working folder
    caches = state / "caches"
    is_docker = settings.mode == "docker"
    runtime = Containers(settings.images) if is_docker else Processes(settings.scripts, caches)
    return Workshop(state / "tasks", logs, VariableSource(actors), runtime)
