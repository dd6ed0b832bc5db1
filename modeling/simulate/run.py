"""Stage B: one workload becomes one checked result."""

import logging

import numpy as np

from modeling.calendars import reported_dates
from modeling.change_sentences import change_sentences
from modeling.failures import UserError
from modeling.initial import InfeasibleDraw
from modeling.randomness import TRAJECTORIES, stream
from modeling.result_checks import check_result
from modeling.simulate.schedule_checks import check_schedule
from modeling.simulate.with_epydemix.calibrate import calibrate, project
from modeling.simulate.with_epydemix.simulator import Simulator
from modeling.simulate.with_epydemix.transformation import Transformation
from modeling.workload import (
    READABLE_WORKLOADS,
    WORKLOAD_FORMAT,
    Expected,
    Result,
    Simulate,
    Trajectories,
    Workload,
)

log = logging.getLogger(__name__)


def run_workload(workload: Workload) -> Result:
    """Simulate a workload, or calibrate and project it; return the checked result.

    Raises
    ------
    UserError
        The workload cannot be run, or a check of its result fails.
    """
    if workload.format not in READABLE_WORKLOADS:
        raise UserError(
            f"input {workload.index}: format {workload.format} is not {WORKLOAD_FORMAT}; build the run again"
        )
    check_schedule(workload)
    simulator = Simulator(workload.plan)
    simulating = isinstance(workload.task, Simulate)
    result = _simulated(workload, simulator) if simulating else _calibrated(workload, simulator)
    _warn_of_unused_doses(workload, simulator)
    check_result(result)
    return result


def _warn_of_unused_doses(workload: Workload, simulator: Simulator) -> None:
    unused = simulator.unused
    if unused.doses >= 1:
        log.warning(
            "%s: %s vaccine doses a trajectory are not given, because fewer people are eligible than doses "
            "are due (mean of %s of %s simulated trajectories, first on %s)",
            workload.population,
            f"{unused.doses / unused.trajectories:,.1f}",
            f"{unused.trajectories:,}",
            f"{unused.simulated:,}",
            unused.first.astype("datetime64[D]"),
        )


def _simulated(workload: Workload, simulator: Simulator) -> Result:
    task: Simulate = workload.task
    plan = simulator.plan
    calendar = simulator.calendar(workload.start_date, workload.end_date)
    people = np.zeros((task.count, len(plan.compartment_series), len(calendar)), dtype=np.int32)
    moved = np.zeros((task.count, len(plan.transition_series), len(calendar)), dtype=np.int32)
    for index in range(task.count):
        # named by its number in the ensemble, so that a split draws what the whole would
        rng = stream(workload.entropy, TRAJECTORIES, task.first + index)
        try:
            path = simulator.run(task.draw, workload.start_date, workload.end_date, rng)
        except InfeasibleDraw as error:
            raise UserError(f"{workload.population}, parameter set {workload.set_index}: {error}") from None
        people[index], moved[index] = path.in_compartments, path.by_transition
    trajectories = Trajectories(calendar, plan.compartment_series, plan.transition_series, people, moved)
    return _result(
        workload,
        kind="simulation",
        trajectories=trajectories,
        expected_trajectories=task.count,
        parameters=simulator.values(task.draw),
        initial=dict(zip(plan.compartment_series, path.initial, strict=True)),
        ensemble_total=task.total,
        first_trajectory=task.first,
    )


def _calibrated(workload: Workload, simulator: Simulator) -> Result:
    transformation = Transformation(workload, simulator)
    calibrated = calibrate(workload, simulator, transformation)
    trajectories, projected = None, None
    if workload.task.projections:
        trajectories, projected = project(workload, simulator, calibrated, transformation)
    return _result(
        workload,
        kind="calibration",
        trajectories=trajectories,
        expected_trajectories=workload.task.projections,
        parameters=dict(workload.plan.parameters),
        parameter_names=calibrated.parameter_names,
        generations=calibrated.generations,
        fits=calibrated.fits,
        projected=projected,
        simulations=calibrated.simulations,
        stopped_by=calibrated.stopped_by,
        transformation=transformation,
    )


def _result(
    workload: Workload,
    *,
    expected_trajectories: int,
    transformation: Transformation | None = None,
    **contents,
) -> Result:
    # people and age groups need not add up where a function has changed them
    is_changed = transformation is not None and transformation.changed
    return Result(
        index=workload.index,
        primary_id=workload.primary_id,
        population=workload.population,
        population_name=workload.population_name,
        seed=workload.seed,
        delta_t_days=workload.plan.delta_t_days,
        expected=Expected(
            trajectories=expected_trajectories,
            first_date=workload.start_date,
            last_date=workload.end_date,
            people=None if is_changed else int(workload.plan.sizes.sum()),
            dates=reported_dates(
                workload.start_date,
                workload.end_date,
                workload.plan.delta_t_days,
                workload.plan.resample_frequency,
            ),
            frequency=workload.plan.resample_frequency,
            groups=0 if is_changed else len(workload.plan.age_groups),
            added_compartments=len(transformation.added("compartments")) if transformation else 0,
            added_transitions=len(transformation.added("transitions")) if transformation else 0,
        ),
        transformed_by=transformation.name if transformation else "",
        set_index=workload.set_index,
        set_count=workload.set_count,
        changes=change_sentences(workload.plan, workload.end_date),
        **contents,
    )
