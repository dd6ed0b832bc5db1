"""Bad surveillance data: what is refused in one line, and what one location costs the others."""

import gzip

import numpy as np
import pytest

from modeling.failures import UserError
from tests.flu_vintages import ILINET
from tests.in_process import ended
from tests.surveillance import (
    COLUMNS,
    DATA,
    build_of,
    csv_text,
    extract,
    forecast,
    staged,
    where,
    workload_of,
    write_forecast,
)

CALIFORNIA, MASSACHUSETTS, VERMONT = "06", "25", "50"
NEWEST = "2025-01-04"  # week of the vintage of 2025-01-08


def value(text: str, weeks: list[str], location: str = MASSACHUSETTS, as_of: str = "2025-01-08"):
    """Return a function that sets a value in some weeks of a vintage."""

    def bend(rows: list[dict]) -> None:
        for week in weeks:
            where(rows, as_of=as_of, date=week, location=location)[0]["value"] = text

    return bend


def without(location: str, since: str = "2024-10-05"):
    """Return a function that removes the rows of a location from a week on."""

    def bend(rows: list[dict]) -> None:
        rows[:] = [row for row in rows if row["location"] != location or row["date"] < since]

    return bend


def first_row(**changes: str):
    return lambda rows: rows[0].update(changes)


# -- one location: named, and the others are forecast


@pytest.mark.parametrize(
    ("bend", "kind", "fragments"),
    [
        (
            value("", ["2024-12-14", "2024-12-21"]),
            "gap",
            ["weeks ending 2024-12-14, 2024-12-21", "interpolated"],
        ),
        (
            value("", [NEWEST]),
            "gap",
            ["no count of the week ending 2025-01-04", "starts from an older count"],
        ),
        (value("", ["2024-12-14", "2024-12-21", "2024-12-28", NEWEST]), "gap", ["2024-12-14", NEWEST]),
        (value("-3", ["2024-12-28"]), "fault", ['"-3" of 2024-12-28 (vintages.csv:', "not a count"]),
        (value("many", ["2024-12-28"]), "fault", ['"many" of 2024-12-28 (vintages.csv:', "not a count"]),
        (value("1e99", ["2024-12-28", NEWEST]), "fault", ['"1e99" of 2025-01-04', "are not counts"]),
        (value("80000", ["2024-12-28"]), "fault", ['"80000" of 2024-12-28 (vintages.csv:', "not a count"]),
        (value("900", ["2024-11-30"]), "revision", ["since 2025-01-02: 2024-11-30 from 63 to 900"]),
        (value("3", ["2024-12-28"]), "revision", ["since 2025-01-02: 2024-12-28 from 243 to 3"]),
    ],
)
def test_what_is_odd_about_a_location_is_said_and_it_is_forecast(tmp_path, bend, kind, fragments):
    workload = workload_of(tmp_path, bend)

    doubts = [each for each in workload.doubts if each.kind == kind]
    assert [each.location for each in doubts] == [MASSACHUSETTS]
    for fragment in fragments:
        assert fragment in doubts[0].sentence
    assert workload.locations == [CALIFORNIA, MASSACHUSETTS, VERMONT]
    assert workload.left_out == {}


def test_a_value_that_is_not_a_count_is_taken_as_unknown(tmp_path):
    workload = workload_of(tmp_path, value("-3", [NEWEST]))

    assert np.isnan(workload.known.counts[-1, 1])
    assert not np.isnan(workload.known.counts[-1, [0, 2]]).any()


def test_the_extract_as_it_is_has_nothing_odd(tmp_path):
    workload = workload_of(tmp_path)

    assert (workload.doubts, workload.left_out, workload.notes) == ([], {}, [])


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (without(MASSACHUSETTS), "no count in the data of 2025-01-08"),
        (
            without(MASSACHUSETTS, "2024-12-07"),
            "no count since the week ending 2024-11-30, in the newest 5 weeks",
        ),
        (
            value("?", ["2024-12-07", "2024-12-14", "2024-12-21", "2024-12-28", NEWEST]),
            "no count since the week ending 2024-11-30, in the newest 5 weeks "
            '("?" of 2025-01-04 (vintages.csv:',
        ),
        (
            lambda rows: (
                without(MASSACHUSETTS)(rows) or rows.extend(extract("2025-01-08", since=NEWEST)[1:2])
            ),
            "1 week with a count, and 8 are needed",
        ),
    ],
)
def test_a_location_that_cannot_be_forecast_is_left_out_with_the_reason(tmp_path, caplog, bend, reason):
    workload = workload_of(tmp_path, bend)

    assert workload.locations == [CALIFORNIA, VERMONT]
    assert list(workload.left_out) == [MASSACHUSETTS]
    assert workload.left_out[MASSACHUSETTS].startswith(reason)
    assert f"Massachusetts is left out: {reason}" in caplog.text
    assert workload.known.counts.shape[1] == workload.later.shape[1] == len(workload.people) == 2


