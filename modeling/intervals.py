"""What `simulation.resample_frequency` means: the days that one reported date stands for.

Which dates are reported is in calendars.py.
"""

import datetime
import re

import numpy as np

from modeling.calendars import interval_end, reported_dates

FREQUENCY = r"([1-9][0-9]{0,2})?(D|W|W-(MON|TUE|WED|THU|FRI|SAT|SUN))|MS|ME"
_DAY = datetime.timedelta(days=1)


def interval_start(day: datetime.date, frequency: str | None) -> datetime.date:
    """Return the first day of the interval that is labelled by a day."""
    weeks = re.fullmatch(r"(\d*)W.*", frequency or "")
    if weeks:
        return day - (7 * int(weeks[1] or 1) - 1) * _DAY
    return day.replace(day=1) if frequency == "ME" else day


def intervals(
    first: datetime.date, last: datetime.date, delta_t_days: float, frequency: str
) -> list[tuple[datetime.date, datetime.date]]:
    """Return first and last day of each interval that is reported of a model from `first` to `last`."""
    days = reported_days(first, last, delta_t_days, frequency)
    return [(interval_start(day, frequency), interval_end(day, frequency)) for day in days]


def reported_days(
    first: datetime.date, last: datetime.date, delta_t_days: float, frequency: str | None
) -> list[datetime.date]:
    """Return the days that label what is reported of a model from `first` to `last`."""
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
    """Return which of the reported dates stand for days that were all simulated.

    Only the first and the last interval can be cut, so the others follow each other.
    """
    if frequency in (None, "D"):
        return slice(0, len(dates))
    ends = dates[[0, -1]].astype("datetime64[D]").tolist()
    begin = int(interval_start(ends[0], frequency) < first)
    stop = len(dates) - (interval_end(ends[1], frequency) > last)
    return slice(begin, max(begin, stop))
