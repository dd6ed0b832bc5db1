"""Jobs of Batch, whoever made them: shown in a table, described, followed, cancelled.

A run makes them in the workflow, job_submission.py by hand; which there are is asked in job_list.py.
"""

import re
import sys
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from modeling.input_names import in_a_line
from ops import gcloud
from ops.cloud.bucket import read_objects
from ops.cloud.deployment import as_label
from ops.cloud.executions import STOPPED, Progress
from ops.cloud.failed_tasks import job_exit_code, tell_failed
from ops.cloud.jobs import (
    ENDED_JOB,
    ENDING_JOB,
    experiment_of,
    id_of,
    newest_jobs,
    run_path_of,
    state_of,
    variables_of,
)
from ops.failures import UserError
from ops.gcloud import GcloudError, Refusal, place_words
from ops.input_names import missing_indices, missing_names
from ops.names import COMPONENT, check_exp_id, check_run_id
from ops.polling import looks, tell, tell_news
from ops.run_paths import SUMMARIES
from ops.settings import Settings, need
from ops.shell import Shell
from ops.terminal import console, counted, duration
from ops.watching.run_logs import LogRequest

JOB_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
WAITS = ("QUEUED", "SCHEDULED")
MOST_EVENTS = 5


def show_jobs(
    shell: Shell,
    settings: Settings,
    exp_id: str = "",
    run_id: str = "",
    stage: str = "",
    limit: int | None = None,
) -> None:
    """Print the newest jobs: of which stage and run, how they stand."""
    need(settings, "project_id")
    if exp_id:
        check_exp_id(exp_id)
    if run_id:
        check_run_id(run_id)
    wanted = {"exp_id": as_label(exp_id), "run_id": run_id, "stage": stage}
    labels = {name: value for name, value in wanted.items() if value}
    found = newest_jobs(shell, settings, labels)
    # a label is lower case, and has no / in it: another experiment's may be the same
    jobs = [job for job in found if exp_id in ("", experiment_of(job))][:limit]
    if shell.dry_run:
        return
    if not jobs:
        print(f"no such jobs in {settings.region} of {settings.project_id}")
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


def describe(shell: Shell, settings: Settings, job_id: str) -> dict[str, Any]:
    """Return a job as Batch tells it, or refuse an id that it does not know."""
    words = ["batch", "jobs", "describe", job_id, *place_words(settings)]
    try:
        return gcloud.read_json(shell, words, echo=False) or {}
    except GcloudError as error:
        if error.refusal is not Refusal.MISSING:
            raise
        raise UserError(f"there is no job {job_id} in {settings.region}", mend="invoke job-list") from None


def show_job(shell: Shell, settings: Settings, job: str) -> None:
    """Print what a job runs, how its tasks stand, what it told last, and which tasks failed."""
    job_id = _checked(settings, job)
    found = describe(shell, settings, job_id)
    if shell.dry_run:
        return
    labels, progress = found.get("labels", {}), _progress(found)
    run = f"run {labels.get('run_id', '')} of {experiment_of(found)}"
    print(f"job {job_id}: {progress.state}, stage {progress.stage}, {run}, {duration(_seconds(found))}")
    print(f"  {counted(progress.tasks, 'task')}: {progress.counted or 'not begun'}")
    for event in found.get("status", {}).get("statusEvents", [])[-MOST_EVENTS:]:
        print(f"  {event.get('eventTime', '')[:19]}Z  {event.get('description', '')}")
    failed = progress.failed
    if failed and (error := tell_failed(shell, settings, found, failed)):
        print(f"  error    {error}")
    print(f"  logs     {_logs_command(found)}")
    print(f"  console  {_console_link(settings, job_id)}")


def follow(shell: Shell, settings: Settings, job: str) -> None:
    """Print how a job comes on until it has ended.

    Raises
    ------
    UserError
        It did not succeed, with what failed and the exit code of its tasks.
    KeyboardInterrupt
        After a word on how to cancel; the job goes on.
    """
    job_id = _checked(settings, job)
    if shell.dry_run:
        describe(shell, settings, job_id)
        return
    told: dict[str, str] = {}
    try:
        for found in looks(lambda: describe(shell, settings, job_id), tell):
            progress = _progress(found)
            tell_news(told, job_id, str(progress))
            if progress.state in ENDED_JOB:
                break
    except KeyboardInterrupt:
        print(
            f"\nthe job goes on. Follow it: invoke job-describe {job_id} --wait; "
            f"cancel it: invoke job-cancel {job_id}",
            file=sys.stderr,
        )
        raise
    _tell_end(shell, settings, found)


