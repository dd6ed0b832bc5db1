"""Questions that depend on one another, asked side by side, and what was found. What is asked is not here."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum

from ops.failures import TRY_AGAIN, UserError
from ops.gcloud import AT_ONCE, DOCTOR, GcloudError, Refusal


class Level(Enum):
    """How a question was answered."""

    OK = "ok"
    WARNING = "warning"  # goes, but not as well; or not needed for what is asked
    MISSING = "missing"
    UNKNOWN = "unknown"  # a passing fault: asking again may tell
    SKIPPED = "skipped"  # what it depends on is not there


@dataclass(frozen=True)
class Answer:
    """What is there, or a doubt about it and the command that mends it."""

    detail: str
    is_doubt: bool = False
    mend: str = ""


@dataclass(frozen=True)
class Question:
    """`ask` answers, or raises what is wrong; it is not asked while one of `after` is not there."""

    what: str
    ask: Callable[[], Answer]
    after: tuple[str, ...] = ()
    is_needed: bool = True


@dataclass(frozen=True)
class Finding:
    what: str
    level: Level
    detail: str
    mend: str = ""


def ask_all(questions: Sequence[Question]) -> Iterator[Finding]:
    """Yield what is found in the order of the questions, each as soon as it and those before it are known.

    A question comes behind those it depends on.
    """
    futures: dict[str, Future[Finding]] = {}
    is_left = threading.Event()
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for question in questions:
            before = [futures[name] for name in question.after if name in futures]
            futures[question.what] = pool.submit(_ask, question, before, is_left)
        for question in questions:
            yield futures[question.what].result()
    finally:
        is_left.set()  # after Ctrl-C nothing more is asked
        pool.shutdown(cancel_futures=True)


def refuse(findings: Sequence[Finding], lack: str) -> None:
    """Refuse where something is missing, `lack` being what to call that, or cannot be told.

    Raises
    ------
    UserError
        With exit code 2, or 75 where nothing is missing as far as is known.
    """
    missing, unknown = (
        [finding.what for finding in findings if finding.level is level]
        for level in (Level.MISSING, Level.UNKNOWN)
    )
    if missing:
        raise UserError(f"{lack}: {', '.join(missing)}")
    if unknown:
        raise UserError(f"cannot be told now: {', '.join(unknown)}{TRY_AGAIN}", exit_code=75)


def _ask(question: Question, before: Sequence[Future[Finding]], is_left: threading.Event) -> Finding:
    for finding in (future.result() for future in before):
        if finding.level not in (Level.OK, Level.WARNING):
            return Finding(question.what, Level.SKIPPED, f"{finding.what} comes first")
    if is_left.is_set():
        return Finding(question.what, Level.SKIPPED, "not asked")
    try:
        answer = question.ask()
    except UserError as error:
        mend = "" if error.mend == DOCTOR else error.mend  # that is what is asked here
        return Finding(question.what, _level(question, error), error.problem, mend)
    return Finding(question.what, Level.WARNING if answer.is_doubt else Level.OK, answer.detail, answer.mend)


def _level(question: Question, error: UserError) -> Level:
    if error.exit_code == 75:
        return Level.UNKNOWN
    no_right_to_look = isinstance(error, GcloudError) and error.refusal is Refusal.DENIED
    return Level.MISSING if question.is_needed and not no_right_to_look else Level.WARNING
