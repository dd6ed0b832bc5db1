"""Cloud Logging: entries written by the services here or through the API, and listed by filter.

REST API v2: https://cloud.google.com/logging/docs/reference/v2/rest
"""

import itertools
import threading
from collections import deque
from typing import Any

from localcloud.filters import Matcher, parse_filter
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.routing import Route
from localcloud.times import now

MAX_ENTRIES = 500_000  # the oldest go first, so that memory stays bounded
MAX_PAGE = 1000
_PAYLOADS = ("textPayload", "jsonPayload", "protoPayload")


class LogService:
    """The entries of every project, in the order they were written."""

    def __init__(self):
        self._entries: deque[dict[str, Any]] = deque(maxlen=MAX_ENTRIES)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v2/entries:list", self.list),
            Route("POST", "/v2/entries:write", self.write_entries),
            Route("GET", "/v2/projects/{project}/logs", self.list_logs),
        ]

    def forget_all(self) -> None:
        with self._lock:
            self._entries.clear()

    def write(self, entry: dict[str, Any]) -> None:
        """Keep an entry; the time and the id are put in where they are missing."""
        with self._lock:
            received = now()
            kept = {"timestamp": received, "severity": "DEFAULT", **entry, "receiveTimestamp": received}
            kept.setdefault("insertId", f"localcloud-{next(self._numbers):012d}")
            self._entries.append(kept)

    def select(self, matches: Matcher) -> list[dict[str, Any]]:
        """Return the entries that match, in the order they were written."""
        with self._lock:
            entries = list(self._entries)
        return [entry for entry in entries if matches(entry)]

    def write_entries(self, request: Request) -> Response:
        body = request.json()
        common = {name: body[name] for name in ("logName", "resource") if name in body}
        entries = [{**common, **entry} for entry in body.get("entries", [])]
        for entry in entries:
            if not entry.get("logName"):
                raise ApiError(400, "Log name is required.")
            if sum(name in entry for name in _PAYLOADS) != 1:
                raise ApiError(400, f"One payload of {', '.join(_PAYLOADS)} is required.")
        for entry in entries:
            labels = {**body.get("labels", {}), **entry.get("labels", {})}
            self.write(entry | ({"labels": labels} if labels else {}))
        return json_response({})

    def list(self, request: Request) -> Response:
        asked = request.json()
        projects = asked.get("resourceNames") or []
        if not projects:
            raise ApiError(400, "resource_names is required.")
        matches = parse_filter(asked.get("filter", ""))
        newest_first = asked.get("orderBy", "timestamp asc").split()[-1:] == ["desc"]
        size, start = min(int(asked.get("pageSize") or 50), MAX_PAGE), _page_start(asked)
        owners = tuple(f"{name.split('/locations/')[0]}/" for name in projects)
        found = self.select(lambda entry: entry["logName"].startswith(owners) and matches(entry))
        found.sort(key=lambda entry: entry["timestamp"], reverse=newest_first)
        page = {"entries": found[start : start + size]} if found[start:] else {}
        if len(found) > start + size:
            page["nextPageToken"] = str(start + size)
        return json_response(page)

    def list_logs(self, request: Request, project: str) -> Response:
        prefix = f"projects/{project}/"
        with self._lock:
            names = sorted({e["logName"] for e in self._entries if e["logName"].startswith(prefix)})
        return json_response({"logNames": names} if names else {})


def _page_start(asked: dict[str, Any]) -> int:
    token = str(asked.get("pageToken") or "0")
    if not (token.isascii() and token.isdecimal()):
        raise ApiError(400, "page_token is invalid")
    return int(token)
