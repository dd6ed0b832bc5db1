"""Executions of the workflow: describe them, follow them, cancel them with their jobs.

runs/cloud_run.py starts them, execution_list.py lists them. The id of a job is its stage and its execution,
so jobs need not be searched for.
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
from modeling.run_names import METADATA
from ops.cloud.bucket import read_objects
from ops.cloud.cloud import Cloud
from ops.cloud.failed_tasks import failed_tasks, job_exit_code, last_error
from ops.cloud.inputs import missing_names
from ops.cloud.jobs import ENDING_JOB, Progress
from ops.failures import UserError
from ops.gcloud import GcloudError, Refusal, in_parallel
from ops.input_names import missing_indices
from ops.polling import poll, print_if_changed, print_timed
from ops.stages import STAGES
from ops.terminal import counted, duration

ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "UNAVAILABLE")  # UNAVAILABLE: its data cannot be read
STOPPED = 130  # exit code
EXECUTION_ID = re.compile("[a-z0-9][a-z0-9-]{0,62}")
# When an execution is cancelled, its request for a job may be on its way, and a new job may not be found yet.
SECOND_LOOK_SECONDS = 3


@dataclass(frozen=True)
class Execution:
    """One execution of the deployed workflow."""

    cloud: Cloud
    execution_id: str

    def job_id(self, stage: str) -> str:
        return f"{stage}-{self.execution_id}"

    @property
    def console_link(self) -> str:
        place = f"{self.cloud.region}/{self.cloud.settings.workflow_name}/execution/{self.execution_id}"
        return f"https://console.cloud.google.com/workflows/workflow/{place}?project={self.cloud.project}"

    @property
    def in_workflow(self) -> list[str]:
        """Options of gcloud for the workflow, its region and its project."""
        return ["--workflow", self.cloud.settings.workflow_name, *self.cloud.in_region]

    def describe(self) -> dict[str, Any]:
        """Return the execution as Workflows describes it; refuse an id that does not exist."""
        words = ["workflows", "executions", "describe", self.execution_id, *self.in_workflow]
        try:
            found = self.cloud.read_json(words, echo=False) or {}
            return {"startTime": found.get("createTime"), **found}  # a queued execution has not started
        except GcloudError as error:
            if error.refusal is not Refusal.MISSING:
                raise
            raise UserError(
                f"execution {self.execution_id} of {self.cloud.settings.workflow_name} not found",
                fix="invoke workflow-list",
            ) from None

    def job(self, stage: str) -> dict[str, Any]:
        """Return the job of a stage; empty if it has not started or was deleted."""
        words = ["batch", "jobs", "describe", self.job_id(stage), *self.cloud.in_region]
        try:
            return self.cloud.read_json(words, echo=False) or {}
        except GcloudError as error:
            if error.refusal is not Refusal.MISSING:
                raise
            return {}

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Return the jobs of the execution by stage."""
        found = in_parallel([lambda stage=stage: self.job(stage) for stage in STAGES])
        return {stage: job for stage, job in zip(STAGES, found, strict=True) if job}


def execution_named(cloud: Cloud, execution: str) -> Execution:
    """Return an execution by its id or its full name; refuse anything else."""
    execution_id = (execution or "").rpartition("/")[2]
    if not EXECUTION_ID.fullmatch(execution_id):
        raise UserError(f'"{execution:.80}" is not an execution id', fix="invoke workflow-list")
    return Execution(cloud, execution_id)


def follow(execution: Execution, with_commands: bool = True) -> None:
    """Print the progress of the stages until the execution has ended; temporary faults are waited out.

    With `with_commands`, also print the next commands; an emulated cloud ends before they could run.

    Raises
    ------
    UserError
        It did not succeed: its error, and the exit code of the stage that failed.
    KeyboardInterrupt
        After printing how to cancel; the execution continues.
    """
    printed: dict[str, str] = {}
    ended: dict[str, Progress] = {}
    try:
        for found, stages in poll(lambda: _look(execution, ended), print_timed):
            for progress in stages:
                print_if_changed(printed, progress.stage, str(progress))
            if found["state"] in ENDED:
                break
    except KeyboardInterrupt:
        if not with_commands:
            raise
        print(
            f"\nthe run continues. Follow it: invoke workflow-describe {execution.execution_id} --wait; "
            f"cancel it: invoke workflow-cancel {execution.execution_id}",
            file=sys.stderr,
        )
        raise
    _print_end(execution, found, with_commands)


