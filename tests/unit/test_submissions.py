"""A submission to a forecast hub: its file, and what is refused before anything is written."""

import csv
import datetime
import gc
import gzip
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from modeling import hubs
from modeling.failures import UserError
from modeling.forecast.random_walk import forecast as random_walk
from modeling.forecast_records import ForecastResult, Quantiles, Surveillance
from modeling.outputs.submission import before_notes, known_before, submit_forecast, write_submission
from modeling.outputs.submission_checks import check_submission
from tests.experiments import REPOSITORY
from tests.needs import need_hub_validator

REFERENCE = datetime.date(2026, 1, 10)
PLACES = sorted(hubs.hub_populations())
PEOPLE = np.array([hubs.hub_populations()[place] for place in PLACES])
LEVELS = [0.01, 0.025, *(round(0.05 * i, 2) for i in range(1, 20)), 0.975, 0.99]
CATEGORIES = ["large_decrease", "decrease", "stable", "increase", "large_increase"]
VERMONT = PLACES.index("50")


def forecast(**changes: float) -> Quantiles:
    """Return 100 and more people in each place: horizon -1 has 100 to 122, each horizon 10 more."""
    values = 100.0 + 10 * np.arange(5)[:, None, None] + np.arange(23) + np.zeros((5, len(PLACES), 23))
    for level, value in changes.items():
        values[2, VERMONT, LEVELS.index(float(level.replace("q", "0.")))] = value
    return Quantiles(REFERENCE, values)


def write(folder: Path, made: Quantiles | None = None, before: float = 100.0, **options) -> Path:
    options = {"team": "my_lab", "model": "growth+1", **options}
    counts = np.full(len(PLACES), before)
    return write_submission(folder, made or forecast(), PLACES, PEOPLE, counts, **options)


def read(path: Path) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> list[list[str]]:
    """The rows of a valid file, without its header."""
    return read(write(tmp_path_factory.mktemp("submission")))[1:]


def test_a_submission_has_every_row_that_the_hub_asks_for_once(tmp_path):
    path = write(tmp_path)

    assert [each.name for each in tmp_path.iterdir()] == ["2026-01-10-my_lab-growth+1.csv"]
    header, *found = read(path)
    assert ",".join(header) == (
        "reference_date,target,horizon,target_end_date,location,output_type,output_type_id,value"
    )
    ends = {-1: "2026-01-03", 0: "2026-01-10", 1: "2026-01-17", 2: "2026-01-24", 3: "2026-01-31"}
    expected = [
        ("2026-01-10", "wk inc flu hosp", str(horizon), end, place, "quantile", f"{level:g}")
        for place in PLACES
        for horizon, end in ends.items()
        for level in LEVELS
    ]
    expected += [
        ("2026-01-10", "wk flu hosp rate change", str(horizon), end, place, "pmf", category)
        for place in PLACES
        for horizon, end in ends.items()
        if horizon >= 0
        for category in CATEGORIES
    ]
    assert sorted(tuple(row[:-1]) for row in found) == sorted(expected)
    assert len(PLACES) == 53
    counts = [row[-1] for row in found if row[2] == "0" and row[4] == "50" and row[5] == "quantile"]
    assert counts == [str(count) for count in range(110, 133)]


@pytest.mark.parametrize("before", [100.0, np.nan])
def test_the_checker_of_the_hub_finds_nothing(tmp_path, before):
    words = [sys.executable, need_hub_validator(), "--strict", write(tmp_path, before=before)]

    done = subprocess.run(words, capture_output=True, text=True)

    assert (done.returncode, done.stdout.split()[0]) == (0, "valid"), done.stdout + done.stderr


def test_rate_changes_are_measured_from_the_count_before_or_from_the_median_of_horizon_minus_1(tmp_path):
    known = read(write(tmp_path, before=100.0))
    unknown = read(write(tmp_path, before=np.nan))

    def shares(found: list[list[str]], horizon: int) -> list[float]:
        return [float(r[-1]) for r in found if r[2] == str(horizon) and r[4] == "50" and r[5] == "pmf"]

    # In Vermont 10 people are a change at horizon 0, and 12 a large one. From 100 people all of horizon 0 are
    # an increase but for the tail; from 111, the median, those from 121 people, which is the median, on.
    assert shares(known, 0)[2:] == pytest.approx([0.0063, 0.0312, 0.9625], abs=1e-4)
    assert shares(unknown, 0)[2] == pytest.approx(0.475, abs=1e-5)  # 120.5: between 0.45 (120) and 0.5 (121)
    assert shares(known, 3) == pytest.approx([0, 0, 0, 0, 1], abs=1e-4)


