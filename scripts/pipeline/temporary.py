"""Temporary folders and files of a stage, and those that a killed one left behind.

Whoever works in one holds a lock on it, which the kernel takes back when the process ends, however it does.
So what is ours and not locked is left over, and the next stage removes it; what others use stays.
"""

import contextlib
import fcntl
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from modeling.failures import UserError

log = logging.getLogger("pipeline")

MARK = ".epymodelingsuite-stage"  # in a folder that is ours: names in /tmp are anybody's


@contextlib.contextmanager
def temporary_folder(kind: str, parent: Path | None = None) -> Iterator[Path]:
    """Yield a folder of our own, removed at the end; `kind` is what its name begins with."""
    with contextlib.ExitStack() as stack:
        with _uninterrupted():  # or a folder might be there that nobody knows of
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{kind}-", dir=_place(parent)))
            stack.enter_context(_lock(Path(name)))
            Path(name, MARK).touch()  # only now: a folder with a mark and no lock is left over
        yield Path(name)


def _place(parent: Path | None) -> str:
    """Return where a temporary folder is made; refuse where the system offers no place for one."""
    try:
        return str(parent or tempfile.gettempdir())
    except FileNotFoundError:
        raise UserError(
            "no folder for temporary files can be written (TMPDIR, /tmp, /var/tmp); free space there, or set "
            "TMPDIR to one that can"
        ) from None


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def remove_left_folders(parent: Path | None = None) -> None:
    """Remove folders that a stage of this user, which is no more, has left in a folder."""
    with contextlib.suppress(OSError), os.scandir(parent or tempfile.gettempdir()) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                is_ours = entry.is_dir(follow_symlinks=False) and entry.stat().st_uid == os.getuid()
                if is_ours and Path(entry.path, MARK).is_file():
                    remove_if_left(Path(entry.path), shutil.rmtree)


def remove_if_left(path: Path, remove: Callable[[Path], None]) -> None:
    """Remove a file or folder of ours where nobody works in it; the lock is held until it is gone."""
    try:
        place = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # it may be a pipe, which would wait for a writer
    except OSError:
        return  # gone meanwhile
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(path)
        log.info("removed %s, which a stage that was killed had left", path)
    except OSError:
        return  # somebody works in it, or was faster
    finally:
        os.close(place)


def open_locked(name: Callable[[], Path]) -> tuple[BinaryIO, Path]:
    """Return a new file under one of the names, locked, and its path.

    Whoever tidies up may meet it before it is locked, and remove it: then the next name is taken.
    """
    while True:
        path = name()
        file = open(path, "xb")  # noqa: SIM115 - the caller's
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file, path
        file.close()


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    place = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: then nothing is taken for left
            fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)
