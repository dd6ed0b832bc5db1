"""The steps of a build, run on this machine: docker as a process, any other builder as a container of it.

A step of gcr.io/cloud-builders/docker is this machine's docker client in the build's workspace, so that
it uses the local engine. Its absolute path is not /workspace: steps name their files relative to it.
"""

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DOCKER_BUILDER = "gcr.io/cloud-builders/docker"
_KEPT = ("PATH", "LANG", "DOCKER_HOST", "DOCKER_CONTEXT", "XDG_RUNTIME_DIR")


class StepFailed(Exception):
    """A step ended with another exit code than 0."""


class Stopped(Exception):
    """The build was cancelled or ran out of time."""


@dataclass
class StepRunner:
    """Runs programs in a workspace until it is stopped.

    `builders` says which command stands for a builder's image; every line that is printed goes to `tell`.
    """

    workspace: Path
    builders: Mapping[str, Sequence[str]]
    tell: Callable[[str], None]
    _stopped: threading.Event = field(default_factory=threading.Event)
    _running: subprocess.Popen | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run_step(self, step: dict[str, Any], secrets: Mapping[str, str]) -> None:
        variables = dict(entry.partition("=")[::2] for entry in step.get("env", []))
        variables |= {name: secrets[name] for name in step.get("secretEnv", [])}
        folder = (self.workspace / step.get("dir", "").lstrip("/")).resolve()
        self.run(self.command(step, list(variables)), variables, folder)

    def command(self, step: dict[str, Any], variables: list[str]) -> list[str]:
        """Return what is started for a step; values of variables are no arguments, for some are secrets."""
        image, arguments = step["name"], step.get("args", [])
        entrypoint = step.get("entrypoint", "")
        name = image.split("@")[0]
        name = name if ":" not in name.rpartition("/")[2] else name.rpartition(":")[0]
        if name == DOCKER_BUILDER:
            return [entrypoint or "docker", *arguments]
        if name in self.builders:
            return [*self.builders[name], *arguments]
        run = ["docker", "run", "--rm", "--volume", f"{self.workspace}:/workspace", "--workdir", "/workspace"]
        run += ["--volume", "/var/run/docker.sock:/var/run/docker.sock", "--pull", "never"]
        run += [word for variable in variables for word in ("--env", variable)]
        return [*run, *(["--entrypoint", entrypoint] if entrypoint else []), image, *arguments]

    def run(self, argv: list[str], variables: Mapping[str, str], folder: Path) -> list[str]:
        """Run a program to its end, and return its last lines."""
        try:
            with self._lock:
                if self._stopped.is_set():
                    raise Stopped
                self._running = subprocess.Popen(
                    argv,
                    cwd=folder,
                    env=self._environment() | dict(variables),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                )
        except OSError as error:
            raise StepFailed(f"{argv[0]}: {error.strerror}") from error
        last: deque[str] = deque(maxlen=20)
        with self._running as process:
            for line in process.stdout:
                last.append(line.rstrip("\n"))
                self.tell(last[-1])
        if self._stopped.is_set():
            raise Stopped
        if process.returncode:
            raise StepFailed(f"exit code {process.returncode}")
        return list(last)

    def read(self, argv: list[str]) -> str:
        """Return what a short command of docker prints."""
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
        """Return what a step has of ours; Docker's plug-ins are below its configuration, not this HOME."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        docker = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
        return {**kept, "HOME": str(self.workspace.parent / "home"), "DOCKER_CONFIG": docker}

    def stop(self) -> None:
        """Kill what runs, with all it started."""
        with self._lock:
            self._stopped.set()
            if self._running and self._running.poll() is None:
                os.killpg(self._running.pid, signal.SIGKILL)
