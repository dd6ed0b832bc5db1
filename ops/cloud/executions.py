"""Executions of the workflow: followed, described, cancelled with the jobs they have begun.

cloud_run.py starts them, execution_list.py lists them. A job is called after its stage and its execution:
none has to be searched for.
"""

import json
import re
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from modeling.input_names import in_a_line
from ops import gcloud
from ops.cloud.bucket import read_objects
from ops.cloud.failed_tasks import failed_tasks, job_exit_code
from ops.cloud.jobs import CANCELLED_JOB, ENDED_JOB, ENDING_JOB
from ops.failures import UserError
from ops.gcloud import GcloudError, Refusal, at_once, place_words
from ops.input_names import missing_indices, missing_names
from ops.polling import looks, tell, tell_news
from ops.run_paths import METADATA
from ops.settings import Settings, need
from ops.shell import Shell
from ops.stages import STAGES
from ops.terminal import counted, duration

ENDED = (
    "SUCCEEDED",
    "FAILED",
    "CANCELLED",
    "UNAVAILABLE",
)  # of an execution; the last: its data cannot be read
STOPPED = 130  # exit code
NOT_BEGUN = "not begun"
FAILED_OR_CANCELLED = "FAILED OR CANCELLED"  # tasks of a cancelled job: Batch counts them together
_WHEN_CANCELLED = {"FAILED": FAILED_OR_CANCELLED, "UNEXECUTED": "CANCELLED"}
EXECUTION_ID = re.compile("[a-z0-9][a-z0-9-]{0,62}")
# a request to make a job may be under way when its execution is cancelled, and one that runs may be said not
# to be there
SECOND_LOOK_SECONDS = 3


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
        state = status.get("state", NOT_BEGUN)
        names = _WHEN_CANCELLED if state in CANCELLED_JOB else {}
        return cls(
            stage,
            state,
            int((job.get("taskGroups") or [{}])[0].get("taskCount", 0)),
            {names.get(name, name): int(number) for name, number in counts.items()},
            events[-1].get("description", "") if events else "",
        )

    @property
    def has_begun(self) -> bool:
        return self.state != NOT_BEGUN

    @property
    def has_ended(self) -> bool:
        return self.has_begun and self.state in ENDED_JOB

    @property
    def failed(self) -> int:
        """Return the number of failed tasks, with those that were stopped with a cancelled job."""
        return self.counts.get("FAILED", 0) + self.counts.get(FAILED_OR_CANCELLED, 0)

    @property
    def may_be_followed(self) -> bool:
        """Tell whether a later stage may have begun: also without stage B, where nothing was pending."""
        if self.stage == "runner":
            return self.has_ended or not self.has_begun
        return self.state == "SUCCEEDED"

    @property
    def counted(self) -> str:
        """Return the tasks by state, as "1 failed, 39 succeeded"."""
        return ", ".join(
            f"{number:,} {name.lower()}" for name, number in sorted(self.counts.items()) if number
        )

    def __str__(self) -> str:
        waits = f"; {self.event}" if self.state in ("QUEUED", "SCHEDULED") and self.event else ""
        return f"{self.stage:8} {self.state:10} {self.counted}{waits}".rstrip()


def follow(shell: Shell, execution: Execution, leads_on: bool = True) -> None:
    """Print how the stages come on until the execution has ended, through faults that pass.

    Without `leads_on` no further command is printed: an emulated cloud ends with its task.

    Raises
    ------
    UserError
        It did not succeed, with what it said and the exit code of the stage that failed.
    KeyboardInterrupt
        After a word on how to cancel; the execution goes on.
    """
    if shell.dry_run:
        execution.describe(shell)
        return
    told: dict[str, str] = {}
    ended: dict[str, Progress] = {}
    try:
        for found, stages in looks(lambda: _look(shell, execution, ended), tell):
            for progress in stages:
                tell_news(told, progress.stage, str(progress))
            if found["state"] in ENDED:
                break
    except KeyboardInterrupt:
        if not leads_on:
            raise
        print(
            f"\nthe run goes on. Follow it: invoke workflow-describe {execution.execution_id} --wait; "
            f"cancel it: invoke workflow-cancel {execution.execution_id}",
            file=sys.stderr,
        )
        raise
    _tell_end(shell, execution, found, leads_on)


