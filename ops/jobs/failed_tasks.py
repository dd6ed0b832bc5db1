"""Tasks of a job that failed for good: which, why, and the command that does again what they were to do."""

import json
import shlex
from dataclasses import dataclass
from typing import Any

from ops import gcloud
from ops.failures import UserError
from ops.gcloud import at_once
from ops.jobs.attempts import CANCELLED_JOB, described, exit_codes, memory_hint, tries, was_cancelled
from ops.jobs.cloud_inputs import inputs_of_tasks
from ops.jobs.job_facts import experiment_of, id_of, run_path_of, state_of, variables_of
from ops.runs.executions import FAILED_TASKS, place_words
from ops.settings import Settings
from ops.shell import Shell
from ops.shown import counted, one_line
from ops.watching.log_lines import LogLine
from ops.watching.run_logs import quoted

MOST_FAILED = 20  # that are told of, and can be run again by one command
MOST_CHARACTERS = 400  # of an error in a message
WITHOUT_RESULTS = "results are missing or wrong"  # as stage C says it


@dataclass(frozen=True)
class Failed:
    """A task that failed for good."""

    index: int
    exit_code: int | None  # None where the service told none
    attempts: int
    hint: str = ""  # what all its attempts together tell
    is_cancelled: bool = False  # it was stopped with its job, and had not failed

    def __str__(self) -> str:
        if self.is_cancelled:
            return f"task {self.index}: cancelled"
        why = "no exit code" if self.exit_code is None else described(self.exit_code)
        after = f", after {self.attempts} tries" if self.attempts > 1 else ""
        return f"task {self.index}: {why}{after}{f'; {self.hint}' if self.hint else ''}"


def tell_failed(shell: Shell, settings: Settings, job: dict[str, Any], number: int) -> str:
    """Print the tasks that failed and the command that goes on; return the last error of the job's log."""
    failed, error = at_once(
        [lambda: _failed_tasks(shell, settings, job), lambda: _last_error(shell, settings, job)]
    )
    for task in failed:
        print(f"  {task}")
    if number > len(failed):
        print(f"  and {counted(number - len(failed), 'more task')}")
    for line in _ways_on(shell, settings, job, failed, number, error):
        print(line, flush=True)
    return error


def _failed_tasks(shell: Shell, settings: Settings, job: dict[str, Any]) -> list[Failed]:
    words = ["batch", "tasks", "list", "--job", id_of(job), *place_words(settings), *FAILED_TASKS]
    listed = json.loads(gcloud.read(shell, [*words, "--limit", str(MOST_FAILED)], echo=False) or "[]")
    failed, stopped = [], state_of(job) in CANCELLED_JOB
    for task in listed:
        index, codes = int(task["name"].rpartition("/")[2]), exit_codes(task)
        failed.append(
            Failed(
                index,
                codes[-1] if codes else None,
                tries(task),
                memory_hint(codes),
                stopped and was_cancelled(task),
            )
        )
    return sorted(failed, key=lambda task: task.index)


def _last_error(shell: Shell, settings: Settings, job: dict[str, Any]) -> str:
    """Return the newest error that a task of a job wrote; "" where there is none, or it cannot be read."""
    chosen = [
        f"labels.job_uid={quoted(job.get('uid', ''))}",
        f"timestamp>={quoted(job['createTime'])}",  # without a bound, Logging looks for long
        'logName:"batch_task_logs"',
        "severity>=ERROR",
    ]
    words = ["logging", "read", " AND ".join(chosen), "--order", "desc", "--limit", "1"]
    try:
        found = gcloud.read_json(shell, [*words, "--project", settings.project_id], echo=False)
    except UserError:  # what is known without it is told all the same
        return ""
    return one_line(LogLine.of(found[0]).message, MOST_CHARACTERS) if found else ""


def _ways_on(
    shell: Shell, settings: Settings, job: dict[str, Any], failed: list[Failed], number: int, error: str
) -> list[str]:
    """Return the commands that do again what failed, with the options that the job had."""
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
    if number > len(failed):
        return [f"  again    invoke run --cloud {run}"]
    tasks = [task.index for task in failed]
    try:
        inputs = inputs_of_tasks(shell, settings, run_path_of(job), variables, tasks)
    except UserError:  # its files cannot be read, or are gone: the workflow tells
        return [f"  again    invoke run --cloud {run}"]
    only = ",".join(map(str, inputs))
    return [f"  again    invoke job --stage runner {run} --only {only}{options}"]


def _options(variables: dict[str, str]) -> str:
    """Return the options of `invoke job` that gave a job these variables, each after a space."""
    given = {
        "--count": variables.get("COUNT"),
        "--seed": variables.get("SEED"),
        "--output-config-file": variables.get("OUTPUT_CONFIG_FILE"),
    }
    words = [word for option, value in given.items() if value for word in (option, value)]
    flags = {"--allow-partial": "ALLOW_PARTIAL_RESULTS", "--force": "FORCE"}
    words += [flag for flag, name in flags.items() if variables.get(name)]
    return "".join(f" {shlex.quote(word)}" for word in words)
