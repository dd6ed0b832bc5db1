"""gcloud: what it prints, and what its refusals mean. A passing fault of the cloud ends with exit code 75."""

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import Any

from ops.failures import TRY_AGAIN, UserError
from ops.settings import Settings
from ops.shell import Shell

AT_ONCE = 8  # processes, each half a second of work for a core
CALL_SECONDS = 120  # gcloud repeats a failed request for half a minute by itself
DOCTOR = "invoke doctor --cloud"  # asks for all that a run needs, and has a command for each lack
MOST_CHARACTERS = 400  # of a message: a proxy answers with a whole page


class Refusal(Enum):
    """What kind of refusal an error of gcloud is, as far as what to do about it goes."""

    LOGIN = "no credentials, or none that are good any more"
    PROJECT = "the project is not there, or not ours"
    DISABLED = "the API is not enabled in the project"
    MISSING = "what was asked about is not there"
    DENIED = "no right to it, or it is not there: Google does not tell which"
    QUOTA = "more than the project may have"
    PASSING = "a fault of the service or the network that passes"
    OTHER = "anything else"


class GcloudError(UserError):
    """What gcloud refused; `said` is all it said on standard error."""

    def __init__(self, problem: str, refusal: Refusal, said: str, mend: str = ""):
        mend = mend or (DOCTOR if refusal in (Refusal.MISSING, Refusal.DENIED) else "")
        super().__init__(problem, exit_code=_EXIT_CODES.get(refusal, 1), mend=mend)
        self.refusal = refusal
        self.said = said


_SETTINGS = (Refusal.LOGIN, Refusal.PROJECT, Refusal.DISABLED, Refusal.MISSING, Refusal.DENIED)
_EXIT_CODES = {Refusal.PASSING: 75, **dict.fromkeys(_SETTINGS, 2)}  # what .env, a login or a right mends

_CODE = r"(?:HTTPError |status': |code=|: )"  # what stands before a status code; a name may hold one, too
# Compute answers without a code: gcloud prints the message alone
_BUSY = r"(?i:service is currently unavailable|internal error\b|bad gateway|backend ?error|temporary error)"
_ANSWERED_5XX = r"response: <\{[^>]*'status': 5\d\d\b"
_TOO_MANY = rf"per minute|RATE_LIMIT_EXCEEDED|[rR]ateLimitExceeded|RESOURCE_EXHAUSTED|{_CODE}429\b"

# The first that is found decides, in the message with the reasons of its details.
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
    (Refusal.MISSING, rf"NOT_FOUND|\bnot found\b|does not exist|{_CODE}404\b"),
    (Refusal.DENIED, rf"PERMISSION_DENIED|does not have permission|{_CODE}403\b"),
    (
        Refusal.PASSING,
        rf"\b(UNAVAILABLE|DEADLINE_EXCEEDED|INTERNAL|ABORTED)\b|{_CODE}5\d\d\b|network connectivity"
        r"|no connection to|[Cc]onnection (refused|reset|aborted)|Unable to find the server|timed out",
    ),
)


_UNLOGGED = {"CLOUDSDK_CORE_LOG_HTTP": "false"}  # or its log file would hold every request, whatever is in it


def read(
    shell: Shell,
    words: Sequence[str],
    *,
    timeout_seconds: float = CALL_SECONDS,
    echo: bool = True,
    standard_input: str | None = None,
) -> str:
    """Return what gcloud prints for these words; in a dry run the command is printed, and nothing returned.

    Raises
    ------
    GcloudError
        It refused; its exit code is 75 where trying again may help.
    UserError
        It is not there, or took too long (75).
    """
    argv = ["gcloud", *words]
    if echo or shell.dry_run:
        shell.echo(argv)
    if shell.dry_run:
        return ""
    ended = shell.attempt(argv, _UNLOGGED, timeout_seconds=timeout_seconds, standard_input=standard_input)
    if ended.exit_code:
        raise _refused(argv, ended.errors or ended.output)
    return ended.output


def read_json(
    shell: Shell,
    words: Sequence[str],
    *,
    timeout_seconds: float = CALL_SECONDS,
    echo: bool = True,
    standard_input: str | None = None,
    fields: str = "",
) -> Any:
    """Return what gcloud answers, read as JSON; None in a dry run. Raises as read().

    `fields` chooses fields and names them, as "(name,status.state:label=State)".
    """
    asked = [*words, "--format", f"json{fields}"]
    said = read(shell, asked, timeout_seconds=timeout_seconds, echo=echo, standard_input=standard_input)
    try:
        return json.loads(said) if said else None
    except ValueError:
        raise UserError(f"gcloud {' '.join(words[:2])}: no JSON in its answer", exit_code=1) from None


