"""Everybody is somewhere on the first day, in whole people, and nobody is twice."""

import numpy as np
import pytest

from modeling.failures import UserError
from modeling.initial import InfeasibleDraw, initial_people

SIZES = np.array([10, 30, 60])


def people(initial: dict, draw: dict | None = None, sizes=SIZES) -> dict[str, list[int]]:
    placed = initial_people(initial, np.asarray(sizes), draw or {})
    assert sum(placed.values()).tolist() == list(sizes)
    assert all(p.dtype.kind == "i" and (p >= 0).all() for p in placed.values())
    return {compartment: p.tolist() for compartment, p in placed.items()}


def test_a_count_is_spread_by_the_size_of_the_age_groups():
    assert people({"S": "default", "I": 20})["I"] == [2, 6, 12]


def test_a_count_keeps_its_total_when_it_is_rounded():
    assert people({"S": "default", "I": 5})["I"] == [1, 1, 3]  # 0.5, 1.5, 3: the first of equal remainders
    assert people({"S": "default", "I": 1})["I"] == [0, 0, 1]
    assert sum(people({"S": "default", "I": 7})["I"]) == 7


def test_a_share_is_taken_from_every_age_group():
    assert people({"S": "default", "R": 0.25})["R"] == [3, 7, 15]  # 2.5, 7.5, 15: 25 people


def test_a_small_share_keeps_its_total_over_the_age_groups():
    sizes = [30_000, 90_000, 250_000, 130_000, 140_000]

    assert people({"S": "default", "I": 9.4e-6}, sizes=sizes)["I"] == [0, 1, 3, 1, 1]  # 6.0 people
    assert people({"S": "default", "I": [9.4e-6] * 5}, sizes=sizes)["I"] == [0, 1, 3, 1, 1]
    assert sum(people({"S": "default", "I": "sampled"}, {"I": 9.4e-6}, sizes)["I"]) == 6


@pytest.mark.parametrize("share", [0, 1e-9, 7e-7, 8e-7, 1e-5, 0.0031, 0.1, 1 / 3, 0.5, 0.999999])
def test_a_share_of_the_people_is_that_many_people(share):
    sizes = [3, 7, 101, 31, 643_123]

    assert sum(people({"S": "default", "I": share}, sizes=sizes)["I"]) == round(share * sum(sizes))


def test_a_list_holds_a_count_or_a_share_for_each_age_group():
    assert people({"S": "default", "I": [4, 0.5, 0]})["I"] == [4, 15, 0]


def test_one_is_a_person_and_not_everybody():
    assert sum(people({"S": "default", "I": 1.0})["I"]) == 1


def test_the_default_compartment_has_who_is_left():
    assert people({"S": "default", "I": 10, "R": 0.5, "D": None})["S"] == [4, 12, 24]


def test_several_default_compartments_share_who_is_left_and_the_first_have_the_odd_one():
    placed = people({"S": "default", "V": "default", "W": "default", "I": [0, 1, 0]})

    assert placed["S"] == [4, 10, 20]
    assert placed["V"] == [3, 10, 20]
    assert placed["W"] == [3, 9, 20]


def test_a_drawn_value_takes_the_place_of_its_word():
    initial = {"S": "default", "I": "calibrated", "R": "sampled"}

    placed = people(initial, {"I": 20, "R": 0.1})

    assert placed == {"S": [7, 21, 42], "I": [2, 6, 12], "R": [1, 3, 6]}


def test_a_draw_changes_nothing_that_has_a_value_of_its_own():
    assert people({"S": "default", "I": 20}, {"I": 50})["I"] == [2, 6, 12]


@pytest.mark.parametrize("shares", [[0.5, 0.5], [1 / 3, 1 / 3, 1 / 3], [0.1] * 10, [0.15, 0.35, 0.25, 0.25]])
def test_shares_that_add_up_to_one_fit_whatever_the_sizes(shares):
    initial = {"S": "default"} | {f"C{i}": share for i, share in enumerate(shares)}

    placed = people(initial, sizes=[3, 7, 101, 143_123])

    exact = np.array([[share * size for size in (3, 7, 101, 143_123)] for share in shares])
    assert np.abs(np.array([placed[f"C{i}"] for i in range(len(shares))]) - exact).max() <= 2


def test_counts_that_add_up_to_everybody_fit():
    placed = people({"S": "default", "I": 53, "R": 52}, sizes=[3, 101, 1])

    assert placed["S"] == [0, 0, 0]


def test_random_conditions_place_everybody_once():
    rng = np.random.default_rng(1)
    for _ in range(300):
        sizes = rng.integers(1, 500, size=4)
        shares = rng.dirichlet(np.ones(3)) * 0.999
        count = max(1.0, shares[1] * sizes.sum() * 0.9)

        people({"S": "default", "A": shares[0] * 0.9, "B": count, "C": [shares[2] * 0.9] * 4}, sizes=sizes)


def test_more_people_than_there_are_is_told_with_both_numbers():
    with pytest.raises(UserError, match="place 11 people where there are 10"):
        initial_people({"S": "default", "I": [11, 0, 0]}, SIZES, {})
    with pytest.raises(UserError, match="place 66 people where there are 60"):
        initial_people({"S": "default", "I": 0.6, "R": 50}, SIZES, {})


@pytest.mark.parametrize("value", [101, 1e12, -5, -0.1, np.inf, np.nan])
def test_a_draw_that_no_population_can_have_is_infeasible_not_a_mistake(value):
    with pytest.raises(InfeasibleDraw):
        initial_people({"S": "default", "I": "calibrated"}, SIZES, {"I": value})


def test_a_negative_draw_is_told_as_what_it_is():
    with pytest.raises(InfeasibleDraw, match="I cannot start with -5 people"):
        initial_people({"S": "default", "I": "calibrated"}, SIZES, {"I": -5})
