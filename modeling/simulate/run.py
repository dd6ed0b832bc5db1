"""Stage B: one workload becomes one checked result, by one of the two engines."""

import logging
from typing import Any

from modeling.calendars import reported_dates
from modeling.change_sentences import change_sentences
from modeling.failures import UserError
from modeling.plan_checks import check_plan
from modeling.result_checks import check_result
from modeling.run_names import CPU, DEFAULT_ENGINE, EPYDEMIX
from modeling.simulate.schedule_checks import check_schedule
from modeling.simulate.task_checks import check_task
from modeling.workload import (
    READABLE_WORKLOADS,
    WORKLOAD_FORMAT,
    Expected,
    Result,
    Simulate,
    Workload,
)

log = logging.getLogger(__name__)


def run_workload(workload: Workload, engine: str = DEFAULT_ENGINE, checkpoints: Any = None) -> Result:
    """Simulate a workload, or calibrate and project it; return the checked result.

    Parameters
    ----------
    engine : str
        "cpu" or "epydemix": that of the run.
    checkpoints : abc.strategies.Checkpoints or None
        Where a calibration on the engine leaves its whole generations, and goes on from.

    Raises
    ------
    UserError
        The workload cannot be run, or a check of its result fails.
    """
    if workload.format not in READABLE_WORKLOADS:
        raise UserError(
            f"input {workload.index}: format {workload.format} is not {WORKLOAD_FORMAT}; build the run again"
        )
    check_plan(workload.plan)
    check_task(workload)
    check_schedule(workload)
    _warn_of_a_slow_engine(workload, engine)
    contents = _contents(workload, engine_for(workload, engine), checkpoints)
    _warn_of_unused_doses(workload, contents.pop("unused"))
    result = _result(workload, **contents)
    check_result(result)
    return result


def engine_for(workload: Workload, engine: str) -> str:
    """Return the engine of a workload: that of its run, but epydemix for functions in Python."""
    return EPYDEMIX if getattr(workload.task, "functions", []) else engine


def _contents(workload: Workload, engine: str, checkpoints: Any) -> dict[str, Any]:
    """Return what an engine makes of a workload: fields of Result, unused doses, perhaps a transformation.

    An engine is imported where it is used: the other one takes a second to load.
    """
    if engine == EPYDEMIX:
        from modeling.simulate.with_epydemix.run import contents_of_result
    elif isinstance(workload.task, Simulate):
        from modeling.simulate.ensemble import contents_of_result
    else:
        from modeling.simulate.abc.run import contents_of_result

        return contents_of_result(workload, checkpoints)
    return contents_of_result(workload)


def _warn_of_a_slow_engine(workload: Workload, engine: str) -> None:
    """Say why a workload of a fast run is slow."""
    if engine == CPU and engine_for(workload, engine) == EPYDEMIX:
        function = workload.task.functions[0]
        log.warning(
            "%s runs through epydemix, several hundred times slower than the engine, because %s of %s is a "
            "Python function",
            workload.population,
            function.name,
            function.script,
        )


def _warn_of_unused_doses(workload: Workload, unused: Any) -> None:
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


def _result(workload: Workload, *, transformation: Any = None, **contents: Any) -> Result:
    task = workload.task
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
            trajectories=task.count if isinstance(task, Simulate) else task.projections,
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
