"""The web application of a service: one route for its work, and /health.

The work is done in a thread, so that /health answers meanwhile. Each request for work ends in one log line
with `event`: "done", "refused" (4xx, or busy) or "failed".
"""

import asyncio
import logging
import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from modeling.failures import DeviceLost, TemporaryFault
from modeling.plain_text import one_line
from services.failures import RETRY_AFTER_SECONDS, Busy, Failure, NotTheContract, failure_of
from services.logs import ids_of, request_fields
from services.messages import MOST_BODY_BYTES, ErrorAnswer, ErrorText, HealthAnswer

log = logging.getLogger(__name__)


class Handler(Protocol):
    """The work of a service."""

    path: str
    request: type[BaseModel]

    def handle(self, request: Any) -> BaseModel:
        """Return the answer to a request."""


def end_process() -> None:
    """End this process as the platform does, which lets a server end its other answers."""
    os.kill(os.getpid(), signal.SIGTERM)


def create_app(
    handler: Handler,
    health: HealthAnswer,
    *,
    at_once: int = 0,
    project: str = "",
    end: Callable[[], None] = end_process,
) -> Starlette:
    """Return the application of a service.

    Parameters
    ----------
    health : HealthAnswer
        Its answer to GET /health. The service listens only once it is ready.
    at_once : int
        Most requests for work at the same time; one more is refused with 503. 0: any number.
    project : str
        Project of the traces that log lines name.
    end : callable
        Ends an instance whose GPU is lost, once that is answered.
    """
    work = _Work(handler, health, at_once, project, end)
    return Starlette(
        routes=[
            Route("/health", work.answer_health, methods=["GET"]),
            Route(handler.path, work.answer, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _of_routing},
    )


class _Work:
    def __init__(
        self,
        handler: Handler,
        health: HealthAnswer,
        at_once: int,
        project: str,
        end: Callable[[], None],
    ):
        self._handler, self._health, self._at_once, self._project = handler, health, at_once, project
        self._end, self._under_way = end, 0

    async def answer_health(self, request: Request) -> Response:
        return _json(200, self._health)

    async def answer(self, request: Request) -> Response:
        """Answer a request for work; an error is an answer, too."""
        begun = time.monotonic()
        given = request.headers.get("x-request-id", "")
        try:
            message = self._handler.request.model_validate_json(await _body(request))
            given = given or message.request_id
        except (NotTheContract, ValidationError) as error:
            message = error
        except ClientDisconnect:
            message = NotTheContract("the caller left before the end of the body")
        fields = {**ids_of(given, request.headers, self._project), **_facts(message)}
        with request_fields(fields):
            response, outcome = await self._outcome(message)
            outcome["seconds"] = round(time.monotonic() - begun, 3)
            _log_outcome(self._handler.path, outcome)
        if given:
            response.headers["X-Request-Id"] = fields["request_id"].encode("ascii", "replace").decode()
        return response

    async def _outcome(self, message: BaseModel | Exception) -> tuple[Response, dict[str, Any]]:
        """Return the response to a message, and the fields of its log line."""
        is_message = not isinstance(message, Exception)
        if is_message and self._at_once and self._under_way >= self._at_once:
            message = Busy(f"this instance works on {self._under_way} already; ask again")
        self._under_way += 1
        try:
            if isinstance(message, Exception):
                raise message
            answer = await self._in_thread(message)
            return _json(200, answer), {"event": "done", **_facts(answer)}
        except Exception as error:
            failure = failure_of(error, self._handler.path)
            event = "refused" if failure.status < 500 or isinstance(error, Busy) else "failed"
            outcome = {"event": event, "status": failure.status, "error": failure.text.message}
            if failure.is_bug:
                outcome["exc_info"] = error
            response = _failed(failure)
            if isinstance(error, DeviceLost):  # the platform starts another instance
                response.background = BackgroundTask(self._end)
            return response, outcome
        finally:
            self._under_way -= 1

    async def _in_thread(self, message: BaseModel) -> BaseModel:
        try:
            return await run_in_threadpool(self._handler.handle, message)
        except asyncio.CancelledError:  # by uvicorn, a little before Cloud Run kills
            raise TemporaryFault("this instance was stopped before the end of the work; ask again") from None


async def _body(request: Request) -> bytes:
    """Return the body of a request; of one that is too large, the rest is read and dropped.

    A caller that is still sending would not see an answer.
    """
    body, is_too_large = b"", False
    async for part in request.stream():
        is_too_large = is_too_large or len(body) + len(part) > MOST_BODY_BYTES
        body = b"" if is_too_large else body + part
    if is_too_large:
        raise NotTheContract(f"the body has more than {MOST_BODY_BYTES:,} bytes; name large data by gs://")
    return body


def _facts(message: object) -> dict[str, Any]:
    """Return the fields of a message that belong on a log line; an upload's are found by their run_key."""
    found = {name: getattr(message, name, None) for name in ("model", "device", "units", "skipped")}
    places = [getattr(message, name, None) for name in ("work", "inputs")]
    keys = [key[1] for place in places if (key := re.search(r"/work/([^/]+)/", place or ""))]
    found["run_key"] = keys[0] if keys else None
    return {name: value for name, value in found.items() if value not in (None, "")}


def _log_outcome(path: str, outcome: dict[str, Any]) -> None:
    error, bug = outcome.pop("error", ""), outcome.pop("exc_info", None)
    levels = {"done": logging.INFO, "refused": logging.WARNING, "failed": logging.ERROR}
    text = f"{path}: {outcome['event']}" + (f": {error}" if error else f" in {outcome['seconds']:.2f} s")
    log.log(levels[outcome["event"]], "%s", text, extra={"fields": outcome}, exc_info=bug)


def _json(status: int, answer: BaseModel, headers: Mapping[str, str] | None = None) -> Response:
    return Response(answer.model_dump_json(), status, headers, media_type="application/json")


def _failed(failure: Failure) -> Response:
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if failure.text.retry else None
    return _json(failure.status, ErrorAnswer(error=failure.text), headers)


async def _of_routing(request: Request, error: HTTPException) -> Response:
    """Answer for a path or method that is not there, in the form of every error."""
    text = ErrorText(message=one_line(f"{error.detail}: {request.url.path}", 300), retry=False)
    return _failed(Failure(error.status_code, text))
