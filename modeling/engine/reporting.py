"""The dates that a trajectory reports, and the last time step of each, as pandas resamples."""

import datetime
import re

import numpy as np

from modeling.calendars import reported_days, step_count

_LABELLED_BY_FIRST_DAY = re.compile(r"\d*D|MS")  # not W-WED


def reported_steps(
    start: datetime.date, end: datetime.date, delta_t_days: float, frequency: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the reported dates, datetime64[s], and the last time step of each, int, both of shape (dates,).

    A date without a step of its own, as with daily dates of steps of several days, has the step before it.

    Parameters
    ----------
    delta_t_days : float
        Time step [days].
    frequency : str or None
        resample_frequency; None reports every time step.
    """
    step = np.timedelta64(round(delta_t_days * 86_400), "s")
    begins = np.datetime64(start, "s") + np.arange(step_count(start, end, delta_t_days)) * step
    if frequency is None:
        return begins, np.arange(len(begins))
    dates = np.array(reported_days(start, end, delta_t_days, frequency), dtype="datetime64[D]")
    days = begins.astype("datetime64[D]")
    if _LABELLED_BY_FIRST_DAY.fullmatch(frequency):
        interval = np.searchsorted(dates, days, side="right") - 1
    else:
        interval = np.searchsorted(dates, days, side="left")
    last_steps = np.searchsorted(interval, np.arange(len(dates)), side="right") - 1
    return dates.astype("datetime64[s]"), last_steps
