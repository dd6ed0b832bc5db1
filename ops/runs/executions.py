"""Executions of the workflow: followed, listed, described, cancelled with the jobs they have begun.

cloud_run.py starts them. A job is called after its stage and its execution: none has to be searched for.
"""

import json
import re
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from ops import gcloud
from ops.failures import UserError
from ops.gcloud import AT_ONCE, GcloudError, Refusal, at_once
from ops.laptop.stage_b import TEMPORARY_FAULT
from ops.settings import Settings, need
from ops.shell import Shell
from ops.shown import console, counted, duration

STAGES = ("builder", "runner", "output")
ACTIVE_JOB = ("QUEUED", "SCHEDULED", "RUNNING")
ACTIVE = ("ACTIVE", "QUEUED")
MOST_LOOKED_AT = 100  # executions, each a gcloud, for those of one experiment
EXECUTION_ID = re.compile("[a-z0-9][a-z0-9-]{0,62}")
SECOND_LOOK_SECONDS = 3  # a request to make a job may be under way when its execution is cancelled


@dataclass(frozen=True)
class Execution:
    """One execution of the deployed workflow."""

    settings: Settings
    execution_id: str

    def job_id(self, stage: str) -> str:
        return f"{stage}-{self.execution_id}"

    @property
    def console_link(self) -> str:
        place = f"{self.settings.region}/{self.settings.workflow_name}/execution/{self.execution_id}"
        return (
            f"https://console.cloud.google.com/workflows/workflow/{place}?project={self.settings.project_id}"
        )

    def describe(self, shell: Shell) -> dict[str, Any]:
        """Return the execution as Workflows tells it, or refuse an id that it does not know."""
        words = ["workflows", "executions", "describe", self.execution_id, *_workflow(self.settings)]
        try:
            found = gcloud.read_json(shell, words, echo=False) or {}
            return {"startTime": found.get("createTime"), **found}  # one that is queued has not started
        except GcloudError as error:
            if error.refusal is not Refusal.MISSING:
                raise
            raise UserError(
                f"there is no execution {self.execution_id} of {self.settings.workflow_name}",
                mend="invoke workflow-list",
            ) from None

    def job(self, shell: Shell, stage: str) -> dict[str, Any]:
        """Return the job of a stage, empty where it has not begun or is gone."""
        words = ["batch", "jobs", "describe", self.job_id(stage), *place_words(self.settings)]
        try:
            return gcloud.read_json(shell, words, echo=False) or {}
        except GcloudError as error:
            if error.refusal is not Refusal.MISSING:
                raise
            return {}


def place_words(settings: Settings) -> list[str]:
    """Return the words that tell gcloud where executions and jobs are."""
    return ["--location", settings.region, "--project", settings.project_id]


def named(settings: Settings, execution: str) -> Execution:
    """Return an execution by its id or its whole name; refuse what can be neither."""
    need(settings, "project_id")
    execution_id = (execution or "").rpartition("/")[2]
    if not EXECUTION_ID.fullmatch(execution_id):
        raise UserError(f'"{execution:.80}" is not the id of an execution', mend="invoke workflow-list")
    return Execution(settings, execution_id)


def _workflow(settings: Settings) -> list[str]:
    return ["--workflow", settings.workflow_name, *place_words(settings)]


@dataclass(frozen=True)
class Progress:
    """How far a stage has come."""

    stage: str
    state: str  # of its job
    tasks: int
    counts: dict[str, int]  # of tasks by state
    event: str  # what the job told last

    @classmethod
    def of(cls, stage: str, job: dict[str, Any]) -> "Progress":
        status = job.get("status", {})
        counts = status.get("taskGroups", {}).get("group0", {}).get("counts", {})
        events = status.get("statusEvents", [])
        return cls(
            stage,
            status.get("state", "not begun"),
            int((job.get("taskGroups") or [{}])[0].get("taskCount", 0)),
            {name: int(number) for name, number in counts.items()},
            events[-1].get("description", "") if events else "",
        )

    @property
    def counted(self) -> str:
        """Return the tasks by state, as "1 failed, 39 succeeded"."""
        return ", ".join(
            f"{number:,} {name.lower()}" for name, number in sorted(self.counts.items()) if number
        )

    def __str__(self) -> str:
        waits = f"; {self.event}" if self.state in ("QUEUED", "SCHEDULED") and self.event else ""
        return f"{self.stage:8} {self.state:10} {self.counted}{waits}".rstrip()


