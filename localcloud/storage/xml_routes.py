"""The part of the XML API that clients use: reading an object, and uploads in parallel parts."""

from xml.etree import ElementTree
from xml.sax.saxutils import escape

from localcloud.messages import ApiError, Request, Response
from localcloud.rights.denied import Denied
from localcloud.routing import Route
from localcloud.storage.buckets import Buckets
from localcloud.storage.content import Content, expected_digests
from localcloud.storage.download import download
from localcloud.storage.objects import Objects, Target
from localcloud.storage.preconditions import Preconditions, whole_number
from localcloud.storage.refusals import xml_elements
from localcloud.storage.resources import new_properties
from localcloud.storage.rules import check_object_name
from localcloud.storage.uploads import Uploads

MAX_PARTS = 10_000
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_ERROR_CODES = {400: "InvalidArgument", 404: "NoSuchKey", 412: "PreconditionFailed"}
_CONDITION_HEADERS = {
    "X-Goog-If-Generation-Match": "ifGenerationMatch",
    "X-Goog-If-Metageneration-Match": "ifMetagenerationMatch",
}
_CUSTOM_PREFIX = "x-goog-meta-"
_PROPERTY_HEADERS = {
    "Content-Type": "contentType",
    "Content-Encoding": "contentEncoding",
    "Content-Disposition": "contentDisposition",
    "Content-Language": "contentLanguage",
    "Cache-Control": "cacheControl",
}


class XmlRoutes:
    def __init__(self, buckets: Buckets, objects: Objects, uploads: Uploads):
        self._buckets = buckets
        self._objects = objects
        self._uploads = uploads

    def routes(self) -> list[Route]:
        handlers = {
            "GET": self.get,
            "POST": self.start_or_complete,
            "PUT": self.put_part,
            "DELETE": self.abort,
        }
        path = "/xml/{bucket}/{name:path}"
        return [Route(method, path, handler, xml_error) for method, handler in handlers.items()]

    def get(self, request: Request, bucket: str, name: str) -> Response:
        generation = whole_number(request.query, "generation")
        return download(self._objects, request, Target(bucket, name, generation, _conditions(request)))

    def start_or_complete(self, request: Request, bucket: str, name: str) -> Response:
        if "uploads" in request.query:
            return self._start(request, bucket, name)
        return self._complete(request, bucket, name)

    def _start(self, request: Request, bucket: str, name: str) -> Response:
        self._buckets.need(bucket)
        check_object_name(name)
        metadata = _metadata(request)
        new_properties(metadata)
        upload_id = self._uploads.start(Target(bucket, name), metadata, in_parts=True)
        elements = {"Bucket": bucket, "Key": name, "UploadId": upload_id}
        return _xml("InitiateMultipartUploadResult", elements)

    def put_part(self, request: Request, bucket: str, name: str) -> Response:
        number = whole_number(request.query, "partNumber") or 0
        if not 1 <= number <= MAX_PARTS:
            raise ApiError(400, f"partNumber must be 1 to {MAX_PARTS}.")
        with self._uploads.use(request.query.get("uploadId", ""), Target(bucket, name)) as upload:
            expected = expected_digests(request.headers)
            part = self._uploads.save_part(upload, number, request.body, expected)
        return Response(200, {"ETag": f'"{part.md5}"', "X-Goog-Hash": _hashes(part)})

    def _complete(self, request: Request, bucket: str, name: str) -> Response:
        numbers = _part_numbers(request.read_all())
        with (
            self._uploads.use(request.query.get("uploadId", ""), Target(bucket, name)) as upload,
            self._objects.draft() as draft,
        ):
            self._uploads.join_parts(upload, numbers, draft)
            target = Target(bucket, name, conditions=_conditions(request))
            properties = new_properties(upload.metadata)
            content = draft.seal(with_md5=False)
            record = self._objects.put(target, content, properties, len(numbers))
            self._uploads.cancel(upload)
        elements = {"Bucket": bucket, "Key": name, "ETag": f'"{record.crc32c}"'}
        response = _xml("CompleteMultipartUploadResult", elements)
        response.headers["X-Goog-Hash"] = _hashes(content)
        response.headers["X-Goog-Generation"] = str(record.generation)
        return response

    def abort(self, request: Request, bucket: str, name: str) -> Response:
        with self._uploads.use(request.query.get("uploadId", ""), Target(bucket, name)) as upload:
            self._uploads.cancel(upload)
        return Response(204)


def xml_error(error: ApiError) -> Response:
    if isinstance(error, Denied):
        elements = xml_elements(error)
    else:
        elements = {"Code": _ERROR_CODES.get(error.code, error.reason), "Message": error.message}
    response = _xml("Error", elements)
    response.status = error.code
    response.headers |= error.headers
    return response


def _xml(root: str, elements: dict[str, str]) -> Response:
    inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in elements.items())
    text = f"<?xml version='1.0' encoding='UTF-8'?><{root} xmlns='{_NAMESPACE}'>{inner}</{root}>"
    return Response(200, {"Content-Type": "application/xml; charset=UTF-8"}, text.encode())


def _part_numbers(body: bytes) -> list[int]:
    """Return the numbers of the parts to join, in order."""
    try:
        root = ElementTree.fromstring(body)
        numbers = [int(each.text) for each in root.iter() if each.tag.endswith("PartNumber")]
    except (ElementTree.ParseError, TypeError, ValueError) as error:
        raise ApiError(400, f"Not a list of parts: {error}") from error
    if not numbers or numbers != sorted(set(numbers)):
        raise ApiError(400, "The parts must be listed once each, in ascending order.")
    return numbers


def _metadata(request: Request) -> dict:
    metadata = {
        name: request.headers[header]
        for header, name in _PROPERTY_HEADERS.items()
        if header in request.headers
    }
    custom = {
        header.removeprefix(_CUSTOM_PREFIX): value
        for header, value in request.headers.items()
        if header.startswith(_CUSTOM_PREFIX)
    }
    return metadata | ({"metadata": custom} if custom else {})


def _conditions(request: Request) -> Preconditions:
    """Return the preconditions, which the XML API has in headers such as x-goog-if-generation-match."""
    query = {
        name: request.headers[header]
        for header, name in _CONDITION_HEADERS.items()
        if header in request.headers
    }
    return Preconditions.from_query(query)


def _hashes(content: Content) -> str:
    return f"crc32c={content.crc32c}" + (f",md5={content.md5}" if content.md5 else "")
