"""Weeks and seasons of surveillance: a week is named by its last day, a Saturday; a season by its first year.

Nothing heavy is imported here, since every invoke task loads it.
"""

import datetime
from collections.abc import Iterator

SATURDAY = 5  # as date.weekday() counts
DAY, WEEK = datetime.timedelta(days=1), datetime.timedelta(days=7)
_FIRST_MONTH = 8  # of a season: August to July


def saturday_from(day: datetime.date) -> datetime.date:
    """Return the first Saturday on or after a day, which ends its week."""
    return day + (SATURDAY - day.weekday()) % 7 * DAY


def saturday_after(day: datetime.date) -> datetime.date:
    """Return the next Saturday after a day; a week later if it is one."""
    return saturday_from(day + DAY)


def saturdays(first: datetime.date, last: datetime.date) -> Iterator[datetime.date]:
    """Yield every Saturday from one day to another."""
    day = saturday_from(first)
    while day <= last:
        yield day
        day += WEEK


def season_of(day: datetime.date) -> int:
    """Return the year in which the season of a day begins."""
    return day.year if day.month >= _FIRST_MONTH else day.year - 1


def season_start(season: int) -> datetime.date:
    """Return the first day of the season that begins in a year."""
    return datetime.date(season, _FIRST_MONTH, 1)
