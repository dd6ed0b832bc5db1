"""Downloads: an object's bytes with ranges and checksums, unpacked for clients that do not accept gzip."""

import gzip
import re
from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import quote

from localcloud.messages import READ_BYTES, ApiError, Request, Response
from localcloud.storage.content import Reader
from localcloud.storage.objects import ObjectRecord, Objects, Target
from localcloud.storage.resources import http_time, object_etag

_GZIP_MAGIC = b"\x1f\x8b"


def download(objects: Objects, request: Request, target: Target) -> Response:
    record, file = objects.open(target)
    try:
        if _is_to_be_unzipped(request, record, file):
            headers = _headers(record) | {"Warning": "214 - gunzipped"}
            return Response(200, headers, _Unzipped(file))
        span = _range(request.headers.get("Range", ""), record.size)
        headers = _headers(record) | {"Accept-Ranges": "bytes"}
        if "contentEncoding" in record.properties:
            headers["Content-Encoding"] = record.properties["contentEncoding"]
        if span is None:
            return Response(200, headers, Reader(file, 0, record.size), record.size)
        start, size = span
        headers["Content-Range"] = f"bytes {start}-{start + size - 1}/{record.size}"
        return Response(206, headers, Reader(file, start, size), size)
    except BaseException:
        file.close()
        raise


def _headers(record: ObjectRecord) -> dict[str, str]:
    properties = record.properties
    hashes = [f"crc32c={record.crc32c}"] + ([f"md5={record.md5}"] if record.md5 else [])
    headers = {
        "Content-Type": properties.get("contentType", "application/octet-stream"),
        "ETag": f'"{object_etag(record)}"',
        "Last-Modified": http_time(record.updated_us),
        "Cache-Control": properties.get("cacheControl", "no-cache"),
        "Vary": "Accept-Encoding",
        "X-Goog-Generation": str(record.generation),
        "X-Goog-Metageneration": str(record.metageneration),
        "X-Goog-Hash": ",".join(hashes),
        "X-Goog-Storage-Class": properties.get("storageClass", "STANDARD"),
        "X-Goog-Stored-Content-Encoding": properties.get("contentEncoding", "identity"),
        "X-Goog-Stored-Content-Length": str(record.size),
    }
    for name, header in (
        ("contentDisposition", "Content-Disposition"),
        ("contentLanguage", "Content-Language"),
    ):
        if name in properties:
            headers[header] = properties[name]
    # A header is Latin-1 without line ends, but an object's properties may be any text.
    return {name: quote(value, safe=_HEADER_SAFE) for name, value in headers.items()}


_HEADER_SAFE = "".join(chr(code) for code in range(32, 127))


def _is_to_be_unzipped(request: Request, record: ObjectRecord, file: BinaryIO) -> bool:
    """Return whether the object is stored compressed, wanted plain, and may be transformed."""
    if record.properties.get("contentEncoding") != "gzip":
        return False
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        return False
    if "no-transform" in record.properties.get("cacheControl", ""):
        return False
    magic = file.read(len(_GZIP_MAGIC))
    file.seek(0)
    return magic == _GZIP_MAGIC


class _Unzipped:
    """A compressed file, as unpacked pieces."""

    def __init__(self, file: BinaryIO):
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        with gzip.GzipFile(fileobj=self._file) as unzipped:
            while piece := unzipped.read(READ_BYTES):
                yield piece

    def close(self) -> None:
        self._file.close()


def _range(header: str, size: int) -> tuple[int, int] | None:
    """Return start and length of the requested range; None for the whole, also for an invalid range."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", header.replace(" ", ""))
    if not found or not (found[1] or found[2]):
        return None
    if found[1]:
        start = int(found[1])
        end = min(int(found[2]) + 1, size) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    else:
        start, end = max(0, size - int(found[2])), size
    if start >= size:
        raise ApiError(
            416,
            f"The object has {size} bytes; {header} begins after its end.",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end - start
