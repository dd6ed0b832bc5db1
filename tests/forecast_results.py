"""Results of a weekly forecast: made up by hand, or of the random walk on the extract of real vintages."""

import csv
import datetime
import gzip
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from modeling.forecast import random_walk
from modeling.forecast_records import RECENT_WEEKS, WEEK, ForecastResult, Quantiles, Surveillance
from modeling.hubs import HORIZONS, QUANTILES, hub_populations

FLUSIGHT = Path(__file__).with_name("flusight")
REFERENCE = datetime.date(2025, 1, 11)
MEDIAN = QUANTILES.index(0.5)
Table = dict[tuple[datetime.date, str], float]


@cache
def read_vintages(path: Path = FLUSIGHT / "vintages.csv.gz") -> dict[datetime.date, Table]:
    """Return admissions by week and location as known on each day; nan where empty."""
    found: dict[datetime.date, Table] = {}
    with gzip.open(path, "rt", newline="") as file:
        for row in csv.DictReader(file):
            day, week = (datetime.date.fromisoformat(row[name]) for name in ("as_of", "date"))
            found.setdefault(day, {})[week, row["location"]] = float(row["value"] or "nan")
    return found


def known_before(vintages: dict[datetime.date, Table], reference: datetime.date) -> Surveillance:
    """Return what was known for a reference date; the locations are in the order of their codes."""
    as_of = max(day for day in vintages if day <= reference)
    table = vintages[as_of]
    locations = sorted({location for _, location in table})
    weeks = sorted({week for week, _ in table})
    counts = np.array([[table.get((week, place), np.nan) for place in locations] for week in weeks])
    return Surveillance(reference, as_of, weeks[0], counts, [])


def random_walk_result(reference: datetime.date = REFERENCE, path: Path | None = None) -> ForecastResult:
    """Return the random walk's forecasts of a week and of the week before, with all later observations."""
    vintages = read_vintages(path) if path else read_vintages()
    newest = vintages[max(vintages)]
    known = known_before(vintages, reference)
    locations = sorted({location for _, location in vintages[known.as_of]})
    people = np.array([hub_populations()[place] for place in locations])
    before = known_before(vintages, reference - WEEK)
    made = random_walk.forecast(known, locations, people, None)
    later = [[newest.get((reference + h * WEEK, place), np.nan) for place in locations] for h in HORIZONS]
    return ForecastResult(
        population="US",
        population_name=f"{len(locations)} locations",
        method="random_walk",
        locations=locations,
        people=people,
        as_of=known.as_of,
        first_week=known.first_week,
        counts=known.counts,
        nowcast=made.nowcast,
        forecast=made.quantiles,
        previous=random_walk.forecast(before, locations, people, None).quantiles,
        later=np.array(later),
    )


def made_up_result(locations: dict[str, tuple[int, int]], **changes) -> ForecastResult:
    """Return a forecast made up by hand, without a previous one and without later observations.

    Parameters
    ----------
    locations : dict of str to (int, int)
        By code, the count of all known weeks, and the median of the last forecast week. Medians lie on a
        line between; quantile levels are one admission apart, so that the 50 % band ends 5 admissions from
        the median, the 90 % interval 9 and the 95 % band 10.
    """
    counts = np.array([[float(count) for count, _ in locations.values()]] * 30)
    return replace(
        ForecastResult(
            population="US",
            population_name=f"{len(locations)} locations",
            method="random_walk",
            locations=list(locations),
            people=np.array([hub_populations().get(place, 1_000_000) for place in locations]),
            as_of=REFERENCE - datetime.timedelta(days=3),
            first_week=REFERENCE - 30 * WEEK,
            counts=counts,
            nowcast=counts[-RECENT_WEEKS:].copy(),
            forecast=made_up_quantiles(REFERENCE, list(locations.values())),
            previous=None,
            later=np.full((len(HORIZONS), len(locations)), np.nan),
        ),
        **changes,
    )


def made_up_quantiles(reference: datetime.date, ends: list[tuple[int, int]]) -> Quantiles:
    """Return quantiles one admission apart whose medians go from one count to another over the horizons."""
    medians = np.array([np.linspace(first, last, len(HORIZONS)) for first, last in ends]).T
    steps = np.arange(len(QUANTILES)) - MEDIAN
    return Quantiles(reference, np.maximum(np.rint(medians)[:, :, None] + steps, 0))
