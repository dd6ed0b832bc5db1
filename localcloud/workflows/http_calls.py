"""HTTP calls as a workflow sees them: bodies by content type, credentials, errors by code.

A call carries a bearer token only if it has `auth`; without it, a Google API refuses the call. APIs take an
access token (OAuth2), services of Cloud Run an identity token (OIDC).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from localcloud.workflows.blocks import Walker
from localcloud.workflows.errors import error, http_error
from localcloud.workflows.hosts import STORAGE_HOST, split_url
from localcloud.workflows.http_client import Reply
from localcloud.workflows.json_text import from_json, json_bytes
from localcloud.workflows.limits import HTTP_TIMEOUT_SECONDS
from localcloud.workflows.values import is_number, to_text

_AUTH_TYPES = ("OAuth2", "OIDC")
_FORM = "application/x-www-form-urlencoded"
_TEXT_TYPES = ("application/xml", "application/javascript", _FORM)


def request(
    strand: Walker,
    method: str,
    url: str,
    *,
    headers: dict[str, Any] | None = None,
    query: dict[str, Any] | None = None,
    body: Any = None,
    auth: dict[str, Any] | None = None,
    timeout_seconds: float = HTTP_TIMEOUT_SECONDS,
) -> dict[str, Any]:
    """Return the code, headers and body of an answer.

    Raises
    ------
    WorkflowError
        The call failed, or its code is not 2xx; redirections are not followed.
    """
    if not (is_number(timeout_seconds) and 0 < timeout_seconds <= HTTP_TIMEOUT_SECONDS):
        raise error("ValueError", f"a timeout must be above 0 and at most {HTTP_TIMEOUT_SECONDS} seconds")
    sent = {name: to_text(value) for name, value in (headers or {}).items()}
    content = _encoded(body, sent)
    if auth is not None:
        sent["Authorization"] = f"Bearer {_token(strand, url, auth)}"
    _refuse_anonymous_storage(url, sent)
    try:
        reply = strand.run.http.send(method, with_query(url, query or {}), sent, content, timeout_seconds)
    finally:
        strand.check_stopped()  # a call that a cancellation broke is not an error of the workflow
    answer = {"code": reply.code, "headers": reply.headers, "body": _decoded(reply)}
    if not 200 <= reply.code < 300:
        raise http_error(**answer)
    return answer


def with_query(url: str, query: dict[str, Any]) -> str:
    """Return a URL with parameters added to its own; a list adds one parameter per element."""
    pairs = [
        (name, to_text(each))
        for name, value in query.items()
        if value is not None
        for each in (value if isinstance(value, list) else [value])
    ]
    if not pairs:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(pairs)}"


def _refuse_anonymous_storage(url: str, headers: dict[str, str]) -> None:
    """Refuse a call to storage without a token, as a bucket does.

    The emulated storage itself accepts it, because the client libraries of the tests send no token.
    """
    is_anonymous = all(name.lower() != "authorization" for name in headers)
    if is_anonymous and split_url(url).hostname == STORAGE_HOST:
        message = "Anonymous caller does not have storage access to the bucket."
        raise http_error(401, {}, {"error": {"code": 401, "message": message}})


def _token(strand: Walker, url: str, auth: Any) -> str:
    """Return an access token of the workflow's account, or its identity token for the audience."""
    if not isinstance(auth, dict) or auth.get("type") not in _AUTH_TYPES:
        raise error("ValueError", f"auth must be a map with a type of {' or '.join(_AUTH_TYPES)}")
    if auth["type"] == "OAuth2":
        return strand.run.token
    parts = split_url(url)
    audience = auth.get("audience", f"{parts.scheme}://{parts.netloc}")
    if not isinstance(audience, str):
        raise error("ValueError", "the audience of an identity token must be text, such as the service's URL")
    account = strand.run.environment.get("GOOGLE_CLOUD_SERVICE_ACCOUNT_NAME", "")
    return strand.run.identity.token(account, audience)


def _encoded(body: Any, headers: dict[str, str]) -> bytes | None:
    """Return the bytes of a body, and set its content type in `headers` if there is none."""
    if body is None or isinstance(body, bytes):
        return body
    name = next((each for each in headers if each.lower() == "content-type"), "Content-Type")
    if isinstance(body, str):
        headers.setdefault(name, "text/plain; charset=utf-8")
        return body.encode()
    if isinstance(body, dict) and headers.get(name, "").startswith(_FORM):
        return urlencode({key: to_text(value) for key, value in body.items()}).encode()
    headers.setdefault(name, "application/json")
    return json_bytes(body)


def _decoded(reply: Reply) -> Any:
    kind = reply.content_type
    if not reply.body:
        return None
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return from_json(reply.body)
        except ValueError:
            return reply.body.decode(errors="replace")
    if kind.startswith("text/") or kind in _TEXT_TYPES:
        return reply.body.decode(errors="replace")
    return reply.body
