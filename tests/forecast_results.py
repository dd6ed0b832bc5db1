"""Results of a weekly forecast: made up by hand, or of the random walk on the extract of real vintages."""

import datetime
from dataclasses import replace

import numpy as np

from modeling.forecast import random_walk
from modeling.forecast_records import RECENT_WEEKS, WEEK, ForecastResult, Quantiles
from modeling.hubs import HORIZONS, MEDIAN, QUANTILES, hub_populations, target_dates
from tests.flu_vintages import FIRST_WEEK, LOCATIONS, PEOPLE, known_on, vintages

REFERENCE = datetime.date(2025, 1, 11)


def random_walk_result() -> ForecastResult:
    """Return the random walk's forecasts of a week and of the week before, with all later observations."""
    newest = list(vintages().values())[-1]
    known = known_on(REFERENCE)
    made, before = (
        random_walk.forecast(each, LOCATIONS, PEOPLE, None) for each in (known, known_on(REFERENCE - WEEK))
    )
    return ForecastResult(
        population="US",
        population_name=f"{len(LOCATIONS)} locations",
        method="random_walk",
        locations=LOCATIONS,
        people=PEOPLE,
        as_of=known.as_of,
        first_week=known.first_week,
        counts=known.counts,
        nowcast=made.nowcast,
        forecast=made.quantiles,
        previous=before.quantiles,
        later=newest[[(end - FIRST_WEEK) // WEEK for end in target_dates(REFERENCE).values()]],
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
