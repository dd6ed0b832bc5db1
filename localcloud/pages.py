"""A page of a list: filter, page size and token as the query asks for them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from localcloud.filters import parse_filter
from localcloud.messages import ApiError, Request

_WHOLE_NUMBER = re.compile("[0-9]{1,18}")


def page_of(
    name: str,
    found: Iterable[tuple[dict[str, Any], dict[str, Any]]],
    request: Request,
    default_size: int,
    max_size: int,
) -> dict[str, Any]:
    """Return an answer that lists under `name`; `found` are what a filter looks at and what is shown."""
    start = whole_number(request.query.get("pageToken") or "0", "page_token")
    size = page_size(request.query, default_size, max_size)
    matches = parse_filter(request.query.get("filter", ""))
    shown = [resource for looked_at, resource in found if matches(looked_at)]
    end = start + size
    page: dict[str, Any] = {name: shown[start:end]} if shown[start:end] else {}
    if len(shown) > end:
        page["nextPageToken"] = str(end)
    return page


def page_size(query: Mapping[str, str], default: int, most: int) -> int:
    """Return how many are asked for; none or 0 leaves it to the service."""
    return min(whole_number(query.get("pageSize") or "0", "page_size") or default, most)


def whole_number(text: str, what: str) -> int:
    if not _WHOLE_NUMBER.fullmatch(text):
        raise ApiError(400, f"{what} {text[:80]!r} is invalid")
    return int(text)
