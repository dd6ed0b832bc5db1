"""Runs the emulated Google Cloud in the foreground, for another shell. The emulator is in localcloud/."""

import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from ops.failures import UserError
from ops.laptop.launch import check_engine
from ops.settings import ROOT, Settings
from ops.shell import Shell
from ops.terminal import nearest

PROJECT = "local-project"  # if PROJECT_ID is not set; any name works
RIGHTS = "LOCALCLOUD_RIGHTS"  # variable of a shell: the file with the rights of its emulated cloud
STRUCTURE_TEST = "ghcr.io/googlecontainertools/container-structure-test"


@dataclass(frozen=True)
class CloudRequest:
    """Options of the emulated cloud; port 0 means any free port."""

    clock_speed: str = "1"
    docker: bool = False
    storage_port: int = 0
    apis_port: int = 0
    rights: Path | None = None  # file with grants that --furnish puts in force, and all is enforced
    iam_delay_seconds: int = 0  # of the services' clock, until a changed policy counts
    member: str = ""  # whose shell it is; "" is the project's owner


def run_emulator(shell: Shell, settings: Settings, request: CloudRequest) -> None:
    """Run the emulated cloud until Ctrl-C; print the exports for a shell, then the steps of workflows.

    Raises
    ------
    UserError
        It could not start; see its output above.
    """
    _check(shell, request)
    words = [sys.executable, "-m", "localcloud", "--state", nearest(state_folder(settings))]
    words += ["--exports", settings.project_id or PROJECT, "--show-steps"]
    words += [] if shell.dry_run else ["--with-parent", str(os.getpid())]
    words += ["--clock-speed", request.clock_speed]
    words += ["--builder", STRUCTURE_TEST, structure_test()]
    words += ["--tasks", "docker"] if request.docker else []
    if request.rights:
        words += ["--rights-of", settings.project_id or PROJECT]
        words += ["--iam-delay", str(request.iam_delay_seconds)] if request.iam_delay_seconds else []
        words += ["--export", f"{RIGHTS}={request.rights.resolve()}"]
    words += ["--exports-as", request.member] if request.member else []
    for name, port in (("storage", request.storage_port), ("apis", request.apis_port)):
        words += [f"--{name}-port", str(port)] if port else []
    try:
        code = shell.stream(words, {"PYTHONPATH": str(ROOT)})
    except KeyboardInterrupt:
        print("\nthe emulated cloud has stopped; its buckets are kept", file=sys.stderr)
        raise
    if code:
        raise UserError(f"the emulated cloud ended with exit code {code}", exit_code=2 if code == 2 else 1)


def state_folder(settings: Settings) -> Path:
    """Return where the emulated cloud keeps its buckets."""
    return settings.local_data_path / "cloud"


def lock_file(settings: Settings) -> Path:
    """Return the file that the emulated cloud locks while it runs."""
    return state_folder(settings) / "lock"


def structure_test() -> str:
    """Return the command that replaces the tool's image in a build: the emulator pulls no images."""
    return shlex.join(["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "ops.images.image_checks"])


def _check(shell: Shell, request: CloudRequest) -> None:
    """Refuse options that the emulator would refuse."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", request.clock_speed) or not float(request.clock_speed):
        raise UserError(f"--clock-speed {request.clock_speed}: use a number above 0, such as 60")
    if request.storage_port and request.storage_port == request.apis_port:
        raise UserError("--storage-port and --apis-port are the same; use two ports")
    if request.docker:
        check_engine(shell)
