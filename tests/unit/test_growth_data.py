"""What growth_regression does with gaps and revisions, on series whose values are known on paper."""

import datetime

import numpy as np
import pytest

from modeling.failures import UserError
from modeling.forecast import gaps
from modeling.forecast.revisions import expected_shift, nowcast, revisions
from modeling.forecast.settings import RevisionSettings
from modeling.forecast_records import WEEK, Surveillance, Vintage

NAN = np.nan
FIRST = datetime.date(2024, 11, 2)


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


def surveillance(counts: np.ndarray, earlier: list[Vintage] | None = None) -> Surveillance:
    reference = FIRST + len(counts) * WEEK
    return Surveillance(reference, reference - datetime.timedelta(days=3), FIRST, counts, earlier or [])


def release(row: int, counts: list[list[float]]) -> Vintage:
    """Three weeks as they were known when row `row` was the newest."""
    last_week = FIRST + row * WEEK
    return Vintage(last_week + datetime.timedelta(days=4), last_week, np.array(counts, dtype=float))


def test_weeks_between_known_ones_are_interpolated_on_the_log_scale():
    counts = column(NAN, 9, NAN, 999, NAN)  # 10, 100, 1000 with the one added

    filled = gaps.interpolated(counts)

    np.testing.assert_allclose(filled, column(NAN, 9, 99, 999, NAN), rtol=1e-12)
    assert np.isnan(counts[2])


def test_a_gap_of_all_locations_is_not_interpolated_if_it_is_long():
    counts = np.full((34, 2), 5.0)
    counts[3:16] = NAN  # 13 weeks
    counts[18:32] = NAN  # 14 weeks
    counts[3:16, 1] = 7.0

    filled = gaps.interpolated(counts)

    assert np.flatnonzero(np.isnan(filled).any(axis=1)).tolist() == list(range(18, 32))
    assert gaps.long_gap_notes(counts, FIRST) == [
        f"no location has a count from the week ending {FIRST + 18 * WEEK} to that ending "
        f"{FIRST + 31 * WEEK}; nothing is learned from these 14 weeks"
    ]


def test_a_long_gap_of_one_location_is_interpolated():
    counts = np.full((34, 2), 5.0)
    counts[3:30, 0] = NAN

    np.testing.assert_allclose(gaps.interpolated(counts), 5)
    assert gaps.long_gap_notes(counts, FIRST) == []


def test_a_location_without_the_newest_weeks_is_behind():
    counts = np.array([[1, 1, NAN], [2, 2, 5], [3, NAN, NAN]])

    assert gaps.weeks_behind(counts, ["25", "42", "50"]).tolist() == [0, 1, 1]


def test_a_location_without_any_count_is_refused_by_its_name():
    counts = np.array([[1, NAN], [2, NAN]])

    with pytest.raises(UserError, match="no count in any week for 42; leave it out of population_names"):
        gaps.weeks_behind(counts, ["25", "42"])


def test_a_shift_is_the_median_of_a_location_drawn_to_that_of_all():
    ratios = np.array([[0.1, 0.3], [0.1, 0.3], [0.1, 0.3], [0.1, NAN], [0.1, NAN]])

    shift = expected_shift(ratios, 0.9, RevisionSettings(shrinkage=5))

    # the median of all eight is 0.1; the second location has three vintages beside the five of the shrinkage
    np.testing.assert_allclose(shift, [0.1, (3 * 0.3 + 5 * 0.1) / 8])


@pytest.mark.parametrize(("ratio", "shift"), [(2.0, 0.5), (-1.0, -0.1)])
def test_a_shift_stays_within_bounds(ratio, shift):
    assert expected_shift(np.full((4, 1), ratio), 0.0, RevisionSettings()) == [shift]


def test_with_too_few_vintages_the_usual_shifts_are_taken():
    settings = RevisionSettings(default_shifts=(0.4, 0.2, 0.1))

    found = revisions(surveillance(np.full((5, 2), 10.0)), settings)

    assert [each.shift.tolist() for each in found] == [[0.4, 0.4], [0.2, 0.2], [0.1, 0.1]]


def test_ratios_compare_what_was_reported_at_an_age_with_what_is_known_now():
    counts = column(*[99.0] * 8)
    old = [release(row, [[99], [79], [49]]) for row in range(2, 7)]  # of 100: 100, 80 and 50, one added

    found = revisions(surveillance(counts, old), RevisionSettings(fewest_vintages=3, shrinkage=0))

    # rows 2 to 4 are three weeks older than the newest, row 7; rows 5 and 6 are not settled
    assert [len(each.ratios) for each in found] == [3, 3, 3]
    np.testing.assert_allclose([each.ratios[0, 0] for each in found], np.log([2, 1.25, 1]))
    np.testing.assert_allclose([each.reported[0, 0] for each in found], [49, 79, 99])


def test_only_the_newest_settled_vintages_count():
    old = [release(row, [[99], [99], [9 if row < 6 else 49]]) for row in range(2, 10)]

    found = revisions(surveillance(column(*[99.0] * 13), old), RevisionSettings(vintages=4))

    np.testing.assert_allclose(found[0].ratios[:, 0], np.log([2, 2, 2, 2]))


def test_the_nowcast_adds_the_expected_revision_on_the_log_scale():
    settings = RevisionSettings(default_shifts=(np.log(2), np.log(1.5), np.log(1.1)))
    counts = column(99, 99, 99, 99, 0)

    expected = nowcast(counts, revisions(surveillance(counts), settings))

    np.testing.assert_allclose(expected, column(99, 99, 109, 149, 1))
