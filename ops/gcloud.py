"""Runs gcloud and explains its errors. A temporary fault of the cloud ends with exit code 75."""

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import Any

from modeling.plain_text import one_line
from modeling.refusals import MAY_NOT_COUNT_YET
from ops.failures import TRY_AGAIN, UserError
from ops.shell import Ended, Shell

AT_ONCE = 8  # processes; each takes half a second of a core
CALL_SECONDS = 120  # gcloud itself repeats a failed request for half a minute
DOCTOR = "invoke doctor --cloud"  # checks everything that a run needs, and names the fixes
MOST_CHARACTERS = 400  # of a message: a proxy may answer with a whole page


class Refusal(Enum):
    """Kind of an error of gcloud; it decides what to do about it."""

    LOGIN = "no credentials, or they have expired"
    PROJECT = "the project does not exist, or is not accessible"
    DISABLED = "the API is not enabled in the project"
    MISSING = "the resource does not exist"
    DENIED = "no permission, or it does not exist: Google does not say which"
    QUOTA = "a quota of the project is exceeded"
    PASSING = "a temporary fault of the service or the network"
    OTHER = "anything else"


class GcloudError(UserError):
    """An error of gcloud; `said` is all that it printed to standard error."""

    def __init__(self, problem: str, refusal: Refusal, said: str, fix: str = ""):
        fix = fix or (DOCTOR if refusal in (Refusal.MISSING, Refusal.DENIED) else "")
        super().__init__(problem, exit_code=_EXIT_CODES.get(refusal, 1), fix=fix)
        self.refusal = refusal
        self.said = said


_SETTINGS = (Refusal.LOGIN, Refusal.PROJECT, Refusal.DISABLED, Refusal.MISSING, Refusal.DENIED)
_EXIT_CODES = {
    Refusal.PASSING: 75,
    **dict.fromkeys(_SETTINGS, 2),
}  # fixed in .env, by a login or a permission

_CODE = r"(?:HTTPError |status': |code=|: )"  # text before a status code: a name may contain a number, too
# Compute answers without a code: gcloud prints only the message
_BUSY = r"(?i:service is currently unavailable|internal error\b|bad gateway|backend ?error|temporary error)"
_NO_PERMISSION = r"[Rr]equired '[\w.]+' permission|[Pp]ermission '[\w.]+' denied"  # Compute, too
_ANSWERED_5XX = r"response: <\{[^>]*'status': 5\d\d\b"
_TOO_MANY = rf"per minute|RATE_LIMIT_EXCEEDED|[rR]ateLimitExceeded|RESOURCE_EXHAUSTED|{_CODE}429\b"

# The first match decides; searched in the message and the reasons in its details.
_KINDS = (
    (
        Refusal.DISABLED,
        r"SERVICE_DISABLED|accessNotConfigured|has not been used in project|API \[\S+\] not enabled",
    ),
    (
        Refusal.LOGIN,
        r"active account|valid credentials|[Rr]eauthenticat|refreshing (your|auth) |invalid_grant"
        rf"|UNAUTHENTICATED|{_CODE}401\b",
    ),
    (Refusal.PASSING, rf"{_TOO_MANY}|{_BUSY}"),
    (Refusal.PROJECT, r"CONSUMER_INVALID|USER_PROJECT_DENIED|[Pp]roject \S+ not found"),
    (Refusal.QUOTA, r"QUOTA_EXCEEDED|quotaExceeded|[Qq]uota .*exceeded|quota restrictions"),
    (Refusal.MISSING, rf"NOT_FOUND|\bnot (be )?found\b|does not exist|{_CODE}404\b"),
    (Refusal.DENIED, rf"PERMISSION_DENIED|does not have permission|{_NO_PERMISSION}|{_CODE}403\b"),
    (
        Refusal.PASSING,
        rf"\b(UNAVAILABLE|DEADLINE_EXCEEDED|INTERNAL|ABORTED)\b|{_CODE}5\d\d\b|network connectivity"
        r"|no connection to|[Cc]onnection (refused|reset|aborted|broken)|Unable to find the server|timed out",
    ),
)


_UNLOGGED = {"CLOUDSDK_CORE_LOG_HTTP": "false"}  # its log file would contain every request, also secrets


def read(
    shell: Shell,
    words: Sequence[str],
    *,
    timeout_seconds: float = CALL_SECONDS,
    echo: bool = True,
    standard_input: str | None = None,
) -> str:
    """Return what gcloud prints; a dry run prints the command and returns an empty string.

    Raises
    ------
    GcloudError
        gcloud failed; exit code 75 if trying again may help.
    UserError
        gcloud is not installed, or took too long (75).
    """
    said = _ask(shell, words, timeout_seconds, echo, standard_input)
    return said or ""


def read_json(
    shell: Shell,
    words: Sequence[str],
    *,
    timeout_seconds: float = CALL_SECONDS,
    echo: bool = True,
    standard_input: str | None = None,
    fields: str = "",
) -> Any:
    """Return gcloud's answer, read as JSON; None only in a dry run. Raises as read().

    `fields` chooses fields and names them, as "(name,status.state:label=State)".
    """
    said = _ask(shell, [*words, "--format", f"json{fields}"], timeout_seconds, echo, standard_input)
    if said is None:
        return None
    try:
        return json.loads(said) if said else []
    except ValueError:
        raise UserError(f"gcloud {' '.join(words[:2])}: no JSON in its answer", exit_code=1) from None


