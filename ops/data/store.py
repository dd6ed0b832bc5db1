"""The files of data/flusight/ and their lock file, lock.json.

The lock file says of each file where it came from and the digest of its content. It is written after the file
that it describes, so what it lists is complete.
"""

import contextlib
import datetime
import gzip
import hashlib
import json
import os
import re
import zlib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from ops.failures import UserError
from ops.terminal import nearest

LOCK = "lock.json"
FORMAT = 1
VINTAGES = "vintages"
VINTAGE = VINTAGES + "/target-hospital-admissions_{as_of}.csv.gz"
PARTIAL = ".partial"
MOST_BYTES = 200_000_000  # of a file that is unpacked


class NotWritten(UserError):
    """The folder takes no files: nothing more can be kept."""


@dataclass(frozen=True)
class Entry:
    """One file in the lock file.

    Attributes
    ----------
    sha256, bytes
        Of the content, before it is packed.
    etag : str
        What the source called this version; "" if it gave no name.
    as_of, newest_week, rows, counts
        Of a vintage; empty for other files. `counts` is the digest of its counts alone.
    """

    address: str
    sha256: str
    bytes: int
    fetched_at: str
    etag: str = ""
    as_of: str = ""
    newest_week: str = ""
    rows: int = 0
    counts: str = ""

    def is_same(self, other: "Entry") -> bool:
        """Return whether two files have the same content, or two vintages the same counts."""
        return self.sha256 == other.sha256 or (self.counts == other.counts != "")


@dataclass(frozen=True)
class Newest:
    """The newest target data that a source had: for the question whether they have changed."""

    address: str = ""
    etag: str = ""
    counts: str = ""


@dataclass
class Store:
    """Files below a folder, by their path in it."""

    folder: Path
    source: str = ""
    newest: Newest = field(default_factory=Newest)
    entries: dict[str, Entry] = field(default_factory=dict)

    def is_file(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def digest(self, name: str) -> str:
        """Return the digest of a file's content; "" if it cannot be unpacked."""
        try:
            return sha256(unpacked((self.folder / name).read_bytes(), MOST_BYTES))
        except (OSError, EOFError, zlib.error, ValueError):
            return ""

    def is_intact(self, name: str) -> bool:
        """Return whether a file that the lock file lists is there as it was written."""
        return self.is_file(name) and self.digest(name) == self.entries[name].sha256

    def damaged(self) -> list[str]:
        """Return the files that are there, but not as they were written."""
        return [name for name in sorted(self.entries) if self.is_file(name) and not self.is_intact(name)]

    def vintages(self) -> list[tuple[str, Entry]]:
        """Return the vintages in the lock file, oldest first."""
        return sorted(
            (item for item in self.entries.items() if item[1].as_of), key=lambda each: each[1].as_of
        )

    def rows_before(self, as_of: datetime.date) -> int:
        """Return the number of rows of the vintage before a day; 0 if there is none."""
        return next((e.rows for _, e in reversed(self.vintages()) if e.as_of < str(as_of)), 0)

    def has_counts(self, digest: str) -> bool:
        """Return whether a vintage with these counts is there, as it was written."""
        same = [name for name, entry in self.entries.items() if entry.counts == digest != ""]
        return any(map(self.is_intact, same))

    def by_address(self, address: str) -> str:
        """Return the newest file that came from an address; "" if none did."""
        return max((name for name, entry in self.entries.items() if entry.address == address), default="")

    def keep(self, name: str, content: bytes, entry: Entry) -> None:
        """Write a file, then the lock file; each appears whole or not at all."""
        packed = gzip.compress(content, 6, mtime=0) if name.endswith(".gz") else content
        write_whole(self.folder / name, packed)
        self.note(name, entry)

    def note(self, name: str, entry: Entry | None) -> None:
        """Write what is known about a file into the lock file; None removes it."""
        if entry is None:
            self.entries.pop(name, None)
        elif self.entries.get(name) == entry:
            return
        else:
            self.entries[name] = entry
        self.write_lock()

    def remember_newest(self, newest: Newest) -> None:
        if newest != self.newest:
            self.newest = newest
            self.write_lock()

    def write_lock(self) -> None:
        files = {
            name: {key: value for key, value in asdict(entry).items() if value not in ("", 0)}
            for name, entry in sorted(self.entries.items())
        }
        content = {"format": FORMAT, "source": self.source, "newest": asdict(self.newest), "files": files}
        text = (json.dumps(content, indent=1) + "\n").encode()
        path = self.folder / LOCK
        if not path.is_file() or path.read_bytes() != text:
            write_whole(path, text)

    def remove_partial_files(self) -> None:
        """Remove what an update that was killed left half-written."""
        for path in self.folder.rglob(f".*{PARTIAL}"):
            path.unlink(missing_ok=True)


def open_store(folder: Path) -> Store:
    """Return the files that a lock file lists; none without a lock file.

    Raises
    ------
    UserError
        The lock file cannot be read.
    """
    path = folder / LOCK
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        if read["format"] != FORMAT:
            raise ValueError(f"format {read['format']} instead of {FORMAT}")
        known = {each.name for each in fields(Entry)}
        entries = {
            name: Entry(**{key: value for key, value in one.items() if key in known})
            for name, one in read["files"].items()
        }
        if any(re.search(r"(^|/)\.\.?(/|$)|^/", name) for name in entries):
            raise ValueError("a file outside its folder")
        return Store(folder, read["source"], Newest(**read["newest"]), entries)
    except FileNotFoundError:
        return Store(folder)
    except OSError as error:
        raise UserError(f"{nearest(path)}: cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{nearest(path)}: not a lock file ({error}); delete it, and the next update checks each file "
            "against the source"
        ) from None


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def unpacked(packed: bytes, most_bytes: int) -> bytes:
    """Return a content, unpacked if it is packed with gzip.

    Raises
    ------
    EOFError, zlib.error
        It is cut off or damaged.
    ValueError
        It is larger than `most_bytes`.
    """
    if not packed.startswith(b"\x1f\x8b"):
        return packed
    content = b""
    while packed.rstrip(b"\0"):  # a file may have several parts, each packed by itself
        reader = zlib.decompressobj(31)
        content += reader.decompress(packed, most_bytes + 1 - len(content))
        if len(content) > most_bytes:
            raise ValueError(f"more than {most_bytes:,} bytes unpacked")
        if not reader.eof:
            raise EOFError("cut off")
        packed = reader.unused_data
    return content


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all.

    Raises
    ------
    NotWritten
        It cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(content)
            partial.replace(path)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise NotWritten(
            f"{nearest(path)}: cannot be written ({error.strerror}); what is complete is kept"
        ) from None
