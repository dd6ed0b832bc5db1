"""`invoke cost`: what a run would cost and how long it would take."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.table import Table

from modeling.plain_text import one_line
from modeling.run_names import EPYDEMIX
from ops.cloud.cloud import Cloud
from ops.cloud.deployment import check_stages_fit
from ops.cloud.inputs import find_manifest, inputs_with_results
from ops.cloud.prices import prices
from ops.costs import task_times
from ops.costs.estimates import MODELS, RunEstimate, estimate, suggestions
from ops.costs.task_times import Measured
from ops.failures import UserError
from ops.gcloud import GcloudError
from ops.laptop.local_run import check_experiment_exists, count_workloads
from ops.laptop.run_files import latest_run, run_named
from ops.run_request import RunRequest
from ops.settings import Settings
from ops.shell import Shell
from ops.stages import LETTERS
from ops.terminal import console, counted, duration

PATIENCE_SECONDS = 20.0  # the checks of a run take about half of it
MOST_CHARACTERS = 300  # of the reason why there is no estimate
NOT_COUNTED = "builds of images, steps of the workflow, waiting for quota, taxes, discounts and free tiers"


@dataclass(frozen=True)
class InputsLeft:
    """Number of inputs of a run, and number of inputs that are still to run."""

    of: int
    number: int


def show_estimate(
    shell: Shell,
    settings: Settings,
    request: RunRequest,
    num_tasks: int | None = None,
    task_seconds: int | None = None,
) -> None:
    """Print what a run in the cloud would cost: a new run, or resuming the named one.

    Parameters
    ----------
    num_tasks : int, optional
        Inputs of stage B; default: those without a result in the named run, or all of the experiment.
    task_seconds : int, optional
        Seconds of an input; default: those of an earlier run.

    Raises
    ------
    UserError
        Neither `task_seconds` nor an earlier run is known, the number of inputs is not known, or a stage
        does not fit its machine type.
    """
    if found := _estimated(shell, settings, request, num_tasks, task_seconds):
        _print(*found, request)


def _estimated(
    shell: Shell,
    settings: Settings,
    request: RunRequest,
    num_tasks: int | None = None,
    task_seconds: int | None = None,
) -> tuple[RunEstimate, Measured, InputsLeft | None] | None:
    """Return the estimate, its measured times, and the inputs left of the run.

    A dry run returns None if nothing is known without a request. Raises as show_estimate().
    """
    check_stages_fit(settings)
    is_output_wanted = settings.run_output_stage and request.run_output_stage
    settings = settings.model_copy(update={"run_output_stage": is_output_wanted})
    cloud = Cloud.of(shell, settings) if settings.project_id and settings.bucket_name else None
    left = None
    if request.run_id and num_tasks is None and not shell.dry_run:
        left = inputs_left(cloud, settings, request)
    measured = _measured(cloud, settings, request, left)
    if measured is None and None in (num_tasks, task_seconds) and not left and not _is_on_github(settings):
        check_experiment_exists(settings, request.exp_id)  # a mistyped name is the likelier reason
    if shell.dry_run and measured is None and task_seconds is None:
        return None
    if task_seconds is not None:
        measured = task_times.given(task_seconds, measured)
    if left and not left.number:
        measured = measured or Measured({})
    elif measured is None or "runner" not in measured.stages:
        raise _nothing_measured(request)
    workloads = left.number if left else num_tasks or _workloads(settings, request, measured)
    return estimate(settings, workloads, measured), measured, left


def _nothing_measured(request: RunRequest) -> UserError:
    return UserError(
        f"no run of {request.exp_id} has been measured, nor of another experiment in its folder; run it here "
        f"first (invoke run --local --exp-id {request.exp_id}), or give the seconds of an input",
        fix=f"invoke cost --exp-id {request.exp_id} --task-seconds N",
    )


def estimate_in_background(shell: Shell, settings: Settings, request: RunRequest) -> Callable[[], None]:
    """Start to estimate a run; return a function that prints the estimate, or the reason why there is none.

    The estimate is made while the run is checked. It delays the run by at most PATIENCE_SECONDS, and never
    stops it.
    """
    lines: list[str] = []
    until = time.monotonic() + PATIENCE_SECONDS
    estimating = threading.Thread(target=lambda: lines.append(_line(shell, settings, request)), daemon=True)
    estimating.start()

    def report() -> None:
        estimating.join(max(0.0, until - time.monotonic()))
        late = f"no cost estimate: not known after {PATIENCE_SECONDS:.0f} s"
        print(next(iter(lines), late), flush=True)

    return report


def _line(shell: Shell, settings: Settings, request: RunRequest) -> str:
    """Return the estimate in one line, or the reason why there is none."""
    try:
        found, measured, _ = _estimated(shell, settings, request)
        inputs = counted(found.workloads, "input")
        named = f" --run-id {request.run_id}" if request.run_id else ""
        return (
            f"estimate {_in_short(found)} for {inputs}, {found.settings.provisioning_model}; "
            f"measured: {measured.where}{_other_engine(settings, measured, request)}; "
            f"more: invoke cost --exp-id {request.exp_id}{named}"
        )
    except UserError as error:
        return f"no cost estimate: {one_line(error.problem, MOST_CHARACTERS)}"
    except Exception as error:  # a run never fails because of its estimate
        return f"no cost estimate: {type(error).__name__}: {one_line(str(error), MOST_CHARACTERS)}"


def show_before(shell: Shell, settings: Settings, request: RunRequest) -> None:
    """Print the estimate in a dry run of `invoke run`, or the reason why there is none."""
    try:
        show_estimate(shell.without_dry_run, settings, request)
    except UserError as error:
        print(f"no cost estimate yet: {error}")


def _measured(
    cloud: Cloud | None, settings: Settings, request: RunRequest, left: InputsLeft | None
) -> Measured | None:
    """Return the times of the named run, else of the newest run, else of another experiment in its folder.

    Each is searched for in the bucket first, if there is one, then on this machine.
    """
    can_ask = cloud is not None
    for is_in_bucket, search in _searches(cloud, settings, request, left):
        if is_in_bucket and not can_ask:
            continue
        try:
            found = search()
        except UserError as error:
            if not is_in_bucket:
                raise
            print(f"earlier runs in the bucket are left out: {error}", file=sys.stderr)
            can_ask = not isinstance(error, GcloudError)
            continue
        if found:
            return found
    return None


def _searches(
    cloud: Cloud | None, settings: Settings, request: RunRequest, left: InputsLeft | None
) -> Iterator[tuple[bool, Callable[[], Measured | None]]]:
    """Yield the searches for measured times in their order, and whether each reads the bucket."""
    exp_id, run_id = request.key
    if run_id:
        inputs = left.of if left else None
        yield True, lambda: task_times.measured_in_cloud(cloud, exp_id, run_id, inputs)
        if run_named(settings, exp_id, run_id).is_built:
            yield False, lambda: task_times.measured_here(settings, exp_id, run_id)
    yield True, lambda: task_times.measured_in_cloud(cloud, exp_id)
    yield False, lambda: task_times.measured_here(settings, exp_id)
    yield True, lambda: task_times.measured_neighbour_in_cloud(cloud, exp_id)
    yield False, lambda: task_times.measured_neighbour_here(settings, exp_id)


def _workloads(settings: Settings, request: RunRequest, measured: Measured) -> int:
    """Return the number of inputs of the experiment on this machine, else of the measured run."""
    if not _is_on_github(settings):
        return count_workloads(Shell(), settings, request)
    if measured.workloads is None:
        raise UserError(
            "the number of inputs in the repository on GitHub is not known",
            fix=f"invoke cost --exp-id {request.exp_id} --num-inputs N",
        )
    return measured.workloads


def _is_on_github(settings: Settings) -> bool:
    return settings.execution_mode == "cloud" and bool(settings.github_forecast_repo)


def _print(found: RunEstimate, measured: Measured, left: InputsLeft | None, request: RunRequest) -> None:
    settings = found.settings
    console().print(_table(found, request, left))
    per_input = [found.usd(model) / max(1, found.workloads) for model in MODELS]
    each = f"${per_input[0]:.4f} on demand, ${per_input[1]:.4f} on Spot machines"
    print(
        f"cost per input: {each if found.workloads else 'none is left to run'}; "
        f"{duration(found.wall_seconds())} at {settings.max_parallelism:,} tasks at once "
        f"(PROVISIONING_MODEL={settings.provisioning_model})"
    )
    if measured.where:
        spent = f", which cost about ${measured.spent_usd:.4f}" if measured.spent_usd is not None else ""
        print(f"measured: {measured.where}{spent}{_other_engine(settings, measured, request)}")
    for idea in suggestions(found, measured):
        after = estimate(idea.applied(settings), found.workloads, measured)
        print(f"consider {idea}: {idea.reason} ({_in_short(after)} instead of {_in_short(found)})")
    for warning in [*found.warnings(), *_size_warning(found, measured)]:
        print(f"warning  {warning}")
    _print_basis(found)


def _in_short(found: RunEstimate) -> str:
    return f"${found.usd(found.settings.provisioning_model):.4f} and {duration(found.wall_seconds())}"


def _print_basis(found: RunEstimate) -> None:
    """Print the date of the prices, the assumptions, and what is not included."""
    table, again = prices(), ""
    for stage in found.stages:
        if stage.stage == "runner":
            shares = (f"{stage.retry_shares[model]:.0%} on {name}" for model, name in _MODEL_NAMES.items())
            again = f", retried {' and '.join(shares)}"
    print(
        f"prices   of {table['as_of']} for {table['region']}, Spot machines at {table['spot_factor']:.0%} of "
        f"the list; {table['assumed']['machine_start_seconds']} s to start a machine, "
        f"{table['assumed']['task_start_seconds']} s a task{again}"
    )
    left_out = ", ".join(
        f"{name} (${each['usd']:.3g} a {each['unit']})" for name, each in table["not_counted"].items()
    )
    print(f"left out {left_out}; {NOT_COUNTED}")


def _size_warning(found: RunEstimate, measured: Measured) -> list[str]:
    """Return a warning if stages A and C, which work on all inputs, were measured on far fewer."""
    if measured.workloads is None or found.workloads <= 2 * measured.workloads:
        return []
    inputs = counted(measured.workloads, "input")
    return [f"the run that was measured had {inputs}: stages A and C will take longer with more"]


def _other_engine(settings: Settings, measured: Measured, request: RunRequest) -> str:
    """Return what is wrong with times of another engine; a run that goes on keeps its own."""
    if request.run_id or measured.engine in ("", settings.engine):
        return ""
    speed = "several hundred times " + ("slower" if measured.engine == EPYDEMIX else "faster")
    return f" with ENGINE={measured.engine}, {speed} in stage B than {settings.engine}"


_MODEL_NAMES = {"STANDARD": "standard", "SPOT": "Spot machines"}


def _table(found: RunEstimate, request: RunRequest, left: InputsLeft | None) -> Table:
    inputs = counted(found.workloads, "input")
    if left and left.number < left.of:
        inputs = f"what is left of run {request.run_id}, {left.number:,} of {counted(left.of, 'input')}"
    title = f"{request.exp_id}, {inputs}: an estimate, in US dollars"
    table = Table(title=title, box=None, header_style="bold", title_justify="left")
    table.add_column("stage")
    table.add_column("machine")
    for column in ("tasks", "machines", "a task", "wall time", "machine hours", "on demand", "Spot"):
        table.add_column(column, justify="right")
    model, chosen = found.settings.provisioning_model, found.settings
    for each in found.stages:
        is_set = (
            getattr(chosen, f"stage_{LETTERS[each.stage].lower()}_machine_type") == each.machine.machine_type
        )
        table.add_row(
            f"{LETTERS[each.stage]} {each.stage}",
            each.machine.machine_type + ("" if is_set else " (likely)"),
            f"{each.tasks:,}",
            f"{each.machines:,}",
            f"{duration(each.task_seconds)} {each.source}",
            duration(each.wall_seconds(model)),
            f"{each.machine_hours(model):,.2f}",
            *(f"{each.usd(model):,.4f}" for model in MODELS),
        )
    hours = sum(each.machine_hours(model) for each in found.stages)
    totals = [f"{found.usd(model):,.4f}" for model in MODELS]
    table.add_row("total", "", "", "", "", duration(found.wall_seconds()), f"{hours:,.2f}", *totals)
    return table


def inputs_left(cloud: Cloud | None, settings: Settings, request: RunRequest) -> InputsLeft:
    """Return the inputs left of a run in the bucket, else of a run on this machine.

    Raises
    ------
    UserError
        The run does not exist, or stage A has not built it yet.
    """
    found = _in_cloud(cloud, request) if cloud else None
    if found is None and settings.execution_mode == "cloud":
        path = cloud.run_path(*request.key) if cloud else f"run {request.run_id}"
        raise UserError(
            f"{path}: no such run, or stage A has not built it yet",
            fix=f"invoke runs --cloud --exp-id {request.exp_id}",
        )
    if found is None:
        run = latest_run(settings, request.exp_id, request.run_id)
        found = run.manifest.num_workloads, len(run.results())
    inputs, results = found
    return InputsLeft(inputs, inputs if request.force else max(0, inputs - results))


def _in_cloud(cloud: Cloud, request: RunRequest) -> tuple[int, int] | None:
    """Return the number of inputs and of results of a run in the bucket; None if it is not in the bucket."""
    path = cloud.run_path(*request.key)
    manifest = find_manifest(cloud, path)
    if manifest is None:
        return None
    return manifest.num_workloads, len(inputs_with_results(cloud, path))
