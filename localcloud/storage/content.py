"""The bytes of an object: received, checked, stored, and sent.

Small contents stay in memory and are stored in the database; large ones are handled in pieces and stored as
files. objects.py knows which object a content belongs to.
"""

import base64
import hashlib
import io
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import google_crc32c

from localcloud.messages import READ_BYTES, ApiError

INLINE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Content:
    """A complete content, either `inline` or in the file at `path`."""

    size: int
    crc32c: str  # base64, as the API shows it
    md5: str | None  # unknown for an object composed of others
    inline: bytes | None = None
    path: Path | None = None

    def discard(self) -> None:
        if self.path:
            self.path.unlink(missing_ok=True)

    def check(self, expected: Mapping[str, str]) -> None:
        """Refuse bytes that do not match the sender's digests, `expected` by "crc32c" and "md5"."""
        for kind, actual in (("crc32c", self.crc32c), ("md5", self.md5)):
            wanted = expected.get(kind)
            if wanted and actual and wanted != actual:
                raise ApiError(
                    400,
                    f'Provided {kind} "{wanted}" does not match the {kind} of the content '
                    f'received, "{actual}".',
                )


class Draft:
    """A content that is being received; it is removed after `with` unless it was sealed and stored."""

    def __init__(self, folder: Path):
        self._path = folder / secrets.token_hex(16)
        self._file: BinaryIO = io.BytesIO()
        self._is_in_memory = True

    def __enter__(self) -> "Draft":
        return self

    def __exit__(self, *error) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    @property
    def size(self) -> int:
        return self._file.tell()

    def write(self, piece: bytes) -> None:
        if self._is_in_memory and self.size + len(piece) > INLINE_BYTES:
            self._move_to_file()
        self._file.write(piece)

    def write_all(self, source) -> None:
        """Write everything that `source.read` returns."""
        while piece := source.read(READ_BYTES):
            self.write(piece)

    def tail(self, size: int) -> bytes:
        """Return the last `size` bytes written, or all."""
        end = self.size
        self._file.seek(max(0, end - size))
        return self._file.read()

    def truncate(self, size: int) -> None:
        self._file.seek(size)
        self._file.truncate()

    def seal(self, with_md5: bool = True) -> Content:
        if self._is_in_memory:
            data = self._file.getvalue()
            return Content(*digests(io.BytesIO(data), with_md5), inline=data)
        self._file.close()
        return sealed_file(self._path, with_md5)

    def _move_to_file(self) -> None:
        data = self._file.getvalue()
        self._file = open(self._path, "w+b")  # noqa: SIM115 (closed by __exit__)
        self._file.write(data)
        self._is_in_memory = False


def sealed_file(path: Path, with_md5: bool = True) -> Content:
    """Return a complete file as content; a small one stays in its file, too."""
    with open(path, "rb") as file:
        return Content(*digests(file, with_md5), path=path)


def digests(file: BinaryIO, with_md5: bool = True) -> tuple[int, str, str | None]:
    """Return size, crc32c and md5 of the rest of a file."""
    size, crc32c, md5 = 0, google_crc32c.Checksum(), hashlib.md5(usedforsecurity=False)
    while piece := file.read(READ_BYTES):
        size += len(piece)
        crc32c.update(piece)
        if with_md5:
            md5.update(piece)
    return size, _base64(crc32c.digest()), _base64(md5.digest()) if with_md5 else None


def expected_digests(
    headers: Mapping[str, str], properties: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the digests that the sender gives, in headers or in the object's properties."""
    expected = {}
    for pair in headers.get("X-Goog-Hash", "").split(","):
        kind, _, value = pair.strip().partition("=")
        expected[kind] = value
    expected["md5"] = expected.get("md5") or headers.get("Content-MD5")
    for kind, name in (("crc32c", "crc32c"), ("md5", "md5Hash")):
        expected[kind] = (properties or {}).get(name) or expected.get(kind)
    return {kind: value for kind, value in expected.items() if value}


class Reader:
    """Part of a content, as pieces to send; closing it closes the file."""

    def __init__(self, file: BinaryIO, start: int, size: int):
        self._file, self._size = file, size
        file.seek(start)

    def __iter__(self) -> Iterator[bytes]:
        left = self._size
        while piece := self._file.read(min(left, READ_BYTES)):
            left -= len(piece)
            yield piece

    def close(self) -> None:
        self._file.close()


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file that never changes a second name, or copy it where links are not possible."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
