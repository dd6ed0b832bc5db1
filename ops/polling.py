"""Polling: asking the cloud again and again, less often the longer it takes.

Polling continues after temporary faults, e.g. after the laptop has slept: what was started keeps running.
"""

import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

from ops.failures import TEMPORARY_FAULT, TRY_AGAIN, UserError

SHARE = 0.02  # of the elapsed time is waited between two requests
LEAST_SECONDS, MOST_SECONDS = 2.0, 60.0

Answer = TypeVar("Answer")


def poll(
    ask: Callable[[], Answer], say: Callable[[str], object], least_seconds: float = LEAST_SECONDS
) -> Iterator[Answer]:
    """Yield the results of `ask`, called again and again."""
    begun = time.monotonic()
    while True:
        yield through_faults(ask, say)
        time.sleep(max(least_seconds, min(MOST_SECONDS, SHARE * (time.monotonic() - begun))))


def through_faults(
    ask: Callable[[], Answer], say: Callable[[str], object], patience_seconds: float = math.inf
) -> Answer:
    """Return the result of `ask`; `say` reports the first temporary fault, and its end.

    Raises
    ------
    UserError
        Another fault, or only temporary faults for `patience_seconds`.
    """
    begun, pause, is_reported = time.monotonic(), LEAST_SECONDS, False
    while True:
        try:
            found = ask()
        except UserError as error:
            if error.exit_code != TEMPORARY_FAULT or time.monotonic() - begun >= patience_seconds:
                raise
            if not is_reported:
                reason = error.problem.removesuffix(TRY_AGAIN)
                say(f"a request to the cloud failed; asking again: {reason}")
            is_reported = True
            time.sleep(pause)
            pause = min(MOST_SECONDS, 2 * pause)
            continue
        if is_reported:
            say("the cloud answers again")
        return found


def print_timed(line: str) -> None:
    """Print a line with the time."""
    print(f"{datetime.now(UTC):%H:%M:%SZ}  {line}", flush=True)


def print_if_changed(printed: dict[str, str], what: str, line: str) -> None:
    """Print a line about something, unless it was the last line about it."""
    if printed.get(what) != line:
        print_timed(line)
        printed[what] = line
