"""Status of an execution, or of a job without one: stages, tasks by state, retries, what the jobs wait for.

Which executions are shown, and how often, is decided in status.py.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from modeling.input_names import in_a_line
from modeling.plain_text import one_line
from modeling.run_names import METADATA
from ops.cloud.bucket import read_objects_or_none
from ops.cloud.cloud import Cloud
from ops.cloud.executions import (
    ENDED,
    Execution,
    exp_id_of,
    reason_of,
    result_of,
    run_id_of,
    seconds_taken,
    step_or_error,
)
from ops.cloud.failed_tasks import failed_among, failed_tasks, with_inputs
from ops.cloud.inputs import missing_names
from ops.cloud.jobs import (
    BY_HAND,
    CANCELLED_JOB,
    ENDED_JOB,
    FAILED_OR_CANCELLED,
    Progress,
    attempts,
    described,
    exit_codes,
    experiment_of,
    id_of,
    memory_hint,
    seconds_run,
    was_cancelled,
)
from ops.cloud.log_reader import LogRequest
from ops.cloud.spending import Spending, spending_of, together
from ops.failures import UserError
from ops.input_names import missing_indices
from ops.terminal import counted, duration

COUNTED_TASKS = 1000  # most tasks whose retries are counted: each task has to be read for its events
EVENTS = 3
EVENT_CHARACTERS = 300


@dataclass(frozen=True)
class StageStatus:
    """Status of a stage of an execution."""

    progress: Progress
    queued_seconds: float
    run_id: str
    retries: int | None  # None: not counted
    failures: tuple[tuple[int, int], ...]  # exit code, number of attempts
    events: tuple[str, ...]  # of the job, except changes of its state
    spending: Spending
    failed_tasks: str = ""  # names of the failed tasks of stage B
    short_of_memory: int = 0  # tasks whose attempts all ended as if memory were too small

    def lines(self) -> Iterator[str]:
        progress = self.progress
        parts = [progress.counted] if progress.counted else []
        if self.retries:
            parts.append(counted(self.retries, "retry").replace("retrys", "retries"))
        parts.append(f"queued {duration(self.queued_seconds)}")
        yield f"{progress.stage:8} {progress.state:10} {'; '.join(parts)}"
        if self.failures:
            codes = ", ".join(f"{number:,} with {described(code)}" for code, number in self.failures)
            yield f"{'':8} attempts that failed: {codes}"
        if self.failed_tasks:
            yield f"{'':8} failed: {self.failed_tasks}"
        if self.short_of_memory:
            tasks = counted(self.short_of_memory, "task")
            yield f"{'':8} {tasks}: all attempts ended alike; the memory may be too small"
        for event in self.events:
            yield f"{'':8} {event}"

    def substance(self) -> tuple:
        """Return the parts whose change is printed; passing time is not a change."""
        queued = self.queued_seconds if self.progress.has_ended else None
        return (self.progress, self.retries, self.failures, self.failed_tasks, self.events, queued)


@dataclass(frozen=True)
class RunStatus:
    """Status of an execution."""

    execution: Execution
    found: dict[str, Any]
    stages: tuple[StageStatus, ...]
    spent_usd: float | None = None  # from run_metadata.json, once the run has succeeded
    missing: str = ""  # names of the inputs without a result in its outputs

    @property
    def is_running(self) -> bool:
        return self.found["state"] not in ENDED

    @property
    def name(self) -> str:
        return self.execution.execution_id

    @property
    def has_ended(self) -> bool:
        """Whether the execution and all its jobs have ended; jobs may outlive their execution."""
        return not self.is_running and all(stage.progress.has_ended for stage in self.stages)

    @property
    def writes_outputs(self) -> bool:
        """Whether stage C has run, which also writes the cost of the run."""
        return bool(self.result.get("jobs", {}).get("output"))

    @property
    def exp_id(self) -> str:
        return exp_id_of(self.found)

    @property
    def result(self) -> dict[str, Any]:
        """The value that the workflow returned; empty before it has succeeded."""
        return result_of(self.found)

    @property
    def run_id(self) -> str:
        """The id of the run; "" if neither the execution nor its jobs contain it yet."""
        return run_id_of(self.found) or next((stage.run_id for stage in self.stages), "")

    def lines(self) -> Iterator[str]:
        run = f"run {self.run_id}" if self.run_id else "a run without an id yet"
        where = step_or_error(self.found) if self.is_running and not self.stages else ""
        when = "for" if self.is_running else "after"
        yield (
            f"{self.exp_id}  {run}  {self.found['state']} {when} "
            f"{duration(seconds_taken(self.found))}{f', at {where}' if where else ''}"
        )
        for stage in self.stages:
            yield from (f"  {line}" for line in stage.lines())
        if self.stages:
            yield f"  {together(stage.spending for stage in self.stages).in_a_line(so_far=self.is_running)}"
        if self.found["state"] == "SUCCEEDED":
            yield f"  {_outcome(self.result)}"
            if self.missing:
                yield f"  without the results of {self.missing}"
            if self.spent_usd is not None:
                yield f"  about ${self.spent_usd:,.2f} in all, according to its {METADATA}"
        elif not self.is_running:
            yield f"  {one_line(reason_of(self.found))}"
            yield f"  logs: {LogRequest(self.exp_id, self.run_id, severity='WARNING').command}"
        yield f"  execution {self.name}"

    def substance(self) -> tuple:
        """Return the parts whose change is printed."""
        return (self.found["state"], [stage.substance() for stage in self.stages])


def with_spending(cloud: Cloud, statuses: Sequence[RunStatus]) -> list[RunStatus]:
    """Return runs that have succeeded with their costs, read in one request; unknown costs are left out."""
    metadata = read_objects_or_none(
        cloud, [f"{status.result.get('path', '')}{METADATA}" for status in statuses]
    )
    return [
        _with_cost(cloud, status, found) if isinstance(found, dict) else status
        for status, found in zip(statuses, metadata, strict=True)
    ]


def _with_cost(cloud: Cloud, status: RunStatus, metadata: dict[str, Any]) -> RunStatus:
    estimated = metadata.get("estimated_cost")
    usd = estimated.get("total_usd") if isinstance(estimated, dict) else None
    return replace(status, spent_usd=usd, missing=_missing(cloud, status, metadata))


def _missing(cloud: Cloud, status: RunStatus, metadata: dict[str, Any]) -> str:
    """Return the names of the first inputs without a result in the outputs of a run, from its metadata."""
    number = metadata.get("num_missing") or len(missing_indices(metadata))
    names = missing_names(cloud, status.result.get("path", ""), metadata) if number else []
    return in_a_line(names, number)


def _outcome(result: dict[str, Any]) -> str:
    """Return the result of an execution in one line."""
    failed = result.get("num_failed_tasks", 0)
    without = f", {counted(failed, 'task')} of stage B failed" if failed else ""
    return f"{counted(result.get('num_tasks', 0), 'task')} of stage B{without}; {result.get('path', '')}"


def stage_status(
    stage: str,
    job: dict[str, Any],
    region: str,
    tasks: Sequence[dict[str, Any]] | None = None,
    failed_tasks: str = "",
) -> StageStatus:
    """Return the status of a stage from its job as Batch describes it, and from its tasks if known."""
    progress = _without_stopped(Progress.of(stage, job), tasks)
    events = job.get("status", {}).get("statusEvents", [])
    kept = [event for event in events if not event.get("description", "").startswith("Job state is set")]
    shown = [
        f"{event.get('eventTime', '')[:19]}Z {one_line(event.get('description', ''), EVENT_CHARACTERS)}"
        for event in kept[-EVENTS:]
    ]
    now = datetime.now(UTC)
    begun = [task for task in tasks or [] if attempts(task)]
    is_cancelled = progress.state in CANCELLED_JOB
    failed = [task for task in begun if not (is_cancelled and was_cancelled(task))]
    codes = Counter(code for task in failed for code in exit_codes(task) if code)
    hinted = sum(bool(memory_hint(exit_codes(task))) and len(exit_codes(task)) > 1 for task in failed)
    task_seconds = None if tasks is None else [seconds_run(task, now) for task in begun]
    return StageStatus(
        progress,
        queued_seconds=_queued_seconds(job, now),
        run_id=job.get("labels", {}).get("run_id", ""),
        retries=None if tasks is None else sum(attempts(task) - 1 for task in begun),
        failures=tuple(codes.most_common()),
        short_of_memory=hinted,
        events=() if progress.state == "SUCCEEDED" else tuple(shown),
        spending=spending_of(job, region, task_seconds),
        failed_tasks=failed_tasks,
    )


def named_failures(cloud: Cloud, job: dict[str, Any], tasks: Sequence[dict[str, Any]] | None) -> str:
    """Return the names of the failed tasks of stage B; "" if none failed."""
    number = Progress.of("runner", job).counts.get("FAILED", 0)
    if not number:
        return ""
    try:
        if tasks is None:  # too many to be read
            failed = failed_tasks(cloud, job)
        else:
            failed = with_inputs(cloud, job, failed_among(tasks))
    except UserError:  # the rest is shown anyway
        return ""
    return in_a_line([task.name for task in failed], number) if failed else ""


def _without_stopped(progress: Progress, tasks: Sequence[dict[str, Any]] | None) -> Progress:
    """Return the progress of a cancelled job with failed and stopped tasks counted separately."""
    if tasks is None or FAILED_OR_CANCELLED not in progress.counts:
        return progress
    counts = dict(progress.counts)
    stopped = sum(was_cancelled(task) for task in tasks)
    counts["FAILED"] = counts.pop(FAILED_OR_CANCELLED) - stopped
    counts["CANCELLED"] = counts.get("CANCELLED", 0) + stopped
    return replace(progress, counts=counts)


def tasks_of(execution: Execution, stage: str, job: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return the tasks of a job with their events; None if there are too many, none yet, or on an error."""
    progress = Progress.of(stage, job)
    if progress.state in ("QUEUED", "SCHEDULED") or progress.tasks > COUNTED_TASKS:
        return None
    words = ["batch", "tasks", "list", "--job", execution.job_id(stage), *execution.cloud.in_region]
    words += ["--page-size", str(COUNTED_TASKS)]
    try:
        return execution.cloud.read_json(words, echo=False) or []
    except UserError:  # the job may just have been deleted; the rest is shown anyway
        return None


