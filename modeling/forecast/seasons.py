"""Weeks of an influenza season: August to July, counted from Christmas week and from Thanksgiving.

Every date is computed, so that no table of holidays ends. A week is named by the Saturday that ends it.
"""

import datetime
from dataclasses import dataclass

import numpy as np

from modeling.weeks import SATURDAY, WEEK, saturday_from, season_of

_THURSDAY = SATURDAY - 2


@dataclass(frozen=True)
class SeasonWeeks:
    """Where weeks are in their seasons.

    Attributes
    ----------
    season : ndarray of int, shape (weeks,)
        Year in which the season begins.
    from_christmas, from_thanksgiving : ndarray of int, shape (weeks,)
        Weeks since the week that holds the holiday; negative before it.
    """

    season: np.ndarray
    from_christmas: np.ndarray
    from_thanksgiving: np.ndarray


def season_weeks(first_week: datetime.date, count: int) -> SeasonWeeks:
    """Return where `count` weeks from `first_week` on are in their seasons."""
    days = [first_week + index * WEEK for index in range(count)]
    seasons = [season_of(day) for day in days]
    christmas = {season: christmas_week(season) for season in set(seasons)}
    thanksgiving = {season: thanksgiving_week(season) for season in set(seasons)}
    pairs = list(zip(days, seasons, strict=True))
    return SeasonWeeks(
        season=np.array(seasons),
        from_christmas=np.array([(day - christmas[season]) // WEEK for day, season in pairs]),
        from_thanksgiving=np.array([(day - thanksgiving[season]) // WEEK for day, season in pairs]),
    )


def christmas_week(season: int) -> datetime.date:
    """Return the Saturday that ends the week of 25 December."""
    return saturday_from(datetime.date(season, 12, 25))


def thanksgiving_week(season: int) -> datetime.date:
    """Return the Saturday that ends the week of Thanksgiving, the fourth Thursday of November."""
    first = datetime.date(season, 11, 1)
    first_thursday = first + datetime.timedelta(days=(_THURSDAY - first.weekday()) % 7)
    return saturday_from(first_thursday + 3 * WEEK)
