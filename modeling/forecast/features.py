"""What the regression sees of a location in a week: the time of the season, growth, level and depletion.

Growth is the change of the log rate, a week.
"""

import numpy as np

from modeling.forecast.panel import Panel
from modeling.forecast.season_course import SeasonCourse
from modeling.forecast.seasons import SeasonWeeks

BUMP_CENTRES = range(-10, 23, 4)  # weeks from Christmas
BUMP_WIDTH = 3  # weeks, standard deviation
HOLIDAY_WEEKS = (0, 1, 2)  # from Christmas: admissions jump in its week, and drop two weeks later


class Features:
    """The predictors of a panel.

    Parameters
    ----------
    panel : Panel
    course : SeasonCourse
        Of the panel's rates.
    """

    def __init__(self, panel: Panel, course: SeasonCourse):
        self._weeks = panel.weeks
        self._by_location = np.stack(list(location_features(panel, course).values()), axis=-1)

    def at(self, rows: np.ndarray, steps: int) -> np.ndarray:
        """Return the predictors of some weeks, shape (rows, locations, predictors).

        Parameters
        ----------
        rows : ndarray of int, shape (rows,)
            Origins: the newest week that is known.
        steps : int
            Weeks from an origin to its target.
        """
        locations = self._by_location.shape[1]
        calendar = np.stack(list(calendar_features(self._weeks, steps).values()), axis=-1)[rows]
        of_weeks = np.repeat(calendar[:, None, :], locations, axis=1)
        return np.concatenate([of_weeks, self._by_location[rows]], axis=-1)


def calendar_features(weeks: SeasonWeeks, steps: int) -> dict[str, np.ndarray]:
    """Return what is known from the dates of origin and target, by name; shape (weeks,) each.

    Smooth bumps over the season, and indicators of the holidays at which reporting and contacts change.
    """
    origin, target = weeks.from_christmas, weeks.from_christmas + steps
    bumps = {
        f"season {centre}": np.exp(-0.5 * ((origin - centre) / BUMP_WIDTH) ** 2) for centre in BUMP_CENTRES
    }
    holidays = {}
    for week in HOLIDAY_WEEKS:
        holidays[f"target Christmas + {week}"] = (target == week).astype(float)
        holidays[f"origin Christmas + {week}"] = (origin == week).astype(float)
    holidays["target Thanksgiving"] = (weeks.from_thanksgiving + steps == 0).astype(float)
    holidays["origin Thanksgiving"] = (weeks.from_thanksgiving == 0).astype(float)
    return bumps | holidays


def location_features(panel: Panel, course: SeasonCourse) -> dict[str, np.ndarray]:
    """Return what is known of the locations, by name; shape (weeks, locations) each."""
    rates, nation = panel.rates, panel.nation
    growth, nation_growth = growth_over(rates, 2), growth_over(nation, 2)
    is_early = np.repeat(panel.weeks.from_christmas[:, None] < 0, rates.shape[1], axis=1)
    return {
        "growth, 1 week": growth_over(rates, 1),
        "growth, 2 weeks": growth,
        "growth, 4 weeks": growth_over(rates, 4),
        "nation's growth, 1 week": growth_over(nation, 1),
        "nation's growth, 2 weeks": nation_growth,
        "region's growth, 2 weeks": growth_over(panel.region, 2),
        "rate": rates,
        "nation's rate": nation,
        "below maximum": course.below_maximum,
        "share of past total": course.share_of_past_total,
        "inverse count": 1 / (panel.counts + 1),
        "growth before Christmas": growth * is_early,
        "nation's growth before Christmas": nation_growth * is_early,
        "rate before Christmas": rates * is_early,
    }


def growth_over(log_rates: np.ndarray, weeks: int) -> np.ndarray:
    """Return the mean change a week over the last weeks, shape (weeks, locations); nan in the first ones."""
    growth = np.full_like(log_rates, np.nan)
    growth[weeks:] = (log_rates[weeks:] - log_rates[:-weeks]) / weeks
    return growth
