"""Deletes caches and half-written files and, when asked, local runs and the emulated cloud."""

import contextlib
import os
import shutil
import time
from pathlib import Path

from ops.failures import UserError
from ops.laptop.local_cloud import lock_file, state_folder
from ops.laptop.run_files import LocalRun, known_runs
from ops.laptop.run_lock import held, is_held, is_taken, take
from ops.names import check_exp_id
from ops.settings import ROOT, Settings
from ops.terminal import confirmed, counted, nearest

LEFTOVER_SECONDS = 86_400
CACHES = {"__pycache__", ".pytest_cache", ".ruff_cache"}
NOT_OURS = {".git", ".venv", ".venv-scan"}


def clean(settings: Settings, runs: bool, cloud: bool, exp_id: str, yes: bool, dry_run: bool) -> None:
    """Delete caches, leftovers, and what is asked for; everything is checked before anything is deleted."""
    if exp_id and not runs:
        raise UserError("--exp-id chooses among runs; add --runs, or leave it out")
    if exp_id:
        check_exp_id(exp_id)
    chosen = _chosen_runs(settings, exp_id, yes, dry_run) if runs else []
    removes_cloud = cloud and _may_remove_cloud(settings, yes, dry_run)
    _remove_caches(dry_run)
    _remove_leftovers(settings, dry_run)
    for run in chosen:
        _remove_run(settings, run, dry_run)
    if removes_cloud:
        _remove_cloud(settings, dry_run)


def _chosen_runs(settings: Settings, exp_id: str, yes: bool, dry_run: bool) -> list[LocalRun]:
    """Show the runs to delete, and ask; runs in use are kept."""
    found = known_runs(settings, exp_id)
    busy = [run for run in found if is_held(run)]
    runs = [run for run in found if run not in busy]
    for run in busy:
        print(f"{run.exp_id}  {run.run_id}  is in use by another task, and is kept")
    if not found:
        print("no local runs")
    for run in runs:
        contents = f"{counted(len(run.results()), 'result')}, {counted(len(run.outputs()), 'output')}"
        print(f"{run.exp_id}  {run.run_id}  {contents}")
    if runs and not dry_run and not yes:
        _confirm(counted(len(runs), "run"))
    return runs


def _may_remove_cloud(settings: Settings, yes: bool, dry_run: bool) -> bool:
    """Show the data of the emulated cloud, and ask; that of a running one is kept."""
    folder = state_folder(settings)
    if not folder.is_dir():
        print("no emulated cloud")
        return False
    if is_taken(lock_file(settings)):
        print(f"{nearest(folder)}  is in use by `invoke localcloud`, and is kept")
        return False
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{nearest(folder)}  the buckets of the emulated cloud, {size / 1e6:,.1f} MB")
    if not dry_run and not yes:
        _confirm("the emulated cloud")
    return True


def _confirm(what: str) -> None:
    if not confirmed(f"delete {what} for good? [y/N] ", "y", "yes"):
        raise UserError("nothing deleted", exit_code=1)


def _remove_caches(dry_run: bool) -> None:
    """Delete the caches of Python and its tools in the repository.

    Another process may delete or fill them at the same time; what is left does no harm.
    """
    for parent, folders, _ in os.walk(ROOT):
        for name in sorted(CACHES.intersection(folders)):
            if not dry_run:
                shutil.rmtree(Path(parent, name), ignore_errors=True)
            if dry_run or not Path(parent, name).exists():
                _print_removed(Path(parent, name), dry_run)
        folders[:] = [name for name in folders if name not in CACHES | NOT_OURS]


def _remove_leftovers(settings: Settings, dry_run: bool) -> None:
    """Delete half-written files of killed writers; a recent file may still be in use."""
    old = time.time() - LEFTOVER_SECONDS
    for parent, _, files in os.walk(settings.local_data_path / "bucket"):
        for path in (Path(parent, name) for name in files if name.startswith(".partial-")):
            try:
                if path.stat().st_mtime >= old:
                    continue
                if not dry_run:
                    path.unlink()
            except FileNotFoundError:  # its writer has just finished
                continue
            except OSError as error:
                raise _cannot_be_removed(path, error) from None
            _print_removed(path, dry_run)


def _remove_run(settings: Settings, run: LocalRun, dry_run: bool) -> None:
    """Delete a run and its logs, and the parent folders that become empty."""
    folders = [folder for folder in (run.folder, run.logs) if folder.is_dir()]
    with contextlib.nullcontext() if dry_run else held(run):
        for folder in folders:
            if not dry_run:
                _remove_folder(folder)
            _print_removed(folder, dry_run)
    if not dry_run:
        _remove_empty_folders(run.folder.parent, settings.local_data_path / "bucket")
        _remove_empty_folders(run.logs.parent, settings.local_data_path / "logs")


def _remove_cloud(settings: Settings, dry_run: bool) -> None:
    """Delete the data of the emulated cloud, with its lock held, so that no emulator starts meanwhile."""
    folder = state_folder(settings)
    if not dry_run:
        try:
            lock = open(lock_file(settings), "a")  # noqa: SIM115  errors below are not errors of the lock
        except OSError as error:
            raise _cannot_be_removed(folder, error) from None
        with lock:
            if not take(lock):
                raise UserError(f"{nearest(folder)} is in use; stop `invoke localcloud`", exit_code=1)
            _remove_folder(folder)
    _print_removed(folder, dry_run)


def _remove_folder(folder: Path) -> None:
    try:
        shutil.rmtree(folder, onerror=_unless_gone)
    except OSError as error:
        raise _cannot_be_removed(folder, error) from None


def _cannot_be_removed(path: Path, error: OSError) -> UserError:
    return UserError(f"{nearest(path)}: cannot be removed ({error.strerror})", exit_code=1)


def _unless_gone(function, path, caught) -> None:
    if not isinstance(caught[1], FileNotFoundError):  # another `clean` may run
        raise caught[1]


def _remove_empty_folders(folder: Path, top: Path) -> None:
    """Delete a folder and those above it while they are empty, but never `top`."""
    while folder != top:
        try:
            folder.rmdir()
        except OSError:  # not empty
            return
        folder = folder.parent


def _print_removed(path: Path, dry_run: bool) -> None:
    print(f"{'would remove' if dry_run else 'removed'} {nearest(path)}")
