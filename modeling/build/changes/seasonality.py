"""Seasonality: a factor of one parameter by time point, as a wave or from a file."""

import datetime
import math
from pathlib import Path

import numpy as np

from modeling.bounds import LARGEST_NUMBER
from modeling.build.changes.axis import TimeAxis
from modeling.build.csv_table import Table, date_of, find_file, number_of, read_table
from modeling.build.warnings import warn_once
from modeling.expressions import evaluate_text
from modeling.failures import UserError
from modeling.populations import Population, find_location
from modeling.vocabulary.changes import SEASONALITY_MIN, Seasonality
from modeling.vocabulary.experiment import Experiment
from modeling.workload import Wave

PERIOD_DAYS = 365  # without a date of the minimum


def balcan_wave(experiment: Experiment, axis: TimeAxis) -> Wave | None:
    """Return the wave of a seasonality of method balcan; None for any other model.

    It is the sine of Balcan et al. (2010), "Modeling the spatial spread of infectious diseases: the GLobal
    Epidemic and Mobility computational model", eq. 25, evaluated at each time point: the factor is
    `max_value` at 0:00 of the maximum's date and `min_value` half a period later.
    """
    season = experiment.model.seasonality
    if season is None or season.method != "balcan":
        return None
    period = PERIOD_DAYS
    if season.seasonality_min_date:
        period = 2 * (season.seasonality_min_date - season.seasonality_max_date).days
    phase = 2 * math.pi / period * axis.days_after(season.seasonality_max_date)
    minimum = SEASONALITY_MIN if SEASONALITY_MIN in experiment.model.parameters else season.min_value
    _warn_of_lowest_factor(experiment)
    return Wave(season.target_parameter, (1 + np.cos(phase)) / 2, minimum, season.max_value)


def _warn_of_lowest_factor(experiment: Experiment) -> None:
    """Warn of a parameter seasonality_min that replaces another min_value, or may exceed max_value."""
    season, parameter = experiment.model.seasonality, experiment.model.parameters.get(SEASONALITY_MIN)
    where = experiment.where("model", "parameters", SEASONALITY_MIN)
    if parameter is not None and parameter.type == "scalar":
        try:
            value = evaluate_text(parameter.value)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        if value != season.min_value:
            warn_once(
                f"{where}: {SEASONALITY_MIN} ({value:g}) replaces min_value of the seasonality "
                f"({season.min_value:g}); remove the parameter to use min_value"
            )
    priors = experiment.calibration.parameters if experiment.calibration else None
    if prior := (priors or {}).get(SEASONALITY_MIN):
        lowest, highest = (float(prior.prior.frozen().ppf(share)) for share in (1e-6, 1 - 1e-6))
        if lowest < 0 or highest > season.max_value:
            at = experiment.where("modelset", "calibration", "parameters", SEASONALITY_MIN)
            warn_once(
                f"{at}: {SEASONALITY_MIN} can be from {lowest:.3g} to {highest:.3g}, but factors are from 0 "
                f"to max_value {season.max_value:g}; narrow the prior"
            )


def factors_from_file(
    experiment: Experiment, population: Population, data_roots: list[Path], axis: TimeAxis
) -> np.ndarray | None:
    """Return the factor of a seasonality of method data_driven, shape (points,); None for any other model.

    Between two dates of the file it is interpolated linearly; a date means its 0:00.

    Raises
    ------
    UserError
        No file, column or row for the population; a damaged or duplicate date, a factor that is negative or
        no number, or a simulated day outside the dates of the file.
    """
    season = experiment.model.seasonality
    if season is None or season.method != "data_driven":
        return None
    where = experiment.where("model", "seasonality", "data_path")
    if SEASONALITY_MIN in experiment.model.parameters:
        at = experiment.where("model", "parameters", SEASONALITY_MIN)
        warn_once(f"{at}: {SEASONALITY_MIN} does not change a seasonality of method data_driven")
    table = read_table(find_file(season.data_path, data_roots, where), where, "seasonal factors")
    by_day = _factors_by_day(table, season, population, where)
    days = sorted(by_day)
    end = experiment.model.timespan.end_date
    if axis.num_points and not days[0] <= axis.first_day <= end <= days[-1]:
        raise UserError(
            f"{where}: {table.name} has factors of {population.iso} from {days[0]} to {days[-1]}, but the "
            f"model runs from {axis.first_day} to {end}; add the missing dates"
        )
    at = [(day - axis.first_day).days for day in days]
    return np.interp(axis.days_after(axis.first_day), at, [by_day[day] for day in days])


def _factors_by_day(
    table: Table, season: Seasonality, population: Population, where: str
) -> dict[datetime.date, float]:
    days = table.parsed(table.column(season.date_column, where), date_of)
    factors = table.parsed(table.column(season.value_column, where), _factor)
    rows = table.rows
    if season.location_column is not None:
        column = table.column(season.location_column, where)
        rows = table.rows_of_place(column, find_location(population.iso), where)
    remedy = "; keep one, or name the populations' column as location_column"
    return {day: factors[row.line] for day, row in table.row_of_each(rows, days, "date", "", remedy).items()}


def _factor(text: str) -> float:
    """Return a factor; ValueError if it is negative or not a number."""
    value = number_of(text)
    if not 0 <= value <= LARGEST_NUMBER:
        raise ValueError(f"a factor of {value:g} is not from 0 to {LARGEST_NUMBER:g}")
    return value
