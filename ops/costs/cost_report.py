"""`invoke cost`: what a run would cost and how long it would take."""

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from rich.table import Table

from modeling.plain_text import one_line
from ops.cloud.inputs import find_manifest, inputs_with_results
from ops.cloud.prices import prices
from ops.costs import task_times
from ops.costs.costs import MODELS, RunEstimate, estimate, suggestions
from ops.costs.task_times import Measured
from ops.failures import UserError
from ops.gcloud import GcloudError
from ops.laptop.local_run import check_experiment_is_there, count_workloads
from ops.laptop.run_files import latest_run, local_run
from ops.run_paths import run_path
from ops.run_request import RunRequest
from ops.settings import Settings
from ops.shell import Shell
from ops.stages import LETTERS
from ops.terminal import console, counted, duration

PATIENCE_SECONDS = 20.0  # from the start of a run's checks, which take about half of it
MOST_CHARACTERS = 300  # of why there is no estimate
NOT_COUNTED = "builds of images, steps of the workflow, waiting for quota, taxes, discounts and free tiers"


@dataclass(frozen=True)
class InputsLeft:
    """How many inputs a run has, and how many of them are to run."""

    of: int
    number: int


def show(
    shell: Shell,
    settings: Settings,
    request: RunRequest,
    num_tasks: int | None = None,
    task_seconds: int | None = None,
) -> None:
    """Print what a run of an experiment in the cloud would cost, or going on with the one that is named.

    Parameters
    ----------
    num_tasks : int, optional
        Inputs of stage B; without it those the named run has no results of, or those of the experiment.
    task_seconds : int, optional
        Seconds of an input; without it those of an earlier run.

    Raises
    ------
    UserError
        Neither is known.
    """
    found = _estimated(shell, settings, request, num_tasks, task_seconds)
    if found:
        _print(*found, request)


def _estimated(
    shell: Shell,
    settings: Settings,
    request: RunRequest,
    num_tasks: int | None = None,
    task_seconds: int | None = None,
) -> tuple[RunEstimate, Measured, InputsLeft | None] | None:
    """Return the estimate, the measured times behind it, and what is left of the run. Raises as show()."""
    is_output_wanted = settings.run_output_stage and request.run_output_stage
    settings = settings.model_copy(update={"run_output_stage": is_output_wanted})
    left = None
    if request.run_id and num_tasks is None and not shell.dry_run:
        left = inputs_left(shell, settings, request)
    measured = _measured(shell, settings, request, left)
    if measured is None and None in (num_tasks, task_seconds) and not left and not _is_on_github(settings):
        check_experiment_is_there(settings, request.exp_id)  # says so where the name is mistyped
    if shell.dry_run and measured is None and task_seconds is None:
        return None
    if task_seconds is not None:
        measured = task_times.given(task_seconds, measured)
    if left and not left.number:
        measured = measured or Measured({})
    elif measured is None or "runner" not in measured.stages:
        raise UserError(
            f"no run of {request.exp_id} has been measured, and none of an experiment beside it; run it here "
            f"first (invoke run --local --exp-id {request.exp_id}), or say what an input takes",
            mend=f"invoke cost --exp-id {request.exp_id} --task-seconds N",
        )
    workloads = left.number if left else num_tasks or _workloads(settings, request, measured)
    return estimate(settings, workloads, measured), measured, left