def follow(shell: Shell, execution: Execution) -> None:
    """Print how the stages come on until the execution has ended, through faults that pass.

    Raises
    ------
    UserError
        It did not succeed, with what it said (exit code 1).
    KeyboardInterrupt
        After a word on how to cancel; the execution goes on.
    """
    if shell.dry_run:
        execution.describe(shell)
        return
    begun, told, stage = time.monotonic(), {}, 0
    try:
        while True:
            try:
                found = execution.describe(shell)
                stage = _tell_progress(shell, execution, stage, told)
            except UserError as error:  # a laptop that slept, say: hours later the run is still there
                if error.exit_code != TEMPORARY_FAULT:
                    raise
                found = {"state": "ACTIVE"}
                _tell_news(told, "fault", f"cannot be asked just now, and goes on: {error.problem}")
            if found["state"] not in ACTIVE:
                _tell_end(execution, found)
                return
            time.sleep(max(2.0, min(60.0, 0.02 * (time.monotonic() - begun))))
    except KeyboardInterrupt:
        print(
            f"\nthe run goes on. Follow it: invoke workflow-describe {execution.execution_id} --wait; "
            f"cancel it: invoke workflow-cancel {execution.execution_id}",
            file=sys.stderr,
        )
        raise


def _tell_progress(shell: Shell, execution: Execution, stage: int, told: dict[str, str]) -> int:
    """Print what is new of a stage and of those after it, and return the number of the one that goes on."""
    while True:
        progress = Progress.of(STAGES[stage], execution.job(shell, STAGES[stage]))
        if progress.state != "not begun":
            _tell_news(told, progress.stage, str(progress))
        if progress.state in (*ACTIVE_JOB, "not begun") or stage == len(STAGES) - 1:
            return stage
        stage += 1


def _tell_news(told: dict[str, str], what: str, line: str) -> None:
    """Print a line unless it is what was told of this the last time."""
    if told.get(what) != line:
        print(f"{datetime.now():%H:%M:%S}  {line}", flush=True)
        told[what] = line


def _tell_end(execution: Execution, found: dict[str, Any]) -> None:
    if found["state"] != "SUCCEEDED":
        raise UserError(f"execution {execution.execution_id}: {reason_of(found)}", exit_code=1)
    result = json.loads(found.get("result", "{}"))
    failed = result.get("num_failed_tasks", 0)
    without = f", without the results of {counted(failed, 'task')}" if failed else ""
    print(f"done in {duration(seconds_taken(found))}{without}")
    print(f"outputs  {result.get('path', '')}outputs/")


def reason_of(found: dict[str, Any]) -> str:
    """Return why an execution did not succeed, in its own words."""
    payload = found.get("error", {}).get("payload", "")
    try:
        said = json.loads(payload)
    except ValueError:
        said = payload
    message = said.get("message", payload) if isinstance(said, dict) else str(said)
    return f"{found['state']}{f': {message}' if message else ''}"


def seconds_taken(found: dict[str, Any]) -> float:
    """Return how long an execution took, or has taken so far."""
    end = found.get("endTime") or datetime.now(UTC).isoformat()
    times = [datetime.fromisoformat(found["startTime"]), datetime.fromisoformat(end)]
    return (times[1] - times[0]).total_seconds()


def show_executions(shell: Shell, settings: Settings, exp_id: str = "", limit: int | None = None) -> None:
    """Print the newest executions: what they run, how they stand, how long they took.

    An experiment's are looked for among the newest of all, for a list does not tell what they run.
    """
    need(settings, "project_id")
    words = ["workflows", "executions", "list", settings.workflow_name, *place_words(settings)]
    if most := limit and (max(limit, MOST_LOOKED_AT) if exp_id else limit):
        words += ["--limit", str(most)]
    listed = gcloud.read_json(shell, words)
    if shell.dry_run:
        return
    executions = [Execution(settings, each["name"].rpartition("/")[2]) for each in listed]
    rows: list[tuple[Execution, dict[str, Any], dict[str, Any]]] = []
    for start in range(0, len(executions), AT_ONCE):
        some = executions[start : start + AT_ONCE]
        found = at_once([lambda each=each: each.describe(shell) for each in some])
        rows += [
            (each, arguments, one)
            for each, one in zip(some, found, strict=True)
            if (arguments := arguments_of(one)).get("exp_id") == exp_id or not exp_id
        ]
        if limit and len(rows) >= limit:
            break
    rows = rows[:limit]
    if not rows:
        where = f" for {exp_id} among the newest {len(executions)}" if exp_id else ""
        print(f"no executions of {settings.workflow_name}{where} yet")
        return
    table = Table(box=None, header_style="bold")
    for column in ("execution", "experiment", "run id", "state", "began", "took", "at or why"):
        table.add_column(column, overflow="fold")
    for execution, arguments, one in rows:
        table.add_row(
            execution.execution_id,
            str(arguments.get("exp_id", "")),
            str(arguments.get("runId", "")),
            one["state"],
            f"{one['startTime'][:19]}Z",
            duration(seconds_taken(one)),
            where_it_is(one),
        )
    console().print(table)


