"""The forecasting repository as a run used it: an archive in its bucket, equal bytes for equal files.

Stage A packs it in the cloud. Later stages unpack it where they need it: for an experiment's custom code with
another suite, or for another output YAML.
"""

import gzip
import hashlib
import io
import os
import sys
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from modeling.failures import UserError
from modeling.plain_text import one_line
from modeling.run_names import ARCHIVE, BUILT_IN
from pipeline.artifacts import RunFiles
from pipeline.environment import StageContext
from pipeline.failures import disk_failure
from pipeline.manifest import Manifest
from pipeline.storage import COPIED_BYTES, MissingFile
from pipeline.temporary import temporary_folder

_NOT_PACKED = {
    ".git",
    "__pycache__",
    ".venv",
    ".ipynb_checkpoints",
}  # history, and files that are created again
_ENV = ".env"  # may hold secrets
HEADER_BYTES = 8192  # of an entry of a tar, with a long name


@dataclass(frozen=True)
class Limits:
    """The most that an archive may hold; one with more is something else, or made to fill a disk."""

    subject: str  # for the message
    entries: int
    bytes: int

    @property
    def tar_bytes(self) -> int:
        return self.bytes + self.entries * HEADER_BYTES


REPOSITORY = Limits("a forecasting repository", 200_000, 8 << 30)


def save_forecast(folder: Path, files: RunFiles) -> str:
    """Pack a repository into the run's bucket and return the archive's sha256."""
    with temporary_folder("forecast") as work:
        archive = Path(work, "forecast.tar.gz")
        pack(folder, archive)
        with open(archive, "rb") as packed:
            digest = hashlib.file_digest(packed, "sha256").hexdigest()
        files.storage.save_file(files.out_prefix + ARCHIVE, archive)
    return digest


