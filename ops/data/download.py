"""Files from the web: time limits, sizes, and errors that say what to do.

A redirect is followed on the same host only: another host is not the source that the setting names. Proxies
are those of the environment (HTTPS_PROXY, NO_PROXY), as for population data.
"""

import http.client
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import IO, Literal
from urllib.parse import urlsplit

from ops.failures import TEMPORARY_FAULT, TRY_AGAIN, UserError

SOCKET_SECONDS = 20  # without a single byte
FILE_SECONDS = 60  # for a whole file
PIECE_BYTES = 1 << 16
TEMPORARY = (408, 425, 429, 500, 502, 503, 504)  # answers after which another try may help
GONE = (404, 410)
HEADERS = {"User-Agent": "epymodelingsuite-cloud", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Answer:
    """What a source says about a file.

    Attributes
    ----------
    status : str
        "found" (with its content), "missing", or "unchanged" since the ETag that was sent.
    etag : str
        Name of this version of the file; "" if the source gives none.
    """

    status: Literal["found", "missing", "unchanged"]
    content: bytes = b""
    etag: str = ""


MISSING, UNCHANGED = Answer("missing"), Answer("unchanged")


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to the same host with the same scheme, and refuses any other."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if (old.scheme, old.netloc) != (new.scheme, new.netloc):
            raise UserError(
                f"{req.full_url}: redirects to another host, {new.scheme}://{new.hostname}; "
                "set TARGET_DATA_SOURCE to the address of the data itself"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(address: str, etag: str, most_bytes: int) -> Answer:
    """Return a file, or that it is missing, or unchanged since `etag`.

    Raises
    ------
    UserError
        It cannot be fetched; exit code 75 where another try may help.
    """
    headers = HEADERS | ({"If-None-Match": etag} if etag else {})
    request = urllib.request.Request(address, headers=headers)
    until = time.monotonic() + FILE_SECONDS
    try:
        with urllib.request.build_opener(_SameHost).open(request, timeout=SOCKET_SECONDS) as answer:
            content = _read(answer, address, until, most_bytes)
            return Answer("found", content, answer.headers.get("ETag", ""))
    except urllib.error.HTTPError as error:
        with error:
            return _without_content(address, error.code)
    except (ValueError, OverflowError, http.client.InvalidURL) as error:  # no possible address or ETag
        raise UserError(f"{address}: {error}; check TARGET_DATA_SOURCE") from None
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(address, error) from None


def _read(answer: IO, address: str, until: float, most_bytes: int) -> bytes:
    """Return the body; a server that sends a few bytes now and then is given up, too."""
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise UserError(f"{address}: sent compressed, which was not asked for; check TARGET_DATA_SOURCE")
    pieces, size = [], 0
    while piece := answer.read1(PIECE_BYTES):
        pieces.append(piece)
        size += len(piece)
        if size > most_bytes:
            raise UserError(f"{address}: more than {most_bytes:,} bytes; check TARGET_DATA_SOURCE")
        if time.monotonic() > until:
            raise too_slow(address)
    if answer.length:  # read1() takes an early end for the end
        raise UserError(
            f"{address}: ended {answer.length:,} bytes early{TRY_AGAIN}", exit_code=TEMPORARY_FAULT
        )
    return b"".join(pieces)


def too_slow(address: str) -> UserError:
    """Return the error about a file that takes too long."""
    return UserError(
        f"{address}: not complete after {FILE_SECONDS} s{TRY_AGAIN}, or set TARGET_DATA_SOURCE to a clone",
        exit_code=TEMPORARY_FAULT,
    )


def _without_content(address: str, code: int) -> Answer:
    if code in GONE:
        return MISSING
    if code == http.HTTPStatus.NOT_MODIFIED:
        return UNCHANGED
    if code in TEMPORARY:
        raise UserError(f"{address}: answered {code}{TRY_AGAIN}", exit_code=TEMPORARY_FAULT)
    raise UserError(f"{address}: answered {code}; check TARGET_DATA_SOURCE, or set it to a clone of the hub")


def _unreachable(address: str, error: Exception) -> UserError:
    """Return the error about a connection that failed."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return UserError(
            f"{address}: its certificate is not trusted ({reason.verify_message}); check the proxy and "
            "SSL_CERT_FILE"
        )
    if isinstance(reason, TimeoutError):
        said = f"no answer for {SOCKET_SECONDS} s"
    elif isinstance(error, http.client.IncompleteRead):
        said = "ended early"
    else:
        said = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return UserError(
        f"{address}: {said}{TRY_AGAIN}, or check the network and HTTPS_PROXY", exit_code=TEMPORARY_FAULT
    )
