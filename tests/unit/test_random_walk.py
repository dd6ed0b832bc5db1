"""The method random_walk on series whose spread is known on paper."""

import datetime

import numpy as np

from modeling.forecast.random_walk import forecast
from modeling.forecast_records import WEEK, Surveillance
from modeling.hubs import QUANTILES

FIRST = datetime.date(2024, 11, 2)
LOW, MEDIAN, HIGH = 0, QUANTILES.index(0.5), -1
PEOPLE = np.array([1_000_000, 1_000_000])


def values_of(counts: np.ndarray, people: np.ndarray = PEOPLE) -> np.ndarray:
    reference = FIRST + len(counts) * WEEK
    known = Surveillance(reference, reference - datetime.timedelta(days=3), FIRST, counts, [])
    return forecast(known, ["25", "50"], people, None).quantiles.values


def test_the_spread_of_a_location_that_is_behind_is_that_of_its_last_known_week():
    steps = np.array([10.0, 20, 10, 20, 10, 20, 10, 20]) - 1  # changes of log 2, up and down
    counts = np.stack([steps, steps], axis=1)
    counts[-3:, 1] = np.nan  # 19 weeks before, then 9 is the newest count: three weeks behind

    values = values_of(np.where(np.isnan(counts), np.nan, counts))

    up_to_date, behind = values[:, 0, HIGH] + 1, values[:, 1, HIGH] + 1
    assert up_to_date[:2].tolist() == [20, 40]  # 0 weeks after the newest count, and 1
    np.testing.assert_allclose(np.log2(behind[:2] / 10), np.sqrt([3, 4]), atol=0.05)
    assert values[0, 1, LOW] < values[0, 1, MEDIAN] == 9


def test_no_quantile_reaches_the_people_of_the_place():
    counts = np.array([[10.0, 5], [900, 5], [10, 5], [900, 5]])

    values = values_of(counts, np.array([1000, 1000]))

    assert values[:, 0].max() == 999


def test_a_location_that_reports_every_fourth_week_has_half_of_its_change_a_week():
    counts = np.full((13, 2), np.nan)
    counts[:, 0] = 9
    counts[::4, 1] = np.array([16.0, 256, 16, 256]) - 1  # changes of log 16 in four weeks

    values = values_of(counts)

    assert values[1, 1, HIGH] + 1 == 256 * 4
