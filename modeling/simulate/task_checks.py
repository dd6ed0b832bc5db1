"""What the task of an input must be like, so that a damaged or forged input is refused before it runs."""

from collections.abc import Iterator

import numpy as np

from modeling.bounds import LARGEST_COUNT, LARGEST_NUMBER, MOST_TRAJECTORIES
from modeling.calendars import period_problem
from modeling.expressions import check_names, parse_expression
from modeling.failures import UserError
from modeling.initial import DRAWN
from modeling.simulate.abc.distances import METRICS
from modeling.workload import EIGENVALUE, Calibrate, Observed, Simulate, UserFunction, Workload

_COUNTS = (
    "num_particles",
    "num_generations",
    "Nsim",
    "total_simulations_budget",
    "max_consecutive_rejections",
)
_REQUIRED = {
    "smc": ("num_particles", "num_generations"),
    "rejection": ("num_particles", "epsilon"),
    "top_fraction": ("Nsim", "top_fraction"),
}


def check_task(workload: Workload) -> None:
    """Refuse an input whose days, draws or calibration cannot be right.

    Raises
    ------
    UserError
        A period without a time step, numbers outside their bounds, arrays of a wrong type or shape, or an
        unknown strategy or distance.
    """
    for problem in _problems(workload):
        raise UserError(f"its task cannot be right ({problem}); build the run again under a new RUN_ID")
    _check_names(workload)


def _check_names(workload: Workload) -> None:
    """Refuse an expression that uses a parameter that there is not, or that is calculated after it."""
    plan, task = workload.plan, workload.task
    drawn = task.draw if isinstance(task, Simulate) else task.priors
    known = {*plan.parameters, *drawn} - {*plan.initial, "start_date"}
    for name, text in plan.calculated:
        check_names(parse_expression(text), {*known, EIGENVALUE}, text)
        known.add(name)
    for rate in {flow.rate for flow in plan.flows if flow.eligible is None and isinstance(flow.rate, str)}:
        check_names(parse_expression(rate, calls=False), known, rate)
    for name, init in plan.initial.items():
        if isinstance(init, str) and init in DRAWN and name not in drawn:
            raise UserError(f"the people of {name[:80]} are {init}, but the input has no value for them")


def _problems(workload: Workload) -> Iterator[str]:
    task, first, last = workload.task, workload.start_date, workload.end_date
    if problem := period_problem(first, last, workload.plan.delta_t_days):
        yield problem
    if not workload.entropy or min(workload.entropy) < 0:
        yield "random streams without a seed"
    if isinstance(task, Simulate):
        if not (0 <= task.first < task.first + task.count <= task.total <= MOST_TRAJECTORIES):
            yield f"{task.count} trajectories, number {task.first} and on, of an ensemble of {task.total}"
        return
    if not first <= task.fit_end <= last:
        yield f"a fit to {task.fit_end} of a model from {first} to {last}"
    if not 0 <= task.projections <= MOST_TRAJECTORIES:
        yield f"{task.projections} projections"
    yield from _option_problems(task)
    if not task.priors or not task.observed:
        yield f"{len(task.priors)} priors and {len(task.observed)} observed series"
    for observed in task.observed:
        yield from _observed_problems(observed)


def _option_problems(task: Calibrate) -> Iterator[str]:
    if task.strategy not in _REQUIRED:
        yield f"{task.strategy[:40]!r} as a strategy"
    if not (isinstance(task.distance, UserFunction) or task.distance in METRICS):
        yield f"{task.distance[:40]!r} as a distance"
    for name in _REQUIRED[task.strategy]:
        if name not in task.options:
            yield f"no {name}"
    for name, value in task.options.items():
        if value is None:
            continue
        if name in _COUNTS and not (isinstance(value, int) and 1 <= value <= LARGEST_COUNT):
            yield f"{name} {value!r:.40}"
        if name in ("top_fraction", "epsilon_quantile_level") and not (
            isinstance(value, float | int) and 0 < value <= 1
        ):
            yield f"{name} {value!r:.40}"
    schedule = task.options.get("epsilon_schedule")
    each = schedule if isinstance(schedule, list) else [] if schedule is None else [np.nan]
    for value in (*each, *(task.options.get(name) or 0 for name in ("epsilon", "minimum_epsilon"))):
        if not (isinstance(value, float | int) and value >= 0):
            yield f"{value!r:.40} as the largest accepted distance"
    if each and len(each) < task.options["num_generations"]:
        yield f"{len(each)} largest accepted distances of {task.options['num_generations']} generations"


def _observed_problems(observed: Observed) -> Iterator[str]:
    where, shape = observed.label[:80], (len(observed.dates),)
    arrays = (
        ("dates", observed.dates, "M"),
        ("values", observed.values, "iuf"),
        ("fitted", observed.fitted, "b"),
    )
    for what, array, kinds in arrays:
        if array.dtype.kind not in kinds or array.shape != shape:
            yield f"{what} of {where}: an array of {array.dtype} of shape {array.shape} instead of {shape}"
    if not observed.series or not observed.fitted.any():
        yield f"nothing of {where} is fitted"
    values = observed.values[observed.fitted]
    if not (np.isfinite(values) & (np.abs(values) <= LARGEST_NUMBER)).all():
        yield f"values of {where} that are not finite"
