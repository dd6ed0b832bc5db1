"""The bucket of a run: Cloud Storage through the official client, with one line for each failure.

Imported only where EXECUTION_MODE is cloud, since the client takes half a second to load.
"""

import base64
import logging
import mimetypes
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import google_crc32c
from google.api_core import exceptions as api
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException

from modeling.failures import TemporaryFault, UserError
from modeling.refusals import MAY_NOT_COUNT_YET
from pipeline.storage import THREADS, AccessDenied, MissingFile, Storage, check_name, check_prefix

log = logging.getLogger(__name__)

RETRY_SECONDS = 300  # after hours of simulation, waiting five minutes is worth it
REQUEST_SECONDS = 60
UPLOAD_SESSIONS = 3  # started again when the service loses one
_LOGIN = "run `gcloud auth application-default login`"


class BucketStorage(Storage):
    """Objects of a Cloud Storage bucket, through the official client."""

    def __init__(self, bucket: str, verbose: bool = False, *, retry_seconds: float | None = None):
        super().__init__(verbose)
        self.name = bucket
        try:
            client = storage.Client(project=None)  # objects need no project
        except (DefaultCredentialsError, OSError) as error:
            raise UserError(
                f"gs://{bucket}: no Google Cloud credentials ({_message(error)}); {_LOGIN}"
            ) from None
        # the default pool serves at most 10 threads, and the client starts its own, too
        for scheme in ("https://", "http://"):
            client._http.mount(scheme, HTTPAdapter(pool_maxsize=2 * THREADS))
        # for its traces, it would ask for the bucket itself, which an account that only uses objects may not
        client._bucket_metadata_cache = None
        self._bucket = client.bucket(bucket)
        # every request can be repeated: writes because of their generation precondition
        self._retry_seconds = RETRY_SECONDS if retry_seconds is None else retry_seconds
        self._first_wait_seconds = min(1.0, self._retry_seconds / 100)
        retry = DEFAULT_RETRY.with_timeout(self._retry_seconds)
        retry = retry.with_delay(initial=self._first_wait_seconds)
        self._common = {"timeout": REQUEST_SECONDS, "retry": retry}

    def save_bytes(self, name: str, data: bytes, *, overwrite: bool = True) -> bool:
        def upload(blob, generation: int) -> None:
            blob.upload_from_string(
                data,
                content_type=_content_type(name),
                checksum="crc32c",
                if_generation_match=generation,
                **self._common,
            )

        return self._publish(name, upload, (_crc32c(data), len(data)), overwrite)

    def save_file(self, name: str, path: Path, *, overwrite: bool = True) -> bool:
        checksum = google_crc32c.Checksum()
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                checksum.update(block)

        def upload(blob, generation: int) -> None:
            blob.upload_from_filename(
                str(path), checksum="crc32c", if_generation_match=generation, **self._common
            )

        content = (_base64(checksum.digest()), path.stat().st_size)
        return self._publish(name, upload, content, overwrite)

    def load_bytes(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        whole = start == 0 and length is None
        with _translated(self.get_path(name)):
            if length == 0:  # HTTP has no empty range
                self._blob(name).reload(**self._common)
                return b""
            try:
                return self._blob(name).download_as_bytes(
                    start=None if whole else start,
                    end=None if length is None else start + length - 1,
                    checksum="crc32c" if whole else None,  # the service has it for whole objects only
                    **self._common,
                )
            except api.RequestRangeNotSatisfiable:  # it starts at or after the end
                return b""

    def load_generation(self, name: str, generation: int, most_bytes: int) -> tuple[bytes, str]:
        """Read one generation of an object as it is stored, with its content encoding, "" or "gzip".

        Raises
        ------
        MissingFile
            The object was deleted or overwritten.
        UserError
            It is larger than `most_bytes`; nothing was downloaded.
        """
        path = f"{self.get_path()}{name}#{generation}"
        with _translated(path):
            blob = self._bucket.blob(name, generation=generation)
            blob.reload(**self._common)
            if blob.size > most_bytes:
                raise UserError(f"{path}: {blob.size:,} bytes; a file has at most {most_bytes:,}")
            data = blob.download_as_bytes(raw_download=True, checksum="crc32c", **self._common)
            return data, blob.content_encoding or ""

    def list_generations(self, prefix: str) -> dict[str, int]:
        """Return the generation of each object whose name starts with a prefix."""
        with _translated(self.get_path(prefix)):
            fields = "items(name,generation),nextPageToken"
            listed = self._bucket.list_blobs(prefix=prefix, fields=fields, **self._common)
            return {blob.name: blob.generation for blob in listed}

    def delete_file(self, name: str) -> None:
        try:
            with _translated(self.get_path(name)):
                self._blob(name).delete(**self._common)
        except MissingFile:
            return  # removed by an earlier request, or by another process
        log.log(self.level, "removed %s", self.get_path(name))

    def list_files(self, prefix: str) -> Iterator[str]:
        check_prefix(prefix)
        with _translated(self.get_path(prefix)):
            listed = self._bucket.list_blobs(
                prefix=prefix, fields="items(name),nextPageToken", **self._common
            )
            for blob in listed:
                yield blob.name

    def exists(self, name: str) -> bool:
        try:
            with _translated(self.get_path(name)):
                self._blob(name).reload(**self._common)  # Blob.exists would hide a missing bucket
        except MissingFile:
            return False
        return True

    def get_path(self, name: str = "") -> str:
        check_prefix(name)
        return f"gs://{self.name}/{name}"

    def _blob(self, name: str):
        check_name(name)
        return self._bucket.blob(name)

    def _publish(self, name: str, upload, content: tuple[str, int], overwrite: bool) -> bool:
        """Upload on condition of the current generation, so that a repeated request never writes twice.

        The last writer wins; it logs a warning if the content is not what it expected.

        Parameters
        ----------
        content : tuple of str and int
            CRC32C and size of the upload, to recognise it in the bucket.
        """
        generation = 0  # most names are new, so one request is enough
        deadline, sessions, conflicts = time.monotonic() + self._retry_seconds, UPLOAD_SESSIONS, 0
        with _translated(self.get_path(name)):
            while True:
                try:
                    upload(self._blob(name), generation)
                    break
                except api.PreconditionFailed:
                    there = self._bucket.get_blob(name, **self._common)
                    if there is not None and (there.crc32c, there.size) == content:
                        break  # our own earlier request, whose answer was lost, or the same content
                    if there is not None and not overwrite:
                        return False
                    generation = there.generation if there is not None else 0
                    if conflicts:
                        log.warning(
                            "%s: another process writes it, too; the last one wins", self.get_path(name)
                        )
                    conflicts += 1
                    if conflicts == 1:
                        continue  # no conflict, only the object that is overwritten
                except api.GoogleAPICallError as error:
                    # 404 and 410: the session of a large upload was lost, so the upload starts again
                    if error.code not in (404, 410) or _is_about_the_bucket(error) or not sessions:
                        raise
                    sessions -= 1
                if time.monotonic() > deadline:
                    raise TemporaryFault(f"{self.get_path(name)}: no upload succeeds; try again")
                time.sleep(random.uniform(0, self._first_wait_seconds))
        log.log(self.level, "wrote %s", self.get_path(name))
        return True


def _content_type(name: str) -> str:
    """Return the content type, for browsers and for the workflow, which reads the manifest."""
    kind, packed = mimetypes.guess_type(name)
    return "application/octet-stream" if packed or not kind else kind


@contextmanager
def _translated(path: str) -> Iterator[None]:
    """Turn the client's exceptions into errors of one line that say what to do."""
    try:
        yield
    except (UserError, TemporaryFault):
        raise
    except Exception as error:
        if known := _storage_failure(path, error):
            raise known from None
        raise


def _storage_failure(path: str, error: Exception) -> Exception | None:
    """Return the error of a stage for one of the client; None where it is our bug."""
    bucket = path.removeprefix("gs://").split("/")[0]
    message = _message(error)
    if isinstance(error, api.NotFound):
        if _is_about_the_bucket(error):
            return UserError(f"gs://{bucket}: no such bucket; check the setting, or create it")
        return MissingFile(f"{path}: no such object")
    if isinstance(error, (api.Forbidden, api.Unauthorized)):
        return AccessDenied(
            f"{path}: access denied ({message}); the account needs roles/storage.objectUser on gs://{bucket}"
            f"; {MAY_NOT_COUNT_YET}"
        )
    if isinstance(error, DefaultCredentialsError) or "invalid_grant" in message:
        return UserError(f"{path}: no valid Google Cloud credentials ({message}); {_LOGIN}")
    passing = (api.TooManyRequests, api.ServerError, api.RetryError, GoogleAuthError, DataCorruption)
    if isinstance(error, (*passing, RequestException, ConnectionError, TimeoutError)):
        return TemporaryFault(f"{path}: storage does not answer ({message}); try again")
    if isinstance(error, api.GoogleAPICallError):
        return UserError(f"{path}: storage refused the request ({message})")
    return None


def _is_about_the_bucket(not_found: Exception) -> bool:
    return "bucket does not exist" in str(not_found).lower()


def _message(error: Exception) -> str:
    """Return the message of the service in one line, without addresses."""
    if isinstance(error, api.RetryError) and isinstance(error.cause, Exception):
        return _message(error.cause)
    response = getattr(error, "response", None)
    try:
        message = f"{response.status_code} {response.json()['error']['message']}"
    except (AttributeError, ValueError, LookupError, TypeError, RuntimeError):  # the last: read before
        message = str(error)
    return " ".join(message.split())[:300] or type(error).__name__


def _crc32c(data: bytes) -> str:
    return _base64(google_crc32c.Checksum(data).digest())


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