def test_the_count_before_is_that_of_the_last_week_before_the_reference_date():
    first = datetime.date(2025, 12, 27)
    counts = np.array([[1.0, 2], [3, np.nan]])

    assert known_before(REFERENCE, first, counts, counts).tolist() == pytest.approx([3, np.nan], nan_ok=True)
    assert np.isnan(known_before(datetime.date(2026, 1, 17), first, counts, counts)).all()
    assert before_notes(REFERENCE, ["06", "50"], counts[1]) == [
        "rate changes of Vermont are measured from the median forecast of 2026-01-03, the week before the "
        "reference date, because its count is not known or is a fault"
    ]
    assert before_notes(REFERENCE, ["06", "50"], np.full(2, np.nan))[0].startswith(
        "rate changes of all locations are measured from the median"
    )
    assert before_notes(REFERENCE, ["06", "50"], counts[0]) == []


def test_a_count_that_the_method_took_for_a_fault_is_not_what_changes_are_measured_from():
    first = datetime.date(2025, 12, 27)
    counts = np.array([[10.0, 10, 10, 10], [100, 100, 1000, 0]])
    nowcast = np.array([[10, 10, 10, 10], [165, 90, 100, np.nan]])  # two revisions, and two faults

    found = known_before(REFERENCE, first, counts, nowcast)

    assert found.tolist() == pytest.approx([100, 100, np.nan, np.nan], nan_ok=True)


def walked(reference: datetime.date, as_of: str) -> ForecastResult:
    """Return the random walk of a real vintage of seven locations."""
    counts: dict[str, dict[str, float]] = {}
    with gzip.open(REPOSITORY / "tests" / "flusight" / "vintages.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            if row["as_of"] == as_of:
                value = float(row["value"] or "nan")
                counts.setdefault(row["date"], {})[row["location"]] = value
    weeks, places = sorted(counts), sorted(counts[max(counts)])
    series = np.array([[counts[week].get(place, np.nan) for place in places] for week in weeks])
    day, first = datetime.date.fromisoformat(as_of), datetime.date.fromisoformat(weeks[0])
    people = np.array([hubs.hub_populations()[place] for place in places])
    made = random_walk(Surveillance(reference, day, first, series, []), places, people, None)
    later = np.full((5, len(places)), np.nan)
    return ForecastResult(
        population="US",
        population_name="7 locations",
        method="random_walk",
        locations=places,
        people=people,
        as_of=day,
        first_week=first,
        counts=series,
        nowcast=made.nowcast,
        forecast=made.quantiles,
        previous=None,
        later=later,
        left_out={"11": "no data"},
    )


@pytest.mark.parametrize(
    ("reference", "as_of", "unknown"),
    [
        (datetime.date(2025, 1, 11), "2025-01-08", False),
        (datetime.date(2025, 1, 25), "2025-01-15", True),  # there was no release on 22 January
    ],
)
def test_a_forecast_of_real_data_is_submitted_also_after_a_missing_release(
    tmp_path, reference, as_of, unknown
):
    path, notes = submit_forecast(tmp_path, walked(reference, as_of), "my_lab", "walk")

    assert path.name == f"{reference}-my_lab-walk.csv"
    assert len(read(path)) == 1 + 7 * (5 * 23 + 4 * 5)
    assert len(notes) == int(unknown)
    assert all(note.startswith("rate changes of all locations are measured from the med") for note in notes)


def test_covid_has_its_own_target_and_no_categories(tmp_path):
    found = read(write(tmp_path, hub=hubs.COVID19))[1:]

    assert {row[1] for row in found} == {"wk inc covid hosp"}
    assert len(found) == 53 * 5 * 23


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (forecast(q2=-1), "-1 of quantile 0.2 is negative"),
        (forecast(q2=120.5), "120.5 of quantile 0.2 is not a whole number"),
        (forecast(q99=700_000), "700000 of quantile 0.99 is not below the population, 648,493"),
        (forecast(q2=135), "quantiles cross: 126 at 0.25, but 135 at 0.2"),
        (forecast(q2=np.nan), '"nan" of 0.2 is not a finite number'),
        (forecast(q99=np.inf), '"inf" of 0.99 is not a finite number'),
    ],
)
def test_a_forecast_that_the_hub_would_not_take_is_refused_and_nothing_is_written(tmp_path, made, line):
    with pytest.raises(UserError, match=r"^the submission is not valid: location 50, horizon 1, ") as refused:
        write(tmp_path, made)

    assert line in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["my-lab", "", "a" * 17, "my lab", "naïve"])
