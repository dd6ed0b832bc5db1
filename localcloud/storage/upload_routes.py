"""The routes of uploads, /upload/b/{bucket}/o: in one request or resumable."""

import re
from dataclasses import dataclass

from localcloud.messages import ApiError, Request, Response, json_object, json_response
from localcloud.rights.callers import acting_as, need_nothing
from localcloud.routing import Route
from localcloud.storage.buckets import Buckets
from localcloud.storage.content import expected_digests
from localcloud.storage.fields import select_fields
from localcloud.storage.multipart import boundary_of, read_related
from localcloud.storage.object_routes import target_of
from localcloud.storage.objects import ObjectRecord, Objects
from localcloud.storage.resources import new_properties, object_resource
from localcloud.storage.rules import check_object_name
from localcloud.storage.uploads import Upload, Uploads

# Each chunk of a resumable upload, except the last, is a multiple of this.
CHUNK_BYTES = 256 * 1024
_CANCELLED = 499


class UploadRoutes:
    def __init__(self, buckets: Buckets, objects: Objects, uploads: Uploads):
        self._buckets = buckets
        self._objects = objects
        self._uploads = uploads

    def routes(self) -> list[Route]:
        path = "/upload/b/{bucket}/o"
        return [
            Route("POST", path, self.insert),
            Route("PUT", path, self.resume),
            Route("DELETE", path, self.cancel),
        ]

    def insert(self, request: Request, bucket: str) -> Response:
        self._buckets.need(bucket)
        kind = request.query.get("uploadType")
        if "upload_id" in request.query:
            return self.resume(request, bucket)
        if kind == "resumable":
            return self._start(request, bucket)
        if kind == "multipart":
            return self._insert_multipart(request, bucket)
        if kind == "media":
            return self._insert_media(request, bucket)
        raise ApiError(400, f"uploadType must be media, multipart or resumable, not {kind}.")

    def _insert_media(self, request: Request, bucket: str) -> Response:
        name = _object_name(request, {})
        encoding = request.query.get("contentEncoding")
        metadata = {"contentEncoding": encoding} if encoding else {}
        with self._objects.draft() as draft:
            draft.write_all(request.body)
            content_type = request.headers.get("Content-Type")
            return self._store(request, bucket, name, draft, metadata, content_type)

    def _insert_multipart(self, request: Request, bucket: str) -> Response:
        with self._objects.draft() as draft:
            boundary = boundary_of(request.headers)
            first, media_headers = read_related(request.body, boundary, draft)
            metadata = json_object(first.body)
            name = _object_name(request, metadata)
            content_type = media_headers.get("Content-Type")
            return self._store(request, bucket, name, draft, metadata, content_type)

    def _store(self, request, bucket, name, draft, metadata, content_type) -> Response:
        content = draft.seal()
        content.check(expected_digests(request.headers, metadata))
        properties = new_properties(metadata, content_type)
        return _made(request, self._objects.put(target_of(request, bucket, name), content, properties))

    # Resumable: start, then chunks until the upload is complete.

    def _start(self, request: Request, bucket: str) -> Response:
        metadata = request.json()
        name = _object_name(request, metadata)
        if content_type := request.headers.get("X-Upload-Content-Type"):
            metadata.setdefault("contentType", content_type)
        new_properties(metadata)  # refuses invalid metadata before any byte is sent
        target = target_of(request, bucket, name)
        self._objects.need_to_write(target)
        upload_id = self._uploads.start(target, metadata)
        location = (
            f"{request.base_url}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={upload_id}"
        )
        return Response(200, {"Location": location, "X-GUploader-UploadID": upload_id})

    def resume(self, request: Request, bucket: str) -> Response:
        """Receive a chunk, or answer how much has arrived; whoever knows the upload's id may."""
        need_nothing()
        with self._uploads.use(request.query.get("upload_id", "")) as upload:
            if upload.finished:
                return _made(request, upload.finished)
            chunk = _Chunk.of(request)
            received = self._uploads.received_bytes(upload)
            if chunk.start is not None and chunk.start <= received:
                # A repeated chunk may overlap what arrived before its answer was lost.
                self._uploads.append(upload, request.body, skip_bytes=received - chunk.start)
                received = self._uploads.received_bytes(upload)
            if not chunk.is_last or (chunk.total is not None and received < chunk.total):
                return _resume_incomplete(received)
            return self._finish(request, upload, chunk.total)

    def _finish(self, request: Request, upload: Upload, total: int | None) -> Response:
        try:
            content = self._uploads.received(upload)
            if total not in (None, content.size):
                raise ApiError(400, f"{content.size} bytes arrived of {total} announced.")
            content.check(expected_digests(request.headers, upload.metadata))
            properties = new_properties(upload.metadata)
            # Google documents that a chunk needs no permission, and not what happens if the one who began
            # has lost theirs, or if there is an object of that name now. So the one who began is asked again.
            with acting_as(upload.member):
                record = self._objects.put(upload.target, content, properties)
        except ApiError:
            self._uploads.cancel(upload)
            raise
        self._uploads.finish(upload, record)
        return _made(request, record)

    def cancel(self, request: Request, bucket: str) -> Response:
        with self._uploads.use(request.query.get("upload_id", "")) as upload:
            self._uploads.cancel(upload)
        return Response(_CANCELLED)


@dataclass(frozen=True)
class _Chunk:
    """The Content-Range of a chunk: the position of its bytes and the total size."""

    start: int | None  # None: no bytes, the client asks how much has arrived
    total: int | None  # None: unknown
    is_last: bool  # the upload is complete once `total` bytes have arrived

    @classmethod
    def of(cls, request: Request) -> "_Chunk":
        header = request.headers.get("Content-Range")
        if header is None:
            return cls(0, None, is_last=True)
        found = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", header.strip())
        if not found:
            raise ApiError(400, f"Not a Content-Range of an upload: {header}")
        total = None if found[3] == "*" else int(found[3])
        if found[1] is None:
            return cls(None, total, total is not None)
        start, size = int(found[1]), int(found[2]) - int(found[1]) + 1
        if request.headers.get("Content-Length", str(size)) != str(size):
            raise ApiError(400, f"{header} does not agree with Content-Length.")
        if (total is None or start + size < total) and size % CHUNK_BYTES:
            raise ApiError(
                400, f"A chunk that is not the last must have a multiple of {CHUNK_BYTES} bytes: {size}"
            )
        return cls(start, total, total is not None)


def _resume_incomplete(received: int) -> Response:
    return Response(308, {"Range": f"bytes=0-{received - 1}"} if received else {})


def _object_name(request: Request, metadata: dict) -> str:
    name = metadata.get("name") or request.query.get("name")
    if not name:
        raise ApiError(400, "Required: the object's name", reason="required")
    check_object_name(str(name))
    return str(name)


def _made(request: Request, record: ObjectRecord) -> Response:
    resource = object_resource(record, request.base_url)
    return json_response(select_fields(resource, request.query.get("fields", "")))
