"""What a weekly forecast says of each location: name, expected change, how last week's forecast did.

The expected change is that of the medians, from the week before the reference date (horizon -1, after the
method's corrections) to the last forecast week, in the categories of FluSight's rate-change target.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from modeling.forecast_records import WEEK, ForecastResult
from modeling.hubs import HORIZONS, MEDIAN, NATION, QUANTILES
from modeling.outputs.quantiles import is_inside
from modeling.outputs.rate_changes import CATEGORIES, category_probabilities
from modeling.populations import locations_by_fips

LAST = HORIZONS[-1]  # horizon to which the change is measured
BANDS = {50: (0.25, 0.75), 95: (0.025, 0.975)}  # % of the probability, and the levels at its ends
INSIDE_50, INSIDE_95, ABOVE, BELOW = "inside the 50 % band", "inside the 95 % band", "above", "below"


@dataclass(frozen=True)
class Place:
    """One location of a weekly forecast.

    Attributes
    ----------
    column : int
        In the arrays of the result.
    population : str
        ISO code, such as US-MA; the location itself where it has none.
    before, expected : float
        Medians of the week before the reference date, and of the last forecast week [admissions].
    low, high : float
        90 % interval of the last forecast week [admissions].
    change : float
        From `before` to `expected` [admissions per 100,000 people].
    category : str
        One of rate_changes.CATEGORIES.
    verdict : str
        How the forecast of one week earlier did on the newest known week: INSIDE_50, INSIDE_95, ABOVE, BELOW,
        or "" where nothing can be compared.
    """

    column: int
    location: str
    population: str
    name: str
    before: float
    expected: float
    low: float
    high: float
    change: float
    category: str
    verdict: str

    @property
    def code(self) -> str:
        return self.population.removeprefix("US-")

    @property
    def anchor(self) -> str:
        return f"place-{self.column}"

    @property
    def is_nation(self) -> bool:
        return self.location == NATION


@dataclass(frozen=True)
class Hits:
    """How many observations fell inside the bands."""

    total: int
    inside: dict[int, int]  # by band [%]


def weekly_places(result: ForecastResult) -> list[Place]:
    """Return the nation, if it is forecast, and the other locations by name."""
    places = [_place(result, column) for column in range(len(result.locations))]
    return sorted(places, key=lambda place: (not place.is_nation, place.name, place.column))


def quantile_of(result: ForecastResult, horizon: int, level: float) -> np.ndarray:
    """Return a quantile of all locations, shape (locations,)."""
    return result.forecast.values[HORIZONS.index(horizon), :, QUANTILES.index(level)]


def newest_horizon(result: ForecastResult) -> int | None:
    """Return the horizon that the newest known week had in the forecast of one week earlier.

    None without such a forecast, and where it knew that week already because a release is missing.
    """
    if result.previous is None:
        return None
    horizon = (result.last_week - result.previous.reference_date) // WEEK
    return horizon if 0 <= horizon <= LAST else None


def verdict(quantiles: np.ndarray, observed: float) -> str:
    """Return where a count lies in a forecast; a count on the end of a band is inside it.

    Parameters
    ----------
    quantiles : ndarray, shape (23,)
    observed : float
        nan gives "".
    """
    if np.isnan(observed):
        return ""
    if is_inside(quantiles, observed, 0.5):
        return INSIDE_50
    if is_inside(quantiles, observed, 0.95):
        return INSIDE_95
    return ABOVE if observed > quantiles[MEDIAN] else BELOW


def later_hits(result: ForecastResult) -> dict[int, Hits]:
    """Return by horizon 0 to 3 how many later observations fell inside the bands; horizons with some."""
    found = {}
    for horizon in range(LAST + 1):
        row = HORIZONS.index(horizon)
        is_known = ~np.isnan(result.later[row])
        if is_known.any():
            found[horizon] = _hits(result.forecast.values[row][is_known], result.later[row][is_known])
    return found


def added(hits: Iterable[Hits]) -> Hits:
    """Return hits of all together."""
    hits = list(hits)
    return Hits(sum(h.total for h in hits), {band: sum(h.inside[band] for h in hits) for band in BANDS})


def largest_changes_first(places: Iterable[Place]) -> list[Place]:
    """Return the nation, then the locations with the largest expected change per person."""
    return sorted(places, key=lambda place: (not place.is_nation, -abs(place.change), place.name))


def _place(result: ForecastResult, column: int) -> Place:
    location = result.locations[column]
    known = locations_by_fips().get(location)
    before = float(quantile_of(result, HORIZONS[0], 0.5)[column])
    expected = float(quantile_of(result, LAST, 0.5)[column])
    people = int(result.people[column])
    shares = category_probabilities(np.array([expected - before]), people, LAST)
    newest = newest_horizon(result)
    judged = ""
    if newest is not None:
        earlier = result.previous.values[HORIZONS.index(newest), column]
        judged = verdict(earlier, result.counts[-1, column])
    return Place(
        column,
        location,
        known.iso if known else location,
        known.name if known else location,
        before,
        expected,
        float(quantile_of(result, LAST, 0.05)[column]),
        float(quantile_of(result, LAST, 0.95)[column]),
        100_000 * (expected - before) / people,
        max(CATEGORIES, key=shares.get),
        judged,
    )


def _hits(quantiles: np.ndarray, observed: np.ndarray) -> Hits:
    inside = {band: is_inside(quantiles, observed, band / 100) for band in BANDS}
    return Hits(len(observed), {band: int(found.sum()) for band, found in inside.items()})
