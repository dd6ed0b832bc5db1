"""The forecasting repository of this machine put into the bucket of a run, where none on GitHub is named."""

import sys
import tempfile
from pathlib import Path

from ops import gcloud
from ops.failures import UserError
from ops.run_paths import ARCHIVE
from ops.settings import ROOT, Settings
from ops.shell import Shell
from ops.shown import nearest

UPLOAD_SECONDS = 1800
PACK_SECONDS = 300


def upload_forecast(shell: Shell, settings: Settings, repository: Path, run_path: str) -> None:
    """Pack a repository and copy it to gs://.../<run id>/, for stage A to unpack.

    Raises
    ------
    UserError
        It cannot be packed (a link that leads out of it, say), or not be copied.
    """
    with tempfile.TemporaryDirectory(prefix="forecast-") as work:
        archive = Path(work, Path(ARCHIVE).name)
        pack = [
            sys.executable,
            nearest(ROOT / "scripts" / "pack_forecast.py"),
            nearest(repository),
            str(archive),
        ]
        shell.echo(pack)
        if not shell.dry_run:
            packed = shell.attempt(pack, timeout_seconds=PACK_SECONDS)
            if packed.exit_code:
                said = (packed.errors.strip().splitlines() or ["it said nothing"])[-1]
                raise UserError(f"{nearest(repository)} cannot be packed: {said}")
        words = ["storage", "cp", str(archive), f"{run_path}{ARCHIVE}", "--project", settings.project_id]
        gcloud.read(shell, words, timeout_seconds=UPLOAD_SECONDS)


def copy_file(shell: Shell, settings: Settings, name: str, run_path: str, to_run_path: str) -> None:
    """Copy a file of one run to another, within the bucket."""
    words = ["storage", "cp", f"{run_path}{name}", f"{to_run_path}{name}", "--project", settings.project_id]
    gcloud.read(shell, words, timeout_seconds=UPLOAD_SECONDS)
