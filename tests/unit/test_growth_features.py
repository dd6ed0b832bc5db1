"""The rates and predictors of growth_regression, on series whose values are known on paper."""

import datetime

import numpy as np
import pytest

from modeling.forecast.features import Features, calendar_features, growth_over, location_features
from modeling.forecast.history import between_known, history_panel, pseudo_rates
from modeling.forecast.panel import counts_of, log_rates, panel, summed_rates
from modeling.forecast.season_course import complete_seasons, season_course
from modeling.forecast.seasons import SeasonWeeks, season_weeks
from modeling.forecast.settings import HistorySettings
from modeling.forecast_records import History

NAN = np.nan


def weeks_of(season: list[int], from_christmas: list[int]) -> SeasonWeeks:
    return SeasonWeeks(np.array(season), np.array(from_christmas), np.array(from_christmas) + 4)


def panel_of(counts: np.ndarray, locations: list[str], people: list[int], from_christmas: int = 0):
    weeks = weeks_of([2024] * len(counts), list(range(from_christmas, from_christmas + len(counts))))
    return panel(
        np.array(counts, dtype=float), locations, np.array(people), weeks, np.ones(len(counts), bool)
    )


def test_a_rate_is_per_100_000_people_of_one_more_admission_and_back():
    rates = log_rates(np.array([[9.0, 0.0]]), np.array([1_000_000, 50_000]))

    np.testing.assert_allclose(np.exp(rates), [[1, 2]])
    np.testing.assert_allclose(counts_of(rates, np.array([1_000_000, 50_000])), [[9, 0]], atol=1e-12)
    assert counts_of(np.array([-20.0]), np.array([1000])) == [0]


def test_the_nation_has_the_rate_of_its_own_row():
    found = panel_of([[4, 9, 99]], ["25", "50", "US"], [100_000, 100_000, 1_000_000])

    np.testing.assert_allclose(np.exp(found.nation), [[10, 10, 10]])
    assert found.nation_column == 2


def test_without_its_row_the_nation_is_the_sum_of_the_locations_that_report():
    found = panel_of([[4, 5, NAN], [4, 5, 10]], ["25", "50", "42"], [100_000, 100_000, 300_000])

    np.testing.assert_allclose(np.exp(found.nation), [[5, 5, 5], [4, 4, 4]])
    assert found.nation_column is None


def test_a_week_without_a_count_of_the_nation_has_the_sum_too():
    found = panel_of([[4, 5, NAN], [4, 5, 99]], ["25", "50", "US"], [100_000, 100_000, 1_000_000])

    np.testing.assert_allclose(np.exp(found.nation), [[5, 5, 5], [10, 10, 10]])
    assert np.isnan(found.rates[0, 2])


def test_a_region_is_the_sum_of_its_states_and_an_unknown_location_has_the_nations():
    # Massachusetts and Vermont are in region 1, Pennsylvania in region 3
    found = panel_of([[4, 5, 19, 7, 99]], ["25", "50", "42", "XX", "US"], [100_000] * 4 + [1_000_000])

    np.testing.assert_allclose(np.exp(found.region), [[5, 5, 20, 10, 10]])


def test_a_rate_of_no_location_is_unknown():
    assert np.isnan(summed_rates(np.array([[NAN, NAN]]), np.array([1, 1]))).all()


def test_growth_is_the_mean_change_a_week():
    growth = growth_over(np.array([[0.0], [1], [4], [9]]), 2)

    np.testing.assert_array_equal(growth, [[NAN], [NAN], [2], [4]])


def test_a_season_is_compared_with_its_maximum_so_far_and_its_total_with_earlier_seasons():
    weeks = weeks_of([2022] * 3 + [2023] * 3, [-1, 0, 1] * 2)
    rates = np.array([1.0, 4, 2, 2, 1, 8])

    course = season_course(np.log(rates)[:, None], weeks, [2022], 1)

    np.testing.assert_allclose(np.exp(course.below_maximum[:, 0]), [1, 1, 0.5, 1, 0.5, 1])
    np.testing.assert_allclose(np.exp(course.share_of_past_total[3:, 0]), [2.1 / 7.1, 3.1 / 7.1, 11.1 / 7.1])


