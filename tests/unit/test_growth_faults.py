"""The guard of growth_regression replaces jumps that no epidemic makes, and says so."""

import datetime

import numpy as np
import pytest

from modeling.forecast.faults import (
    common_change,
    with_plausible_nation,
    without_faults,
    without_faulty_weeks,
)
from modeling.forecast.settings import FaultSettings
from modeling.hubs import hub_populations

FIRST = datetime.date(2024, 10, 26)
NEWEST = FIRST + datetime.timedelta(weeks=5)
# A jump of more than a factor of two beside that of the others is a fault.
FACTOR_TWO = FaultSettings(log_jump=np.log(2), log_jump_small=0, fewest_locations=5)
PLACES = ["06", "25", "39", "42", "50", "72", "US"]


def steady() -> np.ndarray:
    """Six weeks in which each of six states grows by a tenth a week, from 99 on; and the nation."""
    states = np.tile(100 * 1.1 ** np.arange(6)[:, None] - 1, (1, 6))
    return np.column_stack([states, states.sum(axis=1)])


def guarded(counts: np.ndarray, settings: FaultSettings = FACTOR_TWO, places: list[str] = PLACES):
    return without_faults(counts, places, FIRST, settings)


def test_a_steady_epidemic_has_no_fault():
    found, doubts = guarded(steady())

    assert doubts == []
    np.testing.assert_array_equal(found, steady())


def test_a_rise_in_the_newest_week_is_replaced_by_the_highest_week_before_changed_as_the_others_did():
    counts = steady()
    counts[5, 3] = 729
    counts[5, 6] += 729 - steady()[5, 3]

    found, doubts = guarded(counts)

    np.testing.assert_allclose(found, steady())  # the nation too
    assert counts[5, 3] == 729
    assert [(doubt.location, doubt.kind) for doubt in doubts] == [("42", "fault")]
    assert doubts[0].sentence == (
        f"the week ending {NEWEST} rises from 145 to 729; the forecast takes it as 160"
    )


def test_a_drop_is_replaced_in_each_of_the_newest_weeks_and_the_return_from_it_is_no_rise():
    counts = steady()
    counts[3:5, 1] = 9
    counts[3:5, 6] = counts[3:5, :6].sum(axis=1)

    found, doubts = guarded(counts)

    np.testing.assert_allclose(found, steady())
    assert [doubt.sentence for doubt in doubts] == [
        "the week ending 2024-11-16 drops from 120 to 9; the forecast takes it as 132",
        "the week ending 2024-11-23 drops from 132 (expected) to 9; the forecast takes it as 145",
    ]


def test_an_older_rise_that_was_not_corrected_is_doubted_and_stays():
    counts = steady()
    counts[4:, 2] *= 10

    found, doubts = guarded(counts)

    np.testing.assert_array_equal(found, counts)
    assert [doubt.location for doubt in doubts] == ["39"]
    assert doubts[0].sentence == (
        "the week ending 2024-11-23 rises from 132 to 1,454; the forecast takes it as it is"
    )


def test_what_all_locations_do_up_to_a_factor_of_three_is_no_fault():
    counts = steady()
    counts[5] *= 2.5

    assert guarded(counts)[1] == []


@pytest.mark.parametrize(("count", "is_fault"), [(298, False), (300, True)])
def test_the_threshold_is_a_factor_beside_the_usual_change(count, is_fault):
    counts = np.full((6, 6), 149.0)
    counts[5, 0] = count  # from 150 with one added to 299 or 301

    found, doubts = guarded(counts, places=PLACES[:6])

    assert bool(doubts) == is_fault
    assert found[5, 0] == pytest.approx(149 if is_fault else count)


def test_a_small_count_may_jump_by_chance():
    counts = np.full((6, 6), 8.0)
    counts[5, 0] = 35  # from 9 to 36 with one added: a factor of 4
    noisy = FaultSettings(
        log_jump=np.log(2), log_jump_small=3, fewest_locations=5
    )  # e to the power of 3 / sqrt(9) is 2.7

    assert guarded(counts, places=PLACES[:6])[1] != []
    assert guarded(counts, noisy, PLACES[:6])[1] == []
    counts[5, 0] = 30
    assert guarded(counts, places=PLACES[:6])[1] == []  # not above the fewest admissions


def test_the_newest_week_of_a_location_that_is_behind_is_its_own():
    counts = steady()
    counts[4, 3] = 729
    counts[5, 3] = np.nan
    counts[4, 6] += 729 - steady()[4, 3]

    found, doubts = guarded(counts)

    expected = steady()
    expected[5, 3] = np.nan
    np.testing.assert_allclose(found, expected)
    assert [doubt.sentence for doubt in doubts] == [
        "the week ending 2024-11-23 rises from 132 to 729; the forecast takes it as 145"
    ]


