"""Tasks of a job that failed for good: which, why, and the command that runs their inputs again."""

import json
from dataclasses import dataclass
from typing import Any

from ops import gcloud
from ops.failures import UserError
from ops.jobs.attempts import described, exit_codes, tries
from ops.jobs.cloud_inputs import inputs_of_tasks
from ops.jobs.job_facts import experiment_of, id_of, run_path_of, variables_of
from ops.runs.executions import place_words
from ops.settings import Settings
from ops.shell import Shell
from ops.shown import counted

MOST_FAILED = 20  # that are told of, and can be run again by one command
# A list of tasks is filtered by the service, which knows a state as State alone, and again by gcloud, which
# has to be told what that is.
_FAILED_TASKS = ["--filter", "State=FAILED", "--format", "json(name,status,status.state:label=State)"]


@dataclass(frozen=True)
class Failed:
    """A task that failed for good."""

    index: int
    exit_code: int | None  # None where the service told none
    attempts: int

    def __str__(self) -> str:
        why = "no exit code" if self.exit_code is None else described(self.exit_code)
        after = f", after {self.attempts} tries" if self.attempts > 1 else ""
        return f"task {self.index}: {why}{after}"


def tell_failed(shell: Shell, settings: Settings, job: dict[str, Any], number: int) -> None:
    """Print the tasks that failed and the command that runs their inputs again."""
    failed = _failed_tasks(shell, settings, job)
    for task in failed:
        print(f"  {task}")
    if number > len(failed):
        print(f"  and {counted(number - len(failed), 'more task')}")
    print(f"  again    {_again(shell, settings, job, failed, number)}", flush=True)


def _failed_tasks(shell: Shell, settings: Settings, job: dict[str, Any]) -> list[Failed]:
    words = ["batch", "tasks", "list", "--job", id_of(job), *place_words(settings), *_FAILED_TASKS]
    listed = json.loads(gcloud.read(shell, [*words, "--limit", str(MOST_FAILED)], echo=False) or "[]")
    failed = []
    for task in listed:
        index, codes = int(task["name"].rpartition("/")[2]), exit_codes(task)
        failed.append(Failed(index, codes[-1] if codes else None, tries(task)))
    return sorted(failed, key=lambda task: task.index)


def _again(shell: Shell, settings: Settings, job: dict[str, Any], failed: list[Failed], number: int) -> str:
    """Return the command that does again what failed."""
    stage, variables = job.get("labels", {}).get("stage", ""), variables_of(job)
    run = f"--exp-id {experiment_of(job)} --run-id {variables.get('RUN_ID', '')}"
    if stage != "runner":
        return f"invoke job --stage {stage} {run}"
    if number > len(failed):
        return f"invoke run --cloud {run}"
    tasks = [task.index for task in failed]
    try:
        inputs = inputs_of_tasks(shell, settings, run_path_of(job), variables, tasks)
    except UserError:  # its files cannot be read, or are gone: the workflow tells
        return f"invoke run --cloud {run}"
    return f"invoke job --stage runner {run} --only {','.join(map(str, inputs))}"
