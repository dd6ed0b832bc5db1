"""List, describe, follow and cancel Batch jobs.

The workflow or job_submission.py submits them; cloud/jobs.py reads their fields.
"""

import re
import sys
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from modeling.input_names import in_a_line
from modeling.run_names import SUMMARIES
from ops.cloud.bucket import read_objects
from ops.cloud.cloud import Cloud
from ops.cloud.deployment import as_label
from ops.cloud.executions import STOPPED
from ops.cloud.failed_tasks import job_exit_code, print_failed
from ops.cloud.inputs import missing_names
from ops.cloud.jobs import (
    ENDED_JOB,
    ENDING_JOB,
    NOT_BEGUN,
    Progress,
    experiment_of,
    id_of,
    newest_jobs,
    run_path_of,
    state_of,
    variables_of,
)
from ops.cloud.log_reader import LogRequest
from ops.failures import UserError
from ops.gcloud import GcloudError, Refusal
from ops.input_names import missing_indices
from ops.names import COMPONENT, check_exp_id, check_run_id
from ops.polling import poll, print_if_changed, print_timed
from ops.terminal import console, counted, duration

JOB_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
WAITS = ("QUEUED", "SCHEDULED")
MOST_EVENTS = 5


def show_jobs(
    cloud: Cloud,
    exp_id: str = "",
    run_id: str = "",
    stage: str = "",
    limit: int | None = None,
) -> None:
    """Print the newest jobs with stage, run, state and tasks."""
    if exp_id:
        check_exp_id(exp_id)
    if run_id:
        check_run_id(run_id)
    wanted = {"exp_id": as_label(exp_id), "run_id": run_id, "stage": stage}
    labels = {name: value for name, value in wanted.items() if value}
    found = newest_jobs(cloud, labels)
    # a label is lower case and has no /, so another experiment may have the same one
    jobs = [job for job in found if exp_id in ("", experiment_of(job))][:limit]
    cloud.shell.end_if_dry_run()
    if not jobs:
        print(f"no jobs found in {cloud.region} of {cloud.project}")
        return
    table = Table(box=None, header_style="bold")
    for column in ("job", "stage", "experiment", "run id", "state", "created", "tasks"):
        table.add_column(column, overflow="fold", no_wrap=column == "job")
    for job in jobs:
        labels, progress = job.get("labels", {}), _progress(job)
        tasks = f"{progress.counted}{f'; {progress.event}' if progress.state in WAITS else ''}"
        run = [labels.get("stage", ""), experiment_of(job), labels.get("run_id", "")]
        table.add_row(id_of(job), *run, progress.state, f"{job['createTime'][:19]}Z", tasks)
    console().print(table)


def describe(cloud: Cloud, job_id: str) -> dict[str, Any]:
    """Return a job as Batch describes it; refuse an id that does not exist."""
    words = ["batch", "jobs", "describe", job_id, *cloud.in_region]
    try:
        return cloud.read_json(words, echo=False) or {}
    except GcloudError as error:
        if error.refusal is not Refusal.MISSING:
            raise
        raise UserError(f"job {job_id} not found in {cloud.region}", fix="invoke job-list") from None


def show_job(cloud: Cloud, job: str) -> None:
    """Print the stage and run of a job, its tasks by state, its newest events, and its failed tasks."""
    job_id = _job_id(job)
    found = describe(cloud, job_id)
    cloud.shell.end_if_dry_run()
    labels, progress = found.get("labels", {}), _progress(found)
    run = f"run {labels.get('run_id', '')} of {experiment_of(found)}"
    print(f"job {job_id}: {progress.state}, stage {progress.stage}, {run}, {duration(_seconds(found))}")
    print(f"  {counted(progress.tasks, 'task')}: {progress.counted or NOT_BEGUN}")
    for event in found.get("status", {}).get("statusEvents", [])[-MOST_EVENTS:]:
        print(f"  {event.get('eventTime', '')[:19]}Z  {event.get('description', '')}")
    failed = progress.failed
    if failed and (error := print_failed(cloud, found, failed)):
        print(f"  error    {error}")
    print(f"  logs     {_logs_command(found)}")
    print(f"  console  {_console_link(cloud, job_id)}")


def follow(cloud: Cloud, job: str) -> None:
    """Print the progress of a job until it has ended.

    Raises
    ------
    UserError
        It did not succeed: what failed, and the exit code of its tasks.
    KeyboardInterrupt
        After printing how to cancel; the job continues.
    """
    job_id = _job_id(job)
    printed: dict[str, str] = {}

    def look() -> dict[str, Any]:
        found = describe(cloud, job_id)
        cloud.shell.end_if_dry_run()
        return found

    try:
        for found in poll(look, print_timed):
            progress = _progress(found)
            print_if_changed(printed, job_id, str(progress))
            if progress.state in ENDED_JOB:
                break
    except KeyboardInterrupt:
        print(
            f"\nthe job continues. Follow it: invoke job-describe {job_id} --wait; "
            f"cancel it: invoke job-cancel {job_id}",
            file=sys.stderr,
        )
        raise
    _print_end(cloud, found)


