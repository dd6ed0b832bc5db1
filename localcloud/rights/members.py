"""Members, as policies name them: user:EMAIL and serviceAccount:EMAIL, and the access tokens of each.

A token of the emulator names its member. A JWT that a client library signs itself, with an account's key,
names that account: https://google.aip.dev/auth/4111. Any other token is one of whoever owns the door
(doors.py) through which the request came, so that programs that know nothing of members need none.
"""

from localcloud.identity import InvalidToken, unverified_claims

OWNER = "user:owner@example.com"  # made the project, and owns it
_TOKEN = "localcloud."
_ACCOUNTS = ".gserviceaccount.com"


def member(email: str) -> str:
    """Return how a policy names an account."""
    kind = "serviceAccount" if email.endswith(_ACCOUNTS) else "user"
    return f"{kind}:{email.lower()}"


def token_of(name: str) -> str:
    """Return an access token of a member."""
    return _TOKEN + name


def member_of(token: str) -> str:
    """Return the member that a token names; "" if it names none. No signature is checked."""
    return token.removeprefix(_TOKEN) if token.startswith(_TOKEN) else _signer(token)


def _signer(token: str) -> str:
    """Return the account that signed a token itself; identity tokens (identity.py) do not name it so."""
    try:
        claims = unverified_claims(token)
    except InvalidToken:
        return ""
    email = claims.get("sub") or claims.get("iss")
    return member(email) if isinstance(email, str) and "@" in email else ""
