"""Bodies in several parts: an object's metadata with its bytes, and batches of requests.

They are split here because Python's mail parser changes binary parts and line ends.
"""

import re
from dataclasses import dataclass

from localcloud.messages import ApiError, Body, Headers
from localcloud.storage.content import Draft

_HEAD_BYTES = 64 * 1024
_MAX_HEAD_BYTES = 2**20


@dataclass(frozen=True)
class Part:
    headers: Headers
    body: bytes


def read_related(body: Body, boundary: bytes, draft: Draft) -> tuple[Part, Headers]:
    """Return an upload's first part and the headers of its second, whose bytes are written to `draft`."""
    head = b""
    while (found := _two_heads(head, boundary)) is None:
        piece = body.read(_HEAD_BYTES)
        head += piece
        if not piece or len(head) > _MAX_HEAD_BYTES:
            raise ApiError(400, "Not a multipart/related body of two parts.")
    first, media_headers, media_start, line_end = found
    draft.write(head[media_start:])
    draft.write_all(body)
    _cut_off_end(draft, line_end + b"--" + boundary + b"--")
    return first, media_headers


def split_mixed(body: bytes, boundary: bytes) -> list[Part]:
    """Return the parts of a body that is in memory."""
    line_end = _line_end_after(body, b"--" + boundary) or b"\r\n"
    pieces = (line_end + body).split(line_end + b"--" + boundary)
    parts = []
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            return parts
        parts.append(split_part(piece.removeprefix(line_end)))
    raise ApiError(400, "The multipart body has no end.")


def split_part(text: bytes) -> Part:
    """Return a part from headers, which may be missing, an empty line, and a body."""
    if text.startswith((b"\r\n", b"\n")):
        return Part(Headers(), text.removeprefix(b"\r").removeprefix(b"\n"))
    head, *body = re.split(rb"\r?\n\r?\n", text, maxsplit=1)
    return Part(_parse_headers(head), b"".join(body))


def boundary_of(headers: Headers) -> bytes:
    """Return what separates the parts; gcloud puts it in single quotes, which is not standard."""
    content_type = headers.get("Content-Type", "")
    found = re.search(r"boundary=(\"[^\"]+\"|'[^']+'|[^;]+)", content_type, re.IGNORECASE)
    if not found:
        raise ApiError(400, f"No multipart boundary in Content-Type: {content_type}")
    return found[1].strip().strip("\"'").encode()


def _two_heads(text: bytes, boundary: bytes) -> tuple[Part, Headers, int, bytes] | None:
    """Return the first part, the headers of the second, the start of its bytes, and the line end.

    It is None if `text` does not reach that far.
    """
    opening = b"--" + boundary
    line_end = _line_end_after(text, opening)
    if not line_end:
        return None
    first_start = text.index(opening) + len(opening) + len(line_end)
    first_end = text.find(line_end + opening + line_end, first_start)
    if first_end < 0:
        return None
    second_start = first_end + len(line_end + opening)
    head_end = text.find(line_end * 2, second_start)
    if head_end < 0:
        return None
    first = split_part(text[first_start:first_end])
    media_headers = _parse_headers(text[second_start:head_end])
    return first, media_headers, head_end + 2 * len(line_end), line_end


def _parse_headers(head: bytes) -> Headers:
    lines = (line.partition(":") for line in head.decode("utf-8", "replace").splitlines())
    return Headers((name, value.strip()) for name, _, value in lines)


def _line_end_after(text: bytes, opening: bytes) -> bytes:
    """Return the line end after `opening`: CRLF or, from some clients, LF."""
    end = text.find(opening) + len(opening)
    if opening not in text or len(text) < end + 2:
        return b""
    return b"\n" if text[end : end + 1] == b"\n" else b"\r\n"


def _cut_off_end(draft: Draft, closing: bytes) -> None:
    tail = draft.tail(len(closing) + 1024)
    found = tail.rfind(closing)
    if found < 0:
        raise ApiError(400, "The multipart body has no end.")
    draft.truncate(draft.size - len(tail) + found)
