"""Dates and intervals of a simulation: which are reported, and which time steps fit, without pandas.

The engine reports the dates of epydemix's resampling; results are checked against these functions.
"""

import datetime
import math
import re
from functools import cache

import numpy as np

from modeling.bounds import MOST_STEPS

WEEKDAYS = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
MOST_STEP_DAYS = 7
FREQUENCY = r"([1-9][0-9]{0,2})?(D|W|W-(MON|TUE|WED|THU|FRI|SAT|SUN))|MS|ME"
_DAY, _ONE_DAY = np.timedelta64(1, "D"), datetime.timedelta(days=1)


def reported_dates(
    start: datetime.date, end: datetime.date, delta_t_days: float, frequency: str | None
) -> np.ndarray | None:
    """Return the reported dates, datetime64[s], shape (dates,); None for weeks taken together (2W-SAT).

    Days and months are labelled by their first day (but ME by its last), weeks by their last.

    Parameters
    ----------
    delta_t_days : float
        Time step [days]; divides a day, or is a whole number of days.
    frequency : str or None
        resample_frequency; None reports every time step.
    """
    step = np.timedelta64(round(delta_t_days * 86_400), "s")
    count, begin = step_count(start, end, delta_t_days), np.datetime64(start, "s")
    if frequency is None:
        return begin + np.arange(count) * step
    first, last = np.datetime64(start, "D"), (begin + (count - 1) * step).astype("datetime64[D]")
    number, unit = re.fullmatch(r"(\d*)(D|W.*|MS|ME)", frequency).groups()
    if unit == "D":
        dates = np.arange(first, last + _DAY, int(number or 1) * _DAY)
    elif unit in ("MS", "ME"):
        months = np.arange(first.astype("datetime64[M]"), last.astype("datetime64[M]") + 1)
        dates = (
            months.astype("datetime64[D]") if unit == "MS" else (months + 1).astype("datetime64[D]") - _DAY
        )
    elif number in ("", "1"):
        dates = np.arange(_week_end(first, unit), _week_end(last, unit) + _DAY, 7 * _DAY)
    else:
        return None
    return dates.astype("datetime64[s]")


def step_count(start: datetime.date, end: datetime.date, delta_t_days: float) -> int:
    """Return the number of time steps that begin from the first to the last moment of a model.

    epydemix would stop at midnight before the last day, so that a model of half days would miss half a day.
    """
    return math.ceil(((end - start).days + 1) / delta_t_days - 1e-9)


def period_problem(start: datetime.date, end: datetime.date, delta_t_days: float) -> str | None:
    """Return why a period has no possible number of time steps; None if it has one."""
    steps = step_count(start, end, delta_t_days)
    is_possible = 0 < steps <= MOST_STEPS
    return None if is_possible else f"{steps:,} time steps from {start} to {end}, outside 1 to {MOST_STEPS:,}"


def interval_end(day: datetime.date, frequency: str | None) -> datetime.date:
    """Return the last day of the interval that a day labels."""
    days = re.fullmatch(r"(\d+)D", frequency or "")
    if days:
        return day + datetime.timedelta(days=int(days[1]) - 1)
    if frequency == "MS":
        return (day.replace(day=28) + datetime.timedelta(days=4)).replace(day=1) - datetime.timedelta(days=1)
    return day


def _week_end(day: np.datetime64, unit: str) -> np.datetime64:
    weekday = WEEKDAYS.index(unit.removeprefix("W").removeprefix("-") or "SUN")
    ahead = (weekday - day.item().weekday()) % 7
    return day + ahead * _DAY


def interval_start(day: datetime.date, frequency: str | None) -> datetime.date:
    """Return the first day of the interval that a day labels."""
    weeks = re.fullmatch(r"(\d*)W.*", frequency or "")
    if weeks:
        return day - (7 * int(weeks[1] or 1) - 1) * _ONE_DAY
    return day.replace(day=1) if frequency == "ME" else day


def intervals(
    first: datetime.date, last: datetime.date, delta_t_days: float, frequency: str
) -> list[tuple[datetime.date, datetime.date]]:
    """Return the first and last day of each interval that a model from `first` to `last` reports."""
    days = reported_days(first, last, delta_t_days, frequency)
    return [(interval_start(day, frequency), interval_end(day, frequency)) for day in days]


def reported_days(
    first: datetime.date, last: datetime.date, delta_t_days: float, frequency: str | None
) -> list[datetime.date]:
    """Return the days that label the intervals that a model from `first` to `last` reports."""
    dates = reported_dates(first, last, delta_t_days, frequency)
    if dates is None:  # weeks taken together: from the first week's end on
        number, week = re.fullmatch(r"(\d+)(W.*)", frequency).groups()
        weeks = reported_dates(first, last, delta_t_days, week)
        dates = weeks[:: int(number)]
        if len(weeks) % int(number) != 1:
            dates = np.append(dates, dates[-1] + np.timedelta64(7 * int(number), "D"))
    return dates.astype("datetime64[D]").tolist()


def whole_intervals(
    dates: np.ndarray, first: datetime.date, last: datetime.date, frequency: str | None
) -> slice:
    """Return the reported dates whose intervals were simulated whole.

    Only the first and the last interval can be cut, so the others are a slice.
    """
    if frequency in (None, "D"):
        return slice(0, len(dates))
    ends = dates[[0, -1]].astype("datetime64[D]").tolist()
    begin = int(interval_start(ends[0], frequency) < first)
    stop = len(dates) - (interval_end(ends[1], frequency) > last)
    return slice(begin, max(begin, stop))


def step_problem(
    first: datetime.date, last: datetime.date, delta_t_days: float, frequency: str | None
) -> str | None:
    """Return why a time step does not fit the reported intervals; None if it does.

    A step that crosses the end of an interval would count for the earlier one alone, and totals would zigzag.
    Steps below a day divide the day, so only longer ones can cross. The text names steps that fit a model
    from `first` to `last`.
    """
    crossed = _crossed_boundary(first, last, delta_t_days, frequency)
    if crossed is None:
        return None
    fitting = [
        str(days)
        for days in range(MOST_STEP_DAYS, 1, -1)
        if _crossed_boundary(first, last, days, frequency) is None
    ]
    begin = crossed - (crossed - first).days % int(delta_t_days) * _ONE_DAY
    other_start = ""
    if crossed <= last and _crossed_boundary(crossed, last, delta_t_days, frequency) is None:
        other_start = f", or start on {crossed}"
    return (
        f"steps of {delta_t_days:g} days from {first} do not fit resample_frequency {frequency}: the step "
        f"from {begin} runs into the interval from {crossed}; "
        f"use {', '.join([*fitting, '1, 0.5 or 0.25'])}{other_start}"
    )


@cache
def _crossed_boundary(
    first: datetime.date, last: datetime.date, delta_t_days: float, frequency: str | None
) -> datetime.date | None:
    """Return the first day of the first interval that begins within a step; None if there is none.

    An interval that the model's end cuts off is not reported, so its end does not matter.
    """
    if frequency is None or delta_t_days <= 1 or first > last:
        return None
    ends = [end for _, end in intervals(first, last, delta_t_days, frequency) if end <= last]
    after = [end + _ONE_DAY for end in ends]
    return next((day for day in after if (day - first).days % int(delta_t_days)), None)
