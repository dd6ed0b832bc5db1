"""Questions that may depend on one another, asked at the same time, and their findings, which are printed."""

import shutil
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum

from ops.failures import TRY_AGAIN, UserError
from ops.gcloud import AT_ONCE, DOCTOR, GcloudError, Refusal
from ops.shell import Shell

_IN = "  "


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


def examine(
    shell: Shell,
    groups: Mapping[str, Sequence[Question]],
    ready: str,
    exit_code: int = 2,
    keep: Callable[[Sequence[Finding]], object] | None = None,
) -> None:
    """Ask all questions and print what was found, group by group; a dry run prints the commands that ask.

    Parameters
    ----------
    ready : str
        What is printed last if nothing is missing.
    keep : callable, optional
        Receives all findings, whatever they are, before anything is refused; not in a dry run.

    Raises
    ------
    UserError
        `exit_code` if something is missing, 75 if something is only unknown.
    """
    if shell.dry_run:
        _print_commands(groups)
        return
    findings = list(_show_findings(groups))
    if keep:
        keep(findings)
    refuse(findings, "missing", exit_code)
    print(ready)


def _print_commands(groups: Mapping[str, Sequence[Question]]) -> None:
    """Let every question print its command, in order, in a dry run."""
    for question in (each for questions in groups.values() for each in questions):
        try:
            question.ask()
        except UserError as error:
            print(f"{question.what}: {error}", file=sys.stderr)


def _show_findings(groups: Mapping[str, Sequence[Question]]) -> Iterator[Finding]:
    """Print and yield the findings, group by group; all questions are asked at once."""
    questions = [each for group in groups.values() for each in group]
    heading = {group[0].what: name for name, group in groups.items()}
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    column = max(len(question.what) for question in questions)
    for finding in ask_all(questions):
        if finding.what in heading:
            print(heading[finding.what], flush=True)
        print("\n".join(lines_of(finding, column, width)), flush=True)
        yield finding


def lines_of(finding: Finding, column: int, width: int) -> list[str]:
    """Return a finding as one line, or as several lines if it is wider than the terminal.

    The command that fixes it is never broken, so that it can be copied.
    """
    start = f"{_IN}{finding.level.value:8}{finding.what:{column}}  "
    fix = f"-> {finding.fix}" if finding.fix else ""
    line = f"{start}{finding.detail}  {fix}".rstrip()
    if not width or len(line) <= width:
        return [line]
    indent = " " * len(start)
    wrapped = textwrap.wrap(finding.detail, max(width - len(start), 20), break_on_hyphens=False)
    first, *others = wrapped or [""]
    return [start + first, *(indent + each for each in others), *([indent + fix] if fix else [])]


def refuse(findings: Sequence[Finding], problem: str, exit_code: int = 2) -> None:
    """Refuse if something is missing or not known; `problem` begins the message.

    Raises
    ------
    UserError
        `exit_code` if something is missing, 75 if something is only unknown.
    """
    missing, unknown = (
        [finding.what for finding in findings if finding.level is level]
        for level in (Level.MISSING, Level.UNKNOWN)
    )
    if missing:
        raise UserError(f"{problem}: {', '.join(missing)}", exit_code)
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
