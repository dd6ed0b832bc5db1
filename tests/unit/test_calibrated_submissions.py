"""One submission from many calibrations, and the nation from their trajectories, on counts known on paper."""

import csv
import datetime
from pathlib import Path

import numpy as np
import pytest

from modeling import hubs
from modeling.outputs.calibrated_submission import CalibratedSubmission, Nation
from modeling.vocabulary.output import Covid19Format, FlusightFormat

REFERENCE = datetime.date(2026, 1, 10)
STATES = sorted(set(hubs.hub_populations()) - {"US"})
LEVELS = [0.01, 0.025, *(round(0.05 * i, 2) for i in range(1, 20)), 0.975, 0.99]
NAMES = {"team": "my_lab", "model": "epi"}
RISING = 100 + 2.0 * np.arange(101)  # quantile p of these counts is 100 + 200 p


def shuffled(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(RISING)


def submitted(folder: Path, states: dict[str, np.ndarray], before: float = 200.0, wanted=FlusightFormat):
    """Return the rows by location, and the notes, of a submission with the same counts at each horizon."""
    submission = CalibratedSubmission(wanted(reference_date=REFERENCE, **NAMES))
    for state, counts in states.items():
        submission.add(REFERENCE, state, dict.fromkeys(hubs.HORIZONS, counts), before)
    path, notes = submission.write(folder)
    rows: dict[str, list[dict]] = {}
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["location"], []).append(row)
    return rows, notes


def values(rows: list[dict], horizon: int, kind: str) -> list[float]:
    return [
        float(row["value"]) for row in rows if (row["horizon"], row["output_type"]) == (str(horizon), kind)
    ]


def test_trajectories_of_equal_rank_are_added_up():
    nation = Nation()

    nation.add(np.array([[1, 10], [3, 30], [2, 20]]))
    nation.add(np.array([[300, 0], [100, 0], [200, 0]]))

    assert nation.counts.tolist() == [[101, 10], [202, 20], [303, 30]]


@pytest.mark.parametrize(
    ("second", "total"),
    [
        ([[20], [10]], [11, 12, 23, 24]),
        ([[10], [20], [30], [40], [50], [60], [70], [80]], [21, 42, 63, 84]),
    ],
    ids=["fewer", "more"],
)
def test_another_number_of_trajectories_is_taken_at_the_same_relative_ranks(second, total):
    nation = Nation()

    nation.add(np.array([[1], [2], [3], [4]]))
    nation.add(np.array(second))

    assert nation.counts.ravel().tolist() == total


def test_the_nation_keeps_the_spread_that_pairing_by_index_would_lose(tmp_path):
    states = {state: shuffled(number) for number, state in enumerate(STATES)}

    rows, notes = submitted(tmp_path, states)

    assert len(rows) == 53
    assert notes == [
        "US of the submission is the sum of all jurisdictions, their trajectories paired by rank"
    ]
    for horizon in hubs.HORIZONS:
        assert values(rows["06"], horizon, "quantile") == [100 + round(200 * level) for level in LEVELS]
        assert values(rows["US"], horizon, "quantile") == [round(52 * (100 + 200 * p)) for p in LEVELS]
    by_index = np.quantile(sum(states.values()), [0.025, 0.975])
    assert np.ptp(by_index) < 0.2 * 52 * 190


def test_rate_changes_of_the_nation_are_measured_from_the_sum_of_the_counts_before(tmp_path):
    states = {state: shuffled(number) for number, state in enumerate(STATES)}

    rows, _ = submitted(tmp_path, states, before=200.0)

    # National changes run from -5,200 to 5,200 in steps of 104. Of 340,110,988 people 0.3 and 1.7 per 100,000
    # are 1,020.3 and 5,781.9 at horizon 0, 1 and 5 are 3,401.1 and 17,005.5 at horizon 3.
    assert values(rows["US"], 0, "pmf") == pytest.approx([0, 41 / 101, 19 / 101, 41 / 101, 0])
    assert values(rows["US"], 3, "pmf") == pytest.approx([0, 18 / 101, 65 / 101, 18 / 101, 0])


def test_an_unknown_count_before_is_replaced_by_the_median_of_horizon_minus_1(tmp_path):
    states = dict.fromkeys(STATES, RISING)

    rows, notes = submitted(tmp_path, states, before=np.nan)

    assert values(rows["US"], 0, "pmf") == pytest.approx([0, 41 / 101, 19 / 101, 41 / 101, 0])
    assert notes[1] == (
        "rate changes of all locations are measured from the median forecast of 2026-01-03, the week before "
        "the reference date, because its count is not known or is a fault"
    )


def test_without_all_jurisdictions_there_is_no_nation_and_a_note_names_those_that_are_missing(tmp_path):
    states = {state: RISING for state in STATES if state not in ("06", "72")}

    rows, notes = submitted(tmp_path, states)

    assert sorted(rows) == sorted(states)
    assert notes == [
        "the submission has no row of US: 2 of the 52 jurisdictions are not there: US-CA, US-PR",
    ]


def test_a_nation_that_was_calibrated_itself_is_as_it_was_calibrated(tmp_path):
    rows, notes = submitted(tmp_path, {"US": 100 * RISING, "06": RISING})

    assert values(rows["US"], 0, "quantile") == [100 * (100 + round(200 * level)) for level in LEVELS]
    assert notes == []


def test_covid_has_a_nation_without_categories(tmp_path):
    rows, notes = submitted(tmp_path, dict.fromkeys(STATES, RISING), before=np.nan, wanted=Covid19Format)

    assert len(notes) == 1
    assert len(rows["US"]) == 5 * 23