def _tell_end(shell: Shell, settings: Settings, job: dict[str, Any]) -> None:
    progress, job_id = _progress(job), id_of(job)
    if progress.state == "SUCCEEDED":
        print(f"done in {duration(_seconds(job))}{_way_on(shell, settings, job)}")
        return
    failed, error = progress.failed, ""
    if failed:
        error = tell_failed(shell, settings, job, failed)
    if progress.state == "CANCELLED":
        what = f"job {job_id} was cancelled: {progress.counted or 'it had not begun'}; its logs"
        raise UserError(what, exit_code=STOPPED, mend=_logs_command(job))
    why = f"{failed} of {counted(progress.tasks, 'task')} failed" if failed else progress.event
    why += f", the last with: {error}" if error else ""
    raise UserError(
        f"job {job_id} ended {progress.state}: {why}; its logs",
        exit_code=job_exit_code(shell, settings, job_id) if failed else 1,
        mend=_logs_command(job),
    )


def _way_on(shell: Shell, settings: Settings, job: dict[str, Any]) -> str:
    """Return what to do after a stage that has succeeded, and what it did without."""
    variables, stage = variables_of(job), job.get("labels", {}).get("stage", "")
    run = f"--exp-id {experiment_of(job)} --run-id {variables.get('RUN_ID', '')}"
    after = {"builder": "runner", "runner": "output"}.get(stage)
    if after:
        return f"; next: invoke job --stage {after} {run}"
    without = _missing(shell, settings, job) if variables.get("ALLOW_PARTIAL_RESULTS") else ""
    return f"{without}; outputs in {run_path_of(job)}outputs/"


def _missing(shell: Shell, settings: Settings, job: dict[str, Any]) -> str:
    """Return which results the outputs went without, by the summary of stage C; "" where none is there."""
    try:
        (summary,) = read_objects(shell, settings, [f"{run_path_of(job)}{SUMMARIES}output.json"])
    except (UserError, ValueError):  # the outputs are there all the same
        return ""
    if not isinstance(summary, dict) or not (missing := missing_indices(summary)):
        return ""
    named = in_a_line(missing_names(shell, settings, run_path_of(job), summary), len(missing))
    return f", without the results of {counted(len(missing), 'input')} ({named})"


def tell_how_to_follow(settings: Settings, job: dict[str, Any], was_there: bool) -> None:
    """Print where a job is to be seen that was just submitted."""
    job_id, tasks = id_of(job), counted(_progress(job).tasks, "task")
    begun = "is under way already" if was_there else "has begun"
    print(f"job {job_id} {begun}: {tasks}; it goes on whatever becomes of this terminal")
    print(f"console  {_console_link(settings, job_id)}")
    print(f"follow   invoke job-describe {job_id} --wait")
    print(f"logs     {_logs_command(job)}")
    print(f"cancel   invoke job-cancel {job_id}", flush=True)


def cancel(shell: Shell, settings: Settings, job: str) -> None:
    """End a job of ours; what its tasks have finished is kept.

    Raises
    ------
    UserError
        There is no such job, or it is another's: a project may run more than this pipeline.
    """
    job_id = _checked(settings, job)
    found = describe(shell, settings, job_id)
    words = ["batch", "jobs", "cancel", job_id, *place_words(settings), "--quiet"]
    if shell.dry_run:
        gcloud.read(shell, words)
        return
    if found.get("labels", {}).get("component") != COMPONENT:
        wrong = f"job {job_id} has no label component={COMPONENT}: it is another's, and is left alone"
        raise UserError(wrong, mend="invoke job-list")
    state = state_of(found)
    if state in ENDING_JOB:
        print(f"job {job_id} has ended already, or is about to: {state}")
        return
    gcloud.read(shell, words)
    print(f"job {job_id} is being cancelled; what it has finished is kept")


def _checked(settings: Settings, job: str) -> str:
    """Return a job's id, also of its whole name; refuse what cannot be one."""
    need(settings, "project_id")
    job_id = (job or "").rpartition("/")[2]
    if not JOB_ID.fullmatch(job_id):
        raise UserError(f'"{job:.80}" is not the id of a job', mend="invoke job-list")
    return job_id


def _progress(job: dict[str, Any]) -> Progress:
    return Progress.of(job.get("labels", {}).get("stage", ""), job)


def _seconds(job: dict[str, Any]) -> float:
    """Return how long a job took from its creation on, or has taken so far."""
    end = job["updateTime"] if state_of(job) in ENDED_JOB else datetime.now(UTC).isoformat()
    return (datetime.fromisoformat(end) - datetime.fromisoformat(job["createTime"])).total_seconds()


def _logs_command(job: dict[str, Any]) -> str:
    """Return the command that prints what a job's tasks and their machines said."""
    labels = job.get("labels", {})
    return LogRequest(experiment_of(job), labels.get("run_id", ""), labels.get("stage", "")).command


def _console_link(settings: Settings, job_id: str) -> str:
    place = f"regions/{settings.region}/jobs/{job_id}"
    return f"https://console.cloud.google.com/batch/jobsDetail/{place}/details?project={settings.project_id}"
