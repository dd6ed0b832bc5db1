"""Admissions of seven locations as they were known week by week: the extract in tests/flusight as records."""

import csv
import datetime
import gzip
from functools import cache

import numpy as np

from modeling.forecast_records import (
    MOST_EARLIER,
    RECENT_WEEKS,
    WEEK,
    Forecast,
    History,
    Surveillance,
    Vintage,
)
from modeling.hubs import hub_populations
from tests.experiments import REPOSITORY

FLUSIGHT = REPOSITORY / "tests" / "flusight"
VINTAGES, ILINET = FLUSIGHT / "vintages.csv.gz", FLUSIGHT / "ilinet.csv.gz"
LOCATIONS = ["06", "25", "39", "42", "50", "72", "US"]
PEOPLE = np.array([hub_populations()[name] for name in LOCATIONS])
FIRST_WEEK = datetime.date(2022, 2, 5)
Row = dict[str, str]
Vintages = dict[datetime.date, np.ndarray]


@cache
def rows_by_vintage() -> dict[str, list[Row]]:
    """Return the rows of the extract by the day on which they were known; copy before you change one."""
    found: dict[str, list[Row]] = {}
    with gzip.open(VINTAGES, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["as_of"], []).append(row)
    return found


@cache
def _vintages() -> Vintages:
    return {
        datetime.date.fromisoformat(as_of): _counts(FIRST_WEEK, LOCATIONS, rows, "value")
        for as_of, rows in sorted(rows_by_vintage().items())
    }


def vintages() -> Vintages:
    """Return the counts by the day on which they were known, shape (weeks, locations)."""
    return {as_of: counts.copy() for as_of, counts in _vintages().items()}


def known_on(reference_date: datetime.date, releases: Vintages | None = None) -> Surveillance:
    """Return what was known when the forecast of a reference date was due, on Wednesday."""
    releases = releases or vintages()
    due = reference_date - datetime.timedelta(days=3)
    days = [as_of for as_of in sorted(releases) if as_of <= due]
    earlier = [
        Vintage(day, FIRST_WEEK + (len(releases[day]) - 1) * WEEK, releases[day][-RECENT_WEEKS:])
        for day in days[:-1][-MOST_EARLIER:]
    ]
    return Surveillance(reference_date, days[-1], FIRST_WEEK, releases[days[-1]], earlier)


@cache
def history() -> History:
    """Return influenza-like illness of 2010 to 2020."""
    with gzip.open(ILINET, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    first = datetime.date.fromisoformat(min(row["date"] for row in rows))
    places = sorted({row["location"] for row in rows})
    return History(first, places, _counts(first, places, rows, "unweighted_ili"))


def same(one: Forecast, other: Forecast) -> bool:
    """Return whether two forecasts are the same bit for bit."""
    return (
        one.quantiles.values.tobytes() == other.quantiles.values.tobytes()
        and one.nowcast.tobytes() == other.nowcast.tobytes()
        and one.doubts == other.doubts
    )


def _counts(first: datetime.date, places: list[str], rows: list[Row], column: str) -> np.ndarray:
    weeks = [(datetime.date.fromisoformat(row["date"]) - first) // WEEK for row in rows]
    counts = np.full((max(weeks) + 1, len(places)), np.nan)
    for week, row in zip(weeks, rows, strict=True):
        if row[column]:
            counts[week, places.index(row["location"])] = float(row[column])
    return counts
