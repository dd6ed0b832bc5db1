"""Temporary folders and files of a stage, and removal of those that killed stages left behind.

A process holds a lock on each that it uses; the kernel releases it when the process ends, in any way.
The next stage removes what is ours and not locked.
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

MARK = ".epymodelingsuite-stage"  # a file in each folder of ours: in /tmp a name alone proves nothing


@contextlib.contextmanager
def temporary_folder(kind: str, parent: Path | None = None) -> Iterator[Path]:
    """Yield a folder of our own, removed at the end; `kind` is what its name begins with."""
    with contextlib.ExitStack() as stack:
        with _uninterrupted():  # else a folder without a mark could be left
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{kind}-", dir=_place(parent)))
            stack.enter_context(_lock(Path(name)))
            Path(name, MARK).touch()  # only now: a folder with a mark, but no lock, would be removed
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
    """Delay Ctrl-C and SIGTERM."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def remove_left_folders(parent: Path | None = None) -> None:
    """Remove folders in `parent` that killed stages of this user left."""
    with contextlib.suppress(OSError), os.scandir(parent or tempfile.gettempdir()) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                is_ours = entry.is_dir(follow_symlinks=False) and entry.stat().st_uid == os.getuid()
                if is_ours and Path(entry.path, MARK).is_file():
                    remove_if_left(Path(entry.path), shutil.rmtree)


def remove_if_left(path: Path, remove: Callable[[Path], None]) -> None:
    """Remove a file or folder of ours if no process has a lock on it; keep a lock until it is removed."""
    try:
        place = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # it may be a pipe, which would wait for a writer
    except OSError:
        return  # removed in the meantime
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(path)
        log.info("removed %s, which a stage that was killed had left", path)
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
        with contextlib.suppress(OSError):  # on a file system without locks nothing is removed
            fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)
