"""Attempts of a job's tasks, as the events that Batch keeps of each task tell: tries, exit codes, seconds."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

EXIT_CODES = {
    2: "the input or a setting is wrong",
    75: "a passing fault",
    137: "killed, most likely for want of memory",
    50000: "no cause that Batch knows; see its log",
    50001: "a Spot machine was taken away",
    50002: "its machine stopped reporting in time",
    50003: "its machine was restarted",
    50004: "its machine, or the task, no longer answered",
    50005: "it took longer than it may",
    50006: "its machine was made anew",
}
OUT_OF_MEMORY = frozenset((137, 50002, 50004))  # without memory a machine kills the task, or cannot report
CANCELLED_JOB = ("CANCELLED", "CANCELLATION_IN_PROGRESS")
_STOPPED = (50000, 130, 143)  # exit codes of a task that is stopped with its job


def described(exit_code: int) -> str:
    """Return an exit code with what it means."""
    meaning = EXIT_CODES.get(exit_code, "")
    return f"exit code {exit_code}{f' ({meaning})' if meaning else ''}"


def memory_hint(codes: Iterable[int]) -> str:
    """Return a hint if all attempts of a task ended as they do when memory is exhausted; else ""."""
    codes = set(codes)
    if not codes or not codes <= OUT_OF_MEMORY or codes == {137}:  # that code says so itself
        return ""
    return "all its attempts ended alike: its memory may be too small"


def stage_exit_code(codes: Iterable[int]) -> int:
    """Return the exit code of a stage from those of its tasks: 2, 75 or 130 if all agree, else 1."""
    codes = set(codes)
    return codes.pop() if codes in ({2}, {75}, {130}) else 1


def was_cancelled(task: dict[str, Any]) -> bool:
    """Return whether a task of a cancelled job was stopped with it, not failed before."""
    codes = exit_codes(task)
    failed = task.get("status", {}).get("state") == "FAILED"
    return failed and (not codes or codes[-1] in _STOPPED)


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
