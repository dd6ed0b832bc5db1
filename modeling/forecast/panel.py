"""Rates by week and location: of each location, of its region and of the nation, on the log scale."""

from dataclasses import dataclass

import numpy as np

from modeling.forecast.seasons import SeasonWeeks
from modeling.hubs import NATION

# The ten regions of the US Department of Health and Human Services, by FIPS code (hhs.gov, regional offices).
_REGIONS = [
    "09 23 25 33 44 50",
    "34 36 72",
    "10 11 24 42 51 54",
    "01 12 13 21 28 37 45 47",
    "17 18 26 27 39 55",
    "05 22 35 40 48",
    "19 20 29 31",
    "08 30 38 46 49 56",
    "04 06 15 32",
    "02 16 41 53",
]
REGION_OF = {fips: number for number, text in enumerate(_REGIONS, start=1) for fips in text.split()}
PER = 100_000  # people of a rate


@dataclass(frozen=True)
class Panel:
    """A surveillance series of all locations; arrays of shape (weeks, locations) unless said otherwise.

    Attributes
    ----------
    weeks : SeasonWeeks
    counts : ndarray
        Admissions, nan where unknown.
    people : ndarray, shape (locations,)
    rates : ndarray
        log((counts + 1) / people * 100,000).
    region, nation : ndarray
        The same of a location's region and of the nation; a location in no region has the nation's.
    nation_column : int or None
        Column of the nation; without it, or its count, the nation is the sum of the locations that report.
    is_usable : ndarray of bool, shape (weeks,)
        Whether growth may be learned from the week.
    """

    weeks: SeasonWeeks
    counts: np.ndarray
    people: np.ndarray
    rates: np.ndarray
    region: np.ndarray
    nation: np.ndarray
    nation_column: int | None
    is_usable: np.ndarray


def panel(
    counts: np.ndarray, locations: list[str], people: np.ndarray, weeks: SeasonWeeks, is_usable: np.ndarray
) -> Panel:
    """Return the rates of a series of counts, shape (weeks, locations)."""
    column = locations.index(NATION) if NATION in locations else None
    places = np.array([each != NATION for each in locations])
    nation = summed_rates(counts[:, places], people[places])
    if column is not None:
        own = log_rates(counts[:, column], people[column])
        nation = np.where(np.isnan(own), nation, own)
    region = np.repeat(nation[:, None], len(locations), axis=1)
    numbers = np.array([REGION_OF.get(each, 0) for each in locations])
    for number in np.unique(numbers[numbers > 0]):
        own = numbers == number
        region[:, own] = summed_rates(counts[:, own], people[own])[:, None]
    return Panel(
        weeks=weeks,
        counts=counts,
        people=people,
        rates=log_rates(counts, people),
        region=region,
        nation=np.repeat(nation[:, None], len(locations), axis=1),
        nation_column=column,
        is_usable=is_usable,
    )


def log_rates(counts: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Return log((counts + 1) / people * 100,000)."""
    return np.log((counts + 1) / people * PER)


def counts_of(log_rates: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Return the counts of log rates, the inverse of `log_rates`; not negative, and below the people."""
    return np.clip(np.exp(log_rates) * people / PER - 1, 0, people - 1)


def summed_rates(counts: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Return the log rate of all locations that report, shape (weeks,); nan where none does."""
    is_known = ~np.isnan(counts)
    reporting = (is_known * people).sum(axis=1)
    total = np.where(is_known, counts, 0).sum(axis=1)
    return log_rates(np.where(reporting > 0, total, np.nan), np.where(reporting > 0, reporting, 1))
