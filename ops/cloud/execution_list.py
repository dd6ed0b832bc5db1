"""Which executions of the workflow there are, and which of them are an experiment's.

A list of executions tells neither arguments nor labels; how one stands is in executions.py.
"""

import sys
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from ops import gcloud
from ops.cloud.executions import Execution, exp_id_of, run_id_of, seconds_taken, where_it_is
from ops.gcloud import AT_ONCE, at_once, place_words
from ops.names import check_exp_id
from ops.settings import Settings, need
from ops.shell import Shell
from ops.terminal import console, counted, duration

MOST_LISTED = 1000  # a page of executions
MOST_ASKED = 100  # executions of which only a request each tells what they run

Row = tuple[Execution, dict[str, Any]]  # with what Workflows tells of it


def show_executions(shell: Shell, settings: Settings, exp_id: str = "", limit: int | None = None) -> None:
    """Print the newest executions: what they run, how they stand, how long they took."""
    need(settings, "project_id")
    limit = min(limit or MOST_LISTED, MOST_LISTED)
    if exp_id:
        check_exp_id(exp_id)
    listed = list_executions(shell, settings, MOST_LISTED if exp_id else limit, echo=True)
    if shell.dry_run:
        return
    executions = [Execution(settings, id_of_execution(each)) for each in listed]
    if exp_id:
        rows, unseen = _of_experiment(shell, settings, executions, exp_id, limit)
    else:
        rows, unseen = _described(shell, executions), 0
    if unseen:
        print(f"of {counted(unseen, 'older execution')} it is not known what they ran", file=sys.stderr)
    if not rows:
        print(f"no executions of {settings.workflow_name}{f' for {exp_id}' if exp_id else ''} yet")
        return
    table = Table(box=None, header_style="bold")
    for column in ("execution", "experiment", "run id", "state", "began", "took", "at or why"):
        table.add_column(column, overflow="fold")
    for execution, one in rows:
        table.add_row(
            execution.execution_id,
            exp_id_of(one),
            run_id_of(one),
            one["state"],
            f"{one['startTime'][:19]}Z",
            duration(seconds_taken(one)),
            where_it_is(one),
        )
    console().print(table)


def list_executions(shell: Shell, settings: Settings, limit: int, echo: bool = False) -> list[dict[str, Any]]:
    """Return the newest executions, the newest first; a list does not tell what they run."""
    words = ["workflows", "executions", "list", settings.workflow_name, *place_words(settings)]
    words += ["--limit", str(limit), "--page-size", str(limit)]
    return gcloud.read_json(shell, words, echo=echo) or []


def id_of_execution(listed: dict[str, Any]) -> str:
    return listed["name"].rpartition("/")[2]


def runs_of_jobs(shell: Shell, settings: Settings) -> dict[str, tuple[str, str]]:
    """Return which experiment and run an execution is of, by the jobs that there are: one gcloud for all.

    A job by hand is called after no execution; it is there by the rest of its name.
    """
    fields = "name,taskGroups[0].taskSpec.environment.variables.EXP_ID,labels.run_id"
    words = ["batch", "jobs", "list", *place_words(settings), "--page-size", str(MOST_LISTED)]
    lines = gcloud.read(shell, [*words, "--format", f"value({fields})"], echo=False).splitlines()
    told = (line.split("\t") for line in lines)
    return {
        name.rpartition("/")[2].partition("-")[2]: (exp_id, run_id) for name, exp_id, run_id in told if exp_id
    }


def _described(shell: Shell, executions: Sequence[Execution]) -> list[Row]:
    found = at_once([lambda each=each: each.describe(shell) for each in executions])
    return list(zip(executions, found, strict=True))


def _of_experiment(
    shell: Shell, settings: Settings, executions: list[Execution], exp_id: str, limit: int
) -> tuple[list[Row], int]:
    """Return the newest executions of an experiment, and how many older ones may be, and were not asked."""
    known = {execution: of for execution, (of, _) in runs_of_jobs(shell, settings).items()}
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
        rows += [row for row in _described(shell, chosen) if exp_id_of(row[1]) == exp_id]
    return rows[:limit], 0 if len(rows) >= limit else len(unseen)
