"""Identity tokens: who calls a service of Cloud Run, and for which service the token was made.

A token has the three parts of a JWT, and is signed with a secret of this emulator, so that one that was made
up is refused. https://cloud.google.com/docs/authentication/token-types#id
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localcloud.strict_json import parse_json

TOKEN_SECONDS = 3600  # that a token is valid
ISSUER = "https://accounts.google.com"


class InvalidToken(ValueError):
    """The token was not made here, is damaged, or has expired; the message says which."""


@dataclass(frozen=True)
class Claims:
    """Who a token is of, and for whom."""

    email: str
    audience: str


class Identity:
    """Makes identity tokens and reads them; `now` returns seconds since the epoch."""

    def __init__(self, now: Callable[[], float] = time.time):
        self._secret, self._now = secrets.token_bytes(32), now

    def token(self, email: str, audience: str) -> str:
        """Return a token of an account for an audience, usually the URL of a service without a path."""
        now = int(self._now())
        claims = {
            "iss": ISSUER,
            "aud": audience,
            "email": email,
            "email_verified": True,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
        }
        text = _encoded({"alg": "RS256", "typ": "JWT"}) + b"." + _encoded(claims)
        return (text + b"." + self._signature(text)).decode()

    def read(self, token: str) -> Claims:
        """Return the claims of a token; any text may be given.

        Raises
        ------
        InvalidToken
        """
        # A header may hold any character, and compare_digest takes only ASCII as text.
        text, _, signature = token.encode(errors="replace").rpartition(b".")
        if text.count(b".") != 1 or not hmac.compare_digest(signature, self._signature(text)):
            raise InvalidToken("it has no valid signature")
        claims = _read(text.partition(b".")[2])  # signed, so it has what token() wrote
        if self._now() >= claims["exp"]:
            raise InvalidToken("it has expired")
        return Claims(claims["email"], claims["aud"])

    def _signature(self, text: bytes) -> bytes:
        return _base64(hmac.new(self._secret, text, hashlib.sha256).digest())


def unverified_claims(token: str) -> dict[str, Any]:
    """Return what a token of anybody claims.

    Raises
    ------
    InvalidToken
        It does not have the three parts of a JWT, with an object in the second.
    """
    parts = token.split(".")
    try:
        claims = _read(parts[1].encode()) if len(parts) == 3 else None
    except ValueError:  # not base64, not UTF-8, or not JSON
        claims = None
    if not isinstance(claims, dict):
        raise InvalidToken("it is not a JWT")
    return claims


def _encoded(part: dict[str, Any]) -> bytes:
    return _base64(json.dumps(part).encode())


def _read(part: bytes) -> Any:
    return parse_json(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
