"""The logs of a run in the cloud: what its tasks wrote, what their machines' agents did, how it came on.

How an entry is shown is in log_lines.py, how entries are read in log_reader.py.
"""

import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ops.cloud.bucket import A_RUN_ID
from ops.cloud.deployment import as_label
from ops.cloud.log_reader import FOLLOW_PATIENCE_SECONDS, PATIENCE_SECONDS, LogLine, LogReader, quoted
from ops.failures import UserError, did_you_mean
from ops.names import check_exp_id, check_run_id
from ops.settings import Settings, need
from ops.shell import Shell
from ops.stages import stage_name
from ops.terminal import console, forget_output
from ops.watching.newest_run import newest_run_id

SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")
RESOURCES = ("batch.googleapis.com/Job", "generic_task", "workflows.googleapis.com/Workflow")
NEWEST = 1000
CLOCK_SKEW = timedelta(minutes=10)  # between the clock that named the run and that of its machines
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class LogRequest:
    """Which entries are wanted, in the operator's words."""

    exp_id: str
    run_id: str = ""
    stage: str = ""
    task: int | None = None
    severity: str = ""
    since: str = ""
    limit: int | None = NEWEST  # None for all
    follow: bool = False

    @property
    def command(self) -> str:
        """Return the command that makes this request again, but for how much of it is shown."""
        flags = {
            "--exp-id": self.exp_id,
            "--run-id": self.run_id,
            "--stage": self.stage,
            "--task": "" if self.task is None else str(self.task),
            "--severity": self.severity,
            "--since": self.since,
        }
        given = [word for flag, value in flags.items() if value for word in (flag, value)]
        return shlex.join(["invoke", "logs", *given])


def show(shell: Shell, settings: Settings, request: LogRequest) -> None:
    """Print the entries of a run, oldest first, a line each; or go on printing them until Ctrl-C.

    Raises
    ------
    UserError
        A value that is none, or no run.
    """
    need(settings, "project_id")
    check_exp_id(request.exp_id)
    check_severity(request.severity)
    asked_since = since_time(request.since) if request.since else None
    if request.run_id:
        check_run_id(request.run_id)
        run_id = request.run_id
    else:
        run_id = newest_run_id(shell, settings, request.exp_id)
    since = max(filter(None, (asked_since, _begin(run_id))))
    patience = FOLLOW_PATIENCE_SECONDS if request.follow else PATIENCE_SECONDS
    reader = LogReader(
        shell, settings.project_id, log_filter(request, run_id), since, patience_seconds=patience
    )
    if shell.dry_run:
        reader.show_command(request.limit)
        return
    print(
        f"run {run_id} of {request.exp_id}, since {since:%Y-%m-%dT%H:%M:%SZ}; times are UTC",
        file=sys.stderr,
        flush=True,
    )
    try:
        _print(reader, request, run_id)
    except BrokenPipeError:  # `invoke logs | head` has seen enough
        forget_output()


def _print(reader: "LogReader", request: LogRequest, run_id: str) -> None:
    tell, number = _teller(), 0
    if request.limit is None:
        for entry in reader.oldest_first():
            tell(LogLine.of(entry))
            number += 1
    else:
        newest = reader.newest(request.limit)
        number = len(newest)
        if number == request.limit:
            note = f"the newest {number:,} entries; --limit all shows all"
            print(note, file=sys.stderr, flush=True)
        for line in newest:
            tell(line)
    if request.follow:
        reader.follow(lambda entry: tell(LogLine.of(entry)))
    elif not number:
        print(
            f"nothing of this is logged of run {run_id}; `invoke status --exp-id {request.exp_id}` shows "
            "what it waits for",
            file=sys.stderr,
        )


def _teller() -> Callable[[LogLine], None]:
    """Return a function that prints a line, except for a poll of a job that found no change.

    With colours on a terminal, which may not wrap it at some width.
    """
    screen, last = console(), {}

    def tell(line: LogLine) -> None:
        if line.progress_of and last.get(line.progress_of) == line.message:
            return
        last[line.progress_of] = line.message
        if screen.is_terminal:
            screen.print(line.coloured(), soft_wrap=True)
        else:
            print(line, flush=True)

    return tell


def log_filter(request: LogRequest, run_id: str) -> str:
    """Return what selects the entries of a run, in Logging's language.

    Entries of jobs have the job's labels; those of the workflow say in their payload what they are about.
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
    """Return the time that --since names: so long ago, or a point of time, in UTC where it names no zone."""
    try:
        if ago := re.fullmatch(r"([0-9]{1,6})([smhd])", text):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise UserError(
            f"--since {text}: so long ago, as in 10m, 2h or 3d, or a time such as 2026-01-31T12:00Z"
        ) from None


def _begin(run_id: str) -> datetime:
    """Return when a run began at the earliest: its id tells. Without a bound, Logging looks for long."""
    if run_id == A_RUN_ID:
        return datetime.now(UTC) - timedelta(days=1)
    try:
        return datetime.strptime(run_id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC) - CLOCK_SKEW
    except ValueError:
        raise UserError(f"--run-id {run_id}: it names no time") from None
