"""Tables of the runs in the bucket and of their results: what ran, how it ended, and what came out.

The same of runs on this machine are in run_tables.py. What goes on just now, job by job, is in status.py.
"""

from modeling.by_products import check_headline
from modeling.input_names import in_a_line
from ops import gcloud
from ops.cloud.bucket import CloudRun, by_product, newest_outputs, newest_runs, read_objects
from ops.cloud.executions import ENDED
from ops.failures import UserError
from ops.gcloud import GcloudError, is_no_match, place_words
from ops.input_names import cloud_names, missing_indices, named, recorded_names, unnamed
from ops.laptop.run_tables import NAMED_A_RUN, print_forecast, print_runs
from ops.run_paths import CLAIM, HEADLINE, OUTPUTS, run_path
from ops.settings import Settings, need
from ops.shell import Shell

MOST_EXECUTIONS = 1000  # the newest, among which those that go on are looked for
HERE = "--local shows what ran on this machine"


def show_runs(shell: Shell, settings: Settings, exp_id: str = "", limit: int | None = None) -> None:
    """Print the newest runs in the bucket: when each was built, how far it came, and its newest outputs."""
    need(settings, "project_id", "bucket_name", instead=HERE)
    runs, number = newest_runs(shell, settings, exp_id, limit)
    if shell.dry_run:
        return
    if not runs:
        where = f"gs://{settings.bucket_name}/{settings.dir_prefix}"
        if exp_id:
            raise UserError(f"no runs of {exp_id} in {where}", mend="invoke runs --cloud")
        print(f"no runs in {where}")
        return
    going_on = _going_on(shell, settings, [run for run in runs if run.is_claimed])
    rows = (_row(run, (run.exp_id, run.run_id) in going_on) for run in runs)
    print_runs(rows, older=number - len(runs))


def _row(run: CloudRun, is_going_on: bool) -> tuple[str, ...]:
    results = f"{run.results}/{run.inputs}" if run.inputs else ""
    built_at = str(run.manifest.get("created_at", ""))
    return run.exp_id, run.run_id, built_at, results, _state(run, is_going_on), run.outputs


def _state(run: CloudRun, is_going_on: bool) -> str:
    """Return how a run stands, in the words used for runs on this machine."""
    if is_going_on:
        return "going on"
    if run.is_built and not run.inputs:
        return "damaged"
    if run.outputs:
        missing = run.inputs - run.results
        recorded = {index: name for index, (name, _) in recorded_names(run.headline).items()}
        which = in_a_line(named(missing_indices(run.headline)[:NAMED_A_RUN], recorded), missing)
        return f"done, {missing} missing: {which}" if missing else "done"
    if not run.is_built:
        return "not built"
    return "no outputs yet" if run.results >= run.inputs else "unfinished"


def _going_on(shell: Shell, settings: Settings, claimed: list[CloudRun]) -> set[tuple[str, str]]:
    """Return the runs that an execution is at work on: one that was cancelled leaves its claim behind."""
    if not claimed:
        return set()
    words = ["workflows", "executions", "list", settings.workflow_name, *place_words(settings)]
    words += ["--limit", str(MOST_EXECUTIONS), "--page-size", str(MOST_EXECUTIONS)]
    listed = gcloud.read_json(shell, words, echo=False) or []
    active = {each["name"].rpartition("/")[2] for each in listed if each["state"] not in ENDED}
    if not active:
        return set()
    paths = [run_path(settings, run.exp_id, run.run_id) + CLAIM for run in claimed]
    try:
        claims = read_objects(shell, settings, paths)
    except UserError as error:
        if isinstance(error, GcloudError) and not is_no_match(error):
            raise
        # one has ended meanwhile, or is damaged; the others may go on
        return {(run.exp_id, run.run_id) for run in claimed}
    claims = [each for each in claims if isinstance(each, dict)]
    return {(each.get("exp_id"), each.get("run_id")) for each in claims if each.get("execution") in active}


def show_results(shell: Shell, settings: Settings, exp_id: str, run_id: str = "") -> None:
    """Print the forecast of a run in the bucket, and how to get its report, charts and tables."""
    need(settings, "project_id", "bucket_name", instead=HERE)
    run_id, name = newest_outputs(shell, settings, exp_id, run_id)
    path = f"{run_path(settings, exp_id, run_id)}{OUTPUTS}{name}/"
    found = by_product(shell, settings, path + HEADLINE, check_headline)
    if shell.dry_run:
        return
    headline = found or {}
    nameless = unnamed(missing_indices(headline), recorded_names(headline))
    names = cloud_names(shell, settings, run_path(settings, exp_id, run_id), nameless)
    print_forecast(exp_id, run_id, headline, names)
    print(f"outputs  {path}")
    print(f"fetch    invoke download --exp-id {exp_id} --run-id {run_id}")
