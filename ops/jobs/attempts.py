"""Attempts of a job's tasks, as the events that Batch keeps of each task tell: tries, exit codes, seconds."""

from datetime import datetime
from typing import Any

EXIT_CODES = {
    2: "the input or a setting is wrong",
    75: "a passing fault",
    137: "killed, most likely for want of memory",
    50001: "a Spot machine was taken away",
    50002: "its machine stopped reporting",
    50003: "its machine was restarted",
    50004: "its machine no longer answered",
    50005: "it took longer than it may",
    50006: "its machine was made anew",
}


def described(exit_code: int) -> str:
    """Return an exit code with what it means."""
    meaning = EXIT_CODES.get(exit_code, "")
    return f"exit code {exit_code}{f' ({meaning})' if meaning else ''}"


def tries(task: dict[str, Any]) -> int:
    """Return how often a task has begun."""
    return sum(event.get("taskState") == "RUNNING" for event in _events(task))


def exit_codes(task: dict[str, Any]) -> list[int]:
    """Return with what each attempt ended of which Batch tells, the first first."""
    return [event["taskExecution"].get("exitCode", 0) for event in _events(task) if "taskExecution" in event]


def seconds_run(task: dict[str, Any], now: datetime) -> float:
    """Return how long a task has run, all its attempts together."""
    events = _events(task)
    times = [datetime.fromisoformat(event["eventTime"]) for event in events]
    return sum(
        (end - begin).total_seconds()
        for event, begin, end in zip(events, times, [*times[1:], now], strict=True)
        if event.get("taskState") == "RUNNING"
    )


def _events(task: dict[str, Any]) -> list[dict[str, Any]]:
    return task.get("status", {}).get("statusEvents", [])