def _print_end(cloud: Cloud, job: dict[str, Any]) -> None:
    progress, job_id = _progress(job), id_of(job)
    if progress.state == "SUCCEEDED":
        print(f"done in {duration(_seconds(job))}{_next_step(cloud, job)}")
        return
    failed, error = progress.failed, ""
    if failed:
        error = print_failed(cloud, job, failed)
    if progress.state == "CANCELLED":
        what = f"job {job_id} was cancelled: {progress.counted or 'it had not started'}; its logs"
        raise UserError(what, exit_code=STOPPED, fix=_logs_command(job))
    why = f"{failed} of {counted(progress.tasks, 'task')} failed" if failed else progress.event
    why += f", last error: {error}" if error else ""
    raise UserError(
        f"job {job_id} ended {progress.state}: {why}; its logs",
        exit_code=job_exit_code(cloud, job_id) if failed else 1,
        fix=_logs_command(job),
    )


def _next_step(cloud: Cloud, job: dict[str, Any]) -> str:
    """Return the next command after a stage that succeeded, or the outputs and the missing inputs."""
    variables, stage = variables_of(job), job.get("labels", {}).get("stage", "")
    run = f"--exp-id {experiment_of(job)} --run-id {variables.get('RUN_ID', '')}"
    after = {"builder": "runner", "runner": "output"}.get(stage)
    if after:
        return f"; next: invoke job --stage {after} {run}"
    without = _missing(cloud, job) if variables.get("ALLOW_PARTIAL_RESULTS") else ""
    return f"{without}; outputs in {run_path_of(job)}outputs/"


def _missing(cloud: Cloud, job: dict[str, Any]) -> str:
    """Return the inputs that are missing in the outputs, from the summary of stage C; "" without one."""
    try:
        (summary,) = read_objects(cloud, [f"{run_path_of(job)}{SUMMARIES}output.json"])
    except (UserError, ValueError):  # the outputs exist in any case
        return ""
    if not isinstance(summary, dict) or not (missing := missing_indices(summary)):
        return ""
    named = in_a_line(missing_names(cloud, run_path_of(job), summary), len(missing))
    return f", without the results of {counted(len(missing), 'input')} ({named})"


def print_how_to_follow(cloud: Cloud, job: dict[str, Any], is_new: bool) -> None:
    """Print how to follow a job that was just submitted, or is already running."""
    job_id, tasks = id_of(job), counted(_progress(job).tasks, "task")
    state = "has started" if is_new else "is already running"
    print(f"job {job_id} {state}: {tasks}; it continues if this terminal is closed")
    print(f"console  {_console_link(cloud, job_id)}")
    print(f"follow   invoke job-describe {job_id} --wait")
    print(f"logs     {_logs_command(job)}")
    print(f"cancel   invoke job-cancel {job_id}", flush=True)


def cancel(cloud: Cloud, job: str) -> None:
    """Cancel a job of this pipeline; results of finished tasks are kept.

    Raises
    ------
    UserError
        The job does not exist, or does not belong to this pipeline.
    """
    job_id = _job_id(job)
    found = describe(cloud, job_id)  # empty in a dry run
    if found and found.get("labels", {}).get("component") != COMPONENT:
        wrong = f"job {job_id} has no label component={COMPONENT}: it is not a job of this pipeline"
        raise UserError(wrong, fix="invoke job-list")
    state = state_of(found)
    if state in ENDING_JOB:
        print(f"job {job_id} has already ended, or is about to: {state}")
        return
    cloud.read(["batch", "jobs", "cancel", job_id, *cloud.in_region, "--quiet"])
    cloud.shell.report(f"job {job_id} is being cancelled; results of finished tasks are kept")


def _job_id(job: str) -> str:
    """Return the id of a job from its id or its full name; refuse anything else."""
    job_id = (job or "").rpartition("/")[2]
    if not JOB_ID.fullmatch(job_id):
        raise UserError(f'"{job:.80}" is not a job id', fix="invoke job-list")
    return job_id


def _progress(job: dict[str, Any]) -> Progress:
    return Progress.of(job.get("labels", {}).get("stage", ""), job)


def _seconds(job: dict[str, Any]) -> float:
    """Return the seconds from the creation of a job to its end, or until now."""
    end = job["updateTime"] if state_of(job) in ENDED_JOB else datetime.now(UTC).isoformat()
    return (datetime.fromisoformat(end) - datetime.fromisoformat(job["createTime"])).total_seconds()


def _logs_command(job: dict[str, Any]) -> str:
    """Return the command that prints the logs of a job."""
    labels = job.get("labels", {})
    return LogRequest(experiment_of(job), labels.get("run_id", ""), labels.get("stage", "")).command


def _console_link(cloud: Cloud, job_id: str) -> str:
    place = f"regions/{cloud.region}/jobs/{job_id}"
    return f"https://console.cloud.google.com/batch/jobsDetail/{place}/details?project={cloud.project}"