def arguments_of(found: dict[str, Any]) -> dict[str, Any]:
    try:
        arguments = json.loads(found.get("argument") or "{}")
    except ValueError:
        return {}
    return arguments if isinstance(arguments, dict) else {}


def where_it_is(found: dict[str, Any]) -> str:
    """Return the step of main an execution is at, or why it ended."""
    if found["state"] in ACTIVE:
        steps = found.get("status", {}).get("currentSteps", [])
        return steps[-1]["step"] if steps else ""
    return "" if found["state"] == "SUCCEEDED" else reason_of(found).partition(": ")[2]


def show_execution(shell: Shell, settings: Settings, execution_id: str) -> None:
    """Print what an execution runs, how it and its jobs stand, and how it ended."""
    execution = named(settings, execution_id)
    found = execution.describe(shell)
    if shell.dry_run:
        return
    arguments = arguments_of(found)
    run = f"run {arguments.get('runId', '')} of {arguments.get('exp_id', '')}"
    print(f"execution {execution.execution_id}: {found['state']}, {run}, {duration(seconds_taken(found))}")
    jobs = at_once([lambda stage=stage: execution.job(shell, stage) for stage in STAGES])
    for stage, job in zip(STAGES, jobs, strict=True):
        if job:
            print(f"  {Progress.of(stage, job)}  ({execution.job_id(stage)})")
    if found["state"] not in (*ACTIVE, "SUCCEEDED"):
        print(f"  {reason_of(found)}")
    if found["state"] == "SUCCEEDED":
        print(f"  outputs in {json.loads(found.get('result', '{}')).get('path', '')}outputs/")
    print(f"  {execution.console_link}")


def cancel(shell: Shell, settings: Settings, execution_id: str) -> None:
    """End an execution and the Batch jobs it has begun, which would outlive it."""
    execution = named(settings, execution_id)
    execution_id = execution.execution_id
    words = ["workflows", "executions", "cancel", execution_id, *_workflow(settings), "--quiet"]
    if shell.dry_run:
        gcloud.read(shell, words)
        for stage in STAGES:
            gcloud.read(shell, _cancel_job(execution, stage))
        return
    state = execution.describe(shell)["state"]
    if state in ACTIVE:
        gcloud.read(shell, words)
        print(f"execution {execution_id} is cancelled")
    else:
        print(f"execution {execution_id} has ended already: {state}")
    stopped = _cancel_jobs(shell, execution)
    if not stopped and state in ACTIVE:
        time.sleep(SECOND_LOOK_SECONDS)
        stopped = _cancel_jobs(shell, execution)
    print(f"cancelled {', '.join(stopped)}" if stopped else "none of its jobs was running")


def _cancel_jobs(shell: Shell, execution: Execution) -> list[str]:
    """Ask for the end of the jobs that have not ended, and return their names."""
    jobs = at_once([lambda stage=stage: execution.job(shell, stage) for stage in STAGES])
    running = [
        stage
        for stage, job in zip(STAGES, jobs, strict=True)
        if job.get("status", {}).get("state") in ACTIVE_JOB
    ]
    for stage in running:
        gcloud.read(shell, _cancel_job(execution, stage))
    return [execution.job_id(stage) for stage in running]


def _cancel_job(execution: Execution, stage: str) -> list[str]:
    return ["batch", "jobs", "cancel", execution.job_id(stage), *place_words(execution.settings), "--quiet"]
