"""Weeks without a count: interpolated between known weeks; a location without the newest ones is behind."""

import datetime

import numpy as np

from modeling.failures import UserError, listed
from modeling.forecast_records import WEEK, Doubt


def interpolated(counts: np.ndarray) -> np.ndarray:
    """Return counts, shape (weeks, locations), without gaps between known weeks.

    A gap is a straight line in log(count + 1). Weeks before the first count and after the last one stay nan.
    """
    filled = counts.copy()
    for series in filled.T:
        known = np.flatnonzero(~np.isnan(series))
        if not len(known):
            continue
        inside = np.arange(known[0], known[-1] + 1)
        missing = inside[np.isnan(series[inside])]
        series[missing] = np.expm1(np.interp(missing, known, np.log1p(series[known])))
    return filled


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


def gap_doubts(newest_week: datetime.date, locations: list[str], behind: np.ndarray) -> list[Doubt]:
    """Return a doubt for each location that is behind; stage A names gaps between known weeks."""
    last_weeks = [newest_week - int(weeks) * WEEK for weeks in behind]
    return [
        Doubt(name, "gap", f"no count after the week ending {week}; the forecast starts there")
        for name, week in zip(locations, last_weeks, strict=True)
        if week < newest_week
    ]
