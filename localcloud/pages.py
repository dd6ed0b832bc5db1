"""One page of a list: the filter, page size and page token of a query.

A page token is a position in the list, or for Batch the last element of the page before, so that jobs may be
added or deleted between two pages.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any

from localcloud.filters import parse_filter
from localcloud.messages import ApiError, Request

DEFAULT_PAGE, MAX_PAGE = 100, 1000  # elements of a page in most services
_NUMBER = re.compile(r"[0-9]{1,18}")


def page_of(
    name: str,
    found: Iterable[tuple[dict[str, Any], dict[str, Any]]],
    request: Request,
    default_size: int,
    max_size: int,
) -> dict[str, Any]:
    """Return one page as the API answers it, its elements under `name`.

    Each pair of `found` is the resource that the filter is applied to, and the resource that is shown.
    """
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
        raise ApiError(400, f"{name} is invalid: {text[:40]} is not a whole number")
    return int(text)


def page_end(query: Mapping[str, str]) -> str:
    """Return the last element of the page before; empty for the first page."""
    token = query.get("pageToken", "")
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise ApiError(400, f"page_token {token!r} is invalid") from None


def page_token(end: str) -> str:
    return base64.urlsafe_b64encode(end.encode()).decode()
