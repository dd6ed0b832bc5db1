"""Tables of the runs in the bucket and of their results.

Those of runs on this machine are in laptop/run_tables.py. The jobs of running executions are in status.py.
"""

from modeling.by_products import check_headline
from modeling.input_names import in_a_line
from modeling.run_names import CLAIM, HEADLINE, OUTPUTS
from ops.cloud.bucket import CloudRun, by_product, newest_outputs, newest_runs, read_objects_or_none
from ops.cloud.cloud import Cloud
from ops.cloud.execution_list import id_of_execution, list_executions
from ops.cloud.executions import ENDED
from ops.cloud.inputs import cloud_names
from ops.failures import UserError
from ops.input_names import missing_indices, named, recorded_names, unnamed
from ops.laptop.run_tables import NAMED_A_RUN, print_forecast, print_runs

MOST_EXECUTIONS = 1000  # newest executions that are searched for running ones


def show_runs(cloud: Cloud, exp_id: str = "", limit: int | None = None) -> None:
    """Print the newest runs in the bucket: when each was built, its results, state and newest outputs."""
    runs, number = newest_runs(cloud, exp_id, limit)
    cloud.shell.end_if_dry_run()
    if not runs:
        if exp_id:
            raise UserError(f"no runs of {exp_id} in {cloud.top}", fix="invoke runs --cloud")
        print(f"no runs in {cloud.top}")
        return
    running = _running(cloud, [run for run in runs if run.is_claimed])
    rows = (_row(run, run.key in running) for run in runs)
    print_runs(rows, older=number - len(runs))


def _row(run: CloudRun, is_running: bool) -> tuple[str, ...]:
    results = f"{run.results}/{run.inputs}" if run.inputs else ""
    found = (run.manifest.reference_date, run.manifest.created_at) if run.manifest else ("", "")
    return run.exp_id, run.run_id, *found, results, _state(run, is_running), run.outputs


def _state(run: CloudRun, is_running: bool) -> str:
    """Return the state of a run, in the words used for runs on this machine."""
    if is_running:
        return "running"
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


def _running(cloud: Cloud, claimed: list[CloudRun]) -> set[tuple[str, str]]:
    """Return the claimed runs with an active execution; a cancelled execution does not remove its claim."""
    if not claimed:
        return set()
    listed = list_executions(cloud, MOST_EXECUTIONS)
    active = {id_of_execution(each) for each in listed if each["state"] not in ENDED}
    if not active:
        return set()
    claims = read_objects_or_none(cloud, [f"{cloud.run_path(*run.key)}{CLAIM}" for run in claimed])
    return {
        run.key
        for run, claim in zip(claimed, claims, strict=True)
        # a claim that cannot be read is damaged, or was just removed: the run may be running
        if not isinstance(claim, dict) or claim.get("execution") in active
    }


def show_results(cloud: Cloud, exp_id: str, run_id: str = "") -> None:
    """Print the forecast of a run in the bucket, and how to get its report, charts and tables."""
    run_id, name = newest_outputs(cloud, exp_id, run_id)
    path = f"{cloud.run_path(exp_id, run_id)}{OUTPUTS}{name}/"
    found = by_product(cloud, path + HEADLINE, check_headline)
    cloud.shell.end_if_dry_run()
    headline = found or {}
    nameless = unnamed(missing_indices(headline), recorded_names(headline))
    names = cloud_names(cloud, cloud.run_path(exp_id, run_id), nameless)
    print_forecast(exp_id, run_id, headline, names)
    print(f"outputs  {path}")
    print(f"fetch    invoke download --exp-id {exp_id} --run-id {run_id}")
