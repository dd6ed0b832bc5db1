"""Weeks of a season, and its holidays, are computed from the date."""

import datetime

import pytest

from modeling.forecast.seasons import christmas_week, season_weeks, thanksgiving_week

DAY = datetime.date.fromisoformat


@pytest.mark.parametrize(
    ("season", "christmas", "thanksgiving"),
    [
        (2010, "2010-12-25", "2010-11-27"),  # Christmas is a Saturday
        (2016, "2016-12-31", "2016-11-26"),  # Christmas is a Sunday
        (2022, "2022-12-31", "2022-11-26"),
        (2023, "2023-12-30", "2023-11-25"),  # five weeks apart; in other years four
        (2024, "2024-12-28", "2024-11-30"),
        (2033, "2033-12-31", "2033-11-26"),
    ],
)
def test_holidays_are_in_the_week_that_ends_on_the_saturday_after_them(season, christmas, thanksgiving):
    assert christmas_week(season) == DAY(christmas)
    assert thanksgiving_week(season) == DAY(thanksgiving)


def test_weeks_are_counted_from_both_holidays_of_their_season():
    weeks = season_weeks(DAY("2023-11-25"), 7)

    assert weeks.from_thanksgiving.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert weeks.from_christmas.tolist() == [-5, -4, -3, -2, -1, 0, 1]
    assert weeks.season.tolist() == [2023] * 7


def test_a_new_season_is_counted_from_its_own_christmas():
    weeks = season_weeks(DAY("2025-07-26"), 2)

    assert weeks.season.tolist() == [2024, 2025]
    assert weeks.from_christmas.tolist() == [30, -21]
