"""The rows, the regression and the intervals of growth_regression, on data whose answer is known on paper."""

import datetime

import numpy as np
import pytest

from modeling.forecast import intervals, regression, training
from modeling.forecast.features import Features
from modeling.forecast.panel import panel
from modeling.forecast.season_course import season_course
from modeling.forecast.seasons import season_weeks
from modeling.forecast.settings import FitSettings, RowSettings, SpreadSettings
from modeling.forecast_records import WEEK
from modeling.hubs import MEDIAN

FIRST = datetime.date(2022, 2, 5)
NO_LIMIT = FitSettings(ridge=0, most_growth=1e9, most_deviations=1e9)


def series(count: int, unusable: tuple[int, ...] = ()):
    """Two locations whose counts are 10 and 100 in each week but the last, 1000."""
    weeks = season_weeks(FIRST, count)
    counts = np.tile([9.0, 99.0], (count, 1))
    counts[-1] = 999
    is_usable = np.ones(count, dtype=bool)
    is_usable[list(unusable)] = False
    found = panel(counts, ["50", "US"], np.array([10**6, 10**7]), weeks, is_usable)
    return found, Features(found, season_course(found.rates, weeks, [2022], 20))


def dates(origins: np.ndarray) -> list[str]:
    return [str(FIRST + int(each) * WEEK) for each in origins]


def test_origins_are_the_weeks_near_the_same_week_of_other_seasons():
    found, _ = series(104)  # to January 2024

    origins = training.origin_weeks(found, 1, 0, (-14, 26), RowSettings(reach=1, run_in=0))

    # Christmas week is that of 2022-12-31 and 2023-12-30; February 2022 belongs to a season that is cut
    assert dates(origins) == [
        "2022-12-24", "2022-12-31", "2023-01-07", "2023-12-23", "2023-12-30", "2024-01-06",
    ]  # fmt: skip


def test_an_origin_needs_its_target_and_usable_weeks_at_both_ends():
    unusable = (46, 95)  # 2022-12-24 and 2023-12-02
    found, _ = series(100, unusable)  # the newest week is 2023-12-30
    settings = RowSettings(reach=1, run_in=4)

    origins = training.origin_weeks(found, 1, 0, (-14, 26), settings)

    # 2022-12-24 is not usable, 2023-12-30 has no target yet, and 2023-12-30 - 4 weeks is not usable
    assert dates(origins) == ["2022-12-31", "2023-01-07", "2023-12-23"]


def test_summer_never_gives_rows():
    found, _ = series(104)
    settings = RowSettings(reach=8, run_in=0)

    origins = training.origin_weeks(found, 1, 26, (-14, 26), settings)

    from_christmas = found.weeks.from_christmas[origins]
    assert (from_christmas.min(), from_christmas.max()) == (18, 26)


@pytest.mark.parametrize(("week", "centre"), [(-21, -14), (0, 0), (30, 26)])
def test_a_forecast_in_summer_learns_from_the_nearest_weeks_of_the_season(week, centre):
    assert training.window_centre(week, RowSettings()) == centre


def test_rows_have_growth_to_the_target_and_weigh_as_their_count():
    found, features = series(48)

    rows = training.training_rows(found, features, 2, np.array([40, 45]), power=0.5)

    assert len(rows) == 4
    assert rows.growth == pytest.approx([0, 0, np.log(100), np.log(10)])
    assert rows.count.tolist() == [9, 99, 9, 99]
    assert rows.rate == pytest.approx(1)
    assert rows.weight == pytest.approx([10**0.5, 10, 10**0.5, 10])
    assert rows.season.tolist() == [2022] * 4
    assert rows.from_christmas.tolist() == [-7, -7, -2, -2]
    assert rows.is_nation.tolist() == [False, True, False, True]
    assert not rows.is_history.any()


def test_a_row_with_an_unknown_value_is_left_out():
    found, features = series(48)

    assert len(training.training_rows(found, features, 1, np.array([2]), 0.5)) == 0  # no growth of 4 weeks


def test_rows_weigh_less_the_further_they_are_from_the_week_of_the_season():
    found, features = series(104)
    rows = training.training_rows(found, features, 1, np.arange(44, 51), power=0)

    weighted = training.weighted(rows, 0, 1.5, history_weight=0.5)

    weights = dict(zip(rows.from_christmas.tolist(), weighted.weight, strict=True))
    assert set(weights) == {-3, -2, -1, 0, 1, 2, 3}
    assert weights[0] == 1
    assert weights[3] == weights[-3] == pytest.approx(np.exp(-2))


def test_the_mean_row_of_a_history_weighs_its_share_of_a_mean_row():
    found, features = series(104)
    own = training.training_rows(found, features, 1, np.arange(44, 51), power=0.5)
    other = training.training_rows(found, features, 1, np.arange(46, 49), power=1, is_history=True)

    rows = training.weighted(own.joined(other), 0, 3, history_weight=0.5)

    assert rows.weight[rows.is_history].mean() == pytest.approx(0.5 * rows.weight[~rows.is_history].mean())


def test_without_a_penalty_the_regression_is_weighted_least_squares():
    rng = np.random.default_rng(1)
    x, weights = rng.normal(size=(50, 2)), rng.uniform(1, 2, size=50)
    target = 3 + x @ [2.0, -1.0]

    fit = regression.fitted(x, target, weights, np.repeat([0, 1], 25), NO_LIMIT)

    np.testing.assert_allclose(regression.predicted(fit, np.array([[0.0, 0], [1, 1]]), NO_LIMIT), [3, 4])
    np.testing.assert_allclose(fit.residuals, 0, atol=1e-9)