def _look(
    shell: Shell, execution: Execution, ended: dict[str, Progress]
) -> tuple[dict[str, Any], list[Progress]]:
    """Return how an execution stands, and its stages that have begun; what has ended is not asked again."""
    found, stages = execution.describe(shell), []
    for stage in STAGES:
        progress = ended.get(stage) or Progress.of(stage, execution.job(shell, stage))
        if progress.has_ended:
            ended[stage] = progress
        if progress.has_begun:
            stages.append(progress)
        if not progress.may_be_followed:
            break
    return found, stages


def _tell_end(shell: Shell, execution: Execution, found: dict[str, Any], leads_on: bool) -> None:
    if found["state"] != "SUCCEEDED":
        _tell_failed_inputs(shell, execution, execution.job(shell, "runner"))
        code = _exit_code(shell, execution, found)
        raise UserError(f"execution {execution.execution_id}: {reason_of(found)}", exit_code=code)
    result = result_of(found)
    failed = result.get("num_failed_tasks", 0)
    without = f", without the results of {counted(failed, 'task')}" if failed else ""
    if failed and (names := names_of_missing(shell, execution.settings, result.get("path", ""))):
        without += f" ({names})"
    print(f"done in {duration(seconds_taken(found))}{without}")
    if not leads_on:
        return
    print(f"outputs  {result.get('path', '')}outputs/")
    print(f"fetch    invoke download --exp-id {exp_id_of(found)} --run-id {run_id_of(found)}")


def _exit_code(shell: Shell, execution: Execution, found: dict[str, Any]) -> int:
    """Return the exit code of the stage that ended an execution; 1 where none did."""
    if found["state"] == "CANCELLED":
        return STOPPED
    said = _said(found)
    job = said.get("job") if isinstance(said, dict) else None
    return job_exit_code(shell, execution.settings, str(job)) if job else 1


def _tell_failed_inputs(shell: Shell, execution: Execution, job: dict[str, Any]) -> None:
    """Print the tasks of stage B that failed for good, with the names of their inputs."""
    number = Progress.of("runner", job).counts.get("FAILED", 0)
    if not number:
        return
    try:
        failed = failed_tasks(shell, execution.settings, job)
    except UserError:  # the failure is reported anyway
        return
    for task in failed:
        print(f"    {task}", flush=True)  # before the error, which goes to standard error
    if number > len(failed):
        print(f"    and {counted(number - len(failed), 'more task')}", flush=True)


def names_of_missing(shell: Shell, settings: Settings, run_path: str) -> str:
    """Return the names of the inputs that the outputs of a run go without; "" if unknown."""
    try:
        (metadata,) = read_objects(shell, settings, [run_path + METADATA])
    except (UserError, ValueError):
        return ""
    if not isinstance(metadata, dict):
        return ""
    number = metadata.get("num_missing") or len(missing_indices(metadata))
    return in_a_line(missing_names(shell, settings, run_path, metadata), number) if number else ""


def reason_of(found: dict[str, Any]) -> str:
    """Return why an execution did not succeed: its message, and that of a service that refused it."""
    said = _said(found)
    unavailable = found.get("stateError", {}).get("details", "")  # if its data cannot be read
    message = "; ".join(_words_of(said)) if isinstance(said, dict) else str(said or unavailable)
    message = message or found.get("error", {}).get("payload", "")
    return f"{found['state']}{f': {message}' if message else ''}"


def _words_of(fault: dict[str, Any]) -> list[str]:
    """Return the message of an error, that of the service, and those of its cause, without duplicates."""
    body = fault.get("body")
    answer = body.get("error") if isinstance(body, dict) else body
    answered = answer.get("message") if isinstance(answer, dict) else answer
    words = [str(word) for word in (fault.get("message"), answered) if word]
    cause = fault.get("cause")
    causes = _words_of(cause) if isinstance(cause, dict) else []
    return words + [word for word in causes if not any(word in known for known in words)]


