"""/batch/storage/v1: up to 100 requests sent and answered as one."""

import io
from contextlib import closing
from http.client import responses

from localcloud.faults import Faults
from localcloud.messages import ApiError, Request, Response, error_response
from localcloud.routing import Route, Router
from localcloud.storage.multipart import Part, boundary_of, split_mixed, split_part

MAX_CALLS = 100
_BOUNDARY = "batch_of_localcloud"


class BatchRoute:
    """The route of batches; each part goes through `router`, which is set once all routes are known."""

    router: Router

    def __init__(self, faults: Faults):
        self._faults = faults

    def routes(self) -> list[Route]:
        return [Route("POST", path, self.run) for path in ("/batch/storage/v1", "/batch")]

    def run(self, request: Request) -> Response:
        parts = split_mixed(request.read_all(), boundary_of(request.headers))
        if len(parts) > MAX_CALLS:
            raise ApiError(400, f"A batch may have {MAX_CALLS} calls, not {len(parts)}.")
        answers = [self._answer(part, request) for part in parts]
        text = b"".join(f"--{_BOUNDARY}\r\n".encode() + answer + b"\r\n" for answer in answers)
        headers = {"Content-Type": f"multipart/mixed; boundary={_BOUNDARY}"}
        return Response(200, headers, text + f"--{_BOUNDARY}--\r\n".encode())

    def _answer(self, part: Part, outer: Request) -> bytes:
        request = _inner_request(part, outer)
        fault = self._faults.next_for(request.method, request.target)
        if fault and fault.status:
            response = error_response(ApiError(fault.status, fault.message))
        else:
            response = self.router.answer(request)
        return _part_text(part.headers.get("Content-ID", ""), response)


def _inner_request(part: Part, outer: Request) -> Request:
    first_line, _, rest = part.body.lstrip().partition(b"\n")
    words = first_line.decode("utf-8", "replace").split()
    if len(words) < 2:
        raise ApiError(400, f"Not a request inside a batch: {first_line[:80]!r}")
    inner = split_part(rest)
    return Request(words[0], words[1], inner.headers, io.BytesIO(inner.body), outer.member)


def _part_text(content_id: str, response: Response) -> bytes:
    """Return an answer as a part; its Content-ID is that of the request, prefixed with response-."""
    reason = responses.get(response.status, "")
    lines = ["Content-Type: application/http"]
    if content_id:
        lines.append(f"Content-ID: <response-{content_id.strip('<>')}>")
    lines += ["", f"HTTP/1.1 {response.status} {reason}", f"Content-Length: {response.length or 0}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + _bytes(response)


def _bytes(response: Response) -> bytes:
    with closing(response):
        return response.body if isinstance(response.body, bytes) else b"".join(response.body)