def _queued_seconds(job: dict[str, Any], now: datetime) -> float:
    """Return how many seconds a job waited for its first machine, or has waited so far."""
    status = job.get("status", {})
    events = status.get("statusEvents", [])
    ran = [event for event in events if re.search(r"\bto RUNNING\b", event.get("description", ""))]
    until = (ran or events[-1:]) if ran or status.get("state") in ENDED_JOB else []
    end = datetime.fromisoformat(until[0]["eventTime"]) if until else now
    return max(0.0, (end - datetime.fromisoformat(job["createTime"])).total_seconds())


@dataclass(frozen=True)
class JobStatus:
    """Status of a job that belongs to no running execution."""

    job: dict[str, Any]
    region: str
    failed_tasks: str = ""  # of stage B, named

    @property
    def name(self) -> str:
        return id_of(self.job)

    @property
    def stage(self) -> StageStatus:
        stage = self.job.get("labels", {}).get("stage", "")
        return stage_status(stage, self.job, self.region, failed_tasks=self.failed_tasks)

    def lines(self) -> Iterator[str]:
        labels, stage = self.job.get("labels", {}), self.stage
        is_by_hand = BY_HAND.items() <= labels.items()
        whose = "by hand" if is_by_hand else "its execution has ended, or is not among the newest"
        yield f"{experiment_of(self.job)}  run {labels.get('run_id', '')}  job {self.name} ({whose})"
        yield from (f"  {line}" for line in stage.lines())
        yield f"  {stage.spending.in_a_line(so_far=not stage.progress.has_ended)}"
        if stage.progress.has_ended and stage.progress.failed:
            yield f"  failed tasks: invoke job-describe {self.name}"

    def substance(self) -> tuple:
        return self.stage.substance()