def test_earlier_seasons_are_averaged_and_later_ones_left_out():
    weeks = weeks_of([2021, 2022, 2023, 2024], [0] * 4)
    rates = np.array([2.0, 8, 50, 4])

    course = season_course(np.log(rates)[:, None], weeks, [2021, 2022, 2023], 1)

    # the first has none before it and is compared with the two others
    expected = [2.1 / 29.1, 8.1 / 2.1, 50.1 / 5.1, 4.1 / 20.1]
    np.testing.assert_allclose(np.exp(course.share_of_past_total[:, 0]), expected)


def test_the_only_past_season_is_compared_with_itself():
    weeks = weeks_of([2022] * 2 + [2023], [0, 1, 0])

    course = season_course(np.log([1.0, 3, 2])[:, None], weeks, [2022], 1)

    np.testing.assert_allclose(np.exp(course.share_of_past_total[:, 0]), [1.1 / 4.1, 1, 2.1 / 4.1])


def test_a_location_without_a_past_season_is_compared_with_the_mean_of_the_others():
    weeks = weeks_of([2022, 2023], [0, 0])
    rates = np.array([[1.9, 3.9, NAN], [0.9, 1.9, 2.9]])

    course = season_course(np.log(rates), weeks, [2022], 1)

    np.testing.assert_allclose(np.exp(course.share_of_past_total[1]), [1 / 2, 2 / 4, 3 / 3])


def test_a_season_of_few_weeks_has_no_total_to_compare_with():
    weeks = weeks_of([2021] + [2022] * 2 + [2023], [0, 0, 1, 0])

    course = season_course(np.log([5.0, 3, 4, 2])[:, None], weeks, [2021, 2022], 2)

    np.testing.assert_allclose(np.exp(course.share_of_past_total[3]), [2.1 / 7.1])


def test_with_no_past_season_nothing_is_known_of_one():
    course = season_course(np.zeros((1, 2)), weeks_of([2022], [0]), [], 1)

    assert np.isnan(course.share_of_past_total).all()
    assert (course.below_maximum == 0).all()


def test_a_season_counts_as_past_if_it_is_there_from_october_on():
    weeks = season_weeks(datetime.date(2022, 2, 5), 150)  # to December 2024

    assert complete_seasons(weeks, -10, 2024) == [2022, 2023]


def test_the_calendar_marks_origin_and_target_of_the_holidays():
    weeks = season_weeks(datetime.date(2024, 11, 30), 5)  # Thanksgiving to Christmas

    found = calendar_features(weeks, steps=2)

    assert found["origin Thanksgiving"].tolist() == [1, 0, 0, 0, 0]
    assert found["origin Christmas + 0"].tolist() == [0, 0, 0, 0, 1]
    assert found["target Christmas + 0"].tolist() == [0, 0, 1, 0, 0]
    assert found["target Christmas + 1"].tolist() == [0, 0, 0, 1, 0]
    assert found["target Christmas + 2"].tolist() == [0, 0, 0, 0, 1]
    assert found["season -2"][2] == 1  # two weeks before Christmas, the top of its bump
    assert found["season 2"][2] == pytest.approx(np.exp(-0.5 * (4 / 3) ** 2))


def test_predictors_are_of_the_location_the_region_and_the_nation():
    data = panel_of(
        [[9, 9, 99], [19, 9, 99], [39, 9, 199]], ["25", "42", "US"], [10**6, 10**6, 10**7], from_christmas=-3
    )
    course = season_course(data.rates, data.weeks, [], 1)

    found = location_features(data, course)

    assert found["growth, 1 week"][2, 0] == pytest.approx(np.log(2))
    assert found["growth, 2 weeks"][2, :2] == pytest.approx([np.log(4) / 2, 0])
    assert found["nation's growth, 2 weeks"][2, 1] == pytest.approx(np.log(2) / 2)
    assert found["region's growth, 2 weeks"][2, 0] == pytest.approx(np.log(4) / 2)
    assert found["inverse count"][2, 0] == 1 / 40
    assert found["rate"][2] == pytest.approx(np.log([4, 1, 2]))
    assert found["nation's rate"][2] == pytest.approx(np.log([2, 2, 2]))
    np.testing.assert_array_equal(found["growth before Christmas"][2], found["growth, 2 weeks"][2])


