"""The steps of a build, run on this machine: docker as a process, any other builder as a container.

A step of gcr.io/cloud-builders/docker runs this machine's docker client in the build's workspace, so that it
uses the local engine. The workspace is not at /workspace, so steps must name their files relative to it.
"""

import os
import subprocess
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcloud.child import CannotStart, Child, Command

DOCKER_BUILDER = "gcr.io/cloud-builders/docker"
_KEPT = ("PATH", "LANG", "DOCKER_HOST", "DOCKER_CONTEXT", "XDG_RUNTIME_DIR")


class StepFailed(Exception):
    """A step failed; the message says why."""


class Stopped(Exception):
    """The build was cancelled or ran out of time."""


@dataclass
class StepRunner:
    """Runs programs in a workspace until it is stopped.

    `builders` maps a builder's image to the command that replaces it; `write_line` gets each printed line.
    """

    workspace: Path
    builders: Mapping[str, Sequence[str]]
    write_line: Callable[[str], None]
    _stopped: threading.Event = field(default_factory=threading.Event)
    _running: Child | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run_step(self, step: dict[str, Any], secrets: Mapping[str, str]) -> None:
        variables = dict(entry.partition("=")[::2] for entry in step.get("env", []))
        variables |= {name: secrets[name] for name in step.get("secretEnv", [])}
        folder = (self.workspace / step.get("dir", "").lstrip("/")).resolve()
        try:
            folder.mkdir(parents=True, exist_ok=True)  # as docker does for a container
        except OSError as error:
            raise StepFailed(f"dir {step['dir']}: {error.strerror}") from error
        container = f"localcloud-{uuid.uuid4().hex}"
        argv = self.command(step, list(variables), container)
        cleanup = ("docker", "rm", "--force", container) if container in argv else ()
        self.run(argv, variables, folder, cleanup)

    def command(self, step: dict[str, Any], variables: list[str], container: str) -> list[str]:
        """Return the command of a step; it names variables without values, because some are secrets."""
        image, arguments = step["name"], step.get("args", [])
        entrypoint, folder = step.get("entrypoint", ""), f"/workspace/{step.get('dir', '').lstrip('/')}"
        name = image.split("@")[0]
        name = name if ":" not in name.rpartition("/")[2] else name.rpartition(":")[0]
        if name == DOCKER_BUILDER:
            return [entrypoint or "docker", *arguments]
        if name in self.builders:
            return [*self.builders[name], *arguments]
        run = ["docker", "run", "--rm", "--name", container]
        run += ["--volume", f"{self.workspace}:/workspace", "--workdir", folder]
        run += ["--volume", "/var/run/docker.sock:/var/run/docker.sock", "--pull", "never"]
        run += [word for variable in variables for word in ("--env", variable)]
        return [*run, *(["--entrypoint", entrypoint] if entrypoint else []), image, *arguments]

    def run(
        self, argv: list[str], variables: Mapping[str, str], folder: Path, cleanup: tuple[str, ...] = ()
    ) -> list[str]:
        """Run a program and return its last lines; `cleanup` stops what it runs elsewhere."""
        last: deque[str] = deque(maxlen=20)

        def take(line: str, is_error: bool) -> None:
            last.append(line)
            self.write_line(line)

        command = Command(argv, self._environment() | dict(variables), folder, cleanup)
        with self._lock:
            if self._stopped.is_set():
                raise Stopped
            try:
                self._running = Child(command)
            except CannotStart as error:
                raise StepFailed(str(error)) from error
        exit_code = self._running.follow(take)
        if self._stopped.is_set():
            raise Stopped
        if exit_code:
            raise StepFailed(f"exit code {exit_code}")
        return list(last)

    def read(self, argv: list[str]) -> str:
        """Return the output of a short docker command."""
        done = subprocess.run(
            argv,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode:
            raise StepFailed(done.stderr.strip() or f"exit code {done.returncode}")
        return done.stdout.strip()

    def _environment(self) -> dict[str, str]:
        """Return the variables that a step inherits.

        HOME is a folder of the build, so DOCKER_CONFIG is what leads to Docker's plug-ins.
        """
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        docker = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
        return {**kept, "HOME": str(self.workspace.parent / "home"), "DOCKER_CONFIG": docker}

    def stop(self) -> None:
        """Kill the running program and all it started."""
        with self._lock:
            self._stopped.set()
            if self._running:
                self._running.stop()
