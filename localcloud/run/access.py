"""Whether a caller may reach a service: ingress, identity token, and run.routes.invoke of roles/run.invoker.

https://cloud.google.com/run/docs/authenticating/service-to-service and
https://cloud.google.com/run/docs/securing/ingress. Not certain: some users are answered 403, not 401,
when they send no token.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from localcloud.identity import Identity, InvalidToken
from localcloud.members import member
from localcloud.messages import ApiError
from localcloud.rights.enforcement import Rights
from localcloud.run.definition import Access

RUN_DOMAIN = ".run.app"  # ends the host name of each service
INTERNAL_HEADER = "X-Localcloud-Internal"  # of callers inside the project: workflows send it
TOKEN_HEADERS = ("X-Serverless-Authorization", "Authorization")  # the first that is there counts
UNSIGNED = "SIGNATURE_REMOVED_BY_GOOGLE"


class Refused(Exception):
    """A caller is refused: the status, and the reason as Cloud Run logs it."""

    def __init__(self, status: int, reason: str, challenge: str = ""):
        super().__init__(reason)
        self.status, self.challenge = status, challenge


@dataclass(frozen=True)
class Gate:
    """How callers are known, and what they may: bindings of the project count if rights are enforced."""

    identity: Identity
    rights: Rights

    def may_invoke(self, caller: str, service: str, access: Access) -> bool:
        """Return whether a member may invoke a service, by its resource name and its own policy."""
        if not self.rights.are_enforced:
            return bool({caller, "allAuthenticatedUsers"} & {_lowered(each) for each in access.invokers})
        try:
            self.rights.ask(caller, "run.routes.invoke", service)
        except ApiError:
            return False
        return True


def check_access(headers: Mapping[str, str], service: str, access: Access, gate: Gate) -> None:
    """Refuse a caller that may not reach a service; a public one asks for nothing.

    Raises
    ------
    Refused
    """
    if access.ingress != "all" and headers.get(INTERNAL_HEADER) != "1":
        raise Refused(404, "The request was not allowed by the ingress setting of the service.")
    if "allUsers" in access.invokers:
        return
    token = _token(headers)
    if not token:
        said = "Either allow unauthenticated invocations or set the proper Authorization header."
        raise Refused(401, f"The request was not authenticated. {said}", "Bearer")
    invalid = 'Bearer error="invalid_token" error_description="The access token could not be verified"'
    try:
        claims = gate.identity.read(token)
    except InvalidToken as error:
        raise Refused(401, f"The request was not authenticated: {error}.", invalid) from error
    if claims.audience not in access.audiences:
        said = f"the audience of the token is {claims.audience}, not a URL of the service"
        raise Refused(401, f"The request was not authenticated: {said}.", invalid)
    if not gate.may_invoke(member(claims.email), service, access):
        said = f"{claims.email} does not have roles/run.invoker"
        raise Refused(403, f"The request was not authorized to invoke this service: {said}.")


def without_signature(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers as an instance sees them: the token cannot be used again."""
    passed = {name: value for name, value in headers.items() if name != INTERNAL_HEADER.lower()}
    name = next((name.lower() for name in TOKEN_HEADERS if name in headers), "")
    if name and _token(headers).count(".") == 2:
        scheme, _, token = headers[name].partition(" ")
        passed[name] = f"{scheme} {token.rpartition('.')[0]}.{UNSIGNED}"
    return passed


def _token(headers: Mapping[str, str]) -> str:
    value = next((headers[name] for name in TOKEN_HEADERS if name in headers), "")
    scheme, _, token = value.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _lowered(name: str) -> str:
    kind, colon, email = name.partition(":")
    return f"{kind}:{email.lower()}" if colon else name
