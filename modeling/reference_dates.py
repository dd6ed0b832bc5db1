"""The reference date of a forecast: the Saturday that ends the week in which it is submitted.

The operator's commands, the stages and the manifest share this check. Nothing heavy is imported here, since
every invoke task loads it.
"""

import datetime
import re

from modeling.bounds import FIRST_DAY, LAST_DAY
from modeling.weeks import SATURDAY, WEEK, saturday_from


def parse_reference_date(text: str) -> datetime.date:
    """Return the day of a text such as 2026-01-10.

    Raises
    ------
    ValueError
        It is not a day, not a Saturday, or out of bounds; the message says what to write instead.
    """
    try:
        day = datetime.date.fromisoformat(text if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else "")
    except ValueError:
        raise ValueError("a day of the calendar is needed, such as 2026-01-10") from None
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError(f"a day from {FIRST_DAY} to {LAST_DAY} is needed")
    if problem := saturday_problem(day):
        raise ValueError(problem)
    return day


def saturday_problem(day: datetime.date) -> str:
    """Return what is wrong with a day as a reference date, and what to write; "" if it is a Saturday."""
    if day.weekday() == SATURDAY:
        return ""
    after = saturday_from(day)
    return f"a {day:%A}; a reference date is a Saturday, such as {after - WEEK} or {after}"


def is_reference_date(value: object) -> bool:
    """Return whether a value is the text of a reference date, or empty: a run without one."""
    try:
        return type(value) is str and (not value or bool(parse_reference_date(value)))
    except ValueError:
        return False
