"""The emulator's own routes, under /_emulator on every port: faults, requests seen, reset."""

import json
from collections.abc import Callable, Sequence

from localcloud.faults import Faults
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.request_log import RequestLog
from localcloud.routing import Route

PREFIX = "/_emulator/"


def control_routes(faults: Faults, log: RequestLog, resets: Sequence[Callable[[], None]]) -> list[Route]:
    """`resets` empty the services, each its own."""

    def add_faults(request: Request) -> Response:
        try:
            rules = json.loads(request.read_all())
        except ValueError as error:
            raise ApiError(400, f"Fault rules are not JSON: {error}") from error
        faults.add(rules)
        return json_response(faults.describe())

    def show_faults(request: Request) -> Response:
        return json_response(faults.describe())

    def clear_faults(request: Request) -> Response:
        faults.clear()
        return json_response([])

    def show_requests(request: Request) -> Response:
        return json_response(log.summary())

    def reset(request: Request) -> Response:
        faults.clear()
        for empty in resets:
            empty()
        log.clear()
        return json_response({})

    return [
        Route("POST", PREFIX + "faults", add_faults),
        Route("GET", PREFIX + "faults", show_faults),
        Route("DELETE", PREFIX + "faults", clear_faults),
        Route("GET", PREFIX + "requests", show_requests),
        Route("POST", PREFIX + "reset", reset),
    ]