def pack(folder: Path, archive: Path) -> None:
    """Write a folder as a gzipped tar, without times and owners.

    Raises
    ------
    UserError
        It is no folder or is too large, a link leads out of it, or an entry is no file, folder or link.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    size = _Size(str(folder), REPOSITORY)
    with (
        open(archive, "wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in _contents(folder):
            size.add(path.lstat().st_size if path.is_file() else 0)
            tar.add(path, path.relative_to(folder).as_posix(), recursive=False, filter=_anonymous)


class _Size:
    """Size of a repository or its archive so far; UserError where it is too large."""

    def __init__(self, name: str, limits: Limits):
        self.name, self.limits, self.entries, self.bytes = name, limits, 0, 0

    def add(self, size_bytes: int) -> None:
        self.entries, self.bytes = self.entries + 1, self.bytes + size_bytes
        if self.entries > self.limits.entries or self.bytes > self.limits.bytes:
            most = self.limits.bytes
            size = f"{most >> 30} GiB" if most >> 30 else f"{most >> 20} MiB"
            raise UserError(
                f"{self.name}: {self.limits.subject} has at most {self.limits.entries:,} files and {size}, "
                "and this one has more; keep large data out of it"
            )


def _contents(folder: Path) -> Iterator[Path]:
    """Yield files, folders and links below a folder, sorted."""
    for parent, folders, names in os.walk(folder):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        folders[:] = sorted(name for name in folders if name not in _NOT_PACKED and name not in links)
        for name in sorted([*folders, *links, *names]):
            path = Path(parent, name)
            if name in _NOT_PACKED or name == _ENV or name.startswith(f"{_ENV}."):
                continue  # in a submodule .git is a file
            if path.is_symlink():
                _check_link(path, folder)
            if not (path.is_symlink() or path.is_file() or path.is_dir()):
                raise UserError(f"{path}: neither a file nor a folder; remove it")
            yield path


def _check_link(link: Path, folder: Path) -> None:
    """Refuse a link that would be broken where the archive is unpacked."""
    try:
        leads_inside = link.resolve(strict=False).is_relative_to(folder.resolve())
    except (RuntimeError, OSError):  # a loop
        leads_inside = False
    if not leads_inside or os.path.isabs(os.readlink(link)):
        raise UserError(f"{link}: a link that leads out of the repository; replace it with the file")


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


def unpack_forecast(files: RunFiles, folder: Path, sha256: str = "") -> None:
    """Unpack the repository of a run into an empty folder; its digest is checked first.

    Raises
    ------
    UserError
        The archive is missing, does not match the manifest, or is not one that pack() writes.
    """
    name = files.in_prefix + ARCHIVE
    data = files.storage.load_bytes(name)
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        path = files.storage.get_path(name)
        raise UserError(f"{path} does not match the manifest; build the run again under a new RUN_ID")
    unpack_archive(data, folder, files.storage.get_path(name), REPOSITORY)


def unpack_archive(data: bytes, folder: Path, name: str, limits: Limits) -> None:
    """Unpack a gzipped tar into an empty folder.

    Parameters
    ----------
    name : str
        What the archive is called in messages.

    Raises
    ------
    UserError
        It is damaged, leads out of the folder, or holds more than the limits, or what pack() does not write.
    """
    try:
        _unpack(data, folder, _Size(name, limits))
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, RecursionError) as error:
        reason = disk_failure(error) or one_line(error, 200)
        raise UserError(f"{name}: cannot be unpacked ({reason})") from None


def _unpack(data: bytes, folder: Path, size: _Size) -> None:
    """Write files and folders, then links, so that nothing is written through a link.

    The filter of tarfile that does part of this is missing in early versions of Python 3.11.
    """
    entries, links = {}, {}
    with (
        gzip.GzipFile(fileobj=io.BytesIO(data)) as zipped,
        tarfile.open("", "r:", bounded := _Bounded(zipped, size.limits.tar_bytes)) as tar,
    ):
        for entry in tar:
            _check_entry(entry)
            size.add(entry.size)
            kind, name = links if entry.issym() else entries, os.path.normpath(entry.name)
            if name in kind and not entry.isdir():
                raise tarfile.ExtractError(f"{name} is in the archive twice")
            kind[name] = _anonymous(entry)
        bounded.read_to_end()
        for name in (*entries, *links):
            above = {str(parent) for parent in PurePath(name).parents}
            if above & links.keys() or (name in links and name in entries):
                raise tarfile.ExtractError(f"{name} is behind a link")
        for entry in (*entries.values(), *links.values()):
            tar.extract(entry, folder)
    for name in links:
        try:
            _check_link(folder / name, folder)
        except UserError:
            raise tarfile.ExtractError(f"{name} leads out of the archive") from None


def _check_entry(entry: tarfile.TarInfo) -> None:
    """Refuse an entry that pack() does not write."""
    is_outside = os.path.normpath(entry.name).startswith(("/", ".."))
    is_known = entry.isdir() or entry.issym() or (entry.isfile() and not entry.issparse())
    if is_outside or not is_known or entry.size < 0:
        raise tarfile.ExtractError(f"{entry.name} leads out of the archive, or is not a file")


class _Bounded:
    """The tar in an archive, up to the largest size allowed: a few MB may unpack to terabytes."""

    def __init__(self, zipped: gzip.GzipFile, most_bytes: int):
        self._zipped, self._most_bytes, self._last = zipped, most_bytes, b""
        self.tell = zipped.tell

    def read(self, size: int) -> bytes:
        self._check(self.tell() + size)
        self._last = self._zipped.read(size)
        return self._last

    def seek(self, place: int) -> int:
        self._check(place)
        return self._zipped.seek(place)

    def read_to_end(self) -> None:
        """Read to the end, where gzip compares its checksum; from the end mark on there are only zeros.

        Without this tarfile would leave out what follows a damaged entry, or a second archive.
        """
        if not self._last:
            raise tarfile.ReadError("it has no end mark, so it is cut off")
        while self._last:
            if self._last.strip(b"\0"):
                raise tarfile.ReadError("an entry is damaged, or something follows the end of the archive")
            self._last = self._zipped.read(COPIED_BYTES)
            self._check(self.tell())

    def _check(self, place: int) -> None:
        if place > self._most_bytes:
            raise tarfile.ReadError(f"it unpacks to more than {self._most_bytes:,} bytes")


@contextmanager
def uploaded_repository(context: StageContext, files: RunFiles) -> Iterator[StageContext]:
    """Yield the context, with the repository uploaded to the bucket where there is no local one."""
    if context.mode != "cloud" or context.forecast_repo_dir.is_dir():
        yield context
        return
    with _unpacked(files) as folder:
        yield context if folder is None else replace(context, forecast_repo_dir=folder)


@contextmanager
def custom_code(context: StageContext, files: RunFiles, manifest: Manifest) -> Iterator[None]:
    """Put the run's repository on the import path, where another suite built the workloads."""
    if not manifest.forecast_sha256 or manifest.suite == BUILT_IN or context.forecast_repo_dir.is_dir():
        yield  # not needed, or already on the path because of run_runner.sh
        return
    with _unpacked(files, manifest.forecast_sha256) as folder:
        sys.path.insert(0, str(folder))
        try:
            yield
        finally:
            sys.path.remove(str(folder))


@contextmanager
def chosen_output_file(context: StageContext, files: RunFiles, manifest: Manifest) -> Iterator[StageContext]:
    """Yield the context, with the run's repository where it contains another output YAML to use."""
    asked = context.output_config_file not in ("", manifest.output_config_file)
    is_here = context.forecast_repo_dir.is_dir() or os.path.isabs(context.output_config_file)
    if not asked or not manifest.forecast_sha256 or is_here:
        yield context
        return
    with _unpacked(files, manifest.forecast_sha256) as folder:
        yield replace(context, forecast_repo_dir=folder)


@contextmanager
def _unpacked(files: RunFiles, sha256: str = "") -> Iterator[Path | None]:
    """Yield a temporary folder with the run's repository; None where there is none and no digest is given."""
    with temporary_folder("forecast") as work:
        folder = Path(work, "forecast")
        folder.mkdir()
        try:
            unpack_forecast(files, folder, sha256)
        except MissingFile:
            if sha256:
                raise
            folder = None
        yield folder
