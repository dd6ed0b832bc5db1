"""The run's files: objects of a Cloud Storage bucket, or files below a folder.

A write becomes visible as a whole or not at all, and can be repeated. artifacts.py chooses the backend by
EXECUTION_MODE; the bucket is in bucket.py. Neither knows what the files mean.
"""

import errno
import logging
import os
import secrets
import shutil
import stat
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from modeling.failures import UserError
from pipeline.failures import disk_failure
from pipeline.temporary import open_locked, remove_if_left

log = logging.getLogger(__name__)

THREADS = 16
READ_AHEAD_BYTES = 64 << 20  # so that large results need hardly more memory than small ones
MOST_FILE_BYTES = 5 << 30  # the largest result of another suite has 4 GiB
COPIED_BYTES = 1 << 20  # at once
_PARTIAL = ".partial-"


class AccessDenied(UserError):
    """The account may not do this, or not yet: it is unknown whether a role is missing or was just given."""


class MissingFile(UserError):
    """There is no such file."""


class UnusableFile(MissingFile):
    """The name is taken by something that cannot be a run's file: a folder, pipe, device, or a huge file."""


class Storage(ABC):
    """Files by name; a name has / between its parts and never starts with it."""

    def __init__(self, verbose: bool = False):
        self.level = logging.INFO if verbose else logging.DEBUG

    @abstractmethod
    def save_bytes(self, name: str, data: bytes, *, overwrite: bool = True) -> bool:
        """Write a file whole or not at all.

        Returns
        -------
        bool
            False where `overwrite` is off and the file exists with other content, which is kept.
        """

    @abstractmethod
    def save_file(self, name: str, path: Path, *, overwrite: bool = True) -> bool:
        """Write a file from disk, without holding it in memory; as save_bytes does."""

    @abstractmethod
    def load_bytes(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Read a file, or a range of it.

        Raises
        ------
        MissingFile
        """

    @abstractmethod
    def delete_file(self, name: str) -> None:
        """Remove a file, if it exists."""

    @abstractmethod
    def list_files(self, prefix: str) -> Iterator[str]:
        """Yield the names that start with a prefix, sorted."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Tell whether a file exists."""

    @abstractmethod
    def get_path(self, name: str = "") -> str:
        """Return where a file is, for people: gs://bucket/name or a path."""

    def remove_left_files(self, prefix: str) -> None:
        """Remove partial files of killed writers below a prefix; a bucket never has any."""
        return

    def save_many(self, files: Iterable[tuple[str, bytes]]) -> int:
        """Write many files in parallel and return their number; at most THREADS are in memory."""
        saved = 0
        for _ in self._each(lambda file: self.save_bytes(*file), files, lambda: THREADS):
            saved += 1
        return saved

    def load_many(self, names: Iterable[str]) -> Iterator[tuple[str, bytes | MissingFile]]:
        """Yield files in the given order; some are read ahead, fewer where files are large."""
        taken, largest = 0, 1

        def load(name: str) -> tuple[str, bytes | MissingFile]:
            try:
                return name, self.load_bytes(name)
            except MissingFile as missing:
                return name, missing

        def at_once() -> int:
            return min(THREADS, taken + 1, max(1, READ_AHEAD_BYTES // largest))

        for name, data in self._each(load, names, at_once):
            taken += 1
            largest = max(largest, 0 if isinstance(data, MissingFile) else len(data))
            yield name, data

    def _each(self, function, items: Iterable, at_once: Callable[[], int]) -> Iterator:
        """Yield function(item) in order; some calls are started ahead."""
        return _in_parallel(function, items, at_once)


def check_name(name: str) -> None:
    """Refuse a name that a folder would resolve to another name, or outside itself."""
    if {"", ".", ".."} & set(name.split("/")):
        raise UserError(
            f'"{name}" is not a valid name in the storage: a part is empty, . or ..; '
            "check DIR_PREFIX, IN_PREFIX and OUT_PREFIX"
        )


def check_prefix(prefix: str) -> None:
    folder, slash, _ = prefix.rpartition("/")
    if slash:
        check_name(folder)


def _in_parallel(function, items: Iterable, at_once: Callable[[], int]) -> Iterator:
    """Yield function(item) in order; at most at_once() calls are started and not yet yielded."""
    items = iter(items)
    with ThreadPoolExecutor(THREADS) as pool:
        waiting: deque[Future] = deque()
        try:
            while True:
                more = islice(items, max(0, at_once() - len(waiting)))
                waiting += [pool.submit(function, item) for item in more]
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting, as a pipe would for its writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def _check_file(file: BinaryIO, path: str) -> None:
    """Refuse an open pipe, device or folder, and a file too large for memory."""
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        raise UnusableFile(f"{path}: not a file; move it away")
    if found.st_size > MOST_FILE_BYTES:
        raise UnusableFile(f"{path}: {found.st_size:,} bytes, more than any file of a run has; move it away")


def _unless_missing(error: OSError) -> None:
    """Ignore a folder that does not exist, or was removed meanwhile; raise any other error."""
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise disk_failure(error, "read") or error


class FolderStorage(Storage):
    """Files below a folder."""

    def __init__(self, folder: Path, verbose: bool = False):
        super().__init__(verbose)
        self.folder = folder.absolute()

    def save_bytes(self, name: str, data: bytes, *, overwrite: bool = True) -> bool:
        def write(partial: BinaryIO) -> None:
            partial.write(data)

        return self._publish(name, write, overwrite)

    def save_file(self, name: str, path: Path, *, overwrite: bool = True) -> bool:
        def write(partial: BinaryIO) -> None:
            with open(path, "rb") as file:
                shutil.copyfileobj(file, partial, COPIED_BYTES)

        return self._publish(name, write, overwrite)

    def load_bytes(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        path = self.get_path(name)
        try:
            with open(self._file(name), "rb", opener=_open_at_once) as file:
                _check_file(file, path)
                file.seek(start)
                return file.read() if length is None else file.read(length)
        except (FileNotFoundError, NotADirectoryError):
            raise MissingFile(f"{path}: no such file") from None
        except OSError as error:
            if error.errno in (errno.EISDIR, errno.ELOOP, errno.ENXIO):  # folder, loop of links, socket
                raise UnusableFile(f"{path}: not a file; move it away") from None
            raise (disk_failure(error, "read") or error) from None

    def remove_left_files(self, prefix: str) -> None:
        check_prefix(prefix)
        top = self.folder / prefix.rpartition("/")[0]
        for folder, _, files in os.walk(top, onerror=_unless_missing):
            for name in files:
                if name.startswith(_PARTIAL):
                    remove_if_left(Path(folder, name), Path.unlink)

    def delete_file(self, name: str) -> None:
        target = self._file(name)
        try:
            target.unlink(missing_ok=True)
        except NotADirectoryError:
            return  # its folder is a file, so it does not exist
        except OSError as error:
            raise (disk_failure(error, "written") or error) from None
        log.log(self.level, "removed %s", target)

    def list_files(self, prefix: str) -> Iterator[str]:
        check_prefix(prefix)
        # only the folder of the prefix is walked, so the cost grows with the files returned
        top = self.folder / prefix.rpartition("/")[0]
        names = []
        for folder, _, files in os.walk(top, onerror=_unless_missing):
            relative = Path(folder).relative_to(self.folder).as_posix()
            names += [f"{relative}/{f}".removeprefix("./") for f in files if not f.startswith(_PARTIAL)]
        yield from sorted(name for name in names if name.startswith(prefix))

    def exists(self, name: str) -> bool:
        return self._file(name).is_file()

    def get_path(self, name: str = "") -> str:
        check_prefix(name)
        return str(self.folder / name)

    def _each(self, function, items: Iterable, at_once: Callable[[], int]) -> Iterator:
        return map(function, items)  # a disk answers faster than a thread starts

    def _file(self, name: str) -> Path:
        check_name(name)
        return self.folder / name

    def _publish(self, name: str, write, overwrite: bool) -> bool:
        """Write beside the target under a name that no listing shows, then rename."""
        target = self._file(name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            file, partial = open_locked(
                lambda: target.with_name(f"{_PARTIAL}{os.getpid()}-{secrets.token_hex(4)}")
            )
            try:
                with file:  # locked until it is in place
                    write(file)
                    file.flush()
                    if overwrite:
                        partial.replace(target)
                        published = True
                    else:
                        published = self._link(partial, target)
            finally:
                partial.unlink(missing_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UserError(f"{error.filename}: a file is where a folder is needed; move it away") from None
        except IsADirectoryError:
            raise UserError(f"{target}: a folder is where a file is needed; move it away") from None
        except OSError as error:
            named = {Path(str(name)).name for name in (error.filename, error.filename2) if name}
            if not named or any(name.startswith(_PARTIAL) for name in named):
                error.filename = str(target)  # the reader has never seen the partial file
            raise (disk_failure(error, "written") or error) from None
        if published:
            log.log(self.level, "wrote %s", target)
        return published

    @staticmethod
    def _link(partial: Path, target: Path) -> bool:
        """Put the file in place unless one exists; a link, unlike a rename, never replaces a file."""
        try:
            os.link(partial, target)
        except FileExistsError:
            return partial.read_bytes() == target.read_bytes()  # our own earlier attempt, as in a bucket
        return True
