"""A page of a list: filter, page size and token as the query asks for them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from localcloud.filters import parse_filter
from localcloud.messages import ApiError, Request

_NUMBER = re.compile(r"[0-9]{1,18}")


def page_of(
    name: str,
    found: Iterable[tuple[dict[str, Any], dict[str, Any]]],
    request: Request,
    default_size: int,
    max_size: int,
) -> dict[str, Any]:
    """Return an answer that lists under `name`; `found` are what a filter looks at and what is shown."""
    start, size = page_start(request.query), page_size(request.query, default_size, max_size)
    matches = parse_filter(request.query.get("filter", ""))
    shown = [resource for looked_at, resource in found if matches(looked_at)]
    end = start + size
    page: dict[str, Any] = {name: shown[start:end]} if shown[start:end] else {}
    if len(shown) > end:
        page["nextPageToken"] = str(end)
    return page


def page_start(asked: Mapping[str, Any]) -> int:
    return whole_number(asked, "pageToken")


def page_size(asked: Mapping[str, Any], default: int, most: int) -> int:
    return min(whole_number(asked, "pageSize") or default, most)


def whole_number(asked: Mapping[str, Any], name: str) -> int:
    text = str(asked.get(name) or 0)
    if not _NUMBER.fullmatch(text):
        raise ApiError(400, f"{name} is invalid: {text[:40]} is no whole number")
    return int(text)