def test_a_location_is_kept_whose_counts_of_last_week_could_not_be_forecast(tmp_path):
    def bend(rows):
        rows[:] = [row for row in rows if row["location"] != MASSACHUSETTS or row["as_of"] == "2025-01-08"]

    workload = workload_of(tmp_path, bend)

    assert workload.locations == [CALIFORNIA, MASSACHUSETTS, VERMONT]
    assert workload.previous is None
    assert "last week's forecast is not made again: Massachusetts had no count" in workload.notes[0]


def test_with_strict_a_location_left_out_fails_the_build(tmp_path):
    rows = extract()
    without(MASSACHUSETTS)(rows)
    config = write_forecast(tmp_path, rows)

    with pytest.raises(
        UserError, match=r"Massachusetts is left out: no count in the data of 2025-01-08.*--strict"
    ):
        build_of(config, strict=True)


def test_with_strict_a_value_that_is_not_a_count_fails_the_build_but_a_gap_does_not(tmp_path):
    rows = extract()
    value("", ["2024-12-14"])(rows)
    assert build_of(write_forecast(tmp_path, rows), strict=True).workloads[0].is_strict

    value("-3", ["2024-12-28"])(rows)
    with pytest.raises(UserError, match='Massachusetts: "-3" of 2024-12-28'):
        build_of(write_forecast(tmp_path, rows), strict=True)


def test_rows_of_other_places_are_ignored_with_a_note(tmp_path):
    other = [row | {"location": name} for name in ("78", "AS") for row in extract("2025-01-08")[:1]]

    workload = workload_of(tmp_path, lambda rows: rows.extend(other))

    assert workload.notes == ["rows of 78, AS are ignored: no locations of the hub"]


def test_rows_of_another_target_are_ignored(tmp_path):
    rows = extract()
    visits = [row | {"target": "wk inc flu prop ed visits", "value": "0.02"} for row in rows]
    config = write_forecast(tmp_path, rows)
    plain = build_of(config).workloads[0]
    both = [row | {"target": "wk inc flu hosp"} for row in rows] + visits

    (tmp_path / DATA).write_text(csv_text(both, [*COLUMNS, "target"]))
    np.testing.assert_array_equal(build_of(config).workloads[0].known.counts, plain.known.counts)

    (tmp_path / DATA).write_text(csv_text(visits, [*COLUMNS, "target"]))
    with pytest.raises(UserError, match='no rows of the target "wk inc flu hosp"; it has wk inc flu prop'):
        build_of(config)


def test_a_code_without_its_leading_zero_is_that_of_the_state(tmp_path):
    whole = workload_of(tmp_path / "whole")

    workload = workload_of(
        tmp_path / "cut", lambda rows: [row.update(location=row["location"].lstrip("0")) for row in rows]
    )

    np.testing.assert_array_equal(workload.known.counts, whole.known.counts)


# -- the file: refused


@pytest.mark.parametrize(
    ("bend", "fragments"),
    [
        (
            first_row(date="2024-10-04"),
            ["vintages.csv:2", "2024-10-04 is a Friday; a week is named by the Sat"],
        ),
        (first_row(date="soon"), ["vintages.csv:2", '"soon" is not a date']),
        (first_row(as_of="2025-13-01"), ["vintages.csv:2", '"2025-13-01" is not a date']),
        (
            lambda rows: rows.append(dict(rows[0])),
            ["duplicate week 2024-10-05 of location 06 as of 2025-01-02 (first in line 2); keep one"],
        ),
        (
            lambda rows: rows.append(rows[-1] | {"date": "2025-01-11"}),
            ["week 2025-01-11 ends after 2025-01-08, the day of its vintage"],
        ),
        (lambda rows: rows.clear(), ["forecast.yaml:7", "have no rows below the header"]),
        (lambda rows: [row.update(value="") for row in rows], ["no location of the hub has a count"]),
        (
            lambda rows: [row.update(location="US-MA") for row in rows],
            ["FIPS codes", "has US-MA"],
        ),
        (
            lambda rows: (
                [without(each)(rows) for each in (CALIFORNIA, MASSACHUSETTS, VERMONT)]
                and rows.extend(extract(locations=("39",)))
            ),
            ["no location can be forecast; California: no count in the data of 2025-01-08 (and 2 more)"],
        ),
    ],
)
def test_data_that_cannot_be_right_are_refused(tmp_path, bend, fragments):
    with pytest.raises(UserError) as caught:
        workload_of(tmp_path, bend)

    for fragment in fragments:
        assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        (b"", ["forecast.yaml:7", "are empty"]),
        (gzip.compress(csv_text(extract()).encode())[:-100], ["forecast.yaml:7", "damaged", "again"]),
        (csv_text(extract()).encode(), ["forecast.yaml:7", "damaged (Not a gzipped file"]),
        (gzip.compress(csv_text(extract()).encode("utf-16")), ["UTF-16; save them as UTF-8"]),
        (gzip.compress(b"as_of;date;location;value\n"), ["separated by semicolons; commas are needed"]),
        (gzip.compress(b"\nas_of,date,location,date\n"), [":2: ", '"date"']),
        (
            gzip.compress(b"as_of,date,location,value\n2025-01-08,2025-01-04,06\n"),
            [":2: 3 fields instead of 4"],
        ),
        (
            gzip.compress(csv_text(extract(), ["date", "location", "value"]).encode()),
            ["vintages.csv.gz has no column as_of; it has date, location, value; add the day"],
        ),
        (
            gzip.compress(csv_text(extract(), ["as_of", "location", "value"]).encode()),
            ["has no column date or target_end_date"],
        ),
        (
            gzip.compress(csv_text(extract(), ["as_of", "date", "location"]).encode()),
            ["has no column value or observation"],
        ),
        (gzip.compress(b'as_of,date,location,value\n"2025-01-08,2025-01-04,06,1\n\n'), [":2: a quote that"]),
    ],
)
def test_a_file_that_is_no_table_of_vintages_is_refused(tmp_path, content, fragments):
    config = write_forecast(tmp_path, experiment=forecast(observed_data_path=f"{DATA}.gz"))
    (tmp_path / f"{DATA}.gz").write_bytes(content)

    with pytest.raises(UserError) as caught:
        build_of(config)

    for fragment in fragments:
        assert fragment in str(caught.value)


