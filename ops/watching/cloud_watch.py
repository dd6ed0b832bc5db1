"""What ran in the cloud, how it ended, and what came out, from the bucket: tables for the terminal.

The same of runs on this machine is in watch.py. What goes on just now, job by job, is in status.py.
"""

from ops import gcloud
from ops.artifact_names import HEADLINE
from ops.failures import UserError
from ops.gcloud import GcloudError, is_no_match
from ops.laptop.watch import print_forecast, print_runs
from ops.runs.executions import ACTIVE, place_words
from ops.settings import Settings, need
from ops.shell import Shell
from ops.shown import counted
from ops.watching.cloud_files import (
    CloudRun,
    experiment_path,
    list_runs,
    newest_outputs,
    read_objects,
)

MOST_EXECUTIONS = 1000  # the newest, among which those that go on are looked for
MOST_CLAIMS = 200  # that are read, of the newest runs


def show_runs(shell: Shell, settings: Settings, exp_id: str = "") -> None:
    """Print every run in the bucket: when it was built, how far it came, and its newest outputs."""
    _need_a_place(settings)
    runs = list_runs(shell, settings, exp_id)
    if shell.dry_run:
        return
    if not runs:
        where = f"gs://{settings.bucket_name}/{settings.dir_prefix}"
        if exp_id:
            raise UserError(f"no runs of {exp_id} in {where}", mend="invoke runs --cloud")
        print(f"no runs in {where}")
        return
    going_on = _going_on(shell, settings, [run for run in runs if run.is_claimed])
    print_runs(_row(run, (run.exp_id, run.run_id) in going_on) for run in runs)


def _row(run: CloudRun, is_going_on: bool) -> tuple[str, ...]:
    results = f"{run.results}/{run.inputs}" if run.inputs else str(run.results or "")
    newest = max(run.outputs, default="")
    return run.exp_id, run.run_id, run.built_at, results, _state(run, is_going_on), newest


def _state(run: CloudRun, is_going_on: bool) -> str:
    """Return how a run stands, in the words used for runs on this machine.

    Inputs and results may be deleted after some time (`invoke bucket-lifecycle`); outputs stay.
    """
    if is_going_on:
        return "going on"
    if run.outputs:
        missing = run.inputs - run.results
        return f"done, {counted(missing, 'result')} missing" if 0 < missing < run.inputs else "done"
    if not run.built_at:
        return "not built"
    return "no outputs yet" if run.results and run.results >= run.inputs else "unfinished"


def _going_on(shell: Shell, settings: Settings, claimed: list[CloudRun]) -> set[tuple[str, str]]:
    """Return the runs that an execution is at work on: one that was cancelled leaves its claim behind."""
    if not claimed:
        return set()
    words = ["workflows", "executions", "list", settings.workflow_name, *place_words(settings)]
    words += ["--limit", str(MOST_EXECUTIONS), "--page-size", str(MOST_EXECUTIONS)]
    listed = gcloud.read_json(shell, words, echo=False) or []
    active = {each["name"].rpartition("/")[2] for each in listed if each["state"] in ACTIVE}
    if not active:
        return set()
    some = claimed[-MOST_CLAIMS:]
    paths = [f"{experiment_path(settings, run.exp_id)}{run.run_id}/execution.json" for run in some]
    try:
        claims = read_objects(shell, settings, paths)
    except GcloudError as error:
        if not is_no_match(error):
            raise
        return {(run.exp_id, run.run_id) for run in some}  # one has ended meanwhile; the others may go on
    return {(each.get("exp_id"), each.get("run_id")) for each in claims if each.get("execution") in active}


def show_results(shell: Shell, settings: Settings, exp_id: str, run_id: str = "") -> None:
    """Print the forecast of a run in the bucket, and how to get its report, charts and tables."""
    _need_a_place(settings)
    run_id, name = newest_outputs(shell, settings, exp_id, run_id)
    path = f"{experiment_path(settings, exp_id)}{run_id}/outputs/{name}/"
    try:
        found = read_objects(shell, settings, [f"{path}{HEADLINE}"])
    except GcloudError as error:
        if not is_no_match(error):
            raise
        found = []
    if shell.dry_run:
        return
    print_forecast(exp_id, run_id, found[0] if found else {})
    print(f"outputs  {path}")
    print(f"fetch    invoke download --exp-id {exp_id} --run-id {run_id}")


def _need_a_place(settings: Settings) -> None:
    try:
        need(settings, "project_id", "bucket_name")
    except UserError as error:  # who has just made a .env from .env.example may want no cloud yet
        raise UserError(f"{error}; --local shows what ran on this machine") from None
