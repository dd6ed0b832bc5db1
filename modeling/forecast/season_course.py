"""The course of a season so far: how far it is below its maximum, and its total beside that of other seasons.

A season that has used up what earlier ones had is near its end: the share of people who are still
susceptible is not observed, but the total so far is.
"""

from dataclasses import dataclass

import numpy as np

from modeling.forecast.seasons import SeasonWeeks

SMALL_TOTAL = 0.1  # admissions per 100,000, so that the log of an empty season is finite


@dataclass(frozen=True)
class SeasonCourse:
    """Arrays of shape (weeks, locations); nan where not known.

    Attributes
    ----------
    below_maximum : ndarray
        Log rate minus the maximum of the season until that week; 0 at the maximum, else negative.
    share_of_past_total : ndarray
        Log of the season's total until that week minus the log of the mean total of past seasons.
    """

    below_maximum: np.ndarray
    share_of_past_total: np.ndarray


def season_course(
    log_rates: np.ndarray, weeks: SeasonWeeks, complete: list[int], fewest_weeks: int
) -> SeasonCourse:
    """Return the course of each season.

    Parameters
    ----------
    log_rates : ndarray, shape (weeks, locations)
    complete : list of int
        Past seasons that may be compared with, see `complete_seasons`. A season is compared with those before
        it; the first of them with the others, and with itself if it is the only one.
    fewest_weeks : int
        Weeks of a season that a location must have reported to have a total of it.
    """
    rates = np.exp(log_rates)
    maximum, total, past_total = (np.full_like(rates, np.nan) for _ in range(3))
    totals = {season: _sum(rates[weeks.season == season], fewest_weeks) for season in complete}
    complete = [season for season in complete if not np.isnan(totals[season]).all()]  # others are a long gap
    for season in np.unique(weeks.season):
        own = weeks.season == season
        maximum[own] = np.fmax.accumulate(log_rates[own], axis=0)
        total[own] = np.cumsum(np.nan_to_num(rates[own]), axis=0)
        compared = _compared(int(season), complete)
        if compared:
            past_total[own] = known_mean([totals[each] + SMALL_TOTAL for each in compared])
    return SeasonCourse(
        below_maximum=log_rates - maximum,
        share_of_past_total=np.log(total + SMALL_TOTAL) - np.log(past_total),
    )


def complete_seasons(weeks: SeasonWeeks, begins: int, current: int) -> list[int]:
    """Return the seasons before the current one that the series has from their beginning on.

    Parameters
    ----------
    begins : int
        Week from Christmas that must be there.
    """
    started = np.unique(weeks.season[weeks.from_christmas <= begins])
    return [int(season) for season in started if season < current]


def _compared(season: int, complete: list[int]) -> list[int]:
    before = [each for each in complete if each < season]
    return before or [each for each in complete if each != season] or complete


def _sum(values: np.ndarray, fewest: int) -> np.ndarray:
    """Return the sum over the rows of the known values; nan for a column that has fewer."""
    number = (~np.isnan(values)).sum(axis=0)
    return np.where(number < fewest, np.nan, np.nan_to_num(values).sum(axis=0))


def known_mean(seasons: list[np.ndarray]) -> np.ndarray:
    """Return the mean over the seasons that a location has, and of all locations for one that has none."""
    values = np.stack(seasons)
    is_known = ~np.isnan(values)
    number = is_known.sum(axis=0)
    means = np.nan_to_num(values).sum(axis=0) / np.maximum(number, 1)
    if not number.any():
        return np.full(values.shape[1], np.nan)
    return np.where(number > 0, means, means[number > 0].mean())