def test_a_ridge_halves_a_coefficient_when_it_is_as_large_as_the_variance():
    x = np.array([[-1.0], [1], [-1], [1]])  # mean 0 and variance 1

    fit = regression.fitted(x, 4 * x[:, 0], np.ones(4), np.arange(4), FitSettings(ridge=1, most_growth=9))

    assert fit.coefficients == pytest.approx([2])
    assert fit.intercept == pytest.approx(0)


def test_residuals_of_a_season_are_those_of_a_regression_without_it():
    rng = np.random.default_rng(2)
    x, target, weights = rng.normal(size=(40, 3)), rng.normal(size=40), rng.uniform(1, 3, size=40)
    season = np.repeat([0, 1, 2, 3], 10)
    settings = FitSettings(ridge=0.1, most_growth=0.8)

    fit = regression.fitted(x, target, weights, season, settings)

    # the refit as a plain least-squares problem: the penalty is rows of its own
    z = np.column_stack([(x - fit.mean) / fit.scale, np.ones(40)])
    for each in range(4):
        rest = season != each
        root = np.sqrt(weights[rest] / weights[rest].sum())
        penalty = np.sqrt(0.1) * np.eye(4)[:3]
        rows = np.vstack([z[rest] * root[:, None], penalty])
        wanted = np.concatenate([np.clip(target[rest], -0.8, 0.8) * root, np.zeros(3)])
        solution = np.linalg.lstsq(rows, wanted, rcond=None)[0]
        np.testing.assert_allclose(fit.residuals[~rest], target[~rest] - z[~rest] @ solution, atol=1e-10)


def test_with_one_season_alone_nothing_is_known_without_it():
    target = np.array([0.5, -0.2, 3.0])

    fit = regression.fitted(np.array([[1.0], [2], [4]]), target, np.ones(3), np.zeros(3), FitSettings())

    np.testing.assert_array_equal(fit.residuals, target)


def test_a_predictor_that_never_varied_does_not_count():
    x = np.column_stack([np.arange(6.0), np.full(6, 7.0)])

    fit = regression.fitted(x, np.arange(6.0), np.ones(6), np.arange(6) % 2, FitSettings())

    assert fit.coefficients[1] == 0


def test_a_forecast_extrapolates_no_further_than_some_deviations_and_an_unknown_predictor_is_the_mean():
    fit = regression.Fit(np.array([1.0, 5]), np.array([2.0, 1]), np.array([1.0, 10]), 0.5, np.empty(0))
    settings = FitSettings(most_deviations=3)

    found = regression.predicted(fit, np.array([[3.0, np.nan], [101, 5], [-99, 5]]), settings)

    np.testing.assert_allclose(found, [1.5, 3.5, -2.5])


def test_weighted_quantiles_of_equal_weights_are_the_usual_ones():
    values = np.arange(100.0)

    found = intervals.weighted_quantiles(values, np.ones(100))

    np.testing.assert_allclose(found, 100 * intervals.LEVELS - 0.5)


def test_a_value_with_all_weight_is_every_quantile():
    found = intervals.weighted_quantiles(np.array([-1.0, 2, 5]), np.array([0, 1.0, 0]))

    assert found[MEDIAN] == 2


def spread(errors, counts, is_nation, own_counts, own_is_nation, **settings) -> np.ndarray:
    return intervals.error_quantiles(
        np.array(errors, dtype=float),
        np.log(np.array(counts, dtype=float)),
        np.array(is_nation),
        np.ones(len(errors)),
        np.log(np.array(own_counts, dtype=float)),
        np.array(own_is_nation),
        SpreadSettings(**settings),
    )


def test_errors_count_where_counts_were_similar():
    small, large = np.linspace(-1, 1, 101), np.linspace(-0.1, 0.1, 101)

    found = spread([*small, *large], [10] * 101 + [10_000] * 101, [False] * 202, [10, 10_000], [False] * 2)

    assert found[0, -1] == pytest.approx(0.9898)  # 0.49 of a step of 0.02 above the second highest
    assert found[1, -1] == pytest.approx(0.09898)


def test_the_nation_has_its_own_errors_and_a_state_hardly_those_of_the_nation():
    state, nation = np.linspace(-1, 1, 101), np.linspace(-0.1, 0.1, 101)
    settings = {"state_for_nation": 1e-9, "nation_for_state": 1e-9}

    found = spread(
        [*state, *nation], [1000] * 202, [False] * 101 + [True] * 101, [1000] * 2, [False, True], **settings
    )

    assert found[:, -1] == pytest.approx([0.9898, 0.09898])


def test_a_count_unlike_any_before_takes_the_errors_of_the_nearest_counts():
    found = spread([-1, 0, 1], [1, 1, 1], [False] * 3, [1e9], [False])

    assert np.isfinite(found).all()
    assert found[0, MEDIAN] == 0


@pytest.mark.parametrize(
    ("seasons", "share"),
    [
        pytest.param(1, 1, id="one cannot be left out"),
        pytest.param(2, (1.5 / 2) ** 0.5, id="two"),
        pytest.param(4, (1.25 / (4 / 3)) ** 0.5, id="four"),
    ],
)
def test_errors_of_a_new_season_are_smaller_than_those_of_a_season_left_out(seasons, share):
    assert intervals.share_of_left_out(seasons) == pytest.approx(share)


def test_half_of_the_median_error_is_taken_off():
    quantiles = np.linspace(0, 2, 23)[None, :]

    found = intervals.nearer_to_zero(quantiles, 0.5)

    assert found[0, MEDIAN] == 0.5
    np.testing.assert_allclose(np.diff(found), np.diff(quantiles))
