"""Objects of Cloud Storage by their gs:// references: read, write once, list a folder into a local one."""

import gzip
import hashlib
import io
import shutil
import tempfile
import threading
import zlib
from pathlib import Path

from modeling.failures import TemporaryFault, UserError
from pipeline.bucket import BucketStorage
from pipeline.storage import MissingFile
from services.failures import Conflict

RETRY_SECONDS = 30  # of a request to storage; then the workflow asks the service again


def sha256_of(content: bytes | Path) -> str:
    """Return the digest of bytes or of a file, in hexadecimal."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with open(content, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Objects:
    """The objects of any bucket; a missing one raises MissingFile, which a service answers with 404."""

    def __init__(self, retry_seconds: float = RETRY_SECONDS):
        self._retry_seconds = retry_seconds
        self._buckets: dict[str, BucketStorage] = {}
        self._opening = threading.Lock()

    def read(self, reference: str) -> bytes:
        """Return the content of an object."""
        bucket, name = self._located(reference)
        return bucket.load_bytes(name)

    def read_generation(self, reference: str, generation: str, most_bytes: int) -> bytes:
        """Return the content of one generation of an object, unpacked where it was stored with gzip.

        Raises
        ------
        MissingFile
            It was deleted, or overwritten by a newer upload.
        UserError
            It is larger than `most_bytes`, stored or unpacked.
        """
        bucket, name = self._located(reference)
        try:
            content, encoding = bucket.load_generation(name, int(generation), most_bytes)
        except MissingFile:
            message = f"{reference}#{generation}: no such object; it was deleted, or overwritten meanwhile"
            raise MissingFile(message) from None
        return _unpacked(reference, content, most_bytes) if encoding == "gzip" else content

    def exists(self, reference: str) -> bool:
        """Tell whether an object exists."""
        bucket, name = self._located(reference)
        return bucket.exists(name)

    def write_once(self, reference: str, content: bytes | Path) -> None:
        """Write an object that nobody overwrites; the same content may be written again.

        Raises
        ------
        Conflict
            It exists with other content, which is kept.
        """
        bucket, name = self._located(reference)
        save = bucket.save_bytes if isinstance(content, bytes) else bucket.save_file
        if not save(name, content, overwrite=False):
            raise Conflict(
                f"{reference} exists with other content, of an attempt with another version or experiment;"
                " delete its folder, or upload the file again"
            )

    def copy_folder(self, reference: str, below: Path) -> Path:
        """Return a local copy of the objects in a folder; one that is up to date is used again.

        Parameters
        ----------
        below : Path
            Each state of the folder gets a folder of its own here, so that nobody's files change.

        Raises
        ------
        TemporaryFault
            The folder changes meanwhile.
        """
        bucket, prefix = self._located(reference, is_folder=True)
        found = bucket.list_generations(prefix)
        copy = below / sha256_of(repr(sorted(found.items())).encode())[:16]
        if copy.is_dir():
            return copy
        below.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=below))
        try:
            for name, content in bucket.load_many(name for name in found if name[-1] != "/"):
                if isinstance(content, MissingFile):
                    break
                target = partial / name.removeprefix(prefix)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            if bucket.list_generations(prefix) != found:  # some files may be of before, and others of after
                raise TemporaryFault(f"{reference} changes while it is copied; ask again")
            partial.rename(copy)
        except OSError:
            if not copy.is_dir():  # else another thread was first
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return copy

    def _located(self, reference: str, is_folder: bool = False) -> tuple[BucketStorage, str]:
        """Return the bucket of a reference and the name in it."""
        bucket, _, name = reference.removeprefix("gs://").partition("/")
        parts = name.rstrip("/").split("/") if is_folder else name.split("/")
        if {"", ".", ".."} & set(parts):
            raise UserError(f"{reference}: a part of the name is empty, . or ..; choose another name")
        with self._opening:
            if bucket not in self._buckets:
                self._buckets[bucket] = BucketStorage(bucket, retry_seconds=self._retry_seconds)
        return self._buckets[bucket], name


def _unpacked(reference: str, content: bytes, most_bytes: int) -> bytes:
    """Return what gzip packed, without ever holding more than `most_bytes` of it."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as zipped:  # or several, one after another
            unpacked = zipped.read(most_bytes + 1)
    except (OSError, EOFError, zlib.error):
        unpacked = None
    if unpacked is None or not content:
        raise UserError(f"{reference}: stored as gzip, but damaged; upload it again")
    if len(unpacked) > most_bytes:
        raise UserError(f"{reference}: unpacks to more than {most_bytes:,} bytes, the most a file has")
    return unpacked
