"""Times as Google's APIs write them (UTC, with fractions and a Z), durations, and the services' clock."""

import time
from datetime import UTC, datetime

MAX_SPEED = 1e6  # of a clock
_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


def now() -> str:
    """Return the time now as 2026-01-31T12:00:00.123456Z."""
    return datetime.now(UTC).strftime(_FORMAT)


def at(seconds: float) -> str:
    """Return the time so many seconds after 1970, as now() does."""
    return datetime.fromtimestamp(seconds, UTC).strftime(_FORMAT)


def parse(text: str) -> datetime:
    """Read a time with or without fractions; nanoseconds are cut to microseconds.

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
    """Read a duration such as 3600s or 0.500s; none is 0."""
    return float((duration or "0s").removesuffix("s"))


class Clock:
    """Begins now and goes `speed` times as fast."""

    def __init__(self, speed: float = 1.0):
        if not 0 < speed <= MAX_SPEED:
            raise ValueError(f"A clock's speed is above 0 and at most {MAX_SPEED:g}, not {speed}.")
        self.speed = speed
        self._begun, self._begun_wall = time.monotonic(), time.time()

    def now(self) -> float:
        """Return the time, in seconds since 1970."""
        return self._begun_wall + (time.monotonic() - self._begun) * self.speed

    def wall_seconds(self, seconds: float) -> float:
        """Return how long a time of the execution takes to pass."""
        return seconds / self.speed
