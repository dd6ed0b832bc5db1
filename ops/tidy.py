"""Deleting what can be made again, half-written files, and local runs when asked."""

import shutil
import time
from pathlib import Path

from ops.failures import UserError
from ops.run_files import find_runs
from ops.settings import Settings

LEFTOVER_SECONDS = 86_400
CACHES = ("__pycache__", ".pytest_cache", ".ruff_cache")
ROOT = Path(__file__).resolve().parents[1]


def remove_caches(dry_run: bool) -> None:
    """Delete the caches of Python and its tools below the repository."""
    for name in CACHES:
        for folder in ROOT.rglob(name):
            if ".venv" not in folder.parts and folder.is_dir():
                _remove(folder, dry_run)


def remove_leftovers(settings: Settings, dry_run: bool) -> None:
    """Delete what killed writers left half written; a younger file may still be somebody's."""
    old = time.time() - LEFTOVER_SECONDS
    for path in (settings.local_data_path / "bucket").rglob(".partial-*"):
        if path.is_file() and path.stat().st_mtime < old:
            print(f"{'would remove' if dry_run else 'removed'} {path}")
            if not dry_run:
                path.unlink(missing_ok=True)


def remove_runs(settings: Settings, exp_id: str, yes: bool, dry_run: bool) -> None:
    """Delete local runs with their results and logs, after showing them and asking."""
    runs = find_runs(settings, exp_id)
    if not runs:
        print("no local runs")
        return
    for run in runs:
        print(f"{run.exp_id}  {run.run_id}  {len(run.results())} results, {len(run.outputs())} outputs")
    if not dry_run and not yes and not _confirmed(f"delete these {len(runs)} runs for good? [y/N] "):
        raise UserError("nothing deleted", exit_code=1)
    for run in runs:
        _remove(run.folder, dry_run)
        if run.logs.is_dir():
            _remove(run.logs, dry_run)


def _confirmed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        raise UserError("no terminal to ask on; add --yes") from None


def _remove(folder: Path, dry_run: bool) -> None:
    print(f"{'would remove' if dry_run else 'removed'} {folder}")
    if not dry_run:
        shutil.rmtree(folder)
