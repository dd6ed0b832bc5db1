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
        text = f"{_encoded({'alg': 'RS256', 'typ': 'JWT'})}.{_encoded(claims)}"
        return f"{text}.{self._signature(text)}"

    def read(self, token: str) -> Claims:
        """Return the claims of a token.

        Raises
        ------
        InvalidToken
        """
        text, _, signature = token.rpartition(".")
        if text.count(".") != 1 or not hmac.compare_digest(
            signature.encode(), self._signature(text).encode()
        ):
            raise InvalidToken("it has no valid signature")
        claims = json.loads(_decoded(text.partition(".")[2]))
        if self._now() >= claims["exp"]:
            raise InvalidToken("it has expired")
        return Claims(claims["email"], claims["aud"])

    def _signature(self, text: str) -> str:
        return _base64(hmac.new(self._secret, text.encode(), hashlib.sha256).digest())


def _encoded(part: dict[str, Any]) -> str:
    return _base64(json.dumps(part).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
