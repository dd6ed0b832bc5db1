"""Callbacks: the endpoints that an execution creates, and the calls that its steps wait for."""

import json
import threading
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from localcloud.messages import ApiError, Request, json_value
from localcloud.times import now
from localcloud.workflows.errors import error
from localcloud.workflows.limits import WAITING_CALLBACKS

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH")


@dataclass
class Callback:
    """One endpoint: the method it accepts, and the calls that no step has taken yet."""

    method: str
    calls: deque[dict[str, Any]] = field(default_factory=deque)
    waiters: int = 0


class Callbacks:
    """The endpoints of one execution, all below `url`."""

    def __init__(self, url: str):
        self._url = url
        self._endpoints: dict[str, Callback] = {}
        self._lock = threading.Lock()

    def create(self, method: str) -> dict[str, str]:
        """Create an endpoint and return it as the workflow sees it."""
        if method not in METHODS:
            raise error("ValueError", f"a callback's method must be one of {', '.join(METHODS)}")
        callback_id = str(uuid.uuid4())
        with self._lock:
            self._endpoints[callback_id] = Callback(method)
        return {"url": f"{self._url}/{callback_id}"}

    def wait(
        self,
        endpoint: dict[str, Any],
        seconds: float,
        wait_for: Callable[[Callable[[], bool], float], bool],
    ) -> dict[str, Any]:
        """Return the oldest call of an endpoint that no step has taken.

        `wait_for` waits until a condition holds or the seconds have passed, and returns whether it holds.
        """
        found = self._endpoints.get(str(endpoint.get("url", "")).rpartition("/")[2])
        if found is None:
            raise error("ValueError", "not a callback of this execution")
        taken: list[dict[str, Any]] = []

        def take() -> bool:
            with self._lock:
                if not taken and found.calls:
                    taken.append(found.calls.popleft())
            return bool(taken)

        with self._lock:
            found.waiters += 1
        try:
            if not wait_for(take, seconds):
                raise error("TimeoutError", f"no callback within {seconds} s")
        finally:
            with self._lock:
                found.waiters -= 1
        return taken[0]

    def receive(self, callback_id: str, request: Request) -> None:
        """Store a call for the step that waits for it."""
        found = self._endpoints.get(callback_id)
        if found is None:
            raise ApiError(404, "Callback not found.")
        if request.method != found.method:
            raise ApiError(405, f"This callback takes {found.method}, not {request.method}.")
        call = _event(request, request.read_all())
        with self._lock:
            if len(found.calls) >= WAITING_CALLBACKS:
                raise ApiError(429, "Too many calls wait for this callback.")
            found.calls.append(call)

    def resources(self, execution_name: str) -> list[dict[str, Any]]:
        with self._lock:
            return [
                {
                    "name": f"{execution_name}/callbacks/{callback_id}",
                    "method": each.method,
                    "availablePayloads": [json.dumps(call) for call in each.calls],
                    "waiters": str(each.waiters),
                }
                for callback_id, each in self._endpoints.items()
            ]


def _event(request: Request, body: bytes) -> dict[str, Any]:
    headers = {
        "-".join(map(str.capitalize, name.split("-"))): value for name, value in request.headers.items()
    }
    headers.pop("Authorization", None)
    return {
        "type": "HTTP",
        "received_time": now(),
        "http_request": {
            "method": request.method,
            "url": request.target.partition("?")[0],
            "query": dict(parse_qsl(request.target.partition("?")[2])),
            "headers": headers,
            "body": _body(body, request.headers.get("Content-Type", "")),
        },
    }


def _body(body: bytes, content_type: str) -> Any:
    if not body:
        return None
    if "json" in content_type:
        return json_value(body)
    return body.decode(errors="replace")
