"""The files of a blueprint in Cloud Storage: a folder, or an archive of one; and what a run leaves there."""

import io
import lzma
import posixpath
import struct
import zipfile
import zlib
from collections.abc import Iterator

from localcloud.messages import ApiError
from localcloud.rights.actors import Actor
from localcloud.rights.resources import bucket_name, object_name
from localcloud.storage.buckets import Buckets
from localcloud.storage.objects import ObjectRecord, Objects, Target
from localcloud.storage.resources import new_bucket

MAX_BYTES = 64 * 2**20  # of all files of a blueprint
_PAGE = 200  # records that are read at once
# zipfile raises all of these for bytes that are damaged, or packed in a way that it does not know.
_NO_ARCHIVE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, IndexError, NotImplementedError, OSError, RuntimeError, ValueError),
)


class NoBlueprint(Exception):
    """There is no blueprint at an address; the message says why."""


class Sources:
    """Reads blueprints, and writes logs and plans, as an account if there is one."""

    def __init__(self, buckets: Buckets, objects: Objects, actor: Actor | None = None):
        self._buckets, self._objects, self._actor = buckets, objects, actor

    def as_(self, actor: Actor) -> "Sources":
        return Sources(self._buckets, self._objects, actor)

    def read(self, address: str) -> dict[str, bytes]:
        """Return the files of gs://BUCKET/FOLDER or gs://BUCKET/ARCHIVE.zip, by path.

        Raises
        ------
        NoBlueprint
        """
        bucket, _, name = address.removeprefix("gs://").partition("/")
        name, _, generation = name.partition("#")
        try:
            self._buckets.need(bucket)
            if name.endswith(".zip"):
                return _unpacked(address, self._content(bucket, name, generation))
            return self._folder(address, bucket, f"{name.rstrip('/')}/" if name.strip("/") else "")
        except ApiError as missing:
            raise NoBlueprint(f"{address}: {missing.message}") from missing

    def write(self, bucket: str, name: str, content: bytes, content_type: str) -> str:
        """Store an object, and return its address.

        Raises
        ------
        ApiError
            There is no such bucket, or the account may not write there.
        """
        self._ask("storage.objects.create", object_name(bucket, name))
        with self._objects.draft() as draft:
            draft.write(content)
            self._objects.put(Target(bucket, name), draft.seal(), {"contentType": content_type})
        return f"gs://{bucket}/{name}"

    def need_bucket(self, bucket: str, project: str, location: str) -> None:
        """Create a bucket in a region if it does not exist."""
        try:
            self._buckets.need(bucket)
        except ApiError:
            self._ask("storage.buckets.create", f"projects/{project}")
            self._buckets.create(bucket, new_bucket(bucket, {"location": location}))

    def _folder(self, address: str, bucket: str, prefix: str) -> dict[str, bytes]:
        self._ask("storage.objects.list", bucket_name(bucket))
        files: dict[str, bytes] = {}
        left = MAX_BYTES
        for record in self._below(bucket, prefix):
            left -= record.size
            if left < 0:
                raise NoBlueprint(f"{address} has more than {MAX_BYTES} bytes")
            if not record.name.endswith("/"):
                files[record.name.removeprefix(prefix)] = self._content(bucket, record.name)
        if not files:
            raise NoBlueprint(f"{address} has no files")
        return files

    def _below(self, bucket: str, prefix: str) -> Iterator[ObjectRecord]:
        start = prefix
        while page := self._objects.in_order(bucket, start, _PAGE):
            for record in page:
                if not record.name.startswith(prefix):
                    return
                yield record
            start = page[-1].name + "\0"

    def _content(self, bucket: str, name: str, generation: str = "") -> bytes:
        self._ask("storage.objects.get", object_name(bucket, name))
        number = int(generation) if generation.isdigit() else None
        record, file = self._objects.open(Target(bucket, name, number))
        with file:
            if record.size > MAX_BYTES:
                raise NoBlueprint(f"gs://{bucket}/{name} has more than {MAX_BYTES} bytes")
            return file.read()

    def _ask(self, permission: str, resource: str) -> None:
        if self._actor:
            self._actor.ask(permission, resource)


def _unpacked(address: str, data: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [each for each in archive.infolist() if not each.is_dir()]
            if sum(each.file_size for each in members) > MAX_BYTES:
                raise NoBlueprint(f"{address} has more than {MAX_BYTES} bytes unpacked")
            for each in members:
                path = posixpath.normpath(each.filename)
                if path.startswith(("/", "..")):
                    raise NoBlueprint(f"{address}: {each.filename} lies outside the archive")
            return {posixpath.normpath(each.filename): archive.read(each) for each in members}
    except _NO_ARCHIVE as error:
        raise NoBlueprint(f"{address} is not a readable zip archive: {error}") from error
