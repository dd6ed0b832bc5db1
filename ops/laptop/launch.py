"""Starts a stage on this machine: as a process, or in a container of docker-compose.yml."""

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from ops.failures import UserError
from ops.settings import ROOT, Settings
from ops.shell import Shell
from ops.terminal import nearest

LOCAL_IMAGE = "epymodelingsuite:local"
COMPOSE_FILE = ROOT / "docker-compose.yml"


class Processes:
    """Stages as processes, with the Python that runs invoke."""

    def check(self, shell: Shell) -> None:
        """Processes need nothing that could be missing."""

    def cleaned_up(self, shell: Shell) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext()

    def command(self, stage: str) -> list[str]:
        return ["bash", nearest(ROOT / "scripts" / f"run_{stage}.sh")]

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of a stage with our Python and one thread a task."""
        return {"PYTHON": nearest(Path(sys.executable)), "OMP_NUM_THREADS": _threads(), **variables}


class Containers:
    """Stages in containers of the local image, which have the same folders at other paths."""

    def __init__(self, settings: Settings):
        uid = os.getuid() if settings.host_uid is None else settings.host_uid
        gid = os.getgid() if settings.host_gid is None else settings.host_gid
        self.owner = {"HOST_UID": str(uid), "HOST_GID": str(gid)}
        self.label = f"epymodelingsuite.started-by={secrets.token_hex(8)}"

    def check(self, shell: Shell) -> None:
        """Refuse early without an engine or an image; Compose would report that for each task."""
        if not shell.succeeds(["docker", "compose", "version"], timeout_seconds=20):
            raise UserError("docker compose does not answer; install Docker, or omit --docker")
        check_engine(shell)
        if not shell.succeeds(["docker", "image", "inspect", "-f", "{{.Id}}", _image()], timeout_seconds=20):
            raise UserError(f"image {_image()} not found; `invoke build-dev` builds it")

    def command(self, stage: str) -> list[str]:
        compose = ["docker", "compose", "-f", nearest(COMPOSE_FILE)]
        return [*compose, "run", "--rm", "-T", "--label", self.label, stage]

    @contextlib.contextmanager
    def cleaned_up(self, shell: Shell) -> Iterator[None]:
        """Remove our containers if the block fails: one that is being created outlives its client."""
        try:
            yield
        except BaseException:
            ours = ["docker", "ps", "--all", "--quiet", "--filter", f"label={self.label}"]
            if left := shell.capture(ours, timeout_seconds=20).split():
                shell.capture(["docker", "rm", "--force", *left], timeout_seconds=60)
            raise

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of docker-compose.yml: folders of this machine, and the owner of files."""
        variables = dict(variables)
        for name in ("LOCAL_DATA_PATH", "FORECAST_REPO_DIR", "EPYDEMIX_DATA_DIR"):
            if variables.get(name):
                variables[name] = str(Path(variables[name]).absolute())
        if "/" in variables.get("OUTPUT_CONFIG_FILE", ""):
            variables["OUTPUT_CONFIG_FILE"] = _inside(variables)
        return {**self.owner, "LOCAL_IMAGE": _image(), "OMP_NUM_THREADS": _threads(), **variables}


Launcher = Processes | Containers


def check_engine(shell: Shell) -> None:
    """Refuse if no Docker engine answers; a dry run does not ask."""
    if not shell.succeeds(["docker", "info", "--format", "{{.ServerVersion}}"], timeout_seconds=20):
        raise UserError("no Docker engine answers; start it (a run without --docker needs none)")


def _inside(variables: Mapping[str, str]) -> str:
    """Return the path of the output YAML in a container; it must be in the forecasting repository."""
    path, repository = Path(variables["OUTPUT_CONFIG_FILE"]).absolute(), Path(variables["FORECAST_REPO_DIR"])
    if not path.is_relative_to(repository):
        raise UserError(f"{nearest(path)}: a container sees only {nearest(repository)}; put it there")
    return f"/forecast/{path.relative_to(repository).as_posix()}"


def _image() -> str:
    return os.environ.get("LOCAL_IMAGE") or LOCAL_IMAGE


def _threads() -> str:
    return os.environ.get("OMP_NUM_THREADS", "1")