def _look(execution: Execution, ended: dict[str, Progress]) -> tuple[dict[str, Any], list[Progress]]:
    """Return an execution and the progress of its stages; ended stages are not asked about again."""
    found, stages = execution.describe(), []
    execution.cloud.shell.end_if_dry_run()
    for stage in STAGES:
        progress = ended.get(stage) or Progress.of(stage, execution.job(stage))
        if progress.has_ended:
            ended[stage] = progress
        if progress.has_begun:
            stages.append(progress)
        if not progress.next_may_have_begun:
            break
    return found, stages


def _print_end(execution: Execution, found: dict[str, Any], with_commands: bool) -> None:
    if found["state"] != "SUCCEEDED":
        _print_failed(execution, found)
        code = _exit_code(execution, found)
        raise UserError(f"execution {execution.execution_id}: {reason_of(found)}", exit_code=code)
    result = result_of(found)
    failed = result.get("num_failed_tasks", 0)
    without = f", without the results of {counted(failed, 'task')}" if failed else ""
    if failed and (names := names_of_missing(execution.cloud, result.get("path", ""))):
        without += f" ({names})"
    print(f"done in {duration(seconds_taken(found))}{without}")
    if not with_commands:
        return
    print(f"outputs  {result.get('path', '')}outputs/")
    print(f"fetch    invoke download --exp-id {exp_id_of(found)} --run-id {run_id_of(found)}")


def _exit_code(execution: Execution, found: dict[str, Any]) -> int:
    """Return the exit code of the stage whose failure ended an execution; 1 if no stage failed."""
    if found["state"] == "CANCELLED":
        return STOPPED
    error = _error_of(found)
    job = error.get("job") if isinstance(error, dict) else None
    return job_exit_code(execution.cloud, str(job)) if job else 1


def _print_failed(execution: Execution, found: dict[str, Any]) -> None:
    """Print the tasks that failed, and the last error in the log of the stage that ended the run."""
    error = _error_of(found)
    stage = error.get("stage", "") if isinstance(error, dict) and error.get("failed_tasks") else ""
    _print_failed_tasks(execution, "runner", execution.job("runner"))
    if stage in STAGES:
        job = execution.job(stage)
        if stage != "runner":
            _print_failed_tasks(execution, stage, job)
        if job and (said := last_error(execution.cloud, job)):
            print(f"    {stage}: {said}", flush=True)


def _print_failed_tasks(execution: Execution, stage: str, job: dict[str, Any]) -> None:
    """Print the tasks of a stage that failed after all attempts; those of stage B with their inputs."""
    number = Progress.of(stage, job).counts.get("FAILED", 0)
    if not number:
        return
    try:
        failed = failed_tasks(execution.cloud, job)
    except UserError:  # the failure is reported anyway
        return
    for task in failed:
        print(f"    {task}", flush=True)  # before the error, which goes to standard error
    if number > len(failed):
        print(f"    and {counted(number - len(failed), 'more task')}", flush=True)


def names_of_missing(cloud: Cloud, run_path: str) -> str:
    """Return the names of the inputs that are missing in the outputs of a run; "" if unknown."""
    try:
        (metadata,) = read_objects(cloud, [run_path + METADATA])
    except (UserError, ValueError):
        return ""
    if not isinstance(metadata, dict):
        return ""
    number = metadata.get("num_missing") or len(missing_indices(metadata))
    return in_a_line(missing_names(cloud, run_path, metadata), number) if number else ""


def reason_of(found: dict[str, Any]) -> str:
    """Return why an execution did not succeed: its state, its message, and that of the failed service."""
    error = _error_of(found)
    unavailable = found.get("stateError", {}).get("details", "")  # if its data cannot be read
    message = "; ".join(_messages_of(error)) if isinstance(error, dict) else str(error or unavailable)
    message = message or found.get("error", {}).get("payload", "")
    return f"{found['state']}{f': {message}' if message else ''}"


def _messages_of(error: dict[str, Any]) -> list[str]:
    """Return the messages of an error, of the failed service, and of the cause, without duplicates."""
    body = error.get("body")
    answer = body.get("error") if isinstance(body, dict) else body
    answered = answer.get("message") if isinstance(answer, dict) else answer
    messages = [str(message) for message in (error.get("message"), answered) if message]
    cause = error.get("cause")
    causes = _messages_of(cause) if isinstance(cause, dict) else []
    return messages + [each for each in causes if not any(each in known for known in messages)]


