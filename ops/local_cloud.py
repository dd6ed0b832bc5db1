"""The emulated Google Cloud in the foreground, for a shell beside it. What it emulates is in localcloud/."""

import os
import sys
from dataclasses import dataclass

from ops.failures import UserError
from ops.settings import ROOT, Settings
from ops.shell import Shell
from ops.shown import nearest

PROJECT = "local-project"  # where PROJECT_ID is not set; any will do


@dataclass(frozen=True)
class CloudRequest:
    """How the operator wants the cloud; a port of 0 takes a free one."""

    clock_speed: str = "1"
    docker: bool = False
    storage_port: int = 0
    apis_port: int = 0


def run(shell: Shell, settings: Settings, request: CloudRequest) -> None:
    """Run it until Ctrl-C, and print what a shell needs, then the steps of workflows as they run.

    Raises
    ------
    UserError
        It could not start; what it said stands above.
    """
    words = [sys.executable, "-m", "localcloud", "--state", nearest(settings.local_data_path / "cloud")]
    words += ["--exports", settings.project_id or PROJECT, "--show-steps"]
    words += ["--with-parent", str(os.getpid()), "--clock-speed", request.clock_speed]
    words += ["--tasks", "docker"] if request.docker else []
    for name, port in (("storage", request.storage_port), ("apis", request.apis_port)):
        words += [f"--{name}-port", str(port)] if port else []
    try:
        code = shell.stream(words, {"PYTHONPATH": str(ROOT)})
    except KeyboardInterrupt:
        print("\nthe emulated cloud has stopped; what is in its buckets is kept", file=sys.stderr)
        return
    if code:
        raise UserError(f"the emulated cloud ended with exit code {code}", exit_code=2 if code == 2 else 1)
