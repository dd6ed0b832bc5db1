"""How an execution stands: its stages, their tasks by state, retries, and what their jobs wait for.

Which executions are looked at, and how often, is in status.py.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ops import gcloud
from ops.failures import UserError
from ops.runs.executions import (
    ACTIVE,
    ACTIVE_JOB,
    Execution,
    Progress,
    exp_id_of,
    place_words,
    reason_of,
    run_id_of,
    seconds_taken,
    where_it_is,
)
from ops.shell import Shell
from ops.shown import counted, duration, one_line
from ops.watching.run_logs import LogRequest

COUNTED_TASKS = 1000  # retries stand in the events of each task: of more tasks they are too much to ask for
EVENTS = 3
EVENT_CHARACTERS = 300
_MEANINGS = {
    75: "a passing fault",
    137: "out of memory",
    50001: "Spot VM taken away",
    50002: "VM lost",
    50003: "VM rebooted",
    50004: "VM hung",
    50005: "out of time",
    50006: "VM recreated",
}


@dataclass(frozen=True)
class StageStatus:
    """How a stage of an execution stands."""

    progress: Progress
    queued_seconds: float
    run_id: str = ""
    retries: int | None = None  # where they are counted
    failures: tuple[tuple[int, int], ...] = ()  # exit codes of attempts, and how many ended so
    events: tuple[str, ...] = ()  # of the job, but for its changes of state

    def lines(self) -> Iterator[str]:
        progress = self.progress
        told = [progress.counted] if progress.counted else []
        if self.retries:
            told.append(counted(self.retries, "retry").replace("retrys", "retries"))
        told.append(f"queued {duration(self.queued_seconds)}")
        yield f"{progress.stage:8} {progress.state:10} {'; '.join(told)}"
        if self.failures:
            codes = ", ".join(f"{number:,} with {_meaning(code)}" for code, number in self.failures)
            yield f"{'':8} attempts that failed: {codes}"
        for event in self.events:
            yield f"{'':8} {event}"


def _meaning(code: int) -> str:
    return f"{code} ({_MEANINGS[code]})" if code in _MEANINGS else f"exit code {code}"


@dataclass(frozen=True)
class RunStatus:
    """How an execution stands."""

    execution: Execution
    found: dict[str, Any]
    stages: tuple[StageStatus, ...]

    @property
    def is_going_on(self) -> bool:
        return self.found["state"] in ACTIVE

    @property
    def exp_id(self) -> str:
        return exp_id_of(self.found)

    @property
    def run_id(self) -> str:
        """Return the run's id, as far as it is known: where the workflow names the run, its jobs tell."""
        return run_id_of(self.found) or next((stage.run_id for stage in self.stages), "")

    def lines(self) -> Iterator[str]:
        run = f"run {self.run_id}" if self.run_id else "a run without an id yet"
        where = where_it_is(self.found) if self.is_going_on and not self.stages else ""
        when = "for" if self.is_going_on else "after"
        yield (
            f"{self.exp_id}  {run}  {self.found['state']} {when} "
            f"{duration(seconds_taken(self.found))}{f', at {where}' if where else ''}"
        )
        for stage in self.stages:
            yield from (f"  {line}" for line in stage.lines())
        if self.found["state"] == "SUCCEEDED":
            yield f"  {_outcome(self.found)}"
        elif not self.is_going_on:
            yield f"  {one_line(reason_of(self.found))}"
            yield f"  logs: {LogRequest(self.exp_id, self.run_id, severity='WARNING').command}"
        yield f"  execution {self.execution.execution_id}"

    def substance(self) -> tuple:
        """Return what has to change for a change to be worth a line: time that goes by is none."""
        stages = [
            (stage.progress, stage.retries, stage.failures, stage.events, stage.queued_seconds)
            if stage.progress.has_ended
            else (stage.progress, stage.retries, stage.failures, stage.events)
            for stage in self.stages
        ]
        return (self.found["state"], stages)


def _outcome(found: dict[str, Any]) -> str:
    """Return what an execution that succeeded returned, in short."""
    result = json.loads(found.get("result") or "{}")
    failed = result.get("num_failed_tasks", 0)
    without = f", {counted(failed, 'task')} of stage B failed" if failed else ""
    return f"{counted(result.get('num_tasks', 0), 'task')} of stage B{without}; {result.get('path', '')}"


def stage_status(shell: Shell, execution: Execution, stage: str, job: dict[str, Any]) -> StageStatus:
    """Return how a stage stands whose job Batch has described."""
    progress = Progress.of(stage, job)
    events = job.get("status", {}).get("statusEvents", [])
    told = [event for event in events if not event.get("description", "").startswith("Job state is set")]
    shown = [
        f"{event.get('eventTime', '')[:19]}Z {one_line(event.get('description', ''), EVENT_CHARACTERS)}"
        for event in told[-EVENTS:]
    ]
    retries, failures = None, ()
    if progress.state not in ("QUEUED", "SCHEDULED") and progress.tasks <= COUNTED_TASKS:
        retries, failures = _attempts(shell, execution, stage)
    is_well = progress.state == "SUCCEEDED"
    run_id = job.get("labels", {}).get("run_id", "")
    events = () if is_well else tuple(shown)
    return StageStatus(progress, _queued_seconds(job), run_id, retries, failures, events)


def _attempts(
    shell: Shell, execution: Execution, stage: str
) -> tuple[int | None, tuple[tuple[int, int], ...]]:
    """Return how often tasks were tried again, and how attempts failed; a state tells how tasks ended."""
    words = ["batch", "tasks", "list", "--job", execution.job_id(stage), *place_words(execution.settings)]
    words += ["--page-size", str(COUNTED_TASKS)]
    try:
        tasks = gcloud.read_json(shell, words, echo=False) or []
    except UserError:  # the job may just be deleted; what is known of it is worth showing without
        return None, ()
    retries, codes = 0, Counter()
    for task in tasks:
        events = task.get("status", {}).get("statusEvents", [])
        retries += max(0, sum(event.get("taskState") == "RUNNING" for event in events) - 1)
        codes.update(code for event in events if (code := event.get("taskExecution", {}).get("exitCode")))
    return retries, tuple(codes.most_common())


def _queued_seconds(job: dict[str, Any]) -> float:
    """Return how long a job waited for its first machine, or has waited so far."""
    status = job.get("status", {})
    events = status.get("statusEvents", [])
    ran = [event for event in events if re.search(r"\bto RUNNING\b", event.get("description", ""))]
    until = (ran or events[-1:]) if ran or status.get("state") not in ACTIVE_JOB else []
    end = datetime.fromisoformat(until[0]["eventTime"]) if until else datetime.now(UTC)
    return max(0.0, (end - datetime.fromisoformat(job["createTime"])).total_seconds())
