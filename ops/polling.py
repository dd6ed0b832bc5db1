"""Following what goes on in the cloud: asked again and again, the more seldom the longer it lasts.

Through faults that pass, which a laptop that slept, or a night, brings: what was begun goes on meanwhile.
"""

import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

from ops.failures import TEMPORARY_FAULT, TRY_AGAIN, UserError

SHARE = 0.02  # of the time that has gone by is rested between two looks
LEAST_SECONDS, MOST_SECONDS = 2.0, 60.0

Answer = TypeVar("Answer")


def looks(
    ask: Callable[[], Answer], say: Callable[[str], object], least_seconds: float = LEAST_SECONDS
) -> Iterator[Answer]:
    """Yield what is answered, again and again."""
    begun = time.monotonic()
    while True:
        yield through_faults(ask, say)
        time.sleep(max(least_seconds, min(MOST_SECONDS, SHARE * (time.monotonic() - begun))))


def through_faults(
    ask: Callable[[], Answer], say: Callable[[str], object], patience_seconds: float = math.inf
) -> Answer:
    """Return what is answered; a passing fault is told once, and once that it has passed.

    Raises
    ------
    UserError
        Another fault; or for so long there was nothing but faults that pass.
    """
    begun, pause, has_told = time.monotonic(), LEAST_SECONDS, False
    while True:
        try:
            found = ask()
        except UserError as error:
            if error.exit_code != TEMPORARY_FAULT or time.monotonic() - begun >= patience_seconds:
                raise
            if not has_told:
                reason = error.problem.removesuffix(TRY_AGAIN)
                say(f"the cloud cannot be asked just now, and is asked again: {reason}")
            has_told = True
            time.sleep(pause)
            pause = min(MOST_SECONDS, 2 * pause)
            continue
        if has_told:
            say("the cloud can be asked again")
        return found


def tell(line: str) -> None:
    """Print what has happened, with the time."""
    print(f"{datetime.now(UTC):%H:%M:%SZ}  {line}", flush=True)


def tell_news(told: dict[str, str], what: str, line: str) -> None:
    """Print a line unless it is what was told of this the last time."""
    if told.get(what) != line:
        tell(line)
        told[what] = line