def in_the_meantime(shell: Shell, settings: Settings, request: RunRequest) -> Callable[[], None]:
    """Start to estimate a run; return a function that prints the estimate, or why there is none.

    The estimate is made beside the checks of the run. It can delay the run by PATIENCE_SECONDS at most, and
    never stops it.
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
    """Return the estimate in a line, or why there is none."""
    try:
        found, measured, _ = _estimated(shell, settings, request)
        inputs = counted(found.workloads, "input")
        named = f" --run-id {request.run_id}" if request.run_id else ""
        return (
            f"estimate {_in_short(found)} for {inputs}, {found.settings.provisioning_model}; "
            f"measured: {measured.where}; more: invoke cost --exp-id {request.exp_id}{named}"
        )
    except UserError as error:
        return f"no cost estimate: {one_line(error.problem, MOST_CHARACTERS)}"
    except Exception as error:  # a run never fails because of its estimate
        return f"no cost estimate: {type(error).__name__}: {one_line(str(error), MOST_CHARACTERS)}"


def show_before(shell: Shell, settings: Settings, request: RunRequest) -> None:
    """Print the estimate in a dry run of the run itself, or why there is none; it never stands in the way."""
    try:
        show(replace(shell, dry_run=False), settings, request)  # reads, starts nothing
    except UserError as error:
        print(f"no estimate yet of what it costs: {error}")


def _measured(
    shell: Shell, settings: Settings, request: RunRequest, left: InputsLeft | None
) -> Measured | None:
    """Return what the named run took, else the newest one, else that of an experiment beside this one.

    Each is looked for in the bucket first, where there is one, then here.
    """
    is_asked, exp_id = bool(settings.project_id and settings.bucket_name), request.exp_id
    for in_cloud, here in (
        *([_named_run(shell, settings, request, left)] if request.run_id else []),
        (
            lambda: task_times.measured_in_cloud(shell, settings, exp_id),
            lambda: task_times.measured_here(settings, exp_id),
        ),
        (
            lambda: task_times.measured_beside_in_cloud(shell, settings, exp_id),
            lambda: task_times.measured_beside_here(settings, exp_id),
        ),
    ):
        try:
            if is_asked and (found := in_cloud()):
                return found
        except UserError as error:
            print(f"earlier runs in the bucket are left out: {error}", file=sys.stderr)
            is_asked = not isinstance(error, GcloudError)
        if found := here():
            return found
    return None


def _named_run(shell: Shell, settings: Settings, request: RunRequest, left: InputsLeft | None):
    """Return how to ask the bucket, and this machine, what the run took that is named."""
    exp_id, run_id = request.exp_id, request.run_id
    inputs = left.of if left else None

    def here() -> Measured | None:
        is_here = local_run(settings, exp_id, run_id).is_built
        return task_times.measured_here(settings, exp_id, run_id) if is_here else None

    return lambda: task_times.measured_in_cloud(shell, settings, exp_id, run_id, inputs), here


def _workloads(settings: Settings, request: RunRequest, measured: Measured) -> int:
    """Return the inputs of the experiment as it is on this machine, else of the run that was measured."""
    if not _is_on_github(settings):
        return count_workloads(Shell(), settings, request)
    if measured.workloads is None:
        raise UserError(
            "how many inputs the repository on GitHub makes is not known",
            mend=f"invoke cost --exp-id {request.exp_id} --num-inputs N",
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
        print(f"measured: {measured.where}{spent}")
    for idea in suggestions(found, measured):
        after = estimate(idea.applied(settings), found.workloads, measured)
        print(f"consider {idea}: {idea.reason} ({_in_short(after)} instead of {_in_short(found)})")
    for doubt in [*found.doubts(), *_doubt_of_size(found, measured)]:
        print(f"doubt    {doubt}")
    _print_basis(found)


def _in_short(found: RunEstimate) -> str:
    return f"${found.usd(found.settings.provisioning_model):.4f} and {duration(found.wall_seconds())}"


def _print_basis(found: RunEstimate) -> None:
    """Print the date of the prices, what is assumed, and what is left out."""
    table, again = prices(), ""
    for stage in found.stages:
        if stage.stage == "runner":
            shares = (f"{stage.retry_shares[model]:.0%} on {name}" for model, name in _MODEL_NAMES.items())
            again = f", tried again {' and '.join(shares)}"
    print(
        f"prices   of {table['as_of']} for {table['region']}, Spot machines at {table['spot_factor']:.0%} of "
        f"the list; {table['assumed']['machine_start_seconds']} s to start a machine, "
        f"{table['assumed']['task_start_seconds']} s a task{again}"
    )
    left_out = ", ".join(
        f"{name} (${each['usd']:.3g} a {each['unit']})" for name, each in table["not_counted"].items()
    )
    print(f"left out {left_out}; {NOT_COUNTED}")


def _doubt_of_size(found: RunEstimate, measured: Measured) -> list[str]:
    """Say so where stages A and C were measured on far fewer inputs: they work on all of them."""
    if measured.workloads is None or found.workloads <= 2 * measured.workloads:
        return []
    inputs = counted(measured.workloads, "input")
    return [f"the run that was measured had {inputs}: stages A and C will take longer with more"]


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


def inputs_left(shell: Shell, settings: Settings, request: RunRequest) -> InputsLeft:
    """Return what is left of a run in the bucket, else of one on this machine.

    Raises
    ------
    UserError
        There is no such run, or stage A has not built it yet.
    """
    found = None
    if settings.project_id and settings.bucket_name:
        found = _in_cloud(shell, settings, request)
    if found is None and settings.execution_mode == "cloud":
        path = run_path(settings, request.exp_id, request.run_id)
        raise UserError(
            f"{path}: no such run, or stage A has not built it yet",
            mend=f"invoke runs --cloud --exp-id {request.exp_id}",
        )
    if found is None:
        run = latest_run(settings, request.exp_id, request.run_id)
        found = run.manifest["num_workloads"], len(run.results())
    inputs, results = found
    return InputsLeft(inputs, inputs if request.force else max(0, inputs - results))


def _in_cloud(shell: Shell, settings: Settings, request: RunRequest) -> tuple[int, int] | None:
    """Return how many inputs and how many results a run in the bucket has, None where it is not there."""
    path = run_path(settings, request.exp_id, request.run_id)
    manifest = find_manifest(shell, settings, path)
    if manifest is None:
        return None
    return manifest.num_workloads, len(inputs_with_results(shell, settings, path))
