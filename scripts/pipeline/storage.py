"""The run's files: objects of a Cloud Storage bucket, or files below a folder.

A write becomes visible whole or not at all, and can be repeated. Which of the two backends is
used follows from EXECUTION_MODE alone. Nothing here knows what the files mean.
"""

import logging
import os
import random
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from modeling.failures import TemporaryFault, UserError
from pipeline.environment import StageContext
from pipeline.failures import disk_failure

log = logging.getLogger(__name__)

THREADS = 16
RETRY_SECONDS = 300  # hours of simulation are worth five minutes of patience at the end
REQUEST_SECONDS = 60
UPLOAD_SESSIONS = 3  # begun anew where the service loses them
_PARTIAL = ".partial-"
_LOGIN = "run `gcloud auth application-default login`"


class MissingFile(UserError):
    """There is no such file."""


def open_storage(context: StageContext) -> "Storage":
    """Return the bucket in the cloud, the folder on a laptop."""
    if context.mode == "cloud":
        return BucketStorage(context.bucket, verbose=context.storage_verbose)
    return FolderStorage(context.bucket_folder, verbose=context.storage_verbose)


class Storage(ABC):
    """Files by name; names use / and never start with it."""

    def __init__(self, verbose: bool = False):
        self.level = logging.INFO if verbose else logging.DEBUG

    @abstractmethod
    def save_bytes(self, name: str, data: bytes, *, overwrite: bool = True) -> bool:
        """Write a file whole or not at all.

        Returns
        -------
        bool
            False where `overwrite` is off and other content is there already; it is kept.
        """

    @abstractmethod
    def save_file(self, name: str, path: Path) -> None:
        """Write a file from disk, without holding it in memory."""

    @abstractmethod
    def load_bytes(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Read a file, or a range of it.

        Raises
        ------
        MissingFile
        """

    @abstractmethod
    def list_files(self, prefix: str) -> Iterator[str]:
        """Yield the names that start with a prefix, sorted."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Tell whether there is such a file."""

    @abstractmethod
    def get_path(self, name: str = "") -> str:
        """Return where a file is, for people: gs://bucket/name or a path."""

    def save_many(self, files: Iterable[tuple[str, bytes]]) -> int:
        """Write many files at once and return how many; only THREADS of them are in memory."""
        saved = 0
        for _ in _in_parallel(lambda file: self.save_bytes(*file), files):
            saved += 1
        return saved

    def load_many(self, names: Iterable[str]) -> Iterator[tuple[str, bytes | MissingFile]]:
        """Yield the files in the order of their names, a few of them read ahead."""

        def load(name: str) -> tuple[str, bytes | MissingFile]:
            try:
                return name, self.load_bytes(name)
            except MissingFile as missing:
                return name, missing

        yield from _in_parallel(load, names)


def _check_name(name: str) -> None:
    """Refuse a name that a folder would read as another one, or look for outside itself."""
    if {"", ".", ".."} & set(name.split("/")):
        raise UserError(
            f'"{name}" is no name inside the storage: a part is empty, . or ..; '
            "check DIR_PREFIX, IN_PREFIX and OUT_PREFIX"
        )


def _check_prefix(prefix: str) -> None:
    folder, slash, _ = prefix.rpartition("/")
    if slash:
        _check_name(folder)


def _in_parallel(function, items: Iterable) -> Iterator:
    """Yield function(item) in order, with at most THREADS calls begun and not yet taken."""
    items = iter(items)
    with ThreadPoolExecutor(THREADS) as pool:
        waiting: list[Future] = [pool.submit(function, item) for item in islice(items, THREADS)]
        try:
            while waiting:
                yield waiting.pop(0).result()
                waiting += [pool.submit(function, item) for item in islice(items, 1)]
        finally:
            for future in waiting:
                future.cancel()


class FolderStorage(Storage):
    """Files below a folder."""

    def __init__(self, folder: Path, verbose: bool = False):
        super().__init__(verbose)
        self.folder = folder.absolute()

    def save_bytes(self, name: str, data: bytes, *, overwrite: bool = True) -> bool:
        def write(partial: Path) -> None:
            partial.write_bytes(data)

        return self._publish(name, write, overwrite)

    def save_file(self, name: str, path: Path) -> None:
        import shutil

        self._publish(name, lambda partial: shutil.copyfile(path, partial), overwrite=True)

    def load_bytes(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        try:
            with open(self._file(name), "rb") as file:
                file.seek(start)
                return file.read() if length is None else file.read(length)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise MissingFile(f"{self.get_path(name)}: no such file") from None

    def list_files(self, prefix: str) -> Iterator[str]:
        _check_prefix(prefix)
        # only the folder the prefix names is walked, so a listing costs what it returns
        top = self.folder / prefix.rpartition("/")[0]
        names = []
        for folder, _, files in os.walk(top):
            relative = Path(folder).relative_to(self.folder).as_posix()
            names += [f"{relative}/{f}".removeprefix("./") for f in files if not f.startswith(_PARTIAL)]
        yield from sorted(name for name in names if name.startswith(prefix))

    def exists(self, name: str) -> bool:
        return self._file(name).is_file()

    def get_path(self, name: str = "") -> str:
        _check_prefix(name)
        return str(self.folder / name)

    def _file(self, name: str) -> Path:
        _check_name(name)
        return self.folder / name

    def _publish(self, name: str, write, overwrite: bool) -> bool:
        """Write beside the target under a name no listing shows, then rename."""
        target = self._file(name)
        partial = target.with_name(f"{_PARTIAL}{os.getpid()}-{secrets.token_hex(4)}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                write(partial)
                if overwrite:
                    partial.replace(target)
                    published = True
                else:
                    published = self._link(partial, target)
            finally:
                partial.unlink(missing_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UserError(
                f"{error.filename}: a file stands where a folder is needed; move it away"
            ) from None
        except IsADirectoryError:
            raise UserError(f"{target}: a folder stands where a file is needed; move it away") from None
        except OSError as error:
            if error.filename in (None, str(partial)) or error.filename2 == str(partial):
                error.filename = str(target)  # the partial file is nothing the reader has ever seen
            raise (disk_failure(error) or error) from None
        if published:
            log.log(self.level, "wrote %s", target)
        return published

    @staticmethod
    def _link(partial: Path, target: Path) -> bool:
        """Put the file in place unless one is there; a link, unlike a rename, never replaces."""
        try:
            os.link(partial, target)
        except FileExistsError:
            return partial.read_bytes() == target.read_bytes()  # our own earlier try, as in a bucket
        return True


class BucketStorage(Storage):
    """Objects of a Cloud Storage bucket, through the official client."""

    def __init__(self, bucket: str, verbose: bool = False, *, retry_seconds: float | None = None):
        from google.api_core.retry import Retry
        from google.auth.exceptions import DefaultCredentialsError
        from google.cloud import storage
        from google.cloud.storage.retry import DEFAULT_RETRY
        from requests.adapters import HTTPAdapter

        super().__init__(verbose)
        self.name = bucket
        try:
            client = storage.Client(project=None)  # objects need no project, so none is looked for
        except (DefaultCredentialsError, OSError) as error:
            raise UserError(
                f"gs://{bucket}: no Google Cloud credentials ({_said(error)}); {_LOGIN}"
            ) from None
        # the default pool would serve 10 threads at most; the client starts threads of its own, too
        for scheme in ("https://", "http://"):
            client._http.mount(scheme, HTTPAdapter(pool_maxsize=2 * THREADS))
        self._bucket = client.bucket(bucket)
        # every request can be repeated: reads by nature, writes by their generation precondition
        self._retry_seconds = RETRY_SECONDS if retry_seconds is None else retry_seconds
        self._first_wait_seconds = min(1.0, self._retry_seconds / 100)
        retry: Retry = DEFAULT_RETRY.with_timeout(self._retry_seconds)
        retry = retry.with_delay(initial=self._first_wait_seconds)
        self._common = {"timeout": REQUEST_SECONDS, "retry": retry}

    def save_bytes(self, name: str, data: bytes, *, overwrite: bool = True) -> bool:
        def upload(blob, generation: int) -> None:
            blob.upload_from_string(
                data,
                content_type="application/octet-stream",
                checksum="crc32c",
                if_generation_match=generation,
                **self._common,
            )

        return self._publish(name, upload, _crc32c(data), overwrite)

    def save_file(self, name: str, path: Path) -> None:
        import google_crc32c

        checksum = google_crc32c.Checksum()
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                checksum.update(block)

        def upload(blob, generation: int) -> None:
            blob.upload_from_filename(
                str(path), checksum="crc32c", if_generation_match=generation, **self._common
            )

        self._publish(name, upload, _base64(checksum.digest()), overwrite=True)

    def load_bytes(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        from google.api_core.exceptions import RequestRangeNotSatisfiable

        whole = start == 0 and length is None
        with _Translated(self.get_path(name)):
            if length == 0:  # no range of HTTP is empty
                self._blob(name).reload(**self._common)
                return b""
            try:
                return self._blob(name).download_as_bytes(
                    start=None if whole else start,
                    end=None if length is None else start + length - 1,
                    checksum="crc32c" if whole else None,  # the service knows that of whole objects only
                    **self._common,
                )
            except RequestRangeNotSatisfiable:  # it begins at or behind the end
                return b""

    def list_files(self, prefix: str) -> Iterator[str]:
        _check_prefix(prefix)
        with _Translated(self.get_path(prefix)):
            listed = self._bucket.list_blobs(
                prefix=prefix, fields="items(name),nextPageToken", **self._common
            )
            for blob in listed:
                yield blob.name

    def exists(self, name: str) -> bool:
        try:
            with _Translated(self.get_path(name)):
                self._blob(name).reload(**self._common)  # Blob.exists would be silent about a missing bucket
        except MissingFile:
            return False
        return True

    def get_path(self, name: str = "") -> str:
        _check_prefix(name)
        return f"gs://{self.name}/{name}"

    def _blob(self, name: str):
        _check_name(name)
        return self._bucket.blob(name)

    def _publish(self, name: str, upload, crc32c: str, overwrite: bool) -> bool:
        """Upload against the generation that is there, so that no concurrent write is lost unseen."""
        from google.api_core.exceptions import GoogleAPICallError, PreconditionFailed

        generation = 0  # most names are new, so one request suffices
        deadline, sessions = time.monotonic() + self._retry_seconds, UPLOAD_SESSIONS
        with _Translated(self.get_path(name)):
            while True:
                try:
                    upload(self._blob(name), generation)
                    break
                except PreconditionFailed:
                    there = self._bucket.get_blob(name, **self._common)
                    if there is not None and there.crc32c == crc32c:
                        break  # our own earlier try, whose answer was lost, or the same content
                    if there is not None and not overwrite:
                        return False
                    generation = there.generation if there is not None else 0
                except GoogleAPICallError as error:
                    # 404 and 410: the session of a large upload was lost, and it begins again
                    if error.code not in (404, 410) or _is_about_the_bucket(error) or not sessions:
                        raise
                    sessions -= 1
                if time.monotonic() > deadline:
                    raise TemporaryFault(f"{self.get_path(name)}: no upload comes through; try again")
                time.sleep(random.uniform(0, self._first_wait_seconds))
        log.log(self.level, "wrote %s", self.get_path(name))
        return True


class _Translated:
    """Turn the client's exceptions into one line that says what to do."""

    def __init__(self, path: str):
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind, error, trace) -> bool:
        if (
            error is None
            or isinstance(error, (UserError, TemporaryFault))
            or not isinstance(error, Exception)
        ):
            return False
        translated = _storage_failure(self.path, error)
        if translated is None:
            return False
        raise translated from None


def _storage_failure(path: str, error: Exception) -> Exception | None:
    """Return what a failure of the client means for the stage, None where it is our bug."""
    from google.api_core import exceptions as api
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
    from google.cloud.storage.exceptions import DataCorruption
    from requests.exceptions import RequestException

    bucket = path.removeprefix("gs://").split("/")[0]
    said = _said(error)
    if isinstance(error, api.NotFound):
        if _is_about_the_bucket(error):
            return UserError(f"gs://{bucket}: no such bucket; check GCS_BUCKET, or create it")
        return MissingFile(f"{path}: no such object")
    if isinstance(error, (api.Forbidden, api.Unauthorized)):
        return UserError(
            f"{path}: access denied ({said}); the account needs roles/storage.objectUser on gs://{bucket}"
        )
    if isinstance(error, DefaultCredentialsError) or "invalid_grant" in said:
        return UserError(f"{path}: no valid Google Cloud credentials ({said}); {_LOGIN}")
    passing = (api.TooManyRequests, api.ServerError, api.RetryError, GoogleAuthError, DataCorruption)
    if isinstance(error, (*passing, RequestException, ConnectionError, TimeoutError)):
        return TemporaryFault(f"{path}: storage does not answer ({said}); try again")
    if isinstance(error, api.GoogleAPICallError):
        return UserError(f"{path}: storage refused the request ({said})")
    return None


def _is_about_the_bucket(not_found: Exception) -> bool:
    return "bucket does not exist" in str(not_found).lower()


def _said(error: Exception) -> str:
    """Return what the service said, in one line and without the addresses around it."""
    from google.api_core.exceptions import RetryError

    if isinstance(error, RetryError) and isinstance(error.cause, Exception):
        return _said(error.cause)
    response = getattr(error, "response", None)
    try:
        said = f"{response.status_code} {response.json()['error']['message']}"
    except (AttributeError, ValueError, LookupError, TypeError, RuntimeError):  # the last: read before
        said = str(error)
    return " ".join(said.split())[:300] or type(error).__name__


def _crc32c(data: bytes) -> str:
    import google_crc32c

    return _base64(google_crc32c.Checksum(data).digest())


def _base64(digest: bytes) -> str:
    import base64

    return base64.b64encode(digest).decode()
