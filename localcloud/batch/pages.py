"""Where a page of a list begins, and the token of the next.

A token names what the page before ended with, so that jobs that come and go meanwhile move nothing.
"""

import base64
import binascii
from collections.abc import Mapping

from localcloud.messages import ApiError

DEFAULT_PAGE = 100
MAX_PAGE = 1000


def page_end(query: Mapping[str, str]) -> str:
    """Return what the page before ended with; empty for the first page."""
    token = query.get("pageToken", "")
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise ApiError(400, f"page_token {token!r} is invalid") from None


def page_token(end: str) -> str:
    return base64.urlsafe_b64encode(end.encode()).decode()
