"""Cloud Logging: entries that the services here or clients write, listed by filter.

REST API v2: https://cloud.google.com/logging/docs/reference/v2/rest
"""

import itertools
import threading
from collections import deque
from typing import Any

from localcloud import times
from localcloud.filters import SEVERITIES, Matcher, parse_filter
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.pages import page_size, page_start
from localcloud.rights.callers import may, need, need_nothing
from localcloud.routing import Route
from localcloud.times import now

# Beyond these limits the oldest entries are dropped.
MAX_ENTRIES = 500_000
MAX_BYTES = 256 * 2**20  # of payloads; labels and other fields are not counted
DEFAULT_PAGE, MAX_PAGE = 50, 1000
# Data Access logs: https://cloud.google.com/logging/docs/access-control#considerations
_PRIVATE = "/cloudaudit.googleapis.com%2Fdata_access"
_PAYLOADS = ("textPayload", "jsonPayload", "protoPayload")
_KINDS = {
    "insertId": str,
    "jsonPayload": dict,
    "labels": dict,
    "logName": str,
    "protoPayload": dict,
    "resource": dict,
    "severity": str,
    "textPayload": str,
    "timestamp": str,
}
_KIND_NAMES = {dict: "a JSON object", list: "a list", str: "text"}


class LogService:
    """The entries of all projects, in the order they were written."""

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
        """Store an entry, with a time and an id if it has none."""
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
        common = {name: body[name] for name in ("labels", "logName", "resource") if name in body}
        for name in common:
            _check_kind(body, name, _KINDS[name])
        _check_kind(body, "entries", list)
        entries = [_read_entry(entry, common) for entry in body.get("entries", [])]
        if not entries:
            need_nothing()
        for owner in sorted({_owner(entry["logName"]) for entry in entries}):
            need("logging.logEntries.create", owner)
        for entry in entries:
            self.write(entry)
        return json_response({})

    def list(self, request: Request) -> Response:
        asked = request.json()
        for name, kind in (("filter", str), ("orderBy", str), ("resourceNames", list)):
            _check_kind(asked, name, kind)
        projects = asked.get("resourceNames")
        if not projects:
            raise ApiError(400, "resource_names is required.")
        for name in projects:
            need("logging.logEntries.list", str(name))
        matches = parse_filter(asked.get("filter", ""))
        newest_first = asked.get("orderBy", "timestamp asc").split()[-1:] == ["desc"]
        size, start = page_size(asked, DEFAULT_PAGE, MAX_PAGE), page_start(asked)
        owners = tuple(f"{str(name).partition('/locations/')[0]}/" for name in projects)
        found = self.select(lambda entry: entry["logName"].startswith(owners) and matches(entry))
        hidden = _hidden({entry["logName"] for entry in found})
        found = [entry for entry in found if entry["logName"] not in hidden]
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


def _owner(log: str) -> str:
    """Return what a log belongs to, such as projects/P."""
    return log.partition("/logs/")[0]


def _hidden(logs: set[str]) -> set[str]:
    """Return those of the logs that the caller may not read; the service leaves their entries out."""
    private = {log for log in logs if log.endswith(_PRIVATE)}
    return {log for log in private if not may("logging.privateLogEntries.list", _owner(log))}


def _size(entry: dict[str, Any]) -> int:
    return sum(len(str(entry[name])) for name in _PAYLOADS if name in entry)


def _read_entry(entry: Any, common: dict[str, Any]) -> dict[str, Any]:
    """Return an entry as it is stored, or refuse it: an invalid entry would break every later list."""
    for name, kind in _KINDS.items():
        _check_kind(entry, name, kind)
    read = {**common, **entry}
    if not read.get("logName"):
        raise ApiError(400, "Log name is required.")
    if sum(name in read for name in _PAYLOADS) != 1:
        raise ApiError(400, f"One payload of {', '.join(_PAYLOADS)} is required.")
    if read.get("severity", "DEFAULT") not in SEVERITIES:
        raise ApiError(400, f"The severity {read['severity']} is not one of {', '.join(SEVERITIES)}.")
    if "timestamp" in read:
        read["timestamp"] = _time(read["timestamp"])
    if labels := {**common.get("labels", {}), **entry.get("labels", {})}:
        read["labels"] = labels
    return read


def _check_kind(asked: Any, name: str, kind: type) -> None:
    if not isinstance(asked, dict) or not isinstance(asked.get(name, kind()), kind):
        raise ApiError(400, f"{name} must be {_KIND_NAMES[kind]}.")


def _time(text: str) -> str:
    """Return a time in a form that sorts as text."""
    try:
        return times.at(times.parse(text).timestamp())
    except (ValueError, OverflowError):
        raise ApiError(400, f"The timestamp {text} is not of the form 2026-01-31T12:00:00Z.") from None
