"""Output for an operator and questions to the operator: paths, counts, times, tables, confirmations."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from modeling.plain_text import one_line
from ops.failures import UserError

MOST_CELL = 500  # characters


def nearest(path: Path) -> str:
    """Return a path as text: relative if it is below the working directory."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def counted(number: int, thing: str) -> str:
    """Return "1 task" or "3 tasks"."""
    return f"{number} {thing}" if number == 1 else f"{number:,} {thing}s"


class _Terminal(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # as print does; rich would exit with 1


def console() -> Console:
    """Return the terminal; in a pipe lines are wide, so that no run id is cut off."""
    terminal = _Terminal()
    return terminal if terminal.is_terminal else _Terminal(width=200)


def forget_output() -> None:
    """Discard further output after the reader of a pipe has gone: Python would end with a traceback."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def duration(seconds: float) -> str:
    """Return "42 s", "12 min 05 s" or "3 h 20 min"."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def warn_left_out(path: str, error: Exception, instead: str = "it is left out") -> None:
    """Print that a file of a run is damaged, and what happens instead of using it."""
    reason = str(error).removeprefix(f"{path}: ").removesuffix("; the run is damaged")
    print(f"warning: {path}: {one_line(reason)}; {instead}", file=sys.stderr)


def cell(text: object, most: int = MOST_CELL) -> str:
    """Return outside text for a table, escaped: rich would read [bold] as markup."""
    return escape(one_line(text, most))


def confirmed(question: str, *answers: str) -> bool:
    """Return whether the operator answers with one of these words."""
    try:
        return input(question).strip().lower() in answers
    except EOFError:
        raise no_terminal() from None


def need_terminal_or(yes: bool) -> None:
    """Refuse early without a terminal if a later question needs an answer."""
    if not yes and not sys.stdin.isatty():
        raise no_terminal()


def no_terminal() -> UserError:
    return UserError("no terminal to ask on; add --yes")


@dataclass
class Line:
    """The line of a step, whose note says what was found."""

    title: str
    note: str = ""


def print_step(title: str, seconds: float, note: str = "") -> None:
    """Print the line of a step that succeeded."""
    print(f"{title:<28}{seconds:7.1f} s  {note}".rstrip(), flush=True)


@contextmanager
def timed(title: str) -> Iterator[Line]:
    """Print a line with the seconds of a step, once it has succeeded."""
    line, begun = Line(title), time.monotonic()
    yield line
    print_step(line.title, time.monotonic() - begun, line.note)
