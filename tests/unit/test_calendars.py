"""The dates worked out without pandas are those of epydemix's resampling."""

import datetime

import numpy as np
import pandas as pd
import pytest
from epydemix.utils import compute_simulation_dates

from modeling.calendars import interval_end, reported_dates


@pytest.mark.parametrize("frequency", [None, "D", "3D", "7D", "W", "W-SAT", "1W-WED", "MS", "ME"])
@pytest.mark.parametrize("delta_t_days", [1, 0.5, 1 / 3, 0.1, 1 / 24, 2, 7])
@pytest.mark.parametrize("start", ["2025-01-05", "2024-12-31", "2024-02-29"])
def test_reported_dates_are_those_of_pandas(frequency, delta_t_days, start):
    first = datetime.date.fromisoformat(start)
    for length in (0, 1, 6, 7, 8, 40, 91):
        last = first + datetime.timedelta(days=length)
        until = pd.Timestamp(last) + pd.Timedelta(days=max(0, 1 - delta_t_days))  # the last step's begin
        until += pd.Timedelta(seconds=1)  # 1.9 / 0.1 is below 19
        steps = compute_simulation_dates(pd.Timestamp(first), until, dt=delta_t_days)
        resampled = steps if frequency is None else pd.Series(0, steps).resample(frequency).last().index

        ours = reported_dates(first, last, delta_t_days, frequency)

        assert np.array_equal(ours, np.asarray(resampled, dtype="datetime64[s]")), last


@pytest.mark.parametrize("delta_t_days", [1, 0.5, 0.25, 1 / 3, 0.1, 1 / 24, 1 / 96])
def test_every_day_has_all_its_steps(delta_t_days):
    first = datetime.date(2025, 1, 5)
    for length in (0, 1, 30, 120):
        times = reported_dates(first, first + datetime.timedelta(days=length), delta_t_days, None)

        days, steps = np.unique(times.astype("datetime64[D]"), return_counts=True)

        assert len(days) == length + 1
        assert set(steps) == {round(1 / delta_t_days)}


@pytest.mark.parametrize(
    ("day", "frequency", "end"),
    [
        ("2025-02-01", None, "2025-02-01"),
        ("2025-02-01", "W-SAT", "2025-02-01"),
        ("2025-02-01", "7D", "2025-02-07"),
        ("2024-02-01", "MS", "2024-02-29"),
        ("2024-02-29", "ME", "2024-02-29"),
    ],
)
def test_an_interval_ends_on_its_last_day(day, frequency, end):
    assert interval_end(datetime.date.fromisoformat(day), frequency).isoformat() == end
