"""What is asked for: the dates, methods, locations and files of `invoke evaluate`, checked one by one."""

import datetime
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modeling.build.surveillance import DATES, VALUES
from modeling.build.weekly_table import PLACES, UNKNOWN, day_of, read_weekly
from modeling.evaluation.scores import Observations
from modeling.failures import UserError, did_you_mean
from modeling.forecast.methods import METHODS
from modeling.hubs import FLUSIGHT
from modeling.reference_dates import parse_reference_date

BASELINE_METHOD = "random_walk"  # always computed, so that there is a baseline without any other file


@dataclass(frozen=True)
class Request:
    """A checked request.

    Attributes
    ----------
    first, last : date
        First and last reference date, Saturdays.
    methods : list of str
        Those that are asked for; none: that of the experiment.
    populations : list of str
        Instead of those of the experiment; none: those.
    history : Path or None
        Instead of the experiment's.
    compare : list of Path
        None: the hub files of the forecasting repository, if there are any.
    observations : Path or None
        Counts to score against, instead of those of the newest vintage.
    folder : Path
        Where everything is written.
    """

    exp_id: str
    repository: Path
    folder: Path
    first: datetime.date
    last: datetime.date
    methods: list[str]
    populations: list[str]
    history: Path | None
    compare: list[Path]
    observations: Path | None
    jobs: int


def span_of(first: str, last: str) -> tuple[datetime.date, datetime.date]:
    """Return the first and last reference date.

    Raises
    ------
    UserError
        One is not a date or not a Saturday, or the first is after the last.
    """
    for option, text, what in (("--from", first, "first"), ("--to", last, "last")):
        if not text:
            raise UserError(f"{option} is needed: the {what} reference date, a Saturday such as 2024-11-23")
    begin, end = _saturday("--from", first), _saturday("--to", last)
    if begin > end:
        raise UserError(f"--from {begin} is after --to {end}; exchange them")
    return begin, end


def _saturday(option: str, text: str) -> datetime.date:
    try:
        return parse_reference_date(text.strip())
    except ValueError as error:
        raise UserError(f"{option} {text:.40}: {error}") from None


def methods_of(text: str) -> list[str]:
    """Return the methods of a list such as "growth_regression,random_walk".

    Raises
    ------
    UserError
        There is no such method.
    """
    names = names_of(text)
    for name in names:
        if name not in METHODS:
            near = did_you_mean(name, METHODS)
            raise UserError(f"--method {name:.60}: no such method{near}; use {' or '.join(METHODS)}")
    return names


def names_of(text: str) -> list[str]:
    """Return the names of a list with commas, each once."""
    return list(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))


def read_observations(path: Path) -> Observations:
    """Return the counts of a file by last day of the week and location.

    Raises
    ------
    UserError
        With file and line: it is not such a file, gives a week of a location twice, has what is not a count,
        or has no count at all.
    """
    table = read_weekly(
        path,
        "--observations",
        "counts",
        date_columns=DATES,
        value_columns=VALUES,
        target=FLUSIGHT.target,
    )
    rows = np.flatnonzero(table.places != UNKNOWN)
    table.check_values(rows)
    known = rows[~np.isnan(table.values[rows])]
    if not len(known):
        raise UserError(f"{path}: no count of a location of the hub, such as US or 06")
    return {(day_of(table.weeks[row]), PLACES[table.places[row]]): float(table.values[row]) for row in known}
