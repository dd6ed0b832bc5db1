"""The services that run: the serving revision of each, and older ones that answer their last requests."""

import itertools
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from localcloud.control import PREFIX
from localcloud.logs import LogService
from localcloud.messages import Request, Response, json_response
from localcloud.rights.actors import Actors
from localcloud.routing import Route
from localcloud.run.definition import Access, Definition
from localcloud.run.instance import SERVICES, StartFailed, Workshop
from localcloud.run.revision import Revision
from localcloud.times import Clock

IDLE_SECONDS = 900.0
LEAST_TICK_SECONDS, MOST_TICK_SECONDS = 0.02, 1.0  # real seconds between two looks for idle instances

Key = tuple[str, str, str]  # project, region, service


@dataclass(frozen=True)
class Serving:
    """A service as its callers find it."""

    revision: Revision
    access: Access


class Instances:
    """The instances of all services. Processes end with the emulator, however that ends."""

    def __init__(
        self,
        logs: LogService,
        actors: Actors,
        state: Path,
        clock: Clock,
        idle_seconds: float = IDLE_SECONDS,
        argv: Sequence[str] = SERVICES,
    ):
        state = state.absolute()
        self._workshop = Workshop(state / "instances", state / "caches", actors, logs, argv)
        self._clock, self._idle_seconds = clock, idle_seconds
        self._serving: dict[Key, tuple[int, Revision]] = {}
        self._access: dict[Key, Access] = {}
        self._revisions: list[Revision] = []  # that have instances, or may start some
        self._numbers = itertools.count(1)  # of deployments
        self._removals: Counter[Key] = Counter()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._tend, daemon=True).start()

    def control_routes(self) -> list[Route]:
        def show(request: Request) -> Response:
            return json_response(self.status())

        return [Route("GET", PREFIX + "run", show)]

    def deploy(self, definition: Definition, access: Access) -> None:
        """Let a revision serve once its first instance is ready; the one before it ends when it can.

        Raises
        ------
        StartFailed
            The first instance did not become ready; the revision before it still serves.
        """
        key = (definition.project, definition.region, definition.service)
        revision = Revision(definition, self._workshop, self._clock, self._idle_seconds)
        with self._lock:
            if self._closed.is_set():
                raise StartFailed("The emulator stops.")
            number, removals = next(self._numbers), self._removals[key]
            self._access[key] = access
            self._revisions.append(revision)
        try:
            revision.start()
        except StartFailed:
            revision.end()
            raise
        with self._lock:
            known = self._serving.get(key)
            if self._removals[key] != removals or (known and known[0] > number):
                revision.end()
                return
            self._serving[key] = (number, revision)
        if known:
            known[1].retire()

    def allow(self, project: str, region: str, service: str, access: Access) -> None:
        """Change who may call a service."""
        with self._lock:
            self._access[project, region, service] = access

    def remove(self, project: str, region: str, service: str) -> None:
        """End a service; its processes have the grace period of a SIGTERM."""
        key = (project, region, service)
        with self._lock:
            self._removals[key] += 1
            self._access.pop(key, None)
            known = self._serving.pop(key, None)
        if known:
            known[1].end()

    def find(self, host: str) -> Serving | None:
        """Return the service that has a host name in one of its URLs."""
        with self._lock:
            for key, (_, revision) in self._serving.items():
                if any(urlsplit(url).hostname == host for url in self._access[key].audiences):
                    return Serving(revision, self._access[key])
        return None

    def status(self) -> list[dict[str, Any]]:
        """Return a line for each process: service, revision, state, pid, requests, seconds without one."""
        with self._lock:
            revisions = list(self._revisions)
        return [line for revision in revisions for line in revision.status()]

    def forget_all(self) -> None:
        """Remove all services, and return when their processes are gone."""
        with self._lock:
            self._removals.update(self._access.keys())
            self._access.clear()
            self._serving.clear()
            revisions = list(self._revisions)
        for revision in revisions:
            revision.kill()

    def close(self) -> None:
        """Kill all processes; nothing starts afterwards."""
        with self._lock:
            self._closed.set()
        self.forget_all()

    def _tend(self) -> None:
        tick = self._clock.wall_seconds(self._idle_seconds) / 20
        while not self._closed.wait(min(max(tick, LEAST_TICK_SECONDS), MOST_TICK_SECONDS)):
            with self._lock:
                self._revisions = [each for each in self._revisions if not each.is_over]
                serving = [revision for _, revision in self._serving.values()]
            for revision in serving:
                revision.tend()
