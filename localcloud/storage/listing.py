"""One page of a bucket's object names: prefixes, delimiters, offsets, globs, page tokens."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from localcloud.messages import ApiError
from localcloud.storage.objects import ObjectRecord, Objects
from localcloud.storage.preconditions import whole_number

MAX_PAGE_SIZE = 1000
_GLOB_TOKEN = re.compile(r"\*\*|\[[!^]?\]?[^\]]*\]|\\?.", re.DOTALL)


@dataclass(frozen=True)
class Listing:
    """What to list; an empty text means no limit of that kind."""

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    start_offset: str = ""  # the first name that may appear
    end_offset: str = ""  # the first name that may not
    glob: re.Pattern | None = None
    page_size: int = MAX_PAGE_SIZE
    page_start: str = ""  # where the page before ended
    versions: bool = False  # noncurrent ones, too; a page then ends with the last version of a name

    @classmethod
    def from_query(cls, bucket: str, query: Mapping[str, str]) -> "Listing":
        glob = query.get("matchGlob")
        return cls(
            bucket=bucket,
            prefix=query.get("prefix", ""),
            delimiter=query.get("delimiter", ""),
            start_offset=query.get("startOffset", ""),
            end_offset=query.get("endOffset", ""),
            glob=compiled_glob(glob) if glob else None,
            page_size=page_size(query),
            page_start=_read_token(query.get("pageToken", "")),
            versions=query.get("versions", "").lower() == "true",
        )


@dataclass(frozen=True)
class Page:
    records: list[ObjectRecord]
    prefixes: list[str]
    next_token: str  # empty on the last page


def list_page(objects: Objects, listing: Listing) -> Page:
    page = Page([], [], "")
    for entry in _entries(objects, listing):
        start = entry if isinstance(entry, str) else entry.name
        is_new = not page.records or page.records[-1].name != start
        if len(page.records) + len(page.prefixes) >= listing.page_size and is_new:
            return Page(page.records, page.prefixes, _token(start))
        if isinstance(entry, str):
            page.prefixes.append(entry)
        else:
            page.records.append(entry)
    return page


def page_size(query: Mapping[str, str]) -> int:
    """Return maxResults, which the service limits to 1,000."""
    size = whole_number(query, "maxResults")
    if size is not None and size < 0:
        raise ApiError(400, f"maxResults must not be negative: {size}")
    return min(size or MAX_PAGE_SIZE, MAX_PAGE_SIZE)


def _entries(objects: Objects, listing: Listing) -> Iterator[ObjectRecord | str]:
    """Yield records and common prefixes from the start of the page, in the order of their names."""
    start = max(listing.prefix, listing.start_offset, listing.page_start)
    # Without a delimiter or a glob, every object that is read belongs to this page or starts the next.
    is_plain = not listing.delimiter and not listing.glob
    batch_size = (listing.page_size if is_plain else MAX_PAGE_SIZE) + 1
    while True:
        read = objects.versions_in_order if listing.versions else objects.in_order
        batch = read(listing.bucket, start, batch_size)
        last = None
        for record in batch:
            if record.name < start and record.name != last:
                continue  # under a common prefix that was yielded already
            if not record.name.startswith(listing.prefix):
                return
            if listing.end_offset and record.name >= listing.end_offset:
                return
            start = record.name + "\0"  # no name fits between
            last = record.name
            if listing.glob and not listing.glob.fullmatch(record.name):
                continue
            if common := _common_prefix(record.name, listing):
                start, last = _after_all_with(common), None
            yield common or record
        if len({record.name for record in batch} if listing.versions else batch) < batch_size:
            return


def _common_prefix(name: str, listing: Listing) -> str:
    if not listing.delimiter:
        return ""
    end = name.find(listing.delimiter, len(listing.prefix))
    return name[: end + len(listing.delimiter)] if end >= 0 else ""


def _after_all_with(prefix: str) -> str:
    """Return the first text that sorts after everything that begins with `prefix`."""
    following = ord(prefix[-1]) + 1
    if 0xD800 <= following <= 0xDFFF:
        following = 0xE000  # no text holds a surrogate
    if following > 0x10FFFF:
        return prefix + "\U0010ffff" * 256
    return prefix[:-1] + chr(following)


def _token(start: str) -> str:
    return base64.urlsafe_b64encode(start.encode()).decode()


def _read_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise ApiError(400, f"Not a page token of this service: {token}") from None


def compiled_glob(glob: str) -> re.Pattern:
    try:
        return re.compile(_glob_expression(glob), re.DOTALL)
    except re.error as error:
        raise ApiError(400, f"Not a glob: {glob!r}: {error}") from error


def _glob_expression(glob: str) -> str:
    depth, parts = 0, []
    for token in _GLOB_TOKEN.findall(glob):
        if token == "{":
            depth += 1
            parts.append("(?:")
        elif token == "}" and depth:
            depth -= 1
            parts.append(")")
        elif token == "," and depth:
            parts.append("|")
        else:
            parts.append(_glob_token(token))
    if depth:
        raise re.error("a bracket is open")
    return "".join(parts)


def _glob_token(token: str) -> str:
    if token == "**":
        return ".*"
    if token == "*":
        return "[^/]*"
    if token == "?":
        return "[^/]"
    if len(token) > 2 and token[0] == "[":
        negated = token[1] in "!^"
        inside = re.sub(r"([\\\[\]^&~|])", r"\\\1", token[2:-1] if negated else token[1:-1])
        return f"[{'^' if negated else ''}{inside}]"
    return re.escape(token[-1])
