"""The emulator's own routes, under /_emulator on every port: faults, requests seen, reset."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from localcloud.faults import Faults
from localcloud.messages import Request, Response, json_response, json_value
from localcloud.request_log import RequestLog
from localcloud.routing import Route

PREFIX = "/_emulator/"


def control_routes(faults: Faults, log: RequestLog, resets: Sequence[Callable[[], None]]) -> list[Route]:
    """`resets` empty the services, each its own."""

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
    """Rules of some kind that a test orders."""

    def add(self, rules: Any) -> None: ...

    def clear(self) -> None: ...

    def describe(self) -> list[dict[str, Any]]: ...


def fault_routes(path: str, faults: FaultRules) -> list[Route]:
    """Return the routes by which rules are added, shown and cleared."""

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
