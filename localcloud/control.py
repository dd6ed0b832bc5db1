"""The emulator's own routes, under /_emulator on each port: faults, a count of the requests, reset."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from localcloud.faults import Faults
from localcloud.messages import Request, Response, json_response, json_value
from localcloud.routing import Route

PREFIX = "/_emulator/"


class RequestLog:
    """Counts of the requests by route and status; it stays small however long the server runs."""

    def __init__(self):
        self._lock = threading.Lock()
        self._by_route: Counter[str] = Counter()
        self._by_status: Counter[str] = Counter()
        self._in_progress = 0
        self._max_in_progress = 0

    @contextmanager
    def request(self, route_name: str) -> Iterator[None]:
        with self._lock:
            self._by_route[route_name] += 1
            self._in_progress += 1
            self._max_in_progress = max(self._max_in_progress, self._in_progress)
        try:
            yield
        finally:
            with self._lock:
                self._in_progress -= 1

    def count_status(self, status: int) -> None:
        with self._lock:
            self._by_status[str(status)] += 1

    def summary(self) -> dict[str, Any]:
        with self._lock:
            return {
                "total": self._by_route.total(),
                "by_route": dict(self._by_route),
                "by_status": dict(self._by_status),
                "max_concurrent": self._max_in_progress,
            }

    def clear(self) -> None:
        with self._lock:
            self._by_route.clear()
            self._by_status.clear()
            self._max_in_progress = self._in_progress


def control_routes(faults: Faults, log: RequestLog, resets: Sequence[Callable[[], None]]) -> list[Route]:
    """Return the routes of faults, requests and reset; each function of `resets` empties one service."""

    def show_requests(request: Request) -> Response:
        return json_response(log.summary())

    def reset(request: Request) -> Response:
        faults.clear()
        for empty in resets:
            empty()
        log.clear()
        return json_response({})

    return [
        *fault_routes("faults", faults),
        Route("GET", PREFIX + "requests", show_requests),
        Route("POST", PREFIX + "reset", reset),
    ]


class FaultRules(Protocol):
    """Fault rules of one kind, as a test sets them."""

    def add(self, rules: Any) -> None: ...

    def clear(self) -> None: ...

    def describe(self) -> list[dict[str, Any]]: ...


def fault_routes(path: str, faults: FaultRules) -> list[Route]:
    """Return the routes that add, show and clear fault rules."""

    def add(request: Request) -> Response:
        faults.add(json_value(request.read_all()))
        return show(request)

    def show(request: Request) -> Response:
        return json_response(faults.describe())

    def clear(request: Request) -> Response:
        faults.clear()
        return show(request)

    return [
        Route("POST", PREFIX + path, add),
        Route("GET", PREFIX + path, show),
        Route("DELETE", PREFIX + path, clear),
    ]
