"""The front end of Cloud Run: it finds a service by its host name, and passes requests to its instances.

Texts are those that users quote in public; they are not from the service itself. Not certain: users see 503
when an instance dies during a request, and some have seen 500; what a request is answered whose instance does
not start (here 503). Cloud Run takes a body in chunks of more than 32 MiB, which is refused here.
"""

import html
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

from localcloud.identity import Identity
from localcloud.messages import READ_BYTES, Request, Response
from localcloud.rights.enforcement import Rights
from localcloud.routing import Match, Route
from localcloud.run.access import RUN_DOMAIN, Gate, Refused, check_access, without_signature
from localcloud.run.forwarding import Broken, Late, NotTaken, Pieces, forward
from localcloud.run.instance import Instance, StartFailed
from localcloud.run.instances import Instances, Serving
from localcloud.run.output import RevisionLog
from localcloud.run.revision import NoInstance, Retired, Revision

MOST_BYTES = 32 * 2**20  # of a request, and of an answer that is not in chunks
MOST_INSTANCES = 3  # that are gone when they get a request, before it is given up
DYING_SECONDS = 0.1  # real seconds between the end of a process and the news of it
CALLER = "127.0.0.1"
RESERVED = re.compile(r"/eventlog|/healthz|/_ah/.*")  # https://cloud.google.com/run/docs/known-issues

NO_INSTANCE = "The request was aborted because there was no available instance."
TIMED_OUT = "The request has been terminated because it has reached the maximum request timeout."
BROKEN = (
    "The request failed because either the HTTP response was malformed or connection to the instance had an "
    "error."
)
DISCONNECTED = (
    "upstream connect error or disconnect/reset before headers. reset reason: connection termination"
)
NOT_STARTED = "The request failed because the instance could not start successfully."
TOO_LARGE = "The request is larger than 32 MiB."
ANSWER_TOO_LARGE = "The response is larger than 32 MiB and was not sent in chunks."

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")
_CLOUD_TRACE = re.compile(r"([0-9a-f]{32})(?:/\d+)?(?:;o=(\d))?")


@dataclass(frozen=True)
class Trace:
    """The trace of a request: the caller's if it sent one, with a span of its own."""

    id: str
    span: int
    is_sampled: bool

    @property
    def headers(self) -> dict[str, str]:
        return {
            "x-cloud-trace-context": f"{self.id}/{self.span};o={self.is_sampled:d}",
            "traceparent": f"00-{self.id}-{self.span:016x}-0{self.is_sampled:d}",
        }


class Gateway:
    """Answers requests for hosts of *.run.app."""

    def __init__(self, instances: Instances, identity: Identity, rights: Rights):
        self._instances, self._gate = instances, Gate(identity, rights)

    def match(self, request: Request) -> Match | None:
        """Return the route of a request to a service; None if its host is not of *.run.app."""
        host = _host(request)
        if not host.endswith(RUN_DOMAIN):
            return None
        return Match(Route(request.method, f"https://{host}", self._answer), {})

    def _answer(self, request: Request) -> Response:
        serving = self._instances.find(_host(request))
        if serving is None:
            return _page(404, request)
        call = _Call(request, serving)
        if RESERVED.fullmatch(request.path):
            return call.refuse(_page(404, request), "The path is reserved by Cloud Run.")
        try:
            service = serving.revision.definition.resource
            check_access(request.headers, service, serving.access, self._gate)
            body = _body(request)
        except Refused as refused:
            return call.refuse(_page(refused.status, request, refused.challenge), str(refused))
        return self._pass_on(call, body)

    def _pass_on(self, call: "_Call", body: bytes) -> Response:
        for _ in range(MOST_INSTANCES):
            try:
                return call.pass_to(self._acquire(call), body)
            except NotTaken:
                continue  # another instance takes it
            except NoInstance:
                return call.refuse(_text(429, "Rate exceeded."), NO_INSTANCE)
            except StartFailed:
                return call.refuse(_text(503, "Service Unavailable"), NOT_STARTED)
            except Refused:
                return _page(404, call.request)
        return call.refuse(_text(503, "Service Unavailable"), BROKEN)

    def _acquire(self, call: "_Call") -> Instance:
        """Return an instance of the serving revision, also if that changes while the request waits."""
        while True:
            try:
                return call.serving.revision.acquire()
            except Retired:
                serving = self._instances.find(_host(call.request))
                if serving is None:
                    raise Refused(404, "The service was deleted.") from None
                call.serving = serving


