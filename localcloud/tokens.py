"""Access tokens: any is good, but none is not: a request without one is found here, not in the cloud."""

from collections.abc import Sequence
from dataclasses import replace

from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.routing import Handler, Route

LIFETIME_SECONDS = 3600


def with_bearer(routes: Sequence[Route]) -> list[Route]:
    """Return the routes, each refusing a request without `Authorization: Bearer`."""
    return [replace(route, handler=_guarded(route.handler)) for route in routes]


def _guarded(handler: Handler) -> Handler:
    def guarded(request: Request, **arguments: str) -> Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            message = "Request is missing required authentication credential. Expected OAuth 2 access token."
            raise ApiError(401, message)
        return handler(request, **arguments)

    return guarded


def token_routes() -> list[Route]:
    """The endpoint where a service account's key is exchanged for a token."""

    def grant(request: Request) -> Response:
        request.read_all()
        return json_response(
            {"access_token": "localcloud", "expires_in": LIFETIME_SECONDS, "token_type": "Bearer"}
        )

    return [Route("POST", "/token", grant)]
