"""The logs of a run in the cloud: of its tasks, of the agents on their machines, and of the workflow.

How entries are read and shown is in cloud/log_reader.py.
"""

import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ops.cloud.bucket import A_RUN_ID
from ops.cloud.cloud import Cloud
from ops.cloud.deployment import as_label
from ops.cloud.log_reader import (
    FOLLOW_PATIENCE_SECONDS,
    PATIENCE_SECONDS,
    LogLine,
    LogReader,
    LogRequest,
    quoted,
)
from ops.failures import UserError, did_you_mean
from ops.names import check_exp_id, check_run_id
from ops.stages import stage_name
from ops.terminal import console, forget_output
from ops.watching.newest_run import newest_run_id

SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")
RESOURCES = ("batch.googleapis.com/Job", "generic_task", "workflows.googleapis.com/Workflow")
CLOCK_SKEW = timedelta(minutes=10)  # between the clock in the run id and those of its machines
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def show_logs(cloud: Cloud, request: LogRequest) -> None:
    """Print the entries of a run, oldest first, one line each; with `follow` until Ctrl-C.

    Raises
    ------
    UserError
        A value is wrong, or the experiment has no run.
    """
    check_exp_id(request.exp_id)
    check_severity(request.severity)
    asked_since = since_time(request.since) if request.since else None
    if request.run_id:
        check_run_id(request.run_id)
        run_id = request.run_id
    else:
        run_id = newest_run_id(cloud, request.exp_id)
    since = max(filter(None, (asked_since, _begin(run_id))))
    print_lines(
        LogReader(cloud, log_filter(request, run_id), since),
        f"run {run_id} of {request.exp_id}",
        request.limit,
        request.follow,
        nothing=f"no matching entries in the logs of run {run_id}; "
        f"`invoke status --exp-id {request.exp_id}` shows what it waits for",
    )


def print_lines(reader: LogReader, title: str, limit: int | None, follow: bool, nothing: str) -> None:
    """Print a title and the line of each entry, oldest first; with `follow` until Ctrl-C.

    Parameters
    ----------
    limit : int or None
        Number of newest entries; None for all.
    nothing : str
        What to print if there is no entry.
    """
    reader.patience_seconds = FOLLOW_PATIENCE_SECONDS if follow else PATIENCE_SECONDS
    head = f"{title}, since {reader.since:%Y-%m-%dT%H:%M:%SZ}; times are UTC"
    reader.cloud.shell.report(head, file=sys.stderr)
    try:
        _print(reader, limit, follow, nothing)
    except BrokenPipeError:  # as with `invoke logs | head`
        forget_output()


def _print(reader: LogReader, limit: int | None, follow: bool, nothing: str) -> None:
    show, number = _line_printer(), 0
    if limit is None:
        for entry in reader.oldest_first():
            show(reader.line_of(entry))
            number += 1
    else:
        newest = reader.newest(limit)
        number = len(newest)
        if number == limit:
            note = f"the newest {number:,} entries; --limit all shows all"
            print(note, file=sys.stderr, flush=True)
        for line in newest:
            show(line)
    if follow:
        reader.follow(lambda entry: show(reader.line_of(entry)))
    elif not number:
        print(nothing, file=sys.stderr)


def _line_printer() -> Callable[[LogLine], None]:
    """Return a function that prints a line, except for a poll of a job without a change.

    On a terminal the line has colours, and is not wrapped.
    """
    screen, last = console(), {}

    def show(line: LogLine) -> None:
        if line.progress_of and last.get(line.progress_of) == line.message:
            return
        last[line.progress_of] = line.message
        if screen.is_terminal:
            screen.print(line.coloured(), soft_wrap=True)
        else:
            print(line, flush=True)

    return show


def log_filter(request: LogRequest, run_id: str) -> str:
    """Return the filter for the entries of a run, in the query language of Logging.

    Entries of jobs have the labels of the job; entries of the workflow name the run in their payload.
    """
    exp_id, run_id = request.exp_id, quoted(run_id)
    parts = [
        f"((labels.run_id={run_id} AND labels.exp_id={quoted(as_label(exp_id))})"
        f" OR (jsonPayload.run_id={run_id} AND jsonPayload.exp_id={quoted(exp_id)}))",
        f"resource.type=({' OR '.join(map(quoted, RESOURCES))})",
    ]
    if request.stage:
        stage = quoted(stage_name(request.stage))
        parts.append(f"(labels.stage={stage} OR jsonPayload.stage={stage})")
    if request.task is not None:
        parts.append(f"labels.task_id:{quoted(f'-group0-{request.task}/')}")
    if request.severity:
        parts.append(f"severity>={request.severity.upper()}")
    return " AND ".join(parts)


def check_severity(severity: str) -> None:
    if severity and severity.upper() not in SEVERITIES:
        near = did_you_mean(severity.upper(), SEVERITIES)
        raise UserError(f"--severity {severity}: one of {', '.join(SEVERITIES)}{near}")


def since_time(text: str) -> datetime:
    """Return the time of --since: an age such as 2h, or a time, in UTC if it has no zone."""
    try:
        if ago := re.fullmatch(r"([0-9]{1,6})([smhd])", text):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise UserError(
            f"--since {text}: an age such as 10m, 2h or 3d, or a time such as 2026-01-31T12:00Z"
        ) from None


def _begin(run_id: str) -> datetime:
    """Return the earliest possible start of a run, from its id: without a limit, Logging is slow."""
    if run_id == A_RUN_ID:
        return datetime.now(UTC) - timedelta(days=1)
    try:
        return datetime.strptime(run_id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC) - CLOCK_SKEW
    except ValueError:
        raise UserError(f"--run-id {run_id}: it contains no valid time") from None