def _said(found: dict[str, Any]) -> Any:
    """Return what an execution raised: a map where the workflow did."""
    payload = found.get("error", {}).get("payload", "")
    try:
        return json.loads(payload)
    except ValueError:
        return payload


def seconds_taken(found: dict[str, Any]) -> float:
    """Return how long an execution took, or has taken so far."""
    end = found.get("endTime") or datetime.now(UTC).isoformat()
    times = [datetime.fromisoformat(found["startTime"]), datetime.fromisoformat(end)]
    return (times[1] - times[0]).total_seconds()


def exp_id_of(found: dict[str, Any]) -> str:
    return str(_map_in(found.get("argument")).get("exp_id", ""))


def run_id_of(found: dict[str, Any], jobs: Iterable[dict[str, Any]] = ()) -> str:
    """Return the run's id; "" where nothing tells it yet.

    Who starts the workflow without `invoke run` may leave it to the workflow, whose jobs, result or error
    have it.
    """
    said = _said(found)
    told = [
        _map_in(found.get("argument")).get("runId"),
        found.get("labels", {}).get("run_id"),
        result_of(found).get("run_id"),
        said.get("run_id") if isinstance(said, dict) else None,
        *(job.get("labels", {}).get("run_id") for job in jobs),
    ]
    return str(next(filter(None, told), ""))


def result_of(found: dict[str, Any]) -> dict[str, Any]:
    """Return what the workflow of an execution returned; empty before it succeeds."""
    return _map_in(found.get("result"))


def _map_in(text: str | None) -> dict[str, Any]:
    try:
        read = json.loads(text or "{}")
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def where_it_is(found: dict[str, Any]) -> str:
    """Return the step of main an execution is at, or why it ended."""
    if found["state"] not in ENDED:
        steps = found.get("status", {}).get("currentSteps", [])
        return steps[-1]["step"] if steps else ""
    return "" if found["state"] == "SUCCEEDED" else reason_of(found).partition(": ")[2]


def show_execution(shell: Shell, settings: Settings, execution_id: str) -> None:
    """Print what an execution runs, how it and its jobs stand, and how it ended."""
    execution = named(settings, execution_id)
    found = execution.describe(shell)
    if shell.dry_run:
        return
    jobs = at_once([lambda stage=stage: execution.job(shell, stage) for stage in STAGES])
    run = f"run {run_id_of(found, jobs)} of {exp_id_of(found)}"
    print(f"execution {execution.execution_id}: {found['state']}, {run}, {duration(seconds_taken(found))}")
    for stage, job in zip(STAGES, jobs, strict=True):
        if job:
            print(f"  {Progress.of(stage, job)}  ({execution.job_id(stage)})")
            if stage == "runner":
                _tell_failed_inputs(shell, execution, job)
    if found["state"] in ENDED and found["state"] != "SUCCEEDED":
        print(f"  {reason_of(found)}")
    if found["state"] == "SUCCEEDED":
        print(f"  outputs in {result_of(found).get('path', '')}outputs/")
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
    if state not in ENDED:
        gcloud.read(shell, words)
        print(f"execution {execution_id} is cancelled")
    else:
        print(f"execution {execution_id} has ended already: {state}")
    stopped = _cancel_jobs(shell, execution)
    if not stopped and state != "SUCCEEDED":
        time.sleep(SECOND_LOOK_SECONDS)
        stopped = _cancel_jobs(shell, execution)
    print(f"cancelled {', '.join(stopped)}" if stopped else "none of its jobs was running")


def _cancel_jobs(shell: Shell, execution: Execution) -> list[str]:
    """Ask for the end of the jobs that have not ended, and return their names."""
    jobs = at_once([lambda stage=stage: execution.job(shell, stage) for stage in STAGES])
    running = [
        stage
        for stage, job in zip(STAGES, jobs, strict=True)
        if job and job.get("status", {}).get("state") not in ENDING_JOB
    ]
    for stage in running:
        gcloud.read(shell, _cancel_job(execution, stage))
    return [execution.job_id(stage) for stage in running]


def _cancel_job(execution: Execution, stage: str) -> list[str]:
    return ["batch", "jobs", "cancel", execution.job_id(stage), *place_words(execution.settings), "--quiet"]