class _Call:
    """A request to a service, its trace, and its entry in the log."""

    def __init__(self, request: Request, serving: Serving):
        self.request, self.serving = request, serving
        self._trace = _trace(request)
        self._begun = time.monotonic()

    def pass_to(self, instance: Instance, body: bytes) -> Response:
        """Return the answer of an instance; it is free again when the answer is closed.

        Raises
        ------
        NotTaken
        """
        revision = self.serving.revision
        deadline = time.monotonic() + revision.definition.timeout_seconds
        failure = None
        try:
            response, pieces = forward(instance.port, self.request, self._headers(), body, deadline)
        except NotTaken:
            revision.lose(instance)
            raise
        except Late:
            failure = self.refuse(_text(504, "upstream request timeout"), TIMED_OUT, instance.log)
        except Broken:
            instance.wait_for_end(DYING_SECONDS)  # so that it does not get the caller's next request
            failure = self.refuse(_text(503, DISCONNECTED), BROKEN, instance.log)
        if failure:
            revision.release(instance)
            return failure
        return self._stream(revision, instance, response, pieces)

    def _stream(self, revision: Revision, instance: Instance, response: Response, pieces: Pieces) -> Response:
        if (response.length or 0) > MOST_BYTES and self.request.method != "HEAD":
            pieces.close()
            revision.release(instance)
            answer = _text(500, "Response size was too large.")
            return self.refuse(answer, ANSWER_TOO_LARGE, instance.log)

        def close(size: int) -> None:
            revision.release(instance)
            self._note(response.status, size, instance.log)

        pieces.on_close = close
        trace = self._trace.headers["x-cloud-trace-context"]
        by_us = {"server": "Google Frontend", "x-cloud-trace-context": trace}
        kept = {name: value for name, value in response.headers.items() if name.lower() not in by_us}
        response.headers = kept | by_us
        return response

    def refuse(self, response: Response, reason: str, log: RevisionLog | None = None) -> Response:
        """Return an answer of Cloud Run itself, after writing why into the log."""
        revision = self.serving.revision
        log = log or RevisionLog(revision.logs, revision.definition)
        self._note(response.status, response.length or 0, log, reason)
        return response

    def _headers(self) -> dict[str, str]:
        """Return the headers that an instance gets."""
        caller = self.request.headers
        callers = [each for each in (caller.get("X-Forwarded-For"), CALLER) if each]
        return {
            **without_signature(caller),
            "host": self.request.host,
            **self._trace.headers,
            "x-forwarded-for": ", ".join(callers),
            "x-forwarded-proto": "https",
            "forwarded": f'for="{CALLER}";proto=https',
        }

    def _note(self, status: int, size: int, log: RevisionLog, reason: str = "") -> None:
        facts = {
            "requestMethod": self.request.method,
            "requestUrl": f"https://{_host(self.request)}{self.request.path}",
            "status": status,
            "responseSize": str(size),
            "userAgent": self.request.headers.get("User-Agent", ""),
            "remoteIp": CALLER,
            "latency": f"{time.monotonic() - self._begun:.6f}s",
            "protocol": "HTTP/1.1",
        }
        project = self.serving.revision.definition.project
        log.request(facts, f"projects/{project}/traces/{self._trace.id}", reason)


def _host(request: Request) -> str:
    return request.host.partition(":")[0].lower()


def _body(request: Request) -> bytes:
    declared = request.headers.get("Content-Length", "")
    if declared.isdecimal() and len(declared) < 19 and int(declared) > MOST_BYTES:
        raise Refused(413, TOO_LARGE)
    pieces, size = [], 0
    for piece in _pieces(request):
        size += len(piece)
        if size > MOST_BYTES:
            raise Refused(413, TOO_LARGE)
        pieces.append(piece)
    return b"".join(pieces)


def _pieces(request: Request) -> Iterator[bytes]:
    while piece := request.body.read(READ_BYTES):
        yield piece


def _trace(request: Request) -> Trace:
    span = secrets.randbits(63) + 1
    if found := _TRACEPARENT.fullmatch(request.headers.get("traceparent", "")):
        return Trace(found[1], span, bool(int(found[2], 16) & 1))
    if found := _CLOUD_TRACE.fullmatch(request.headers.get("X-Cloud-Trace-Context", "")):
        return Trace(found[1], span, found[2] == "1")
    return Trace(secrets.token_hex(16), span, is_sampled=False)


_TITLES = {
    401: ("Unauthorized", "Your client does not have permission to the requested URL <code>{path}</code>."),
    403: (
        "Forbidden",
        "Your client does not have permission to get URL <code>{path}</code> from this server.",
    ),
    404: ("Page not found", "The requested URL was not found on this server."),
    413: ("Request Entity Too Large", "Your client issued a request that was too large."),
}


def _page(status: int, request: Request, challenge: str = "") -> Response:
    """Return a page of the front end."""
    title, text = _TITLES[status]
    shown = text.format(path=html.escape(request.path))
    body = (
        f"\n<html><head>\n<title>{status} {title}</title>\n</head>\n<body text=#000000 bgcolor=#ffffff>\n"
        f"<h1>Error: {title}</h1>\n<h2>{shown}</h2>\n<h2></h2>\n</body></html>\n"
    )
    headers = {"Content-Type": "text/html; charset=UTF-8", "Server": "Google Frontend"}
    return Response(status, headers | ({"WWW-Authenticate": challenge} if challenge else {}), body.encode())


def _text(status: int, text: str) -> Response:
    headers = {"Content-Type": "text/plain", "Server": "Google Frontend"}
    return Response(status, headers, text.encode())