def test_data_that_are_not_there_name_the_task_that_fetches_them(tmp_path):
    config = write_forecast(tmp_path, experiment=forecast(observed_data_path="data/flusight/vintages"))

    with pytest.raises(UserError) as caught:
        build_of(config)

    assert "forecast.yaml:7: no file or folder data/flusight/vintages in" in str(caught.value)
    assert "fetch the data with `invoke data-update --exp-id trial`" in str(caught.value)


# -- history


def history_of(tmp_path, text: str | None = None, **changes):
    path = tmp_path / "data" / "history.csv.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ILINET.read_bytes() if text is None else gzip.compress(text.encode()))
    return workload_of(tmp_path, history_path="data/history.csv.gz", **changes)


def test_a_history_has_the_values_of_past_seasons(tmp_path):
    history = history_of(tmp_path).history

    assert history.locations == ["06", "25", "39", "42", "50", "72"]
    assert str(history.first_week) == "2010-10-09"
    assert history.values[0, 0] == 1.95412


def test_weeks_of_the_season_that_is_forecast_are_not_history(tmp_path):
    text = "date,location,ili\n2023-12-30,06,1\n2024-07-27,06,2\n2024-08-03,06,3\n2025-01-04,06,4\n"

    workload = history_of(tmp_path, text)

    assert workload.history.values[[0, -1], 0].tolist() == [1, 2]
    assert workload.notes == [
        "history.csv.gz: weeks from 2024-08-01 on are not used, since only past seasons are learned from"
    ]


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("date,location,ili\n2024-07-27,06,high\n", ['history.csv.gz:2: "high" is not a number from 0 on']),
        ("date,location,ili\n2024-07-27,06,-1\n", ['history.csv.gz:2: "-1" is not a number from 0 on']),
        ("date,location,ili\n2024-07-26,06,1\n", ["history.csv.gz:2: 2024-07-26 is a Friday"]),
        ("date,location,ili\n2024-10-05,06,1\n", ["no value before the season of 2024-08-01; leave it out"]),
        ("date,location,visits\n2024-07-27,06,1\n", ["no column value or unweighted_ili"]),
        (
            "date,location,ili\n2024-07-27,06,1\n2024-07-27,06,1\n",
            ["duplicate week 2024-07-27 of location 06"],
        ),
    ],
)
def test_a_history_that_cannot_be_used_is_refused(tmp_path, text, fragments):
    with pytest.raises(UserError) as caught:
        history_of(tmp_path, text)

    for fragment in fragments:
        assert fragment in str(caught.value)


def test_data_without_a_season_to_learn_from_leave_no_run_behind(tmp_path):
    stages = staged(tmp_path, experiment=forecast(method="growth_regression"))

    code, lines = ended(stages, "builder")

    assert (code, lines[-1].count("no past season to learn from")) == (2, 1)
    assert not stages.run_folder.exists()


def test_stage_a_says_the_faults_that_the_method_finds_and_strict_refuses_them(tmp_path, caplog):
    rows = extract(since="2022-10-01")
    value("9999", ["2025-01-04"])(rows)
    config = write_forecast(tmp_path, rows, forecast(method="growth_regression"))

    assert build_of(config).workloads[0].doubts == []  # of the data alone
    assert "Massachusetts: the week ending 2025-01-04 rises from" in caplog.text
    with pytest.raises(UserError, match=r"Massachusetts: the week ending 2025-01-04 rises.*--strict"):
        build_of(config, strict=True)


@pytest.mark.parametrize(
    ("changes", "is_said"),
    [
        ({}, True),
        ({"history_path": "data/ilinet.csv.gz"}, False),
        ({"method": "random_walk"}, False),
    ],
)
def test_a_method_that_learns_from_few_locations_says_so(tmp_path, changes, is_said):
    experiment = forecast(**({"method": "growth_regression"} | changes))
    config = write_forecast(tmp_path, extract(since="2022-10-01"), experiment)
    (tmp_path / "data" / "ilinet.csv.gz").write_bytes(ILINET.read_bytes())

    notes = build_of(config).workloads[0].notes

    assert any("growth_regression learns from 3 locations alone" in note for note in notes) == is_said
