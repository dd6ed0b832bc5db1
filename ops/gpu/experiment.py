"""The experiment of the GPU lane, whose observed data an uploaded table replaces: packed, and uploaded."""

import base64
import hashlib
import re
import shutil
import sys
from pathlib import Path

from ops.failures import UserError
from ops.gpu.lane import Lane
from ops.gpu.steps import Change
from ops.laptop import local_run
from ops.settings import ROOT, Settings
from ops.shell import Shell
from ops.terminal import nearest

MODEL = "forecast/experiment.tar.gz"  # in the models bucket
PACK_SECONDS = 120


def check_experiment(settings: Settings, exp_id: str) -> None:
    """Refuse an experiment that the forecasting repository does not have, or that has no model."""
    local_run.check_experiment_exists(settings, exp_id)
    experiments = local_run.forecast_repository(settings, exp_id) / "experiments"
    if not (experiments / exp_id).is_dir():
        raise UserError(f"{exp_id}: no such experiment in {nearest(experiments)}")
    # the services would refuse it, but after the costs
    for path in sorted((experiments / exp_id / "config").glob("*.y*ml")):
        if path.is_file() and re.search(rb"(?m)^forecast\s*:", path.read_bytes()):
            raise UserError(
                f"{nearest(path)}: this lane calibrates models, and an experiment with the key forecast has "
                "none",
                fix=f"invoke run --exp-id {exp_id}",
            )


def packed(shell: Shell, settings: Settings, exp_id: str, folder: Path) -> Path:
    """Pack the forecasting repository without its other experiments, since an upload may have only one."""
    archive = folder / f"{exp_id.rpartition('/')[2]}.tar.gz"
    repository, only = local_run.forecast_repository(settings, exp_id), folder / "packed"
    left_out = {str(repository): ["experiments", ".git"]}
    shutil.copytree(repository, only, symlinks=True, ignore=lambda place, names: left_out.get(str(place), []))
    shutil.copytree(repository / "experiments" / exp_id, only / "experiments" / exp_id, symlinks=True)
    pack = [sys.executable, nearest(ROOT / "scripts" / "pack_forecast.py"), str(only), str(archive)]
    shell.read(pack, timeout_seconds=PACK_SECONDS, echo=False)
    return archive


def model_changes(lane: Lane, archive: Path | None) -> list[Change]:
    """Return the change that uploads the archive; none where the bucket has the same."""
    if archive is None or _is_there(lane, archive):
        return []
    place = f"gs://{lane.names.bucket('models')}/{MODEL}"
    return [Change(f"upload {MODEL}", [["storage", "cp", nearest(archive), place, *lane.cloud.in_project]])]


def has_experiment(lane: Lane) -> bool:
    """Return whether the models bucket has an experiment already."""
    return bool(_md5_there(lane))


def _is_there(lane: Lane, archive: Path) -> bool:
    there = _md5_there(lane)
    return bool(there) and there == base64.b64encode(hashlib.md5(archive.read_bytes()).digest()).decode()


def _md5_there(lane: Lane) -> str:
    """Return the MD5 of the archive in the bucket, in base 64; "" if there is none."""
    bucket = lane.names.bucket("models")
    if bucket not in lane.found.buckets:
        return ""
    words = ["storage", "objects", "list", f"gs://{bucket}/{MODEL}", *lane.cloud.in_project]
    return lane.cloud.read_if_there([*words, "--format", "value(md5_hash)"]).strip()