@pytest.mark.parametrize("kind", ["team", "model"])
def test_a_name_that_the_hub_does_not_take_is_refused(tmp_path, kind, name):
    with pytest.raises(UserError, match=f"^{kind}: .*letters, digits, _ and \\+, from 1 to 16 characters"):
        write(tmp_path, **{kind: name})

    assert list(tmp_path.iterdir()) == []


def test_a_submission_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    old = write(tmp_path)
    content = old.read_bytes()

    def full_disk(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path, forecast(q2=125))

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {old.name: content}


def without(column: int, text: str) -> Callable[[list[list[str]]], list[list[str]]]:
    return lambda rows: [row for row in rows if row[column] != text]


def put(number: int, column: int, text: str) -> Callable[[list[list[str]]], list[list[str]]]:
    """Return a change of one cell; row 0 is level 0.01 of location 01, horizon -1; row 115 a probability."""

    def change(rows: list[list[str]]) -> list[list[str]]:
        return [
            [text if (i, j) == (number, column) else cell for j, cell in enumerate(row)]
            for i, row in enumerate(rows)
        ]

    return change


ODD_ROWS = {
    "no location": (without(4, "06"), "location 06 has no row, and is not named as left out"),
    "no horizon": (without(2, "3"), "location 01, horizon 3: no row of wk inc flu hosp"),
    "no probabilities": (
        lambda rows: [row for row in rows if (row[4], row[5]) != ("06", "pmf")],
        "location 06, horizon 0: no row of wk flu hosp rate change",
    ),
    "no level": (without(6, "0.5"), "location 01, horizon -1, wk inc flu hosp: 0.5 missing"),
    "no category": (
        without(6, "stable"),
        "location 01, horizon 0, wk flu hosp rate change: stable missing",
    ),
    "twice": (
        lambda rows: [*rows, rows[0]],
        "location 01, horizon -1, wk inc flu hosp: duplicate 0.01",
    ),
    "odd level": (put(0, 6, "0.02"), "location 01, horizon -1, wk inc flu hosp: 0.01 missing"),
    "wrong date": (
        put(0, 3, "2026-01-10"),
        "location 01, horizon -1: target_end_date is 2026-01-10, not 2026-01-03",
    ),
    "Sunday": (
        lambda rows: [["2026-01-11", *row[1:]] for row in rows],
        "reference date 2026-01-11 is a Sunday, not a Saturday",
    ),
    "no date": (
        lambda rows: [["2026-1-10", *row[1:]] for row in rows],
        'reference date "2026-1-10" is not a date',
    ),
    "two dates": (put(0, 0, "2026-01-17"), "one reference date is expected; found 2026-01-17, 2026-01-10"),
    "no rows": (lambda rows: [], "one reference date is expected; found no rows"),
    "other place": (put(0, 4, "78"), "location 78, horizon -1, wk inc flu hosp: the hub does not have this"),
    "other horizon": (put(0, 2, "4"), "location 01, horizon 4, wk inc flu hosp: the horizon is not one of"),
    "other target": (put(0, 1, "deaths"), "location 01, horizon -1, deaths: the target is not one of wk inc"),
    "other kind": (put(0, 5, "mean"), 'output_type is "mean", not quantile'),
    "text": (put(0, 7, "many"), '"many" of 0.01 is not a finite number'),
    "sum": (put(115, 7, "0.5"), "the probabilities sum to 1.5, not to 1"),
    "negative share": (put(115, 7, "-0.5"), "the probability of large_decrease is -0.5, not between 0 and 1"),
    "short row": (lambda rows: [rows[0][:-1], *rows[1:]], "row 1 has 7 values; the hub has 8 columns"),
}


@pytest.mark.parametrize("name", ODD_ROWS)
def test_rows_of_any_origin_are_checked(rows, name):
    change, line = ODD_ROWS[name]

    with pytest.raises(UserError) as refused:
        check_submission(change(rows))

    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_location_that_is_named_as_left_out_may_be_missing(rows):
    check_submission(without(4, "06")(rows), left_out=["06"])
    check_submission([row for row in rows if row[4] == "50"], locations=["50"])


def test_levels_and_order_may_be_written_in_another_way(rows):
    check_submission([[*row[:6], row[6].replace("0.", "00."), row[7]] for row in reversed(rows)])


@pytest.fixture
def frozen():
    """Objects of other tests, kept from the garbage collector, whose time would be counted here."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def test_a_season_of_submissions_is_written_in_seconds(tmp_path, frozen):
    began = time.process_time()
    for _ in range(5):
        write(tmp_path)

    assert (time.process_time() - began) / 5 < 0.1  # 15 ms on a machine that does nothing else
