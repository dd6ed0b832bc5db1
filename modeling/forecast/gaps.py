"""Weeks without a count: interpolated between known weeks; a location without the newest ones is behind."""

import numpy as np

from modeling.failures import UserError, listed


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
