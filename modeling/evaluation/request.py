"""What is asked for: the dates, methods, locations and files of `invoke evaluate`, checked one by one."""

import datetime
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modeling.build.weekly_table import PLACES, UNKNOWN, day_of, read_weekly
from modeling.calendars import SATURDAY
from modeling.evaluation.hub_files import header_of, text_of
from modeling.evaluation.scores import Observations
from modeling.failures import UserError, did_you_mean
from modeling.forecast.methods import METHODS
from modeling.hubs import FLUSIGHT, hub_populations
from modeling.populations import expand_all, find_location, locations

BASELINE_METHOD = "random_walk"  # always computed, so that there is a baseline without any other file
_DAY = datetime.timedelta(days=1)
_DATE, _VALUE = ("date", "target_end_date"), ("value", "observation")


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
        ISO codes, instead of those of the experiment; none: those.
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
    begin, end = _saturday("--from", first), _saturday("--to", last)
    if begin > end:
        raise UserError(f"--from {begin} is after --to {end}; exchange them")
    return begin, end


def _saturday(option: str, text: str) -> datetime.date:
    try:
        day = datetime.date.fromisoformat(text.strip())
    except ValueError:
        raise UserError(f"{option} {text:.40}: not a date such as 2024-11-23") from None
    if day.weekday() != SATURDAY:
        after = (SATURDAY - day.weekday()) % 7
        nearest = day + (after if after <= 3 else after - 7) * _DAY
        raise UserError(f"{option} {day} is a {day:%A}, not a Saturday; the nearest one is {nearest}")
    return day


def methods_of(text: str) -> list[str]:
    """Return the methods of a list such as "growth_regression,random_walk".

    Raises
    ------
    UserError
        There is no such method.
    """
    names = _names(text)
    for name in names:
        if name not in METHODS:
            near = did_you_mean(name, METHODS)
            raise UserError(f"--method {name:.60}: no such method{near}; use {' or '.join(METHODS)}")
    return names


def populations_of(text: str) -> list[str]:
    """Return the ISO codes of a list such as "US-MA,US-VT", or "all".

    Raises
    ------
    UserError
        A place is unknown.
    """
    try:
        return expand_all(_names(text))
    except UserError as error:
        raise UserError(f"--locations: {error}") from None


def fips_of(populations: list[str]) -> list[str]:
    """Return the hub's codes of ISO codes, in the order of the hub.

    Raises
    ------
    UserError
        The hub does not have a place.
    """
    codes = [find_location(name).fips for name in populations]
    for name, code in zip(populations, codes, strict=True):
        if code not in hub_populations():
            raise UserError(f"{name}: the hub has the United States and its states alone")
    return [code for code in hub_populations() if code in codes]


def names_of_places() -> dict[str, str]:
    """Return the names of the hub's locations by their codes."""
    return {place.fips: place.name for place in locations().values() if place.fips}


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))


def read_observations(path: Path) -> Observations:
    """Return the counts of a file by last day of the week and location.

    Raises
    ------
    UserError
        With file and line: it is not such a file, gives a week of a location twice, or has a value that is
        not a count.
    """
    header = header_of(text_of(path))
    if not set(_DATE) & set(header) or not set(_VALUE) & set(header) or "location" not in header:
        raise UserError(f"{path}: observations need the columns date, location and value")
    if "as_of" in header:
        raise UserError(f"{path}: holds several vintages (column as_of); name a file with one")
    table = read_weekly(
        path,
        "--observations",
        "observations",
        date_columns=_DATE,
        value_columns=_VALUE,
        target=FLUSIGHT.target,
    )
    found = {}
    for row in np.flatnonzero(table.places != UNKNOWN).tolist():
        if row in table.unusable:
            raise UserError(
                f'{path}:{table.line(row)}: "{table.unusable[row]}" is not a count; fix or remove it'
            )
        if not np.isnan(table.values[row]):
            found[day_of(table.weeks[row]), PLACES[table.places[row]]] = float(table.values[row])
    if not found:
        raise UserError(f"{path}: no count of a location of the hub, such as US or 06")
    return found
