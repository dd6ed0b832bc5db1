"""The engine reports the dates, and counts the steps, that pandas finds by resampling."""

import datetime
import random

import numpy as np
import pandas as pd
import pytest

from modeling.calendars import WEEKDAYS, step_count
from modeling.engine.reporting import reported_steps

FREQUENCIES = [None, "D", "2D", "7D", "W", "MS", "ME", "2W-SAT", "5W-WED", *(f"W-{day}" for day in WEEKDAYS)]
FIRST = datetime.date(2024, 1, 1)
DAYS = (1, 2, 7, 8, 30, 150)


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_dates_and_last_steps_are_those_of_pandas(frequency):
    rng = random.Random(str(frequency))
    for delta_t in (0.25, 1 / 3, 0.5, 1, 2, 5, 7):
        for days in DAYS:
            start = FIRST + datetime.timedelta(days=rng.randrange(800))
            end = start + datetime.timedelta(days=days - 1)

            dates, last_steps = reported_steps(start, end, delta_t, frequency)

            wanted = resampled(start, step_count(start, end, delta_t), delta_t, frequency)
            np.testing.assert_array_equal(dates, wanted.index.to_numpy(), err_msg=f"{start} {delta_t}")
            np.testing.assert_array_equal(last_steps, wanted.to_numpy(), err_msg=f"{start} {delta_t}")


def resampled(start: datetime.date, steps: int, delta_t: float, frequency: str | None) -> pd.Series:
    """Return the last step of each date, by date."""
    begins = pd.Timestamp(start) + np.arange(steps) * pd.Timedelta(seconds=round(delta_t * 86_400))
    numbers = pd.Series(np.arange(steps), index=begins)
    return numbers if frequency is None else numbers.resample(frequency).last().ffill().astype(int)
