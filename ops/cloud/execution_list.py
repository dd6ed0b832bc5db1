"""Lists of executions of the workflow: all of them, or those of an experiment.

A list of executions contains neither arguments nor labels. Single executions are in executions.py.
"""

import sys
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from ops.cloud.cloud import Cloud
from ops.cloud.executions import Execution, exp_id_of, run_id_of, seconds_taken, step_or_error
from ops.gcloud import AT_ONCE, in_parallel
from ops.names import check_exp_id
from ops.terminal import console, counted, duration

MOST_LISTED = 1000  # one page of executions
MOST_ASKED = 100  # executions that are described one by one to find their experiment

Row = tuple[Execution, dict[str, Any]]  # with its description


def show_executions(cloud: Cloud, exp_id: str = "", limit: int | None = None) -> None:
    """Print the newest executions: run, state, start and duration."""
    limit = min(limit or MOST_LISTED, MOST_LISTED)
    if exp_id:
        check_exp_id(exp_id)
    listed = list_executions(cloud, MOST_LISTED if exp_id else limit, echo=True)
    cloud.shell.end_if_dry_run()
    executions = [Execution(cloud, id_of_execution(each)) for each in listed]
    if exp_id:
        rows, unseen = _of_experiment(cloud, executions, exp_id, limit)
    else:
        rows, unseen = _described(executions), 0
    if unseen:
        print(
            f"{counted(unseen, 'older execution')} not examined: their experiment is unknown", file=sys.stderr
        )
    if not rows:
        print(f"no executions of {cloud.settings.workflow_name}{f' for {exp_id}' if exp_id else ''} yet")
        return
    table = Table(box=None, header_style="bold")
    for column in ("execution", "experiment", "run id", "state", "started", "duration", "step or error"):
        table.add_column(column, overflow="fold")
    for execution, one in rows:
        table.add_row(
            execution.execution_id,
            exp_id_of(one),
            run_id_of(one),
            one["state"],
            f"{one['startTime'][:19]}Z",
            duration(seconds_taken(one)),
            step_or_error(one),
        )
    console().print(table)


def list_executions(cloud: Cloud, limit: int, echo: bool = False) -> list[dict[str, Any]]:
    """Return the newest executions, newest first, without their arguments."""
    words = ["workflows", "executions", "list", cloud.settings.workflow_name, *cloud.in_region]
    words += ["--limit", str(limit), "--page-size", str(limit)]
    return cloud.read_json(words, echo=echo) or []


def id_of_execution(listed: dict[str, Any]) -> str:
    return listed["name"].rpartition("/")[2]


def runs_of_jobs(cloud: Cloud) -> dict[str, tuple[str, str]]:
    """Return experiment and run by execution id, from the names of all jobs in one request.

    The name of a job that was submitted by hand contains no execution; its key is the rest of its name.
    """
    fields = "name,taskGroups[0].taskSpec.environment.variables.EXP_ID,labels.run_id"
    words = ["batch", "jobs", "list", *cloud.in_region, "--page-size", str(MOST_LISTED)]
    lines = cloud.read([*words, "--format", f"value({fields})"], echo=False).splitlines()
    rows = (line.split("\t") for line in lines)
    return {
        name.rpartition("/")[2].partition("-")[2]: (exp_id, run_id) for name, exp_id, run_id in rows if exp_id
    }


def _described(executions: Sequence[Execution]) -> list[Row]:
    found = in_parallel([lambda each=each: each.describe() for each in executions])
    return list(zip(executions, found, strict=True))


def _of_experiment(
    cloud: Cloud, executions: list[Execution], exp_id: str, limit: int
) -> tuple[list[Row], int]:
    """Return the newest executions of an experiment, and the number of older ones that were not examined."""
    known = {execution: of for execution, (of, _) in runs_of_jobs(cloud).items()}
    without_job = [each.execution_id for each in executions if each.execution_id not in known]
    unseen = set(without_job[MOST_ASKED:])
    candidates = [
        each
        for each in executions
        if known.get(each.execution_id, exp_id) == exp_id and each.execution_id not in unseen
    ]
    rows: list[Row] = []
    while candidates and len(rows) < limit:
        chosen, candidates = candidates[:AT_ONCE], candidates[AT_ONCE:]
        rows += [row for row in _described(chosen) if exp_id_of(row[1]) == exp_id]
    return rows[:limit], 0 if len(rows) >= limit else len(unseen)
