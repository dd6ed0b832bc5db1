"""Members, as policies name them: user:EMAIL and serviceAccount:EMAIL, and the access tokens of each.

A token of the emulator names its member. A JWT that a client library signs itself, with an account's key,
names that account: https://google.aip.dev/auth/4111. Any other token belongs to the owner of the door
(rights/doors.py) through which the request came, so programs that know nothing of members work as they are.
"""

import re

from localcloud.identity import ISSUER, InvalidToken, unverified_claims

OWNER = "user:owner@example.com"  # made the project, and owns it
_TOKEN = "localcloud."
_IDENTITY_TOKEN = "identityToken:"
_ACCOUNTS = ".gserviceaccount.com"
_KINDS = {"user": "user", "serviceaccount": "serviceAccount"}
_NAME = re.compile(r"(?P<kind>user|serviceaccount):(?P<email>[^\s@:]+@[^\s@:]+)", re.IGNORECASE)


def member(email: str) -> str:
    """Return how a policy names an account."""
    email = email.lower()
    return f"{'serviceAccount' if email.endswith(_ACCOUNTS) else 'user'}:{email}"


def written(name: str) -> str:
    """Return a member as it is written here, since an address has no case; "" if it is none.

    Only people and accounts can ask. A policy may also name groups, all owners of a project, or everybody.
    """
    found = _NAME.fullmatch(name)
    return f"{_KINDS[found['kind'].lower()]}:{found['email'].lower()}" if found else ""


def can_ask(member: str) -> bool:
    """Return whether a member is a person or an account."""
    return member.partition(":")[0] in _KINDS.values()


def token_of(name: str) -> str:
    """Return an access token of a member."""
    return _TOKEN + name


def member_of(token: str) -> str:
    """Return the member that a token names; "" if it names none, and what it names if that cannot ask.

    No signature is checked.
    """
    name = token.removeprefix(_TOKEN) if token.startswith(_TOKEN) else _signer(token)
    return written(name) or name


def _signer(token: str) -> str:
    """Return the account that signed a token itself.

    An identity token is no access token, so that it names nobody who can ask:
    https://cloud.google.com/docs/authentication/token-types.
    """
    try:
        claims = unverified_claims(token)
    except InvalidToken:
        return ""
    if claims.get("iss") == ISSUER:
        return f"{_IDENTITY_TOKEN}{claims.get('email')}"
    email = claims.get("sub") or claims.get("iss")
    return member(email) if isinstance(email, str) and "@" in email else ""
