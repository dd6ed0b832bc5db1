"""Weeks without a count: interpolated between known weeks; a location without the newest ones is behind.

A long gap of all locations, such as a season that the data skip, stays unknown: a line through it would be
learned from as if it were a season.
"""

import datetime
import itertools

import numpy as np

from modeling.failures import UserError, listed
from modeling.forecast_records import WEEK

MOST_COMMON_GAP = 13  # weeks without a count of any location that are interpolated


def interpolated(counts: np.ndarray) -> np.ndarray:
    """Return counts, shape (weeks, locations), without gaps between known weeks.

    A gap is a straight line in log(count + 1). Weeks before the first count and after the last one stay nan,
    and so do long gaps of all locations.
    """
    filled = counts.copy()
    for series in filled.T:
        known = np.flatnonzero(~np.isnan(series))
        if not len(known):
            continue
        inside = np.arange(known[0], known[-1] + 1)
        missing = inside[np.isnan(series[inside])]
        series[missing] = np.expm1(np.interp(missing, known, np.log1p(series[known])))
    filled[long_gaps(~np.isnan(counts).all(axis=1), MOST_COMMON_GAP)] = np.nan
    return filled


def long_gaps(is_known: np.ndarray, most: int) -> np.ndarray:
    """Return which weeks, shape (weeks,), lie between known ones in a gap of more than `most` weeks."""
    known = np.flatnonzero(is_known)
    is_long = np.zeros(len(is_known), dtype=bool)
    for before, after in itertools.pairwise(known):
        if after - before - 1 > most:
            is_long[before + 1 : after] = True
    return is_long


def long_gap_notes(counts: np.ndarray, first_week: datetime.date) -> list[str]:
    """Return a note for each long gap of all locations in counts, shape (weeks, locations)."""
    is_long = long_gaps(~np.isnan(counts).all(axis=1), MOST_COMMON_GAP).astype(int)
    edges = np.diff(is_long, prepend=0, append=0)
    return [
        f"no location has a count from the week ending {first_week + int(first) * WEEK} to that ending "
        f"{first_week + (int(end) - 1) * WEEK}; nothing is learned from these {end - first} weeks"
        for first, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)
    ]


def weeks_behind(counts: np.ndarray, locations: list[str]) -> np.ndarray:
    """Return by how many weeks the newest count of each location is older than the newest week.

    Raises
    ------
    UserError
        A location has no count at all.
    """
    is_known = ~np.isnan(counts)
    empty = [name for name, known in zip(locations, is_known.any(axis=0), strict=True) if not known]
    if empty:
        raise UserError(f"no count in any week for {listed(empty)}; leave it out of population_names")
    return np.argmax(is_known[::-1], axis=0)
