"""Temporary folders and files of a stage, and the removal of those that killed stages left behind.

A process locks each one it uses; the kernel releases the lock when the process ends, however it ends.
The next stage removes those that are ours and not locked.
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

MARK = ".epymodelingsuite-stage"  # a file in each of our folders, since a name in /tmp proves nothing


@contextlib.contextmanager
def temporary_folder(kind: str, parent: Path | None = None) -> Iterator[Path]:
    """Yield a new folder whose name starts with `kind`; it is removed at the end."""
    with contextlib.ExitStack() as stack:
        with _uninterrupted():  # otherwise a folder without a mark could be left
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{kind}-", dir=_place(parent)))
            stack.enter_context(_lock(Path(name)))
            Path(name, MARK).touch()  # last: a folder with a mark but no lock would be removed
        yield Path(name)


def _place(parent: Path | None) -> str:
    """Return the parent of temporary folders; UserError where none is writable."""
    try:
        return str(parent or tempfile.gettempdir())
    except FileNotFoundError:
        raise UserError(
            "no folder for temporary files is writable (TMPDIR, /tmp, /var/tmp); free space there, or set "
            "TMPDIR to a writable folder"
        ) from None


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def remove_left_folders(parent: Path | None = None) -> None:
    """Remove folders that killed stages of this user left in `parent`."""
    with contextlib.suppress(OSError), os.scandir(parent or tempfile.gettempdir()) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                is_ours = entry.is_dir(follow_symlinks=False) and entry.stat().st_uid == os.getuid()
                if is_ours and Path(entry.path, MARK).is_file():
                    remove_if_left(Path(entry.path), shutil.rmtree)


def remove_if_left(path: Path, remove: Callable[[Path], None]) -> None:
    """Remove one of our files or folders unless a process has locked it; it is locked while being removed."""
    try:
        place = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for a writer
    except OSError:
        return  # removed in the meantime
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(path)
        log.info("removed %s, left by a killed stage", path)
    except OSError:
        return  # in use, or removed by another process
    finally:
        os.close(place)


def open_locked(name: Callable[[], Path]) -> tuple[BinaryIO, Path]:
    """Return a new, locked file and its path.

    Another stage may remove the file before it is locked; then the next name is used.
    """
    while True:
        path = name()
        file = open(path, "xb")  # noqa: SIM115 - the caller closes it
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
        with contextlib.suppress(OSError):  # on a file system without locks nothing is removed
            fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)
