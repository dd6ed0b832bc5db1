"""One instance of a revision: a process of this machine, from its start to its end.

revision.py decides when one starts and ends, and how many requests it has at a time.
"""

import random
import secrets
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from localcloud.child import CannotStart, Child, Command
from localcloud.logs import LogService
from localcloud.machine import machine_variables
from localcloud.rights.actors import Actors
from localcloud.run.definition import Definition
from localcloud.run.output import RevisionLog
from localcloud.run.probes import HOST, describe, wait_until_ready

ROOT = Path(__file__).parents[2]
SERVICES = (sys.executable, "-m", "services.main")  # of this repository
GRACE_SECONDS = 10.0  # from SIGTERM to SIGKILL
# Below the ports that the system gives to outgoing connections, which would otherwise take a free one.
PORTS = range(20_000, 32_000)


class StartFailed(Exception):
    """A revision has not become ready; the message is Cloud Run's."""


class Workshop:
    """What instances are made of: folders, their accounts' doors, their command, and where they log."""

    def __init__(
        self,
        folder: Path,
        caches: Path,
        actors: Actors,
        logs: LogService,
        argv: Sequence[str] = SERVICES,
    ):
        shutil.rmtree(folder, ignore_errors=True)  # left by an emulator that was killed
        self._folder, self._caches, self._actors, self.logs = folder, caches, actors, logs
        self._argv = argv

    def command(self, definition: Definition, name: str, port: int) -> Command:
        """Return the command of an instance, as the service asks for it, or the image's own."""
        folder = self._folder / name
        folder.mkdir(parents=True)
        environment = {
            **machine_variables(folder, self._caches),
            **({} if definition.has_gpu else {"CUDA_VISIBLE_DEVICES": ""}),
            **definition.env,
            "PORT": str(port),
            "K_SERVICE": definition.service,
            "K_REVISION": definition.revision,
            "K_CONFIGURATION": definition.service,
            "GOOGLE_CLOUD_PROJECT": definition.project,
            "STORAGE_EMULATOR_HOST": self._actors.as_(definition.account).door["storage"],
        }
        argv = list(definition.command or self._argv)
        return Command(argv, environment, folder, start_in=ROOT)


class Instance:
    """A process that answers requests; `has_ended` is called once when it is gone, in a thread of its own.

    The revision keeps the state of its instances, under its lock: `is_ready`, `is_stopping`, `busy` (the
    number of requests) and `idle_since` (of the services' clock).
    """

    def __init__(self, definition: Definition, workshop: Workshop, has_ended: Callable[["Instance"], None]):
        self.id = secrets.token_hex(16)
        self.port = 0
        self.pid = 0
        self.is_ready = self.is_stopping = False
        self.busy, self.idle_since = 0, 0.0
        self._definition, self._workshop, self._has_ended = definition, workshop, has_ended
        self.log = RevisionLog(workshop.logs, definition, self.id)
        self._child: Child | None = None
        self._gone = threading.Event()
        self._is_killed = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the process and wait until its startup probe succeeds.

        Raises
        ------
        StartFailed
            It ended first, or the probe failed; the process is gone then.
        """
        self.port = _free_port()
        name = f"{self._definition.revision}-{self.id[:12]}"
        command = self._workshop.command(self._definition, name, self.port)
        try:
            with self._lock:
                if self._is_killed:
                    raise CannotStart("it was stopped before it started")
                self._child = Child(command)
        except CannotStart as error:
            self.log.system(str(error), "ERROR")
            self._end(command.folder)
            raise StartFailed(self._not_ready()) from error
        self.pid = self._child.read_pid()
        threading.Thread(target=self._follow, args=(command.folder,), daemon=True).start()
        probe = self._definition.probe
        attempts = wait_until_ready(self.port, probe, self._gone.is_set)
        number = f"{attempts} attempt{'s' * (attempts != 1)}"
        place = f'for container "{self._definition.service}-1" on port {self.port}'
        if not attempts:
            self.log.system(f"{describe(probe)} failed {place}.", "ERROR")
            self.kill()
            raise StartFailed(self._not_ready())
        self.log.system(f"{describe(probe)} succeeded after {number} {place}.")

    def terminate(self) -> None:
        """Ask the process to end; kill it after the grace period."""
        with self._lock:
            self._is_killed |= self._child is None
        if self._child is not None:
            self._child.terminate()
            threading.Thread(target=self._kill_later, daemon=True).start()

    def kill(self) -> None:
        """Kill the process, and return when it is gone."""
        with self._lock:
            self._is_killed = True
        if self._child is not None:
            self._child.stop()
            self._gone.wait()

    def wait_for_end(self, seconds: float) -> bool:
        """Return whether the process ends within some real seconds."""
        return self._gone.wait(seconds)

    def _kill_later(self) -> None:
        if not self.wait_for_end(GRACE_SECONDS):
            self._child.stop()

    def _follow(self, folder: Path) -> None:
        exit_code = self._child.follow(self.log.line)
        if not self.is_stopping:
            said = f"Container called exit({exit_code})." if exit_code < 128 else _signal(exit_code - 128)
            self.log.system(said, "WARNING")
        self._end(folder)

    def _end(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._gone.set()
        self._has_ended(self)

    def _not_ready(self) -> str:
        return (
            f"Revision '{self._definition.revision}' is not ready and cannot serve traffic. The "
            "user-provided container failed to start and listen on the port defined provided by the "
            f"PORT={self.port} environment variable within the allocated timeout. This can happen when the "
            "container port is misconfigured or if the timeout is too short. The health check timeout can be "
            "extended. Logs for this revision might contain more information."
        )


def _signal(number: int) -> str:
    return f"Container terminated on signal {number}."


def _free_port() -> int:
    while True:
        port = random.choice(PORTS)
        with socket.socket() as trial, suppress(OSError):
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((HOST, port))
            return port