def _error_of(found: dict[str, Any]) -> Any:
    """Return the error of an execution: a dict if the workflow raised it, else text."""
    payload = found.get("error", {}).get("payload", "")
    try:
        return json.loads(payload)
    except ValueError:
        return payload


def seconds_taken(found: dict[str, Any]) -> float:
    """Return the duration of an execution, so far or in all."""
    end = found.get("endTime") or datetime.now(UTC).isoformat()
    times = [datetime.fromisoformat(found["startTime"]), datetime.fromisoformat(end)]
    return (times[1] - times[0]).total_seconds()


def exp_id_of(found: dict[str, Any]) -> str:
    return str(_map_in(found.get("argument")).get("exp_id", ""))


def run_id_of(found: dict[str, Any], jobs: Iterable[dict[str, Any]] = ()) -> str:
    """Return the id of the run; "" if it is not known yet.

    A workflow that was not started by `invoke run` may choose the id itself; the id is then in its jobs, its
    result or its error.
    """
    error = _error_of(found)
    candidates = [
        _map_in(found.get("argument")).get("runId"),
        found.get("labels", {}).get("run_id"),
        result_of(found).get("run_id"),
        error.get("run_id") if isinstance(error, dict) else None,
        *(job.get("labels", {}).get("run_id") for job in jobs),
    ]
    return str(next(filter(None, candidates), ""))


def result_of(found: dict[str, Any]) -> dict[str, Any]:
    """Return the result of an execution; empty before it succeeds."""
    return _map_in(found.get("result"))


def _map_in(text: str | None) -> dict[str, Any]:
    try:
        read = json.loads(text or "{}")
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def step_or_error(found: dict[str, Any]) -> str:
    """Return the current step of an execution, or its error."""
    if found["state"] not in ENDED:
        steps = found.get("status", {}).get("currentSteps", [])
        return steps[-1]["step"] if steps else ""
    return "" if found["state"] == "SUCCEEDED" else reason_of(found).partition(": ")[2]


def show_execution(cloud: Cloud, execution_id: str) -> None:
    """Print what an execution runs, the progress of its jobs, and how it ended."""
    execution = execution_named(cloud, execution_id)
    found = execution.describe()
    cloud.shell.end_if_dry_run()
    jobs = execution.jobs()
    run = f"run {run_id_of(found, jobs.values())} of {exp_id_of(found)}"
    print(f"execution {execution.execution_id}: {found['state']}, {run}, {duration(seconds_taken(found))}")
    for stage, job in jobs.items():
        print(f"  {Progress.of(stage, job)}  ({execution.job_id(stage)})")
        if stage == "runner":
            _print_failed_tasks(execution, stage, job)
    if found["state"] in ENDED and found["state"] != "SUCCEEDED":
        print(f"  {reason_of(found)}")
    if found["state"] == "SUCCEEDED":
        print(f"  outputs in {result_of(found).get('path', '')}outputs/")
    print(f"  {execution.console_link}")


def cancel(cloud: Cloud, execution_id: str) -> None:
    """Cancel an execution and its Batch jobs, which would otherwise continue."""
    execution = execution_named(cloud, execution_id)
    words = ["workflows", "executions", "cancel", execution.execution_id, *execution.in_workflow, "--quiet"]
    if cloud.shell.dry_run:
        cloud.read(words)
        _cancel_jobs(execution, STAGES)
        return
    state = execution.describe()["state"]
    if state in ENDED:
        print(f"execution {execution.execution_id} has already ended: {state}")
    else:
        cloud.read(words)
        print(f"execution {execution.execution_id} was cancelled")
    stages = _running_stages(execution)
    if not stages and state != "SUCCEEDED":
        time.sleep(SECOND_LOOK_SECONDS)
        stages = _running_stages(execution)
    _cancel_jobs(execution, stages)
    stopped = ", ".join(map(execution.job_id, stages))
    print(f"cancelled {stopped}" if stopped else "none of its jobs were running")


def _running_stages(execution: Execution) -> list[str]:
    jobs = execution.jobs()
    return [stage for stage, job in jobs.items() if job.get("status", {}).get("state") not in ENDING_JOB]


def _cancel_jobs(execution: Execution, stages: Iterable[str]) -> None:
    for stage in stages:
        words = ["batch", "jobs", "cancel", execution.job_id(stage), *execution.cloud.in_region, "--quiet"]
        execution.cloud.read(words)
