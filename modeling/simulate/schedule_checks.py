"""What the schedule of a plan must be like, so that a damaged or forged input is refused before it runs."""

import math

import numpy as np

from modeling.failures import UserError
from modeling.workload import ModelPlan, Schedule, Simulate, Wave, Workload

_HIGHEST = 1e60  # of a factor; products of it stay finite


def check_schedule(workload: Workload) -> None:
    """Refuse an input whose schedule does not fit its plan and its days.

    Raises
    ------
    UserError
        Unknown parameters, layers or compartments, arrays of a wrong type or shape, numbers that are
        negative or not finite, or a first day after the input's.
    """
    plan, schedule = workload.plan, workload.plan.schedule
    _check_vaccination(plan)
    if schedule is None:
        return
    if schedule.first_day > workload.start_date:
        raise _error(f"it begins on {schedule.first_day}, after the input's first day {workload.start_date}")
    per_day = max(1, round(1 / plan.delta_t_days))
    if schedule.points_per_day != per_day:
        raise _error(f"{schedule.points_per_day} time points a day instead of {per_day}")
    # the last step of several days runs past the last day
    days = (workload.end_date - schedule.first_day).days + math.ceil(plan.delta_t_days)
    task = workload.task
    drawn = task.draw if isinstance(task, Simulate) else task.priors
    known = {*plan.parameters, *(name for name, _ in plan.calculated), *drawn}
    known -= {*plan.initial, "start_date"}
    _check_points(schedule, plan, known, days * per_day)
    _check_doses(schedule, days, len(plan.sizes))


def _check_vaccination(plan: ModelPlan) -> None:
    """Refuse a vaccination without doses, and one of people who are not there."""
    vaccinations = [flow for flow in plan.flows if flow.eligible is not None]
    if not vaccinations:
        return
    if len(vaccinations) > 1:
        raise _error(f"{len(vaccinations)} vaccinations share one schedule of doses")
    if plan.schedule is None or plan.schedule.doses is None:
        raise _error("a vaccination without doses")
    [flow] = vaccinations
    if flow.source not in flow.eligible:
        raise _error("a vaccination of people who are not eligible")


def _check_points(schedule: Schedule, plan: ModelPlan, known: set[str], points: int) -> None:
    """Check the arrays on time points."""
    if schedule.wave is not None:
        _check_wave(schedule.wave, known, points)
    for what, arrays, names in (
        ("factors", schedule.factors, known),
        ("overrides", schedule.overrides, known),
        ("contact factors", schedule.contact_factors, plan.contacts),
    ):
        for name, array in arrays.items():
            if name not in names:
                raise _error(f"{what} of {name[:80]!r}, which the model does not have")
            _check_array(array, (points,), f"{what} of {name[:80]}")
            kept = np.isnan(array) if what == "overrides" else np.zeros(points, dtype=bool)
            lowest = -np.inf if what == "overrides" else 0
            _check_numbers(array[~kept], f"{what} of {name[:80]}", lowest, _HIGHEST)


def _check_wave(wave: Wave, known: set[str], points: int) -> None:
    for name in (wave.parameter, wave.minimum):
        if isinstance(name, str) and name not in known:
            raise _error(f"a wave of {name[:80]!r}, which the model does not have")
    _check_array(wave.shape, (points,), "the wave")
    _check_numbers(wave.shape, "the wave", 0, 1)
    _check_numbers(np.array([wave.maximum]), "the maximum of the wave", 0)
    if not isinstance(wave.minimum, str):
        _check_numbers(np.array([wave.minimum]), "the minimum of the wave", 0, wave.maximum)


def _check_doses(schedule: Schedule, days: int, groups: int) -> None:
    if schedule.doses is not None:
        _check_array(schedule.doses, (days, groups), "the doses")
        _check_numbers(schedule.doses, "the doses", 0)
    if schedule.doses_before is not None:
        if schedule.doses is None:
            raise _error("earlier doses without others")
        _check_array(schedule.doses_before, (groups,), "the earlier doses")
        _check_numbers(schedule.doses_before, "the earlier doses", 0)


def _check_array(array: np.ndarray, shape: tuple[int, ...], what: str) -> None:
    if array.dtype.kind not in "iuf" or array.shape != shape:
        raise _error(f"{what}: an array of {array.dtype} of shape {array.shape} instead of {shape}")


def _check_numbers(array: np.ndarray, what: str, lowest: float, highest: float = np.inf) -> None:
    wrong = array[~((array >= lowest) & (array <= highest) & np.isfinite(array))]
    if wrong.size:
        raise _error(f"{what}: {wrong.flat[0]:g} is not a number from {lowest:g} to {highest:g}")


def _error(problem: str) -> UserError:
    return UserError(f"its schedule cannot be right ({problem}); build the run again under a new RUN_ID")
