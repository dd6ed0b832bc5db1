"""Tasks that show runs: list, status, logs, results, download."""

from ops.cloud import execution_list, executions
from ops.cloud.log_reader import NEWEST, LogRequest
from ops.environment import read_settings
from ops.laptop import run_tables
from ops.tasks.verb import DRY_RUN, EXP_ID, LIMIT, ONE_EXPERIMENT, ROWS, STAGE, WAIT, mode, the_cloud, verb
from ops.watching import cloud_tables, run_logs
from ops.watching import download as fetcher
from ops.watching import status as observer

EXECUTION = "id of an execution of the workflow, as `invoke run --cloud` and `invoke workflow-list` print it"
HERE = "--local shows runs on this machine"
WHERE = {
    "local": "runs on this machine; overrides EXECUTION_MODE",
    "cloud": "runs in the bucket; overrides EXECUTION_MODE",
}
ENTRIES = {
    "severity": "least severity shown: DEBUG, INFO, NOTICE, WARNING, ERROR, CRITICAL",
    "since": "only entries newer than 10m, 2h or 3d, or than a time such as 2026-01-31T12:00Z",
    "limit": LIMIT.replace(str(ROWS), str(NEWEST)),
    "follow": "print new entries until Ctrl-C, or ten minutes without an answer",
    "dry_run": DRY_RUN,
}


@verb(help={"exp_id": ONE_EXPERIMENT, "limit": LIMIT, "dry_run": DRY_RUN})
def workflow_list(c, exp_id="", limit=str(ROWS), dry_run=False):
    """List the newest runs in the cloud, with their state and duration."""
    execution_list.show_executions(the_cloud(dry_run, needs_bucket=False), exp_id, limit)


@verb(positional=["execution"], help={"execution": EXECUTION, "wait": WAIT, "dry_run": DRY_RUN})
def workflow_describe(c, execution, wait=False, dry_run=False):
    """Show a run in the cloud: its jobs, their tasks by state, and how it ended."""
    cloud = the_cloud(dry_run, needs_bucket=False)
    if wait:
        executions.follow(executions.execution_named(cloud, execution))
    else:
        executions.show_execution(cloud, execution)


@verb(positional=["execution"], help={"execution": EXECUTION, "dry_run": DRY_RUN})
def workflow_cancel(c, execution, dry_run=False):
    """Cancel a run in the cloud and its Batch jobs; finished results are kept."""
    executions.cancel(the_cloud(dry_run, needs_bucket=False), execution)


@verb(help={"exp_id": ONE_EXPERIMENT} | WHERE | {"limit": LIMIT, "dry_run": DRY_RUN})
def runs(c, exp_id="", local=False, cloud=False, limit=str(ROWS), dry_run=False):
    """List runs with their start and state, newest first."""
    settings = read_settings(chosen={"EXECUTION_MODE": mode(local, cloud)})
    if settings.execution_mode == "cloud":
        cloud_tables.show_runs(the_cloud(dry_run, settings, instead=HERE), exp_id, limit)
    else:
        run_tables.show_runs(settings, exp_id, limit)


@verb(help={"exp_id": EXP_ID, "run_id": "the run; default the newest"} | WHERE | {"dry_run": DRY_RUN})
def results(c, exp_id, run_id="", local=False, cloud=False, dry_run=False):
    """Print the forecast of a run and the paths of its report, charts and tables."""
    settings = read_settings(chosen={"EXECUTION_MODE": mode(local, cloud)})
    if settings.execution_mode == "cloud":
        cloud_tables.show_results(the_cloud(dry_run, settings, instead=HERE), exp_id, run_id)
    else:
        run_tables.show_results(settings, exp_id, run_id)


@verb(
    help={
        "exp_id": EXP_ID,
        "run_id": "the run; default the newest that has outputs, with --what all the newest",
        "what": "outputs, the newest of the run, or all for every file; default outputs",
        "to": "a folder; default local/downloads",
        "dry_run": DRY_RUN,
    }
)
def download(c, exp_id, run_id="", what="outputs", to="", dry_run=False):
    """Download the outputs of a run, or all its files, from the cloud, and verify them."""
    fetcher.download(the_cloud(dry_run), exp_id, run_id, what, to)


@verb(
    help={
        "exp_id": ONE_EXPERIMENT,
        "hours": f"include runs that ended in the last hours; default {observer.HOURS}",
        "watch": "show changes until Ctrl-C",
        "dry_run": DRY_RUN,
    }
)
def status(c, exp_id="", hours=None, watch=False, dry_run=False):
    """Show running and recently ended runs in the cloud: tasks, retries, shortages, cost so far."""
    observer.show_status(the_cloud(dry_run, needs_bucket=False), exp_id, hours or observer.HOURS, watch)


@verb(
    help={
        "exp_id": EXP_ID,
        "run_id": "the run; default the newest in the bucket",
        "stage": f"only {STAGE}",
        "task": "only this task of the Batch job, counted from 0; its inputs may have other numbers",
    }
    | ENTRIES
)
def logs(
    c,
    exp_id,
    run_id="",
    stage="",
    task=None,
    severity="",
    since="",
    limit=str(NEWEST),
    follow=False,
    dry_run=False,
):
    """Print the logs of a run in the cloud: its tasks, their machines and the workflow."""
    request = LogRequest(exp_id, run_id, stage, task, severity, since, limit, follow)
    run_logs.show_logs(the_cloud(dry_run, needs_bucket=False), request)
