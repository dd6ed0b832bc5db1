"""The dates on which a simulation is reported, worked out without pandas.

The engine reports what epydemix's resampling gives; results are checked against this second way.
"""

import datetime
import math
import re

import numpy as np

WEEKDAYS = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
_DAY = np.timedelta64(1, "D")


def reported_dates(
    start: datetime.date, end: datetime.date, delta_t_days: float, frequency: str | None
) -> np.ndarray | None:
    """Return the reported dates, datetime64[s], shape (dates,); None for weeks taken together (2W-SAT).

    `delta_t_days` divides a day, or is whole days.

    Days and months are labelled by their first day (but ME by its last), weeks by their last.
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
    """Return how many time steps begin from the start to the last moment of the last day.

    epydemix would stop at midnight before the last day, and leave a half-day model half of it.
    """
    return math.ceil(((end - start).days + 1) / delta_t_days - 1e-9)


def interval_end(day: datetime.date, frequency: str | None) -> datetime.date:
    """Return the last day of the interval that is labelled by a day."""
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
