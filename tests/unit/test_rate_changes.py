"""The categories of FluSight's rate changes, at their thresholds."""

import numpy as np
import pytest

from modeling.hubs import QUANTILES
from modeling.outputs.rate_changes import (
    CATEGORIES,
    THRESHOLDS,
    category_probabilities,
    cumulative_shares,
    probabilities_from_quantiles,
)

PEOPLE = 10_000_000  # 0.3 per 100,000 of them are 30


@pytest.mark.parametrize(
    ("horizon", "stable_below", "large_from"), [(0, 30, 170), (1, 50, 300), (2, 70, 400), (3, 100, 500)]
)
def test_a_change_that_equals_a_threshold_is_above_it(horizon, stable_below, large_from):
    def category(change: float) -> str:
        found = category_probabilities(np.array([change]), PEOPLE, horizon)
        return next(name for name, share in found.items() if share == 1)

    assert [category(change) for change in (0, stable_below - 1, 1 - stable_below)] == ["stable"] * 3
    assert [category(change) for change in (stable_below, large_from - 1)] == ["increase"] * 2
    assert [category(-change) for change in (stable_below, large_from - 1)] == ["decrease"] * 2
    assert category(large_from) == "large_increase"
    assert category(-large_from) == "large_decrease"


def test_fewer_than_ten_people_are_stable_in_a_small_place():
    changes = np.array([-10, -9, -9.5, 0, 9, 10])

    found = category_probabilities(changes, 100_000, horizon=0)  # where 1.7 people would be a large change

    assert list(found) == CATEGORIES
    assert found == pytest.approx(
        {"large_decrease": 1 / 6, "decrease": 0, "stable": 4 / 6, "increase": 0, "large_increase": 1 / 6}
    )


def test_every_trajectory_is_in_one_category():
    changes = np.arange(-700, 701)

    for horizon in THRESHOLDS:
        assert sum(category_probabilities(changes, PEOPLE, horizon).values()) == pytest.approx(1, abs=1e-12)


def from_quantiles(values: np.ndarray, before: float, people: int) -> np.ndarray:
    """Return the probabilities of one location, shape (4, 5), from the same quantiles at each horizon."""
    repeated = np.broadcast_to(values, (len(THRESHOLDS), 1, len(QUANTILES)))
    return probabilities_from_quantiles(repeated, np.array([before]), np.array([people]))[:, 0]


@pytest.mark.parametrize("people", [PEOPLE, 648_493, 100_000, 5_157_699, 340_110_988])
@pytest.mark.parametrize("before", [0, 7, 950, 20_000])
def test_a_forecast_without_spread_is_in_the_category_of_its_change(people, before):
    limits = {max(10, -(-tenths * people // 1_000_000)) for pair in THRESHOLDS.values() for tenths in pair}
    changes = {sign * (limit + step) for sign in (-1, 1) for limit in limits for step in (-1, 0, 1)}

    for change in sorted(c for c in changes | {0} if before + c >= 0):
        found = from_quantiles(np.full(len(QUANTILES), before + change), before, people)
        for horizon, shares in enumerate(found):
            right = category_probabilities(np.array([change]), people, horizon)
            assert shares.tolist() == list(right.values()), (change, horizon)


@pytest.mark.parametrize(
    ("draw", "before", "tolerance"),
    [
        (lambda rng: rng.poisson(40, 20_000), 35, 0.015),
        (lambda rng: rng.negative_binomial(5, 0.02, 20_000), 200, 0.01),
        (lambda rng: np.rint(rng.lognormal(7, 0.5, 20_000)), 900, 0.01),
        # quantiles of few different counts say no more than half the distance of the levels
        (lambda rng: rng.poisson(2, 20_000), 14, 0.025),
    ],
    ids=["Poisson", "negative binomial", "lognormal", "few"],
)
def test_probabilities_from_quantiles_are_close_to_the_shares_of_the_sample(draw, before, tolerance):
    counts = draw(np.random.default_rng(3))
    quantiles = np.rint(np.quantile(counts, QUANTILES))

    found = from_quantiles(quantiles, before, 2_000_000)

    for horizon, shares in enumerate(found):
        right = category_probabilities(counts - before, 2_000_000, horizon)
        assert shares.tolist() == pytest.approx(list(right.values()), abs=tolerance)


def test_probabilities_from_quantiles_are_whole_millionths_that_sum_to_one():
    rng = np.random.default_rng(5)
    values = np.sort(rng.integers(0, 3_000, (4, 50, 23)), axis=-1).astype(float)

    found = probabilities_from_quantiles(values, rng.integers(0, 3_000, 50), np.full(50, 4_000_000))

    millionths = np.rint(found * 1e6)
    assert found == pytest.approx(millionths / 1e6, abs=1e-15)
    assert (millionths >= 0).all()
    assert (millionths.sum(axis=-1) == 1_000_000).all()


def test_a_distribution_is_linear_between_its_quantiles_and_has_exponential_tails():
    values = 100 + 1_000 * np.array(QUANTILES)  # 110 at 0.01, 125 at 0.025, 1,075 at 0.975, 1,090 at 0.99

    counts = np.array([-0.5, 95, 110, 117.5, 350, 1_090, 1_105, 1_120])

    # a tail falls to 0.4 of itself (0.01 of 0.025) within the 15 between its two outermost quantiles
    right = [0, 0.004, 0.01, 0.0175, 0.25, 0.99, 0.996, 0.9984]
    assert cumulative_shares(values, counts) == pytest.approx(right, abs=1e-12)


def test_a_distribution_whose_outermost_quantiles_are_equal_has_no_tail():
    values = np.array([0.0] * 20 + [1, 2, 2])

    assert cumulative_shares(values, np.array([-0.5, 0.5, 1.5, 2.5])).tolist() == pytest.approx(
        [0, 0.925, 0.9625, 1]
    )
