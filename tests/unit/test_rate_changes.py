"""The categories of FluSight's rate changes, at their thresholds."""

import numpy as np
import pytest

from modeling.outputs.hub_table import CATEGORIES, THRESHOLDS, category_probabilities

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
