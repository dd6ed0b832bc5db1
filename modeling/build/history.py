"""Another surveillance series of past seasons, such as influenza-like illness."""

import datetime
from pathlib import Path

import numpy as np

from modeling.build.weekly_table import PLACES, UNKNOWN, WeeklyTable, day_of, number_of_day, read_weekly
from modeling.failures import UserError
from modeling.forecast_records import WEEK, History
from modeling.hubs import NATION
from modeling.weeks import season_of, season_start

WHAT = "past seasons"
# the first that a file has; ILINet's files have visits and patients beside the share
VALUES = ("value", "unweighted_ili", "weighted_ili", "ili", "observation")


def read_history(path: Path, where: str, reference_date: datetime.date) -> tuple[History, str]:
    """Return the history before the season of a reference date, and a note on what was not used.

    The file has one version of each value, so weeks of the season that is forecast might hold what was not
    known then.

    Raises
    ------
    UserError
        The file is damaged, a value is not a number or negative, or there is no week before the season.
    """
    table = read_weekly(path, where, WHAT, date_columns=("date",), value_columns=VALUES)
    rows = np.flatnonzero((table.places != UNKNOWN) & (table.places != PLACES.index(NATION)))
    table.check_values(rows)
    season = season_start(season_of(reference_date))
    past = rows[(table.weeks[rows] < number_of_day(season)) & ~np.isnan(table.values[rows])]
    if not past.size:
        raise UserError(f"{where}: {path.name} has no value before the season of {season}; leave it out")
    note = ""
    if (table.weeks[rows] >= number_of_day(season)).any():
        note = f"{table.name}: weeks from {season} on are not used, since only past seasons are learned from"
    return _history(table, past), note


def how_to_fetch(exp_id: str) -> str:
    """Return the command that gets ILINet's history for an experiment."""
    option = f" --exp-id {exp_id}" if exp_id else ""
    return f"`invoke data-update --history{option}` fetches data/flusight/ilinet.csv.gz"


def _history(table: WeeklyTable, rows: np.ndarray) -> History:
    first, last = table.weeks[rows].min(), table.weeks[rows].max()
    columns = np.unique(table.places[rows])
    values = np.full(((last - first) // WEEK.days + 1, len(PLACES)), np.nan)
    values[(table.weeks[rows] - first) // WEEK.days, table.places[rows]] = table.values[rows]
    return History(day_of(first), [PLACES[column] for column in columns], values[:, columns])
