"""Locks on files: one task a run, and one process a folder. A lock ends with its process."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ops.failures import UserError
from ops.laptop.run_files import LocalRun
from ops.terminal import nearest

NAME = "lock"


def held(run: LocalRun) -> contextlib.AbstractContextManager[None]:
    """Lock a run while a task uses it; raises as held_file()."""
    taken = f"run {run.run_id} of {run.exp_id} is in use by another task; wait until it has ended"
    return held_file(run.logs / NAME, taken)


@contextlib.contextmanager
def held_file(path: Path, taken: str) -> Iterator[None]:
    """Hold the lock of a file; the file, and its folder if empty, are removed afterwards.

    Raises
    ------
    UserError
        Another process holds the lock (the message is `taken`), or the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a")  # noqa: SIM115  errors below are not errors of the lock
    except OSError as error:
        raise UserError(f"{nearest(path)}: cannot be written ({error.strerror})") from None
    with file:
        if not take(file):
            raise UserError(taken)
        try:
            yield
        finally:  # remove before unlocking: a waiting process would lock a file without a name
            with contextlib.suppress(OSError):
                # otherwise the folder was deleted, and the name may belong to another process
                if _has_name(file):
                    path.unlink()
                path.parent.rmdir()


def is_held(run: LocalRun) -> bool:
    """Return whether a task uses a run."""
    return is_taken(run.logs / NAME)


def is_taken(path: Path) -> bool:
    """Return whether a process holds the lock of a file; no file is created."""
    try:
        with open(path) as file:
            return not take(file)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UserError(f"{nearest(path)}: cannot be read ({error.strerror})") from None


def take(file: IO) -> bool:
    """Lock a file; return whether that succeeded and the file was not removed meanwhile."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UserError(f"{nearest(Path(file.name))}: cannot be locked ({error.strerror})") from None
    return _has_name(file)


def _has_name(file: IO) -> bool:
    """Return whether an open file still has a name."""
    return os.fstat(file.fileno()).st_nlink > 0
