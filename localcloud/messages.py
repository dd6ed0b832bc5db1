"""What passes between the server and the routes: requests, responses, errors, and the JSON in them.

Sockets are in server.py; routing.py decides which route answers a request.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from localcloud.members import OWNER, member_of
from localcloud.strict_json import parse_json

MAX_JSON_BYTES = 16 * 2**20
READ_BYTES = 2**20
_TOKENS = ("access_token", "oauth_token")  # parameters of the query, in the discovery documents of the APIs

# The reason and status that Google's APIs give for a code.
_REASONS = {
    304: ("notModified", "NOT_MODIFIED"),
    400: ("invalid", "INVALID_ARGUMENT"),
    401: ("authError", "UNAUTHENTICATED"),
    403: ("forbidden", "PERMISSION_DENIED"),
    404: ("notFound", "NOT_FOUND"),
    409: ("conflict", "ALREADY_EXISTS"),
    411: ("lengthRequired", "INVALID_ARGUMENT"),
    412: ("conditionNotMet", "FAILED_PRECONDITION"),
    413: ("uploadTooLarge", "INVALID_ARGUMENT"),
    416: ("requestedRangeNotSatisfiable", "OUT_OF_RANGE"),
    429: ("rateLimitExceeded", "RESOURCE_EXHAUSTED"),
    500: ("backendError", "INTERNAL"),
    503: ("backendError", "UNAVAILABLE"),
    504: ("backendError", "DEADLINE_EXCEEDED"),
}


class ApiError(Exception):
    """An error to answer with, in the JSON form of Google's APIs."""

    def __init__(self, code: int, message: str, *, reason="", status="", headers=None, details=()):
        super().__init__(message)
        default_reason, default_status = _REASONS.get(code, ("unknown", "UNKNOWN"))
        self.code = code
        self.message = message
        self.reason = reason or default_reason
        self.status = status or default_status
        self.headers: dict[str, str] = headers or {}
        self.details: list[dict[str, Any]] = list(details)  # in the form of google.rpc


class Headers(Mapping[str, str]):
    """Headers by name, in any case; a repeated header has its values joined by a comma."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()):
        self._values: dict[str, str] = {}
        for name, value in pairs:
            name = name.strip().lower()
            known = self._values.get(name)
            self._values[name] = f"{known}, {value}" if known else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Body(Protocol):
    """The body of a request, read from the connection only as needed."""

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, b"" at the end; raise ConnectionError if the client is gone."""


class Request:
    """One request; its path is still percent-encoded. `door` is the member through whose door it came."""

    def __init__(self, method: str, target: str, headers: Headers, body: Body, door: str = OWNER):
        try:
            parts = urlsplit(target)
        except ValueError as error:
            raise ApiError(400, f"Not an address: {target[:80]!r}") from error
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self._door = door
        self.path = parts.path
        self._parameters = parse_qsl(parts.query, keep_blank_values=True)
        self.query = dict(self._parameters)
        # A request through a proxy names its host in the target.
        self.host = parts.netloc or headers.get("Host", "127.0.0.1")

    @property
    def base_url(self) -> str:
        """Return the address that the client used, so that links in answers lead back here."""
        return f"http://{self.host}"

    @property
    def token(self) -> str:
        """Return the access token, which may also be a parameter of the query; "" without one.

        https://developers.google.com/identity/protocols/oauth2/service-account#callinganapi. Which of two
        counts is not said; here it is that of the header.
        """
        scheme, *given = self.headers.get("Authorization", "").split(maxsplit=1) or [""]
        token = "".join(given).strip() if scheme.lower() == "bearer" else ""
        return token or next((self.query[name] for name in _TOKENS if self.query.get(name)), "")

    @property
    def member(self) -> str:
        """Return who asks: the member that the token names, or else the one whose door it is."""
        return member_of(self.token) or self._door

    def query_list(self, name: str) -> list[str]:
        """Return all values of a parameter that may be repeated."""
        return [value for each, value in self._parameters if each == name]

    def read_all(self) -> bytes:
        pieces, size = [], 0
        while piece := self.body.read(READ_BYTES):
            size += len(piece)
            if size > MAX_JSON_BYTES:
                raise ApiError(413, f"A body may have at most {MAX_JSON_BYTES} bytes.")
            pieces.append(piece)
        return b"".join(pieces)

    def twice(self) -> tuple["Request", "Request"]:
        """Return two copies of the request, each with the body."""
        data = self.read_all()
        first, second = (
            Request(self.method, self.target, self.headers, BytesIO(data), self._door) for _ in range(2)
        )
        return first, second

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object; no body is an empty object."""
        return json_object(self.read_all())


def json_value(text: bytes) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        raise ApiError(400, f"The body is not JSON: {error}", reason="parseError") from error


def json_object(text: bytes) -> dict[str, Any]:
    value = json_value(text or b"{}")
    if not isinstance(value, dict):
        raise ApiError(400, "The body must be a JSON object.", reason="parseError")
    return value


@dataclass
class Response:
    """An answer; a body in pieces is streamed, and chunked if its `length` is unknown."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] = b""
    length: int | None = None

    def __post_init__(self):
        if isinstance(self.body, bytes):
            self.length = len(self.body)

    def close(self) -> None:
        """Close what the body reads from, even if it was sent in part or not at all."""
        close = getattr(self.body, "close", None)
        if close:
            close()


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    content_type = {"Content-Type": "application/json; charset=UTF-8"}
    return Response(status, content_type | (headers or {}), text.encode())


def error_response(error: ApiError) -> Response:
    in_short = {"message": error.message, "domain": "global", "reason": error.reason}
    body = {
        "code": error.code,
        "message": error.message,
        "errors": [in_short],
        "status": error.status,
        **({"details": error.details} if error.details else {}),
    }
    return json_response({"error": body}, error.code, error.headers)


def read_as(kind: type, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resource as the API writes it: names in camelCase, without fields that have their default.

    `kind` is a message class of a client library, such as batch_v1.Job. Callers import it only when the first
    such resource arrives: the import takes half a second, and most runs of the emulator do not need it.

    Raises
    ------
    ApiError
        400: an unknown field or a wrong value.
    """
    from google.protobuf import json_format

    try:
        message = json_format.ParseDict(dict(asked), kind.pb(kind()))
    except json_format.ParseError as error:
        reason = " ".join(str(error).split())
        raise ApiError(400, f"Invalid JSON payload received. {reason}") from error
    return json_format.MessageToDict(message)
