"""Which run of an experiment is the newest: also one of which nothing has come to the bucket.

Of a run whose stage A could not begin or read its repository, its job alone tells; of one that had none, its
execution.
"""

import re
from typing import Any

from ops.cloud.bucket import A_RUN_ID, no_runs, runs_in_bucket
from ops.cloud.execution_list import id_of_execution, list_executions, runs_of_jobs
from ops.cloud.executions import Execution, exp_id_of, run_id_of
from ops.gcloud import GcloudError, Refusal, at_once
from ops.settings import Settings
from ops.shell import Shell

NEWEST_EXECUTIONS = 100  # among which those without a job are looked for
MOST_ASKED = 4  # of these; each is a gcloud


def newest_run_id(shell: Shell, settings: Settings, exp_id: str) -> str:
    """Return the newest run by the bucket, by jobs and by executions; refuse where none knows one."""
    in_bucket, jobs, executions = at_once(
        [
            lambda: runs_in_bucket(shell, settings, exp_id),
            lambda: runs_of_jobs(shell, settings),
            lambda: _executions(shell, settings),
        ]
    )
    if shell.dry_run:
        return A_RUN_ID
    newest = max([*in_bucket, *(run_id for of, run_id in jobs.values() if of == exp_id)], default="")
    later = [each for each in executions if id_of_execution(each) not in jobs and _began(each) >= newest[:15]]
    newest = max([newest, *_runs_of(shell, settings, exp_id, later[:MOST_ASKED])])
    if not newest:
        raise no_runs(settings, exp_id)
    return newest


def _executions(shell: Shell, settings: Settings) -> list[dict[str, Any]]:
    """Return the newest executions; none where no workflow is deployed, for jobs go without one."""
    try:
        return list_executions(shell, settings, NEWEST_EXECUTIONS)
    except GcloudError as error:
        if error.refusal is not Refusal.MISSING:
            raise
        return []


def _began(listed: dict[str, Any]) -> str:
    """Return when an execution began, as in ids of runs: 20260131-120000. One that is queued comes last."""
    return re.sub("[-:]", "", listed.get("startTime", "9999")[:19]).replace("T", "-")


def _runs_of(shell: Shell, settings: Settings, exp_id: str, executions: list[dict[str, Any]]) -> list[str]:
    """Return the ids of the experiment's runs among those of some executions, as far as these tell them."""
    asked = [Execution(settings, id_of_execution(each)) for each in executions]
    found = at_once([lambda each=each: each.describe(shell) for each in asked])
    return [run_id_of(each) for each in found if exp_id_of(each) == exp_id]