def test_with_few_locations_no_usual_change_is_known():
    assert common_change(np.array([1.0, 1, 1, np.nan]), 4) == 0
    assert common_change(np.array([1.0, 2, 9, np.nan]), 3) == 2


def test_one_location_alone_is_guarded_too():
    counts = np.full((6, 1), 149.0)
    counts[5] = 1499

    found, doubts = guarded(counts, places=["50"])

    assert found[5] == pytest.approx(149)
    assert len(doubts) == 1


def test_a_series_of_fewer_weeks_than_are_compared_is_left_alone():
    counts = np.array([[10.0], [1000]])

    assert guarded(counts, places=["50"])[1] == []


EVERY_PLACE = [*(name for name in hub_populations() if name != "US"), "US"]


def every_place() -> np.ndarray:
    """Six weeks of 99 admissions in each of 52 places, and their sum, which doubles in the last week."""
    places = np.full((6, 52), 99.0)
    places[5] = 198
    return np.column_stack([places, places.sum(axis=1)])


@pytest.mark.parametrize("wrong", [0, 1_030, 102_960])
def test_a_nation_that_does_not_fit_its_states_becomes_their_sum(wrong):
    counts = every_place()
    counts[5, -1] = wrong

    found, doubts = with_plausible_nation(counts, counts, EVERY_PLACE, FIRST, FaultSettings())

    np.testing.assert_array_equal(found, every_place())
    assert [(doubt.location, doubt.kind) for doubt in doubts] == [("US", "fault")]
    assert doubts[0].sentence == (
        f"the week ending {NEWEST} is {wrong:,}, which does not fit the 10,296 of its states together; the "
        "forecast takes it as 10,296"
    )


@pytest.mark.parametrize("share", [0.8, 1.2])
def test_a_nation_near_the_sum_of_its_states_stays(share):
    counts = every_place()
    counts[:, -1] *= share

    found, doubts = with_plausible_nation(counts, counts, EVERY_PLACE, FIRST, FaultSettings())

    assert doubts == []
    np.testing.assert_array_equal(found, counts)


def test_a_nation_below_some_of_its_states_changes_as_they_do_and_one_above_them_stays():
    counts = every_place()[:, -3:]  # two of the 52 places
    counts[5, -1] = 100

    found, doubts = with_plausible_nation(counts, counts, EVERY_PLACE[-3:], FIRST, FaultSettings())

    np.testing.assert_allclose(found, every_place()[:, -3:])
    assert len(doubts) == 1
    assert "takes it as 10,296" in doubts[0].sentence


def test_all_weeks_of_a_nation_in_other_units_are_replaced_with_one_doubt():
    counts = every_place()
    counts[:, -1] /= 1000

    found, doubts = with_plausible_nation(counts, counts, EVERY_PLACE, FIRST, FaultSettings())

    np.testing.assert_array_equal(found, every_place())
    assert len(doubts) == 1
    assert f"the week ending {NEWEST} (and 5 before it) is 10, which" in doubts[0].sentence


@pytest.mark.parametrize("factor", [0, 0.3, 10])
def test_a_week_that_most_locations_cannot_have_is_unknown(factor):
    counts = every_place()
    counts[4] *= factor

    found, doubts = without_faulty_weeks(counts, EVERY_PLACE, FIRST, FaultSettings())

    assert np.flatnonzero(np.isnan(found).all(axis=1)).tolist() == [4]
    np.testing.assert_array_equal(found[[0, 1, 2, 3, 5]], counts[[0, 1, 2, 3, 5]])
    assert [(doubt.location, doubt.kind) for doubt in doubts] == [("US", "fault")]
    assert doubts[0].sentence == (
        f"all locations together go from 5,148 to {5148 * factor:,.0f} in the week ending "
        f"{NEWEST - datetime.timedelta(weeks=1)}; the forecast takes that week as unknown"
    )


@pytest.mark.parametrize("factor", [0.4, 2.5])
def test_a_week_that_an_epidemic_may_bring_stays(factor):
    counts = every_place()
    counts[5] = counts[4] * factor

    found, doubts = without_faulty_weeks(counts, EVERY_PLACE, FIRST, FaultSettings())

    assert doubts == []
    np.testing.assert_array_equal(found, counts)


def test_zeros_of_most_locations_are_not_what_the_others_are_compared_with():
    counts = every_place()
    counts[5] = counts[4]
    counts[5, :40] = 0

    found, doubts = without_faults(counts, EVERY_PLACE, FIRST, FaultSettings())

    np.testing.assert_allclose(found[5, :52], counts[4, :52])
    assert len(doubts) == 40


def test_a_nation_stays_whose_states_together_are_at_fault():
    counts = every_place()
    counts[4:, :3] *= 100  # for too long to be replaced; the nation does not have it

    found, doubts = with_plausible_nation(counts, counts, EVERY_PLACE, FIRST, FaultSettings())

    assert doubts == []
    np.testing.assert_array_equal(found, counts)
