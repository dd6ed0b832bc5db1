"""A request as it is passed on to an instance, and the instance's answer, which is streamed to the caller."""

import time
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import quote, urlsplit

from localcloud.messages import Request, Response
from localcloud.run.probes import HOST

PIECE_BYTES = 64 * 1024
_HOP_BY_HOP = {"connection", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
_TARGET_CHARACTERS = "".join(map(chr, range(0x21, 0x7F)))


class NotTaken(Exception):
    """The instance does not listen any more; it has seen nothing of the request."""


class Late(Exception):
    """The instance did not answer before the request's timeout."""


class Broken(Exception):
    """The connection to the instance broke before an answer came, or the answer is not HTTP."""


def forward(
    port: int, request: Request, headers: Mapping[str, str], body: bytes, deadline: float
) -> tuple[Response, "Pieces"]:
    """Return the answer of an instance, and its body, which is read from the connection as it comes.

    `deadline` is of time.monotonic(); when it passes in the middle of a body, the caller's connection is cut.

    Raises
    ------
    NotTaken, Late, Broken
    """
    connection = HTTPConnection(HOST, port, timeout=max(0.001, deadline - time.monotonic()))
    try:
        connection.connect()
    except ConnectionRefusedError as error:
        raise NotTaken from error
    except OSError as error:
        raise Broken(repr(error)) from error
    try:
        connection.putrequest(request.method, _target(request), skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            if _is_passed_on(name):
                connection.putheader(name, value)
        if body or request.method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        socket = connection.sock
        socket.settimeout(max(0.001, deadline - time.monotonic()))
        answer = connection.getresponse()
    except TimeoutError as error:
        connection.close()
        raise Late from error
    except (OSError, HTTPException, ValueError) as error:
        connection.close()
        raise Broken(repr(error)) from error
    pieces = Pieces(connection, answer, lambda: socket.settimeout(max(0.001, deadline - time.monotonic())))
    sent = {name: value for name, value in _joined(answer) if _is_passed_on(name)}
    return Response(answer.status, sent, pieces, pieces.length), pieces


class Pieces:
    """The body of an answer; `on_close` is called once, with the number of bytes that were passed on."""

    def __init__(self, connection: HTTPConnection, answer: HTTPResponse, set_timeout: Callable[[], None]):
        self._connection, self._answer, self._set_timeout = connection, answer, set_timeout
        length = answer.headers.get("Content-Length", "")
        self.length = int(length) if length.isdecimal() and not answer.chunked else None
        self.on_close: Callable[[int], None] = lambda size: None
        self._size = 0
        self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body as it comes.

        Raises
        ------
        ConnectionError
            The instance is gone, or it is too late.
        """
        while True:
            try:
                self._set_timeout()
                piece = self._answer.read1(PIECE_BYTES)
            except (OSError, HTTPException, ValueError) as error:
                raise ConnectionError(f"the instance's answer broke: {error!r}") from error
            if not piece:
                break
            self._size += len(piece)
            yield piece
        if self.length is not None and self._size < self.length:
            raise ConnectionError("the instance's answer is incomplete")

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._answer.close()
            self._connection.close()
            self.on_close(self._size)


def _is_passed_on(name: str) -> bool:
    """Return whether a header is of the message, not of the connection or the length of the body."""
    name = name.lower()
    return name not in _HOP_BY_HOP and name != "content-length" and not name.startswith("proxy-")


def _target(request: Request) -> str:
    parts = urlsplit(request.target)
    path = parts.path or "/"
    return quote(f"{path}?{parts.query}" if parts.query else path, safe=_TARGET_CHARACTERS)


def _joined(answer: HTTPResponse) -> list[tuple[str, str]]:
    """Return the headers; a repeated one has its values joined by a comma."""
    names = {name.lower(): name for name in answer.headers}
    return [(name, ", ".join(answer.headers.get_all(name))) for name in names.values()]
