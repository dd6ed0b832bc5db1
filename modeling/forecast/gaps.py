"""Weeks without a count: interpolated between known weeks; a location without the newest ones is behind."""

import datetime

import numpy as np

from modeling.failures import UserError, listed
from modeling.forecast_records import WEEK, Doubt

RECENT_WEEKS_SHOWN = 8  # a person looks at gaps in the newest weeks; older ones hardly change a forecast
MOST_WEEKS_BEHIND = 4  # a forecast from an older week would have few past weeks to learn from


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


def carried_forward(counts: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Return counts with no location more than MOST_WEEKS_BEHIND behind: the last count goes on."""
    filled, last = counts.copy(), len(counts) - 1
    for column in np.flatnonzero(behind > MOST_WEEKS_BEHIND):
        newest = last - behind[column]
        filled[newest : last - MOST_WEEKS_BEHIND + 1, column] = counts[newest, column]
    return filled


def gap_doubts(
    counts: np.ndarray, locations: list[str], first_week: datetime.date, behind: np.ndarray
) -> list[Doubt]:
    """Return a doubt for each location without a count in some of the newest weeks."""
    doubts, last = [], len(counts) - 1
    for column, name in enumerate(locations):
        newest = last - behind[column]
        if behind[column]:
            doubts.append(Doubt(name, "gap", _behind_sentence(first_week + newest * WEEK, behind[column])))
        recent = range(max(last + 1 - RECENT_WEEKS_SHOWN, 0), newest)
        begin = np.argmax(~np.isnan(counts[:, column]))
        missing = [
            first_week + week * WEEK for week in recent if week > begin and np.isnan(counts[week, column])
        ]
        if missing:
            weeks = "week ending" if len(missing) == 1 else "weeks ending"
            doubts.append(
                Doubt(
                    name,
                    "gap",
                    f"no count for the {weeks} {listed(missing)}; interpolated from its neighbours",
                )
            )
    return doubts


def _behind_sentence(newest: datetime.date, weeks: int) -> str:
    sentence = f"no count after the week ending {newest}; the forecast starts there"
    if weeks > MOST_WEEKS_BEHIND:
        sentence = (
            f"no count after the week ending {newest}, {weeks} weeks before the newest data; the forecast "
            f"takes it as unchanged until {newest + (weeks - MOST_WEEKS_BEHIND) * WEEK} and starts there"
        )
    return sentence
