"""Vaccine doses of a model over one population: by day, on the axis of its schedule.

doses_coverage.py and doses_daily.py read the two kinds of files.
"""

import datetime
from pathlib import Path

import numpy as np

from modeling.build.changes.axis import TimeAxis
from modeling.build.changes.doses_coverage import doses_of_coverage
from modeling.build.changes.doses_daily import read_daily_doses
from modeling.build.changes.doses_file import DailyDoses, DosesFile
from modeling.build.csv_table import find_file, read_table
from modeling.build.warnings import warn_once
from modeling.failures import UserError
from modeling.populations import Population
from modeling.vocabulary.experiment import Experiment

MOST_DAYS_PAST = 28  # days without doses at the end of a model that are not warned of
ROUNDING = 1e-9  # of a sum of doses, relative


def build_doses(
    experiment: Experiment, population: Population, data_roots: list[Path], axis: TimeAxis
) -> tuple[np.ndarray, np.ndarray]:
    """Return the doses of each day of an axis, and those before it together.

    Returns
    -------
    doses : ndarray of float, shape (days, groups)
        0 after the last day of the file.
    doses_before : ndarray of float, shape (groups,)

    Raises
    ------
    UserError
        The file cannot be used, has no doses for the population, the scenario or the model's days, or more
        than one for a person.
    """
    file = _doses_file(experiment, population, data_roots)
    is_coverage = experiment.model.vaccination.scenario_data_path is not None
    daily = doses_of_coverage(file) if is_coverage else read_daily_doses(file)
    _check_days(file, daily, axis.first_day, experiment.model.timespan.end_date)
    _warn_of_late_starts(experiment, file, daily)
    doses, doses_before = _on_axis(daily, axis)
    _check_people(file, doses_before + doses.sum(axis=0), axis.last_day)
    return doses, doses_before


def _doses_file(experiment: Experiment, population: Population, data_roots: list[Path]) -> DosesFile:
    vaccination = experiment.model.vaccination
    is_coverage = vaccination.scenario_data_path is not None
    key = "scenario_data_path" if is_coverage else "preprocessed_vaccination_data_path"
    where = experiment.where("model", "vaccination", key)
    table = read_table(find_file(getattr(vaccination, key), data_roots, where), where, "vaccination data")
    where_scenario = experiment.where("model", "vaccination", "scenario")
    return DosesFile(table, population, vaccination.scenario, where, where_scenario)


def _check_days(file: DosesFile, daily: DailyDoses, first: datetime.date, last: datetime.date) -> None:
    """Refuse a file whose days are not the model's; warn of a model that runs on long after them."""
    name = file.table.name
    if daily.last_day < first:
        raise UserError(
            f"{file.where}: {name} ends on {daily.last_day}, before the model starts on {first}; "
            "use the file of that season"
        )
    if daily.first_day > last:
        raise UserError(
            f"{file.where}: {name} begins on {daily.first_day}, after the model ends on {last}; "
            "use the file of that season"
        )
    if (last - daily.last_day).days > MOST_DAYS_PAST:
        warn_once(
            f"{file.where}: {name} ends on {daily.last_day}; nobody is vaccinated after it, "
            f"until the model ends on {last}"
        )


def _warn_of_late_starts(experiment: Experiment, file: DosesFile, daily: DailyDoses) -> None:
    """Warn of drawn first days after all doses, which are then given in the first week."""
    drawn = experiment.drawn_start
    if drawn is None:
        return
    latest = float((drawn.prior or drawn.distribution).frozen().ppf(1 - 1e-6))
    if latest > (daily.last_day - drawn.reference_date).days:
        warn_once(
            f"{file.where}: a first day after {daily.last_day}, the last of {file.table.name}, can be drawn: "
            "all doses are then given in the first week; use the file of that season"
        )


def _on_axis(daily: DailyDoses, axis: TimeAxis) -> tuple[np.ndarray, np.ndarray]:
    skipped = (axis.first_day - daily.first_day).days  # negative where the axis begins first
    doses_before = daily.doses[: max(0, skipped)].sum(axis=0)
    doses = np.zeros((axis.num_days, daily.doses.shape[1]))
    due = daily.doses[max(0, skipped) : max(0, skipped + axis.num_days)]
    begin = max(0, -skipped)
    doses[begin : begin + len(due)] = due
    return doses, doses_before


def _check_people(file: DosesFile, total: np.ndarray, last: datetime.date) -> None:
    """Refuse more doses than people."""
    population = file.population
    for group, doses, people in zip(population.age_groups, total, population.sizes, strict=True):
        if doses > people * (1 + ROUNDING):
            raise UserError(
                f"{file.where}: {file.table.name} has {doses:,.10g} doses for age group {group} of "
                f"{population.iso} until {last}, more than its {people:,} people; correct the file"
            )
    if not total.any():
        warn_once(
            f"{file.where}: {file.table.name} has no doses for {population.iso} until {last}; "
            "nobody is vaccinated"
        )
