"""What has been asked of the emulator: counts by route, and how much went on at once.

Keeps counts only, one a route, so that it stays small however long a server runs.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class RequestLog:
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
