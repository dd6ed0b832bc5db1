"""Another surveillance series of past seasons, put on the scale of admissions so that it gives more seasons.

The share of visits for influenza-like illness, for example, rises and falls as admissions do, above a level
of other causes that differs by location and season.
"""

import warnings

import numpy as np

from modeling.forecast import gaps
from modeling.forecast.panel import PER, Panel, panel
from modeling.forecast.seasons import season_weeks
from modeling.forecast.settings import HistorySettings
from modeling.forecast_records import History
from modeling.hubs import hub_populations

MOST_GAP = 26  # weeks that are interpolated, such as a summer without reports


def history_panel(
    history: History, before_season: int, people: dict[str, int], settings: HistorySettings
) -> Panel | None:
    """Return the panel of a history, in pseudo-admissions; None if it has no week before a season.

    Parameters
    ----------
    before_season : int
        Season of the forecast: its weeks and later ones are left out, since they were not known then.
    people : dict of str to int
        By location; for others those of the hubs are taken, and a location in neither is left out.
    """
    people = hub_populations() | people
    columns = [i for i, name in enumerate(history.locations) if name in people]
    weeks = season_weeks(history.first_week, len(history.values))
    count = int(np.searchsorted(weeks.season, before_season))
    if not count or not columns:
        return None
    weeks = season_weeks(history.first_week, count)
    locations = [history.locations[i] for i in columns]
    inhabitants = np.array([people[name] for name in locations])
    rates = pseudo_rates(between_known(history.values[:count, columns]), weeks.season, settings)
    is_usable = np.arange(count) >= settings.run_in
    return panel(rates * inhabitants / PER, locations, inhabitants, weeks, is_usable)


def between_known(values: np.ndarray) -> np.ndarray:
    """Return values, shape (weeks, locations), with a straight line between known weeks.

    A gap of more than half a year stays nan: a season that the data skip is none to learn from.
    """
    filled = values.copy()
    for series in filled.T:
        known = np.flatnonzero(~np.isnan(series))
        if len(known):
            inside = np.arange(known[0], known[-1] + 1)
            is_long = gaps.long_gaps(~np.isnan(series), MOST_GAP)
            series[inside] = np.interp(inside, known, series[known])
            series[is_long] = np.nan
    return filled


def pseudo_rates(values: np.ndarray, season: np.ndarray, settings: HistorySettings) -> np.ndarray:
    """Return rates per 100,000 people in the scale of admissions, shape (weeks, locations).

    Of each season, the level of other causes is taken off; then each location is scaled so that its mean
    seasonal peak is that of admissions.
    """
    above, peaks = np.full_like(values, np.nan), []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN|Mean of empty")  # whole seasons may be missing
        for each in np.unique(season):
            own = season == each
            level = np.nanquantile(values[own], settings.floor_quantile, axis=0)
            above[own] = np.maximum(values[own] - level, 0)
            peaks.append(np.nanmax(above[own], axis=0))
        peak = np.nanmean(peaks, axis=0)
    return above * settings.peak_rate / np.where(peak > 0, peak, np.nan)
