"""The methods of a forecast from surveillance data, by the name that an experiment gives, and a run of one.

A method takes what is known, the locations, the people of each, and perhaps a history. It is deterministic,
uses nothing but its arguments, and returns every location.
"""

from collections.abc import Callable

import numpy as np

from modeling.failures import UserError, listed
from modeling.forecast import growth_regression, random_walk
from modeling.forecast_checks import check_forecast_result, check_forecast_workload, strict_problem
from modeling.forecast_records import (
    Doubt,
    Forecast,
    ForecastResult,
    ForecastWorkload,
    History,
    Quantiles,
    Surveillance,
)

Method = Callable[[Surveillance, list[str], np.ndarray, History | None], Forecast]

METHODS: dict[str, Method] = {
    "growth_regression": growth_regression.forecast,
    "random_walk": random_walk.forecast,
}


def forecast_of(workload: ForecastWorkload) -> tuple[Forecast, list[Doubt]]:
    """Return the forecast of all locations of a workload, and the doubts of its data and of the method.

    Raises
    ------
    UserError
        An unknown method, data that it cannot learn from, or a strict workload with a location that is left
        out or has a fault.
    """
    check_forecast_workload(workload)
    method = METHODS.get(workload.method)
    if method is None:
        raise UserError(f"method {workload.method[:40]} is unknown; this version has {listed(METHODS)}")
    made = method(workload.known, workload.locations, workload.people, workload.history)
    doubts = [*workload.doubts, *made.doubts]
    if workload.is_strict and (problem := strict_problem(workload.left_out, doubts)):
        raise UserError(problem)
    return made, doubts


def run_forecast(workload: ForecastWorkload) -> ForecastResult:
    """Forecast all locations of a workload, now and a week earlier; return the checked result.

    Raises
    ------
    UserError
        As forecast_of, or a check of the result fails.
    """
    made, doubts = forecast_of(workload)
    previous, notes = _previous(METHODS[workload.method], workload)
    result = ForecastResult(
        population=workload.population,
        population_name=workload.population_name,
        method=workload.method,
        locations=workload.locations,
        people=workload.people,
        as_of=workload.known.as_of,
        first_week=workload.known.first_week,
        counts=workload.known.counts,
        nowcast=made.nowcast,
        forecast=made.quantiles,
        previous=previous,
        later=workload.later,
        left_out=workload.left_out,
        notes=[*workload.notes, *made.notes, *notes],
        doubts=doubts,
        seed=workload.seed,
        index=workload.index,
        primary_id=workload.primary_id,
    )
    check_forecast_result(result)
    return result


def _previous(method: Method, workload: ForecastWorkload) -> tuple[Quantiles | None, list[str]]:
    """Return the forecast of one week earlier, or why there is none: the report can do without it."""
    if workload.previous is None:
        return None, []
    try:
        made = method(workload.previous, workload.locations, workload.people, workload.history)
    except UserError as error:
        return None, [f"last week's forecast is not made again: {error}"]
    return made.quantiles, []
