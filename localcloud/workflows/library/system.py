"""sys.*, time.* and events.*: the clock, environment, log and callbacks of an execution."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from localcloud import times
from localcloud.filters import SEVERITIES
from localcloud.workflows.blocks import Walker
from localcloud.workflows.errors import error
from localcloud.workflows.json_text import json_bytes
from localcloud.workflows.library.function import Library
from localcloud.workflows.limits import CALLBACK_TIMEOUT_SECONDS
from localcloud.workflows.values import to_text

SYSTEM = Library()
_NO_DEFAULT = "\0"


@SYSTEM.function("sys.now")
def now(strand: Walker) -> float:
    return strand.run.clock.now()


@SYSTEM.function("sys.sleep", blocks=True)
def sleep(strand: Walker, seconds: float) -> None:
    if seconds < 0:
        raise error("ValueError", f"a sleep of {seconds} seconds")
    strand.sleep(seconds)


@SYSTEM.function("sys.sleep_until", blocks=True)
def sleep_until(strand: Walker, time: str) -> None:
    strand.sleep(max(0.0, parse(time) - strand.run.clock.now()))


@SYSTEM.function("sys.get_env")
def get_env(strand: Walker, name: str, default: Any = _NO_DEFAULT) -> Any:
    found = strand.run.environment.get(name, default)
    if found is _NO_DEFAULT:
        raise error("KeyError", f"environment variable not found: {name}")
    return found


@SYSTEM.function("sys.log", blocks=True)
def log(
    strand: Walker,
    data: Any = None,
    severity: str = "DEFAULT",
    text: str | None = None,
    json: dict | None = None,
    timeout: int | float = 30,
) -> None:
    """Write one of data, text and json to the log; data may have any type, and a map becomes JSON."""
    if severity not in SEVERITIES:
        raise error("ValueError", f"the severity {severity} is not one of {', '.join(SEVERITIES)}")
    given = [each for each in (data, text, json) if each is not None]
    if len(given) != 1:
        raise error("ValueError", "sys.log takes one of data, text and json")
    payload = given[0]
    json_bytes(payload)  # raises for what a log entry cannot contain
    if isinstance(payload, list):
        payload = {"message": payload}
    strand.run.call_log.write(payload if isinstance(payload, dict) else to_text(payload), severity)


@SYSTEM.function("time.format")
def format_time(seconds: float, timezone: str = "UTC") -> str:
    try:
        shown = datetime.fromtimestamp(seconds, UTC).astimezone(ZoneInfo(timezone)).isoformat()
    except (ZoneInfoNotFoundError, ValueError, OverflowError, OSError) as wrong:
        raise error("ValueError", f"{seconds} in {timezone} is not a time: {wrong}") from None
    return shown.replace("+00:00", "Z")


@SYSTEM.function("time.parse")
def parse(value: str) -> float:
    try:
        return times.parse(value).timestamp()
    except ValueError as wrong:
        raise error("ValueError", f"not a time: {wrong}") from None


@SYSTEM.function("events.create_callback_endpoint")
def create_callback_endpoint(strand: Walker, http_callback_method: str) -> dict:
    return strand.run.callbacks.create(http_callback_method)


@SYSTEM.function("events.await_callback", blocks=True)
def await_callback(strand: Walker, callback: dict, timeout: float = CALLBACK_TIMEOUT_SECONDS) -> dict:
    return strand.run.callbacks.wait(callback, timeout, strand.wait_for)
