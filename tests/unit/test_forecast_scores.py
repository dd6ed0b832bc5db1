"""Scores of quantile forecasts, on values that are known on paper, and their means beside a baseline."""

import datetime
import os

import numpy as np
import pytest

from modeling.evaluation.comparison import MeanScores
from modeling.evaluation.hub_files import Forecasts
from modeling.evaluation.processes import in_parallel
from modeling.evaluation.request import read_observations
from modeling.evaluation.scores import LEVELS, Scores, score, wis
from modeling.evaluation.summary import season_name, summarised
from modeling.evaluation.tables import ratio_text
from modeling.failures import TemporaryFault, UserError
from modeling.outputs.quantiles import is_inside

DATE = np.datetime64("2025-01-11")
UNIFORM = 100 * LEVELS  # quantiles of a uniform distribution from 0 to 100


def one_forecast(quantiles: np.ndarray, horizon: int = 1, location: str = "25") -> Forecasts:
    return Forecasts(
        np.array([DATE]), np.array([horizon]), np.array([location], dtype=object), np.atleast_2d(quantiles)
    )


def scores_of(wis_by_location: dict[str, float], date: np.datetime64 = DATE, inside: float = 1.0) -> Scores:
    values = np.array(list(wis_by_location.values()), dtype=float)
    return Scores(
        np.full(len(values), date),
        np.zeros(len(values), dtype=int),
        np.array(list(wis_by_location), dtype=object),
        np.zeros(len(values)),
        values,
        values / 100,
        values,
        np.full(len(values), inside),
        np.full(len(values), inside),
    )


@pytest.mark.parametrize(("observed", "expected"), [(50, 7.4657), (120, 49.5091)])
def test_the_score_of_uniform_quantiles_is_that_of_the_interval_form(observed, expected):
    alpha = 2 * LEVELS[:11]
    widths, overshoot = 100 * (1 - alpha), np.maximum(observed - 100 * (1 - alpha / 2), 0)
    intervals = alpha / 2 * widths + overshoot
    by_hand = (0.5 * abs(observed - 50) + intervals.sum()) / 11.5

    found = wis(UNIFORM[None, :], np.array([observed]))[0]

    assert found == pytest.approx(by_hand)
    assert found == pytest.approx(expected, abs=5e-5)


def test_a_forecast_of_one_number_scores_its_absolute_error():
    assert wis(np.full((1, 23), 10.0), np.array([7.0]))[0] == pytest.approx(3)


@pytest.mark.parametrize(
    ("observed", "share", "expected"),
    [(25, 0.5, True), (24.9, 0.5, False), (75, 0.5, True), (2.5, 0.95, True), (97.6, 0.95, False)],
)
def test_an_observation_on_the_bound_of_an_interval_is_inside(observed, share, expected):
    assert is_inside(UNIFORM[None, :], np.array([observed]), share)[0] == expected


def test_a_forecast_is_scored_against_the_count_of_its_own_week():
    week = datetime.date(2025, 1, 18)  # of horizon 1

    found = score(one_forecast(np.full(23, 99.0)), {(week, "25"): 0.0})

    assert found.wis[0] == pytest.approx(99)
    assert found.wis_log[0] == pytest.approx(np.log(100))
    assert (found.error[0], found.in50[0], found.in95[0]) == (99, 0, 0)


def test_a_week_that_is_not_observed_has_no_score():
    assert len(score(one_forecast(UNIFORM), {(datetime.date(2025, 1, 11), "25"): 3.0})) == 0


@pytest.mark.parametrize(
    ("day", "season"),
    [
        ("2024-11-23", "2024-25"),
        ("2025-07-26", "2024-25"),
        ("2025-08-02", "2025-26"),
        ("1999-12-25", "1999-00"),
    ],
)
def test_a_season_begins_in_august(day, season):
    assert season_name(datetime.date.fromisoformat(day)) == season


