"""One worker a run, and one a folder: a lock on a file, which ends with its process however that ends."""

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
    """Keep every other task from a run; raises as held_file()."""
    taken = f"run {run.run_id} of {run.exp_id} is being worked on; wait until that has ended"
    return held_file(run.logs / NAME, taken)


@contextlib.contextmanager
def held_file(path: Path, taken: str) -> Iterator[None]:
    """Hold the lock of a file; it, and a folder of it that stayed empty, are removed after.

    Raises
    ------
    UserError
        Another process holds it, which `taken` tells; or it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a")  # noqa: SIM115  what goes wrong below is not told of the lock
    except OSError as error:
        raise UserError(f"{nearest(path)}: cannot be written ({error.strerror})") from None
    with file:
        if not take(file):
            raise UserError(taken)
        try:
            yield
        finally:  # first the name goes, then the lock: who waits would hold a file that nobody finds
            with contextlib.suppress(OSError):
                if _is_there(file):  # else the folder was deleted, and the name may be another's by now
                    path.unlink()
                path.parent.rmdir()


def is_held(run: LocalRun) -> bool:
    """Tell whether a task works on a run."""
    return is_taken(run.logs / NAME)


def is_taken(path: Path) -> bool:
    """Tell whether a process has the lock of a file; nothing is made to find out."""
    try:
        with open(path) as file:
            return not take(file)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UserError(f"{nearest(path)}: cannot be read ({error.strerror})") from None


def take(file: IO) -> bool:
    """Take the lock of a file, unless another has it, or removed the file while we opened it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UserError(f"{nearest(Path(file.name))}: cannot be locked ({error.strerror})") from None
    return _is_there(file)


def _is_there(file: IO) -> bool:
    """Tell whether an open file still has a name."""
    return os.fstat(file.fileno()).st_nlink > 0