def test_what_is_meant_for_the_growing_season_is_zero_from_christmas_on():
    data = panel_of([[9], [19], [39]], ["25"], [10**6], from_christmas=-2)

    found = location_features(data, season_course(data.rates, data.weeks, [], 1))

    assert found["rate before Christmas"][:, 0] == pytest.approx([0, np.log(2), 0])


def test_a_row_of_predictors_joins_those_of_the_week_and_of_the_location():
    data = panel_of(np.arange(14).reshape(7, 2), ["25", "42"], [10**6, 10**6], from_christmas=-3)
    course = season_course(data.rates, data.weeks, [], 1)

    found = Features(data, course).at(np.array([4, 6]), steps=2)

    calendar, own = calendar_features(data.weeks, 2), location_features(data, course)
    assert found.shape == (2, 2, len(calendar) + len(own))
    expected = [each[6] for each in calendar.values()] + [each[6, 1] for each in own.values()]
    np.testing.assert_array_equal(found[1, 1], expected)


def test_a_history_is_put_on_the_scale_of_admissions():
    season = np.repeat([2010, 2011], 11)
    values = np.concatenate([1 + np.arange(11.0), 1 + 3 * np.arange(11.0)])[:, None]

    rates = pseudo_rates(values, season, HistorySettings(floor_quantile=0.3, peak_rate=13))

    # the 30 % quantile is the fourth value; above it the peaks are 7 and 21, 14 on average
    assert rates[:4].max() == 0
    assert rates[10, 0] == pytest.approx(13 * 7 / 14)
    assert rates[21, 0] == pytest.approx(13 * 21 / 14)


def test_a_location_that_lacks_seasons_of_the_history_is_scaled_by_those_it_has():
    season = np.repeat([2010, 2011], 4)
    values = np.array([[NAN, NAN]] * 4 + [[0, NAN], [0, NAN], [2, NAN], [4, NAN]])

    rates = pseudo_rates(values, season, HistorySettings(floor_quantile=0, peak_rate=13))

    assert rates[7, 0] == 13
    assert np.isnan(rates[:, 1]).all()


def test_missing_weeks_of_a_history_lie_on_a_line():
    np.testing.assert_array_equal(between_known(np.array([[NAN], [1], [NAN], [3]])), [[NAN], [1], [2], [3]])


def test_a_history_is_not_interpolated_over_a_season_that_it_skips():
    values = np.ones((60, 1))
    values[2:28] = values[30:57] = NAN  # 26 and 27 weeks

    assert np.flatnonzero(np.isnan(between_known(values)[:, 0])).tolist() == list(range(30, 57))


def test_a_history_ends_before_the_season_of_the_forecast():
    first = datetime.date(2018, 8, 4)
    history = History(first, ["50", "XX"], np.tile(np.arange(104.0)[:, None], 2))  # until July 2020

    found = history_panel(history, 2019, {"50": 600_000}, HistorySettings())

    assert found.weeks.season.tolist() == [2018] * 52
    assert found.people.tolist() == [600_000]  # XX is not known
    assert found.is_usable.tolist() == [False] * 52  # its first 60 weeks
    assert history_panel(history, 2018, {"50": 600_000}, HistorySettings()) is None


def test_the_people_of_a_location_of_the_history_alone_are_those_of_the_hub():
    history = History(datetime.date(2018, 8, 4), ["50"], np.arange(52.0)[:, None])

    assert history_panel(history, 2019, {}, HistorySettings()).people.tolist() == [648493]
