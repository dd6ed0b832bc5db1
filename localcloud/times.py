"""Points in time as Google's APIs write them: UTC, with fractions and a Z; and durations."""

from datetime import UTC, datetime

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
