"""Tasks that failed after all attempts: their inputs, why they failed, and the command to rerun them."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from modeling.input_names import in_a_line
from modeling.plain_text import one_line
from ops.cloud.cloud import Cloud
from ops.cloud.inputs import cloud_names, inputs_of_tasks
from ops.cloud.jobs import (
    CANCELLED_JOB,
    attempts,
    described,
    exit_codes,
    experiment_of,
    id_of,
    memory_hint,
    run_path_of,
    stage_exit_code,
    state_of,
    variables_of,
    was_cancelled,
)
from ops.cloud.log_reader import LogLine, quoted
from ops.failures import UserError
from ops.gcloud import in_parallel
from ops.input_names import named
from ops.terminal import counted

MOST_FAILED = 20  # tasks that are shown, and that one command reruns
MOST_ASKED = 100  # tasks whose exit codes are read
MOST_CHARACTERS = 400  # of an error in a message
WITHOUT_RESULTS = "results are missing or wrong"  # in the error of stage C


@dataclass(frozen=True)
class Failed:
    """A task that failed after all attempts."""

    index: int
    exit_code: int | None  # None if Batch reports none
    attempts: int
    hint: str = ""  # on the cause, from the exit codes of all attempts
    is_cancelled: bool = False  # stopped with its job, without having failed
    inputs: tuple[int, ...] = ()  # of stage B, if known
    names: tuple[str, ...] = ()  # of these inputs

    def __str__(self) -> str:
        if self.is_cancelled:
            return f"{self.name}: cancelled"
        why = "no exit code" if self.exit_code is None else described(self.exit_code)
        after = f", after {self.attempts} attempts" if self.attempts > 1 else ""
        return f"{self.name}: {why}{after}{f'; {self.hint}' if self.hint else ''}"

    @property
    def name(self) -> str:
        """Return the number of the task in its job, and the names of its inputs."""
        return f"task {self.index}" + (f", {in_a_line(self.names)}" if self.names else "")


def print_failed(cloud: Cloud, job: dict[str, Any], number: int) -> str:
    """Print the failed tasks and the command to rerun them; return the last error in the job's log."""
    failed, error = in_parallel([lambda: failed_tasks(cloud, job), lambda: last_error(cloud, job)])
    for task in failed:
        print(f"  {task}")
    if number > len(failed):
        print(f"  and {counted(number - len(failed), 'more task')}")
    for line in _commands(job, failed, number, error):
        print(line, flush=True)
    return error


def failed_tasks(cloud: Cloud, job: dict[str, Any]) -> list[Failed]:
    """Return the first failed tasks of a job, those of stage B with their inputs."""
    listed = _list_failed(cloud, id_of(job), MOST_FAILED)
    return with_inputs(cloud, job, failed_among(listed, state_of(job) in CANCELLED_JOB))


def with_inputs(cloud: Cloud, job: dict[str, Any], failed: Sequence[Failed]) -> list[Failed]:
    """Return failed tasks of stage B with their inputs and these inputs' names; others unchanged."""
    if job.get("labels", {}).get("stage") != "runner" or not failed:
        return list(failed)
    path, tasks = run_path_of(job), [task.index for task in failed]
    try:
        inputs = inputs_of_tasks(cloud, path, variables_of(job), tasks)
    except (UserError, ValueError):  # the run's files cannot be read, or were deleted
        return list(failed)
    names = cloud_names(cloud, path, (index for task in tasks for index in inputs[task]))
    return [
        replace(task, inputs=tuple(inputs[task.index]), names=tuple(named(inputs[task.index], names)))
        for task in failed
    ]


def job_exit_code(cloud: Cloud, job_id: str) -> int:
    """Return the exit code of a stage whose job failed: that of its tasks if all agree, else 1."""
    try:
        listed = _list_failed(cloud, job_id, MOST_ASKED)
    except UserError:  # the job failed in any case
        return 1
    return stage_exit_code((exit_codes(task) or [1])[-1] for task in listed)


def _list_failed(cloud: Cloud, job_id: str, most: int) -> list[dict[str, Any]]:
    # The service filters the list by State. gcloud filters it again, and needs the label to find State.
    words = ["batch", "tasks", "list", "--job", job_id, *cloud.in_region]
    words += ["--filter", "State=FAILED", "--limit", str(most)]
    found = cloud.read_json(words, echo=False, fields="(name,status,status.state:label=State)")
    return found or []


def failed_among(tasks: Sequence[dict[str, Any]], is_stopped: bool = False) -> list[Failed]:
    """Return the first tasks, as Batch describes them, that failed or were stopped with their job."""
    failed = []
    for task in tasks:
        if task.get("status", {}).get("state") == "FAILED":
            index, codes = int(task["name"].rpartition("/")[2]), exit_codes(task)
            last, is_cancelled = codes[-1] if codes else None, is_stopped and was_cancelled(task)
            failed.append(Failed(index, last, attempts(task), memory_hint(codes), is_cancelled))
    return sorted(failed, key=lambda task: task.index)[:MOST_FAILED]


def last_error(cloud: Cloud, job: dict[str, Any]) -> str:
    """Return the newest error in the log of a job; "" without one, or if the log cannot be read."""
    chosen = [
        f"labels.job_uid={quoted(job.get('uid', ''))}",
        f"timestamp>={quoted(job['createTime'])}",  # without a bound, Logging searches for a long time
        'logName:"batch_task_logs"',
        "severity>=ERROR",
    ]
    words = ["logging", "read", " AND ".join(chosen), "--order", "desc", "--limit", "1"]
    try:
        found = cloud.read_json([*words, *cloud.in_project], echo=False)
    except UserError:  # the rest is printed in any case
        return ""
    return one_line(LogLine.of(found[0]).message, MOST_CHARACTERS) if found else ""


def _commands(job: dict[str, Any], failed: list[Failed], number: int, error: str) -> list[str]:
    """Return the commands that rerun what failed, with the options of the job."""
    stage, variables = job.get("labels", {}).get("stage", ""), variables_of(job)
    run = f"--exp-id {experiment_of(job)} --run-id {variables.get('RUN_ID', '')}"
    options = _options(variables)
    if stage == "output" and WITHOUT_RESULTS in error:
        return [
            f"  resume   invoke run --cloud {run}{options}",
            f"  or       invoke job --stage output {run}{options} --allow-partial",
        ]
    if stage != "runner":
        return [f"  again    invoke job --stage {stage} {run}{options}"]
    inputs = [index for task in failed for index in task.inputs]
    if number > len(failed) or not inputs:  # too many, or unknown: the workflow finds them
        return [f"  again    invoke run --cloud {run}"]
    only = ",".join(map(str, inputs))
    return [f"  again    invoke job --stage runner {run} --only {only}{options}"]


def _options(variables: dict[str, str]) -> str:
    """Return the options of `invoke job` for a job with these variables, each after a space."""
    given = {
        "--count": variables.get("COUNT"),
        "--seed": variables.get("SEED"),
        "--reference-date": variables.get("REFERENCE_DATE"),
        "--output-config-file": variables.get("OUTPUT_CONFIG_FILE"),
    }
    words = [word for option, value in given.items() if value for word in (option, value)]
    flags = {"--strict": "STRICT", "--allow-partial": "ALLOW_PARTIAL_RESULTS", "--force": "FORCE"}
    words += [flag for flag, name in flags.items() if variables.get(name)]
    return "".join(f" {shlex.quote(word)}" for word in words)
