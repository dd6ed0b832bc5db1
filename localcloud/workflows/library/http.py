"""http.* and retry.*: HTTP calls, and which of their errors are retried.

Connection errors and the codes 429, 502, 503 and 504 are; 500 is not. A call that is not idempotent is
retried only after an error that shows that nothing was done.
https://cloud.google.com/workflows/docs/reference/stdlib/http/default_retry
"""

from __future__ import annotations

from typing import Any

from localcloud.workflows import http_calls
from localcloud.workflows.blocks import Walker
from localcloud.workflows.expressions import FunctionReference
from localcloud.workflows.library.function import Library
from localcloud.workflows.limits import HTTP_TIMEOUT_SECONDS

HTTP = Library()
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_RETRIED_CODES = (429, 502, 503, 504)
_RETRIED_TAGS = {"ConnectionError", "ConnectionFailedError", "TimeoutError"}


@HTTP.function("http.request", blocks=True)
def request(
    strand: Walker,
    method: str,
    url: str,
    timeout: float = HTTP_TIMEOUT_SECONDS,
    headers: dict | None = None,
    query: dict | None = None,
    body: Any = None,
    auth: dict | None = None,
) -> dict:
    return http_calls.request(
        strand,
        method.upper(),
        url,
        timeout_seconds=timeout,
        headers=headers,
        query=query,
        body=body,
        auth=auth,
    )


def _with_method(method: str):
    def call(
        strand: Walker,
        url: str,
        timeout: float = HTTP_TIMEOUT_SECONDS,
        headers: dict | None = None,
        query: dict | None = None,
        body: Any = None,
        auth: dict | None = None,
    ) -> dict:
        return request(strand, method, url, timeout, headers, query, body, auth)

    return call


for _method in _METHODS:
    HTTP.function(f"http.{_method.lower()}", blocks=True)(_with_method(_method))


@HTTP.function("http.default_retry_predicate")
def is_retried(exception: Any) -> bool:
    return _code(exception) in _RETRIED_CODES or bool(_RETRIED_TAGS & _tags(exception))


@HTTP.function("http.default_retry_predicate_non_idempotent")
def is_retried_if_not_idempotent(exception: Any) -> bool:
    return _code(exception) in (429, 503) or "ConnectionFailedError" in _tags(exception)


@HTTP.function("retry.always")
def always(exception: Any) -> bool:
    return True


@HTTP.function("retry.never")
def never(exception: Any) -> bool:
    return False


_BACKOFF = {"initial_delay": 1, "max_delay": 60, "multiplier": 1.25}


def _policy(predicate: str) -> dict[str, Any]:
    return {"predicate": FunctionReference(predicate), "max_retries": 5, "backoff": _BACKOFF}


HTTP_CONSTANTS = {
    "http.default_retry": _policy("http.default_retry_predicate"),
    "http.default_retry_non_idempotent": _policy("http.default_retry_predicate_non_idempotent"),
    "retry.default_backoff": _BACKOFF,
}


def _code(exception: Any) -> Any:
    return exception.get("code") if isinstance(exception, dict) else None


def _tags(exception: Any) -> set[str]:
    tags = exception.get("tags") if isinstance(exception, dict) else None
    return {tag for tag in tags if isinstance(tag, str)} if isinstance(tags, list) else set()
