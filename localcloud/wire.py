"""HTTP/1.1 as bytes: requests read from a connection, answers written to it.

Python's own server parses headers as mail, which took a third of the time of a small upload.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.client import responses
from typing import BinaryIO

from localcloud.messages import ApiError, Body, Headers, Response

MAX_LINE_BYTES = 64 * 1024
MAX_HEADERS = 200
_NO_BODY = (204, 304)
_LENGTH = re.compile("[0-9]{1,18}")
_CHUNK_LENGTH = re.compile("[0-9a-fA-F]{1,15}")


@dataclass(frozen=True)
class Head:
    """A request's first line and headers."""

    method: str
    target: str
    headers: Headers
    keeps_alive: bool


def read_head(stream: BinaryIO) -> Head | None:
    """Return the next request's head; None if the client has closed the connection."""
    line = _read_line(stream) or _read_line(stream)  # an empty line may precede a request
    if not line:
        return None
    words = line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise ApiError(400, f"Not an HTTP/1.1 request: {line[:80]!r}")
    headers = _read_headers(stream)
    wish = headers.get("Connection", "").lower()
    keeps_alive = wish != "close" and (words[2] != "HTTP/1.0" or wish == "keep-alive")
    return Head(words[0], words[1], headers, keeps_alive)


def body_of(head: Head, stream: BinaryIO) -> Body:
    if head.headers.get("Transfer-Encoding", "").lower() == "chunked":
        return _ChunkedBody(stream)
    length = head.headers.get("Content-Length", "0")
    if not _LENGTH.fullmatch(length):
        raise ApiError(400, f"Content-Length is not a number: {length[:80]}")
    return _SizedBody(stream, int(length))


def write_response(
    stream: BinaryIO, response: Response, *, is_head: bool = False, only_half: bool = False
) -> None:
    """Write an answer; a body of unknown length is sent in chunks."""
    has_body = response.status not in _NO_BODY
    is_chunked = has_body and response.length is None
    lines = [f"HTTP/1.1 {response.status} {responses.get(response.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    if is_chunked:
        lines.append("Transfer-Encoding: chunked")
    elif has_body:
        lines.append(f"Content-Length: {response.length}")
    stream.write("\r\n".join([*lines, "", ""]).encode("latin-1", "replace"))
    if not has_body or is_head:
        return
    pieces = [response.body] if isinstance(response.body, bytes) else response.body
    for piece in _first_half(pieces, response.length) if only_half else pieces:
        stream.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
        if is_chunked:
            stream.flush()  # more may come much later
    if is_chunked and not only_half:
        stream.write(b"0\r\n\r\n")


class _SizedBody:
    """A body of known length."""

    def __init__(self, stream: BinaryIO, length: int):
        self._stream, self._left = stream, length

    def read(self, size: int) -> bytes:
        wanted = min(size, self._left)
        piece = _read_exactly(self._stream, wanted)
        self._left -= wanted
        return piece


class _ChunkedBody:
    """A body in chunks, each preceded by its length."""

    def __init__(self, stream: BinaryIO):
        self._stream, self._left, self._is_done = stream, 0, False

    def read(self, size: int) -> bytes:
        if not self._left and not self._is_done:
            self._start_chunk()
        wanted = min(size, self._left)
        piece = _read_exactly(self._stream, wanted)
        self._left -= wanted
        if piece and not self._left:
            _read_line(self._stream)  # the line end after a chunk
        return piece

    def _start_chunk(self) -> None:
        line = _read_line(self._stream)
        length = line.partition(";")[0].strip()
        if not _CHUNK_LENGTH.fullmatch(length):
            raise ConnectionError(f"not the length of a chunk: {line!r}")
        self._left = int(length, 16)
        if self._left == 0:
            self._is_done = True
            _read_headers(self._stream)  # trailers


def _read_headers(stream: BinaryIO) -> Headers:
    pairs = []
    while line := _read_line(stream):
        name, _, value = line.partition(":")
        pairs.append((name, value.strip()))
        if len(pairs) > MAX_HEADERS:
            raise ApiError(400, f"More than {MAX_HEADERS} headers.")
    return Headers(pairs)


def _read_line(stream: BinaryIO) -> str:
    line = stream.readline(MAX_LINE_BYTES)
    if len(line) == MAX_LINE_BYTES:
        raise ApiError(400, f"A line has more than {MAX_LINE_BYTES} bytes.")
    return line.decode("latin-1").rstrip("\r\n")


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    piece = stream.read(size)
    if len(piece) < size:
        raise ConnectionError("the client left in the middle of a body")
    return piece


def _first_half(pieces: Iterable[bytes], length: int | None) -> Iterator[bytes]:
    """Yield the first half of `length` bytes, or half of the first piece if the length is unknown."""
    left = None if length is None else length // 2
    for piece in pieces:
        left = len(piece) // 2 if left is None else left
        if left == 0:
            return
        yield piece[:left]
        left -= len(piece[:left])