def upload(
    shell: Shell, words: Sequence[str], to: str, *, timeout_seconds: float = CALL_SECONDS, echo: bool = True
) -> str:
    """Upload a file to an object, and return the generation that it got; "" in a dry run. Raises as read().

    `words` are the path and further options of `gcloud storage cp`. Whoever asks for the generation later may
    get that of somebody else's upload of the same name.
    """
    path, *options = words
    copy = ["storage", "cp", path, to, "--print-created-message", *options]
    ended = _run(shell, copy, timeout_seconds, echo)
    if ended is None:
        return ""
    created = re.search(rf"Created: {re.escape(to)}#(\d+)", ended.errors + ended.output)
    if not created:
        raise UserError(f"gcloud storage cp: no generation of {to} in its answer", exit_code=1)
    return created[1]


def _ask(
    shell: Shell, words: Sequence[str], timeout_seconds: float, echo: bool, standard_input: str | None
) -> str | None:
    ended = _run(shell, words, timeout_seconds, echo, standard_input)
    return None if ended is None else ended.output


def _run(
    shell: Shell,
    words: Sequence[str],
    timeout_seconds: float,
    echo: bool,
    standard_input: str | None = None,
) -> Ended | None:
    argv = ["gcloud", *words]
    ended = shell.run(
        argv, _UNLOGGED, timeout_seconds=timeout_seconds, standard_input=standard_input, echo=echo
    )
    if ended is not None and ended.exit_code:
        raise _refused(argv, ended.errors or ended.output)
    return ended


def in_parallel(calls: Sequence[Callable[[], Any]], at_once: int = AT_ONCE) -> list[Any]:
    """Call functions at the same time and return their results in order; the first error is raised."""
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda call: call(), calls))


def is_no_match(error: GcloudError) -> bool:
    """Return whether gcloud found no object of that name."""
    return "matched no objects" in error.said


def read_if_there(
    shell: Shell, words: Sequence[str], *, timeout_seconds: float = CALL_SECONDS, echo: bool = False
) -> str:
    """Return what gcloud prints about objects; "" if no object has that name. Raises as read()."""
    try:
        return read(shell, words, timeout_seconds=timeout_seconds, echo=echo)
    except GcloudError as error:
        if not is_no_match(error):
            raise
        return ""


def asks_too_often(error: GcloudError) -> bool:
    """Return whether the project has made too many requests in a minute."""
    return error.refusal is Refusal.PASSING and bool(re.search(_TOO_MANY, _searched(error.said)))


def _searched(said: str) -> str:
    """Return the parts of an error in which its kind is searched for."""
    return f"{_message(said)} {_statuses(said)}"


def _refusal(said: str) -> Refusal:
    if re.search(_ANSWERED_5XX, said):  # even if its message says that something is not found
        return Refusal.PASSING
    return next((kind for kind, pattern in _KINDS if re.search(pattern, _searched(said))), Refusal.OTHER)


def _refused(argv: Sequence[str], said: str) -> GcloudError:
    """Return the error for what gcloud printed."""
    refusal = _refusal(said)
    project = argv[argv.index("--project") + 1] if "--project" in argv else "PROJECT"
    asked = " ".join(word for word in argv[:4] if re.fullmatch("[a-z-]+", word))
    if refusal is Refusal.LOGIN:
        return GcloudError(
            f"{asked}: not logged in, or the login has expired", refusal, said, "gcloud auth login"
        )
    if refusal is Refusal.PROJECT:
        wrong = f"{asked}: project {project} does not exist, or you have no access to it"
        return GcloudError(wrong, refusal, said, "gcloud projects list")
    if refusal is Refusal.DISABLED:
        service = re.search(r"(?:apis/api/|service: |API \[)([a-z]+\.googleapis\.com)", said)
        name = service[1] if service else "of this command"
        fix = f"gcloud services enable {name} --project {project}" if service else ""
        return GcloudError(f"the API {name} is not enabled in {project}", refusal, said, fix)
    hints = {Refusal.PASSING: TRY_AGAIN, Refusal.DENIED: f"; {MAY_NOT_COUNT_YET}"}
    again = hints.get(refusal, "")
    return GcloudError(f"{asked}: {_message(said)}{again}", refusal, said)


def _message(said: str) -> str:
    """Return the message of an error in one line, without headers, links and details."""
    in_answer = re.search(r"content <(\{.*\})>", said, re.DOTALL)
    if in_answer:
        try:
            error = json.loads(in_answer[1])["error"]
            return f"{error.get('status', error.get('code', ''))}: {_one_line(error['message'])}"
        except (ValueError, KeyError, TypeError, AttributeError):
            pass  # not in Google's format: read as any other text
    if host := re.search(r"\(ConnectionError\).*host='([^']+)'", said):
        reason = re.search(r"\[Errno -?\d+\] ([^'\")]+)", said)
        return f"no connection to {host[1]} ({reason[1] if reason else 'no answer'})"
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it printed nothing"]
    errors = [number for number, line in enumerate(lines) if line.startswith("ERROR:")]
    first = errors[-1] if errors else len(lines) - 1
    message = re.sub(r"^ERROR: (\(gcloud[^)]*\) )?", "", lines[first])
    if message.endswith(":"):  # as Compute does: the reason is on a line below, after a dash
        below = (line.removeprefix("- ") for line in lines[first + 1 :] if line.startswith("- "))
        message = next(below, message)
    return _one_line(message)


def _one_line(message: str) -> str:
    """Return a message in one line, without gcloud's note on the login."""
    line = re.sub(r" ?This command is authenticated .*", "", " ".join(message.split())).rstrip(" .")
    return one_line(line, MOST_CHARACTERS)


def _statuses(said: str) -> str:
    """Return the reasons in an error's details, and the question that gcloud asks on a terminal."""
    asked = re.findall(r"API \[\S+\] not enabled", said)
    return " ".join([*re.findall(r"(?:reason|status)['\"]?: ['\"]?([A-Za-z_]+|\d{3})", said), *asked])
