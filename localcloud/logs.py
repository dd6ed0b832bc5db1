"""Cloud Logging: entries written by the services here or through the API, and listed by filter.

REST API v2: https://cloud.google.com/logging/docs/reference/v2/rest
"""

import itertools
import threading
from collections import deque
from typing import Any

from localcloud import times
from localcloud.filters import Matcher, parse_filter
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.pages import whole_number
from localcloud.routing import Route
from localcloud.times import now

# the oldest go first, so that memory stays bounded
MAX_ENTRIES = 500_000
MAX_BYTES = 256 * 2**20  # of what is logged, besides labels and the like
DEFAULT_PAGE = 50
MAX_PAGE = 1000
_PAYLOADS = ("textPayload", "jsonPayload", "protoPayload")


class LogService:
    """The entries of every project, in the order they were written."""

    def __init__(self):
        self._entries: deque[dict[str, Any]] = deque()
        self._bytes = 0
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
            self._bytes = 0

    def write(self, entry: dict[str, Any]) -> None:
        """Keep an entry; the time and the id are put in where they are missing."""
        with self._lock:
            received = now()
            kept = {"timestamp": received, "severity": "DEFAULT", **entry, "receiveTimestamp": received}
            kept.setdefault("insertId", f"localcloud-{next(self._numbers):012d}")
            self._entries.append(kept)
            self._bytes += _size(kept)
            while len(self._entries) > MAX_ENTRIES or self._bytes > MAX_BYTES:
                self._bytes -= _size(self._entries.popleft())

    def select(self, matches: Matcher) -> list[dict[str, Any]]:
        """Return the entries that match, in the order they were written."""
        with self._lock:
            entries = list(self._entries)
        return [entry for entry in entries if matches(entry)]

    def write_entries(self, request: Request) -> Response:
        body = request.json()
        common = {name: body[name] for name in ("logName", "resource") if name in body}
        entries = []
        for entry in _entries_of(body):
            labels = {**_labels_of(body), **_labels_of(entry)}
            entries.append({**common, **entry, **({"labels": labels} if labels else {})})
            _check(entries[-1])
        for entry in entries:
            self.write(entry)
        return json_response({})

    def list(self, request: Request) -> Response:
        asked = request.json()
        projects = asked.get("resourceNames")
        if not isinstance(projects, list) or not projects:
            raise ApiError(400, "resource_names is required.")
        matches = parse_filter(str(asked.get("filter") or ""))
        newest_first = str(asked.get("orderBy", "")).split()[-1:] == ["desc"]
        size = min(whole_number(str(asked.get("pageSize") or DEFAULT_PAGE), "page_size"), MAX_PAGE)
        start = whole_number(str(asked.get("pageToken") or "0"), "page_token")
        owners = tuple(f"{str(name).partition('/locations/')[0]}/" for name in projects)
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


def _size(entry: dict[str, Any]) -> int:
    return sum(len(str(entry[name])) for name in _PAYLOADS if name in entry)


def _entries_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    entries = body.get("entries", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ApiError(400, "entries must be a list of entries.")
    return entries


def _labels_of(place: dict[str, Any]) -> dict[str, str]:
    labels = place.get("labels") or {}
    if not isinstance(labels, dict):
        raise ApiError(400, "labels must be an object.")
    return labels


def _check(entry: dict[str, Any]) -> None:
    """Refuse an entry that could not be kept, or not be listed with others."""
    name = entry.get("logName")
    if not name or not isinstance(name, str):
        raise ApiError(400, "Log name is required.")
    if sum(name in entry for name in _PAYLOADS) != 1:
        raise ApiError(400, f"One payload of {', '.join(_PAYLOADS)} is required.")
    try:
        times.parse(entry.get("timestamp", now()))
    except (ValueError, AttributeError) as error:
        raise ApiError(400, f"The timestamp {entry['timestamp']!r} is none.") from error
