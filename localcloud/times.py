"""Times as Google's APIs write them (UTC, with fractions and a Z), durations, and the services' clock."""

import time
from datetime import UTC, datetime

MAX_SPEED = 1e6  # of a clock
_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


def now() -> str:
    """Return the current time as 2026-01-31T12:00:00.123456Z."""
    return datetime.now(UTC).strftime(_FORMAT)


def at(seconds: float) -> str:
    """Return a time in seconds since 1970 in the form of now()."""
    return datetime.fromtimestamp(seconds, UTC).strftime(_FORMAT)


def parse(text: str) -> datetime:
    """Return a time with or without fractions; nanoseconds are cut to microseconds.

    Raises
    ------
    ValueError
    """
    head, dot, tail = text.partition(".")
    if dot:
        digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
        text = f"{head}.{digits[:6]}{tail[len(digits) :]}"
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def seconds_of(duration: str | None) -> float:
    """Return the seconds of a duration such as 3600s or 0.500s; 0 for None."""
    return float((duration or "0s").removesuffix("s"))


class Clock:
    """A clock that starts now and runs `speed` times as fast as real time."""

    def __init__(self, speed: float = 1.0):
        if not 0 < speed <= MAX_SPEED:
            raise ValueError(f"A clock's speed must be above 0 and at most {MAX_SPEED:g}, not {speed}.")
        self.speed = speed
        self._begun, self._begun_wall = time.monotonic(), time.time()

    def now(self) -> float:
        """Return the clock's time in seconds since 1970."""
        return self._begun_wall + (time.monotonic() - self._begun) * self.speed

    def wall_seconds(self, seconds: float) -> float:
        """Return how many real seconds a duration of this clock takes."""
        return seconds / self.speed