def at_once(questions: Sequence[Callable[[], Any]]) -> list[Any]:
    """Ask some questions at a time and return the answers in order; what is told is the first that failed."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda question: question(), questions))


def is_no_match(error: GcloudError) -> bool:
    """Tell whether gcloud found no object of a name, which it says in words of its own."""
    return "matched no objects" in error.said


def read_if_there(
    shell: Shell, words: Sequence[str], *, timeout_seconds: float = CALL_SECONDS, echo: bool = False
) -> str:
    """Return what gcloud prints of objects, nothing where there are none of that name. Raises as read()."""
    try:
        return read(shell, words, timeout_seconds=timeout_seconds, echo=echo)
    except GcloudError as error:
        if not is_no_match(error):
            raise
        return ""


def asks_too_often(error: GcloudError) -> bool:
    """Tell whether it was refused since the project has made too many requests in a minute."""
    return error.refusal is Refusal.PASSING and bool(re.search(_TOO_MANY, _heard(error.said)))


def _heard(said: str) -> str:
    return f"{_told(said)} {_statuses(said)}"


def _refusal(said: str) -> Refusal:
    if re.search(_ANSWERED_5XX, said):  # whatever its message says is not found
        return Refusal.PASSING
    return next((kind for kind, pattern in _KINDS if re.search(pattern, _heard(said))), Refusal.OTHER)


def _refused(argv: Sequence[str], said: str) -> GcloudError:
    """Return the error that a refusal of gcloud is."""
    refusal = _refusal(said)
    project = argv[argv.index("--project") + 1] if "--project" in argv else "PROJECT"
    asked = " ".join(word for word in argv[:4] if re.fullmatch("[a-z-]+", word))
    if refusal is Refusal.LOGIN:
        return GcloudError(f"{asked}: not logged in, or no longer", refusal, said, "gcloud auth login")
    if refusal is Refusal.PROJECT:
        wrong = f"{asked}: there is no project {project}, or you have no right to it"
        return GcloudError(wrong, refusal, said, "gcloud projects list")
    if refusal is Refusal.DISABLED:
        service = re.search(r"(?:apis/api/|service: |API \[)([a-z]+\.googleapis\.com)", said)
        name = service[1] if service else "of this command"
        mend = f"gcloud services enable {name} --project {project}" if service else ""
        return GcloudError(f"the API {name} is not enabled in {project}", refusal, said, mend)
    again = TRY_AGAIN if refusal is Refusal.PASSING else ""
    return GcloudError(f"{asked}: {_told(said)}{again}", refusal, said)


def _told(said: str) -> str:
    """Return the message of an error in one line: gcloud writes headers, links and details around it."""
    in_answer = re.search(r"content <(\{.*\})>", said, re.DOTALL)
    if in_answer:
        try:
            error = json.loads(in_answer[1])["error"]
            return f"{error.get('status', error.get('code', ''))}: {_one_line(error['message'])}"
        except (ValueError, KeyError, TypeError, AttributeError):
            pass  # not Google's shape: as any other text
    if host := re.search(r"\(ConnectionError\).*host='([^']+)'", said):
        reason = re.search(r"\[Errno -?\d+\] ([^'\")]+)", said)
        return f"no connection to {host[1]} ({reason[1] if reason else 'no answer'})"
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it said nothing"]
    errors = [number for number, line in enumerate(lines) if line.startswith("ERROR:")]
    first = errors[-1] if errors else len(lines) - 1
    message = re.sub(r"^ERROR: (\(gcloud[^)]*\) )?", "", lines[first])
    if message.endswith(":"):  # as of Compute: what was refused stands below, behind a dash
        below = (line.removeprefix("- ") for line in lines[first + 1 :] if line.startswith("- "))
        message = next(below, message)
    return _one_line(message)


def _one_line(message: str) -> str:
    """Return a message without line ends, and without how gcloud was logged in."""
    return re.sub(r" ?This command is authenticated .*", "", " ".join(message.split())).rstrip(" .")[
        :MOST_CHARACTERS
    ]


def _statuses(said: str) -> str:
    """Return the reasons in an error's details, and what gcloud would have asked on a terminal."""
    asked = re.findall(r"API \[\S+\] not enabled", said)
    return " ".join([*re.findall(r"(?:reason|status)['\"]?: ['\"]?([A-Za-z_]+|\d{3})", said), *asked])


def place_words(settings: Settings) -> list[str]:
    """Return the words that tell gcloud where executions and jobs are."""
    return ["--location", settings.region, "--project", settings.project_id]
