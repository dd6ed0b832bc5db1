"""Log lines for Cloud Logging: one JSON object a line on standard output, with the ids of the request.

https://cloud.google.com/logging/docs/structured-logging has the fields that mean something there.
"""

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from modeling.plain_text import one_line, plain_lines

_TRACE = "logging.googleapis.com/trace"
_NO_FIELDS: Mapping[str, Any] = MappingProxyType({})
_of_request: ContextVar[Mapping[str, Any]] = ContextVar("of_request", default=_NO_FIELDS)


def start_logging(service: str) -> None:
    """Write the lines of this process as JSON; a request's fields are on every line written for it."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonFormatter(service))
    logging.basicConfig(level="INFO", handlers=[handler], force=True)
    for chatty in ("matplotlib", "numba", "urllib3", "google", "PIL", "fontTools", "asyncio", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


@contextmanager
def request_fields(fields: Mapping[str, Any]) -> Iterator[None]:
    """Put fields on every line of a block, also in the thread that the block waits for."""
    token = _of_request.set({**_of_request.get(), **fields})
    try:
        yield
    finally:
        _of_request.reset(token)


def ids_of(request_id: str, headers: Mapping[str, str], project: str) -> dict[str, str]:
    """Return the fields of a request id, which is EXECUTION/STEP, and of its trace."""
    fields = {"request_id": one_line(request_id, 200)}
    execution, slash, _ = fields["request_id"].partition("/")
    if slash:
        fields["execution_id"] = execution
    if trace := _trace(headers):
        fields[_TRACE] = f"projects/{project}/traces/{trace}" if project else trace
    return fields


def _trace(headers: Mapping[str, str]) -> str:
    """Return the id of the trace a request belongs to; "" without one.

    https://www.w3.org/TR/trace-context/ and Google's older X-Cloud-Trace-Context: TRACE/SPAN;o=1
    """
    found = re.match(r"[0-9a-f]{2}-([0-9a-f]{32})-", headers.get("traceparent", ""))
    found = found or re.match(r"([0-9a-fA-F]{32})(?:[/;]|$)", headers.get("x-cloud-trace-context", ""))
    return found[1].lower() if found else ""


class _JsonFormatter(logging.Formatter):
    """`extra={"fields": {...}}` of a call of the log adds fields to its line."""

    def __init__(self, service: str):
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "severity": record.levelname,
            "message": one_line(record.getMessage()),
            "service": self._service,
            **_of_request.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["stack_trace"] = plain_lines(self.formatException(record.exc_info))
        return json.dumps(line, default=str)
