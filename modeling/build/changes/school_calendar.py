"""The built-in school calendar: closed days of the US states and DC, and how many people live in each.

school_calendar.csv has one row a state. `MM-DD..MM-DD` are the first and last closed day of a break; the
Thanksgiving break counts days from Thanksgiving. The dates are those of one large school district a state in
a school year between 2019-20 and 2021-22, from epymodelingsuite/data/school_calendars_corrected.csv of
mobs-lab/epymodelingsuite (MIT licence, commit 4b9c40d). Here summer lasts from the day after the last school
day to the day before the first, and two rows that cannot be right follow their neighbours: in Maryland school
begins on 31 August (median of the adjoining states), not on 6 July; in Utah the Thanksgiving break ends on
Friday, not on Monday. `people` are the populations of epydemix-data v1.1.0.

State and federal holidays come from the package holidays. Closed days of other places are in
school_closures.py.
"""

import csv
import datetime
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_DAY = datetime.timedelta(days=1)
BREAKS = ("summer", "fall", "thanksgiving", "christmas", "midwinter", "spring", "other")


@cache
def _states() -> dict[str, dict[str, str]]:
    with open(Path(__file__).with_name("school_calendar.csv"), newline="", encoding="utf-8") as file:
        return {row["location"]: row for row in csv.DictReader(file)}


def people_by_state() -> dict[str, int]:
    """Return the people of each state with a calendar, by ISO code."""
    return {iso: int(row["people"]) for iso, row in _states().items()}


@cache
def closed_days(iso: str, first: datetime.date, last: datetime.date) -> frozenset[datetime.date]:
    """Return the days from `first` to `last` on which the schools of a state are closed.

    Raises
    ------
    KeyError
        The state has no calendar.
    """
    found = set(_holidays(iso, first.year, last.year))
    row = _states()[iso]
    for year in range(first.year - 1, last.year + 1):
        for name in BREAKS:
            if row[name]:
                found.update(_break_days(name, row[name], year))
    return frozenset(day for day in found if first <= day <= last)


def _break_days(name: str, text: str, year: int) -> Iterator[datetime.date]:
    """Yield the days of a break that begins in a year; it may end in the next."""
    begin, _, end = text.partition("..")
    if name == "thanksgiving":
        first, last = (thanksgiving(year) + int(days) * _DAY for days in (begin, end))
    else:
        first, last = (datetime.date.fromisoformat(f"{year}-{day}") for day in (begin, end))
        if last < first:
            last = last.replace(year=year + 1)
    for days in range((last - first).days + 1):
        yield first + days * _DAY


def thanksgiving(year: int) -> datetime.date:
    """Return the fourth Thursday of November."""
    first = datetime.date(year, 11, 1)
    return first + ((3 - first.weekday()) % 7 + 21) * _DAY


def _holidays(iso: str, first_year: int, last_year: int) -> list[datetime.date]:
    from holidays import country_holidays  # takes a sixth of a second, so only where schools close

    return list(
        country_holidays("US", subdiv=iso.removeprefix("US-"), years=range(first_year, last_year + 1))
    )
