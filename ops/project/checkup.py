"""Questions that may depend on one another, asked at the same time, and their findings."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum

from ops.failures import TRY_AGAIN, UserError
from ops.gcloud import AT_ONCE, DOCTOR, GcloudError, Refusal


class Level(Enum):
    """Result of a question."""

    OK = "ok"
    WARNING = "warning"  # works, with a drawback; or is not needed
    MISSING = "missing"
    UNKNOWN = "unknown"  # a temporary fault: asking again may help
    SKIPPED = "skipped"  # depends on something that is missing


@dataclass(frozen=True)
class Answer:
    """What was found, whether that is a warning, and the command that fixes it."""

    detail: str
    is_warning: bool = False
    fix: str = ""


@dataclass(frozen=True)
class Question:
    """A question; `ask` raises UserError if something is wrong. Skipped if one of `after` is missing."""

    what: str
    ask: Callable[[], Answer]
    after: tuple[str, ...] = ()
    is_needed: bool = True


@dataclass(frozen=True)
class Finding:
    what: str
    level: Level
    detail: str
    fix: str = ""


def ask_all(questions: Sequence[Question]) -> Iterator[Finding]:
    """Yield the findings in the order of the questions, each as soon as it and those before it are known.

    A question comes after those that it depends on.
    """
    futures: dict[str, Future[Finding]] = {}
    is_stopped = threading.Event()
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for question in questions:
            before = [futures[name] for name in question.after if name in futures]
            futures[question.what] = pool.submit(_ask, question, before, is_stopped)
        for question in questions:
            yield futures[question.what].result()
    finally:
        is_stopped.set()  # no more questions after Ctrl-C
        pool.shutdown(cancel_futures=True)


def refuse(findings: Sequence[Finding], problem: str) -> None:
    """Refuse if something is missing or not known; `problem` begins the message.

    Raises
    ------
    UserError
        Exit code 2 if something is missing, 75 if something is only unknown.
    """
    missing, unknown = (
        [finding.what for finding in findings if finding.level is level]
        for level in (Level.MISSING, Level.UNKNOWN)
    )
    if missing:
        raise UserError(f"{problem}: {', '.join(missing)}")
    if unknown:
        raise UserError(f"not checked: {', '.join(unknown)}{TRY_AGAIN}", exit_code=75)


def _ask(question: Question, before: Sequence[Future[Finding]], is_stopped: threading.Event) -> Finding:
    for finding in (future.result() for future in before):
        if finding.level not in (Level.OK, Level.WARNING):
            return Finding(question.what, Level.SKIPPED, f"needs {finding.what}")
    if is_stopped.is_set():
        return Finding(question.what, Level.SKIPPED, "stopped")
    try:
        answer = question.ask()
    except UserError as error:
        fix = "" if error.fix == DOCTOR else error.fix  # which is running now
        return Finding(question.what, _level(question, error), error.problem, fix)
    return Finding(question.what, Level.WARNING if answer.is_warning else Level.OK, answer.detail, answer.fix)


def _level(question: Question, error: UserError) -> Level:
    if error.exit_code == 75:
        return Level.UNKNOWN
    no_right_to_look = isinstance(error, GcloudError) and error.refusal is Refusal.DENIED
    return Level.MISSING if question.is_needed and not no_right_to_look else Level.WARNING
