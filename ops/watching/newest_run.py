"""The newest run of an experiment, even one that has written nothing to the bucket.

If stage A did not start, or could not read its repository, only its job shows the run; without a job, only
its execution does.
"""

import re
from typing import Any

from ops.cloud.bucket import no_runs, runs_in_bucket
from ops.cloud.cloud import Cloud
from ops.cloud.execution_list import id_of_execution, list_executions, runs_of_jobs
from ops.cloud.executions import Execution, exp_id_of, run_id_of
from ops.gcloud import GcloudError, Refusal, in_parallel

NEWEST_EXECUTIONS = 100  # searched for executions without a job
MOST_ASKED = 4  # of these are described; each is a gcloud


def newest_run_id(cloud: Cloud, exp_id: str) -> str:
    """Return the newest run in the bucket, in jobs or in executions; refuse an experiment without runs."""
    in_bucket, jobs, executions = in_parallel(
        [
            lambda: runs_in_bucket(cloud, exp_id),
            lambda: runs_of_jobs(cloud),
            lambda: _executions(cloud),
        ]
    )
    newest = max([*in_bucket, *(run_id for of, run_id in jobs.values() if of == exp_id)], default="")
    later = [each for each in executions if id_of_execution(each) not in jobs and _began(each) >= newest[:15]]
    newest = max([newest, *_runs_of(cloud, exp_id, later[:MOST_ASKED])])
    if not newest:
        raise no_runs(cloud, exp_id)
    return newest


def _executions(cloud: Cloud) -> list[dict[str, Any]]:
    """Return the newest executions; none if no workflow is deployed, which jobs do not need."""
    try:
        return list_executions(cloud, NEWEST_EXECUTIONS)
    except GcloudError as error:
        if error.refusal is not Refusal.MISSING:
            raise
        return []


def _began(listed: dict[str, Any]) -> str:
    """Return the start of an execution as in run ids: 20260131-120000. A queued execution comes last."""
    return re.sub("[-:]", "", listed.get("startTime", "9999")[:19]).replace("T", "-")


def _runs_of(cloud: Cloud, exp_id: str, executions: list[dict[str, Any]]) -> list[str]:
    """Return the run ids in those of some executions that belong to the experiment."""
    asked = [Execution(cloud, id_of_execution(each)) for each in executions]
    found = in_parallel([lambda each=each: each.describe() for each in asked])
    return [run_id_of(each) for each in found if exp_id_of(each) == exp_id]
