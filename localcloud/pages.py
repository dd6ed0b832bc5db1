"""A page of a list: filter, page size and token as the query asks for them."""

from collections.abc import Iterable
from typing import Any

from localcloud.filters import parse_filter
from localcloud.messages import ApiError, Request


def page_of(
    name: str,
    found: Iterable[tuple[dict[str, Any], dict[str, Any]]],
    request: Request,
    default_size: int,
    max_size: int,
) -> dict[str, Any]:
    """Return an answer that lists under `name`; `found` are what a filter looks at and what is shown."""
    start = _whole_number(request.query.get("pageToken") or "0", "page_token")
    size = _whole_number(request.query.get("pageSize") or "0", "page_size") or default_size
    matches = parse_filter(request.query.get("filter", ""))
    shown = [resource for looked_at, resource in found if matches(looked_at)]
    end = start + min(size, max_size)
    page: dict[str, Any] = {name: shown[start:end]} if shown[start:end] else {}
    if len(shown) > end:
        page["nextPageToken"] = str(end)
    return page


def _whole_number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ApiError(400, f"{what} is invalid")
    return int(text)