def test_the_ratio_is_that_of_the_means_over_common_forecasts_of_the_states():
    ours = scores_of({"25": 10, "50": 30, "06": 500, "US": 1000})
    baseline = scores_of({"25": 20, "50": 20, "US": 4000})

    summary = summarised({"ours": ours, "FluSight-baseline": baseline, "random_walk": ours}, "random_walk")

    states = summary.whole("2024-25", "ours")
    assert states.baseline == "FluSight-baseline"
    assert states.rel_wis == pytest.approx(40 / 40)  # not the mean of 10/20 and 30/20, and without 06
    assert (states.forecasts, states.common) == (3, 2)
    assert states.wis == pytest.approx(540 / 3)
    assert summary.whole("2024-25", "ours", "US").rel_wis == pytest.approx(0.25)


def test_a_season_without_the_hubs_baseline_has_our_own():
    walk = scores_of({"25": 20})

    summary = summarised({"ours": scores_of({"25": 10}), "random_walk": walk}, "random_walk")

    assert summary.baselines == {"2024-25": "random_walk"}
    assert summary.whole("2024-25", "ours").rel_wis == pytest.approx(0.5)
    assert summary.worse_weeks("2024-25", "ours") == []


def test_means_that_are_ready_count_as_many_forecasts_as_they_have():
    ours = scores_of({"25": 10})

    def columns(*values: float) -> np.ndarray:
        return np.array(values)

    means = MeanScores(
        dates=np.array([DATE, DATE]),
        horizons=np.array([0, 1]),
        counts=columns(50, 10),
        common_counts=columns(50, 10),
        wis=columns(2, 8),
        wis_log=columns(1, 1),
        error=columns(1, 1),
        in50=columns(0.4, 1),
        in95=columns(1, 1),
        base_wis=columns(4, 8),
        base_wis_log=columns(1, 1),
        ratio=columns(0.5, 1),
        ratio_log=columns(1, 1),
    )
    models = {"ours": ours, "peer": means, "FluSight-baseline": ours, "random_walk": ours}

    line = summarised(models, "random_walk").whole("2024-25", "peer")

    assert line.forecasts == 60
    assert line.wis == pytest.approx(3)
    assert line.cov50 == pytest.approx(0.5)
    assert line.rel_wis == pytest.approx((50 * 2 + 10 * 8) / (50 * 4 + 10 * 8))


def end_if_odd(number: int) -> int:
    if number % 2:
        os._exit(9)
    return number


def test_results_come_in_the_order_of_the_items_whatever_the_number_of_processes():
    assert (
        list(in_parallel(abs, range(-5, 0), 3)) == [5, 4, 3, 2, 1] == list(in_parallel(abs, range(-5, 0), 1))
    )


def test_a_process_that_is_killed_is_a_temporary_fault():
    with pytest.raises(TemporaryFault, match="a process was killed, perhaps for memory"):
        list(in_parallel(end_if_odd, range(4), 2))


def test_the_worst_dates_come_first():
    second = np.datetime64("2025-01-18")
    parts = [scores_of({"25": 30}), scores_of({"25": 50}, second)]
    ours = Scores(*(np.concatenate(pair) for pair in zip(*(vars(p).values() for p in parts), strict=True)))
    parts = [scores_of({"25": 20}), scores_of({"25": 20}, second)]
    walk = Scores(*(np.concatenate(pair) for pair in zip(*(vars(p).values() for p in parts), strict=True)))

    worse = summarised({"ours": ours, "random_walk": walk}, "random_walk").worse_weeks("2024-25", "ours")

    assert [(line.key, line.rel_wis) for line in worse] == [("2025-01-18", 2.5), ("2025-01-11", 1.5)]


def test_a_ratio_that_is_not_one_is_not_shown_as_one():
    ratios = [0.456, 0.996, 1.0, 1.003, 1.25, float("nan")]

    assert [ratio_text(each) for each in ratios] == ["0.46", "0.996", "1.00", "1.003", "1.25", "–"]


def test_counts_to_score_against_are_read_as_surveillance_data_are(tmp_path):
    counts = tmp_path / "counts.csv"
    counts.write_text("date,location,value\n2025-01-11,6,12\n2025-01-11,50,NA\n2025-01-11,GU,7\n")

    assert read_observations(counts) == {(datetime.date(2025, 1, 11), "06"): 12}

    counts.write_text("date,location,value\n2025-01-11,06,-3\n")
    with pytest.raises(UserError, match=r'counts.csv:2: "-3" is not a number from 0 on'):
        read_observations(counts)
