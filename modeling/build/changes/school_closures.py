"""School closures: which part of a population's schools is closed on each day, from a calendar.

The built-in calendar is in school_calendar.py; a file of the user takes its place.
"""

import datetime
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from modeling.build.changes.axis import TimeAxis
from modeling.build.changes.school_calendar import closed_days, people_by_state
from modeling.build.csv_table import NoRows, Table, date_of, find_file, read_table, shown
from modeling.build.warnings import warn_once
from modeling.populations import locations
from modeling.vocabulary.experiment import Experiment

_DAY = datetime.timedelta(days=1)
COUNTRY = "US"  # its schools are those of the states
Closed = np.ndarray  # of bool, shape (days,): the days of an axis on which schools are closed


def closed_share(
    experiment: Experiment, index: int, iso: str, data_roots: list[Path], axis: TimeAxis
) -> np.ndarray:
    """Return which part of the schools is closed at each time point, from 0 to 1, shape (points,).

    A state's schools are open or closed together. In the United States it is the share of people who live in
    states whose schools are closed, because the closed days of the states differ.

    Parameters
    ----------
    index : int
        Position of the school closure among the interventions.
    iso : str
        Code of the population.

    Raises
    ------
    NoRows
        The population has no calendar.
    UserError
        The file of calendars is unusable.
    """
    at = ("model", "interventions", index)
    given: dict[str, Closed] = {}
    path = experiment.model.interventions[index].calendar_path
    if path is not None:
        place = experiment.where(*at, "calendar_path")
        table = read_table(find_file(path, data_roots, place), place, "closed days")
        given = _closed_in(table, place, axis)
    states = dict.fromkeys([iso], 1)
    if iso == COUNTRY and iso not in given:
        states = people_by_state()
    share = np.zeros(axis.num_days)
    for state, people in states.items():
        share += people * _is_closed(state, given, axis, experiment.where(*at))
    share /= sum(states.values())
    _warn(share, iso, given, states, axis, experiment.where(*at))
    return np.repeat(share, axis.points_per_day)


def _is_closed(iso: str, given: dict[str, Closed], axis: TimeAxis, where: str) -> Closed:
    """Return whether the schools of a place are closed on each day."""
    if iso in given:
        return given[iso]
    if iso not in people_by_state():
        raise NoRows(
            f"{where}: there is no school calendar for {iso}; write its closed days to a CSV with the "
            "columns location, start_date and end_date, and name the file as calendar_path"
        )
    closed = closed_days(iso, axis.first_day, axis.last_day)
    return np.array([axis.first_day + day * _DAY in closed for day in range(axis.num_days)], dtype=bool)


def _warn(
    share: np.ndarray, iso: str, given: dict[str, Closed], states: Iterable[str], axis: TimeAxis, where: str
) -> None:
    """Warn of a file without the population, and of a run without a closed day."""
    if given and not given.keys() & set(states):
        warn_once(f"{where}: the file of calendar_path has no rows for {iso}; the built-in calendar is used")
    if axis.num_days and not share.any():
        warn_once(
            f"{where}: no school of {iso} is closed from {axis.first_day} to {axis.last_day}, so the school "
            "closure changes nothing"
        )


@lru_cache(maxsize=2)  # a file serves many populations
def _closed_in(table: Table, where: str, axis: TimeAxis) -> dict[str, Closed]:
    """Return whether the schools of each place in a file are closed on each day, by ISO code."""
    place, start, end = (table.column(name, where) for name in ("location", "start_date", "end_date"))
    starts, ends = table.parsed(start, date_of), table.parsed(end, date_of)
    found: dict[str, Closed] = defaultdict(lambda: np.zeros(axis.num_days, dtype=bool))
    for name, rows in table.grouped(place).items():
        codes = [location.iso for location in locations().values() if location.is_called(name)]
        if not codes:
            raise table.error(rows[0], place, f'"{shown(name)}" is not a known population, such as US-MA')
        closed = np.zeros(axis.num_days, dtype=bool)
        for row in rows:
            if ends[row.line] < starts[row.line]:
                raise table.error(row, end, f"{ends[row.line]} is before the start_date {starts[row.line]}")
            first, last = ((day - axis.first_day).days for day in (starts[row.line], ends[row.line]))
            closed[max(0, first) : max(0, last + 1)] = True
        for iso in codes:
            found[iso] |= closed
    return dict(found)
