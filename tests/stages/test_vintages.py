"""Of observed data in several vintages, the one that was asked for is used, else the newest."""

import pytest

from tests.experiments import OBSERVED, calibrated
from tests.observed import (
    VALUES,
    all_observed_in,
    experiment_on,
    in_both_populations,
    observed_in,
    problem_of,
)

VINTAGES = """as_of,date,geo_value,cases
2025-01-22,2025-01-11,US-VT,700
2025-01-22,2025-01-18,US-VT,850
2025-02-05,2025-01-11,US-VT,790
2025-02-05,2025-01-18,US-VT,930
2025-02-05,2025-01-25,US-VT,1100
2025-02-05,2025-02-01,US-VT,1300
2025-02-12,2025-01-11,US-VT,800
2025-02-12,2025-01-18,US-VT,950
2025-02-12,2025-01-25,US-VT,1200
2025-02-12,2025-02-01,US-VT,1500
2025-02-12,2025-02-08,US-VT,1900
2025-01-29,2025-01-11,US-MA,8000
"""


@pytest.mark.parametrize(
    ("as_of", "values"),
    [
        ("2025-01-22", [700, 850]),
        ("2025-02-04", [700, 850]),  # a vintage of another place does not count
        ("2025-02-05", [790, 930, 1100, 1300]),
        ("2025-02-11", [790, 930, 1100, 1300]),
        ("2030-01-01", [800, 950, 1200, 1500, 1900]),
    ],
)
@pytest.mark.parametrize("column", ["as_of", "As Of", "issue"])
def test_the_newest_vintage_at_or_before_a_day_is_used_and_no_later_one(tmp_path, as_of, values, column):
    content = VINTAGES.replace("as_of", column)

    observed = observed_in(tmp_path, content, experiment_on(observed_data_as_of=as_of))

    assert observed.values.tolist() == values


def test_a_copy_is_used_as_a_whole_and_issues_date_by_date(tmp_path, caplog):
    only_changes = "".join(VINTAGES.splitlines(keepends=True)[:5]) + "2025-02-05,2025-01-25,US-VT,1100\n"
    only_changes = only_changes.replace("2025-02-05,2025-01-11,US-VT,790\n", "")
    chosen = experiment_on(observed_data_as_of="2025-02-06")

    issued = observed_in(tmp_path, only_changes.replace("as_of", "issue"), chosen)
    assert "earlier ones have" not in caplog.text
    copied = observed_in(tmp_path, only_changes, chosen)

    assert issued.values.tolist() == [700, 930, 1100]
    assert copied.values.tolist() == [930, 1100]
    assert "the newest vintage of US-VT has no row of 2025-01-11, but earlier ones have" in caplog.text


def test_copies_that_also_hold_the_issue_of_each_value_are_used_as_copies(tmp_path):
    header, *rows = VINTAGES.splitlines()
    content = f"issue,{header}\n" + "".join(f"2025-01-21,{row}\n" for row in rows)

    observed = observed_in(tmp_path, content, experiment_on(observed_data_as_of="2025-02-11"))

    assert observed.values.tolist() == [790, 930, 1100, 1300]


def test_of_two_vintages_of_a_day_the_later_counts(tmp_path):
    content = VINTAGES.replace("2025-01-22,", "2025-02-05T08:00:00Z,").replace(
        "2025-02-05,", "2025-02-05T18:00:00Z,"
    )

    observed = observed_in(tmp_path, content, experiment_on(observed_data_as_of="2025-02-05"))

    assert observed.values.tolist() == [790, 930, 1100, 1300]


def test_dates_after_the_day_of_the_vintage_are_left_out(tmp_path, caplog):
    content = VINTAGES.replace("2025-02-12", "2025-02-06")

    observed = observed_in(tmp_path, content, experiment_on(observed_data_as_of="2025-02-06"))

    assert observed.values.tolist() == [800, 950, 1200, 1500]
    assert "1 dates of US-VT after observed_data_as_of 2025-02-06 are left out" in caplog.text


@pytest.mark.parametrize(
    ("content", "as_of", "said"),
    [
        (
            VINTAGES.replace("\n", ",1\n").replace("cases,1", "cases,asof"),
            None,
            "several columns of vintages, as_of and asof",
        ),
        (
            VINTAGES,
            "2025-01-21",
            "no vintage of US-VT at or before observed_data_as_of 2025-01-21; the first is",
        ),
        (
            OBSERVED,
            "2025-02-05",
            "observed_data_as_of needs a column as_of or issue in observed.csv; it has date",
        ),
        (
            VINTAGES.replace("\n", ",1\n").replace("cases,1", "cases,asof"),
            "2025-02-05",
            "several columns of vintages, as_of and asof",
        ),
        (
            VINTAGES.replace("2025-01-29,", "29 January,"),
            "2025-02-05",
            'observed.csv:13: "29 January" is not a date like 2025-01-04 (column "as_of")',
        ),
        (
            VINTAGES + "2025-02-12,2025-02-08,US-VT,1\n",
            "2025-02-12",
            "observed.csv:14: duplicate date 2025-02-08",
        ),
    ],
    ids=["no choice, two columns", "too early", "no column", "two columns", "no date", "twice"],
)
def test_vintages_without_a_choice_and_choices_without_a_vintage_are_refused(tmp_path, content, as_of, said):
    chosen = experiment_on(observed_data_as_of=as_of) if as_of else calibrated()

    assert said in problem_of(tmp_path, content, chosen)


@pytest.mark.parametrize("column", ["as_of", "issue"])
def test_without_a_choice_the_newest_vintage_is_used_with_one_warning(tmp_path, caplog, column):
    experiment = in_both_populations(calibrated())
    content = VINTAGES.replace("as_of", column).replace("2025-01-29,", "2025-02-12,")
    content += "2025-02-05,2025-01-11,US-MA,7000\n2025-02-12,2025-01-18,US-MA,8100\n"

    vermont, massachusetts = all_observed_in(tmp_path, content, experiment)

    assert vermont.values.tolist() == [800, 950, 1200, 1500, 1900]
    assert massachusetts.values.tolist() == [8000, 8100]
    assert [r.getMessage() for r in caplog.records if "vintage" in r.getMessage()] == [
        f"modelset.yaml:12: observed.csv has several vintages (column {column}), and the newest, of "
        "2025-02-12, is used; a retrospective forecast must set observed_data_as_of of calibration to the "
        "day that it forecasts from, e.g. observed_data_as_of: 2025-02-12"
    ]


def test_rows_of_several_vintages_without_a_date_twice_are_used_with_a_warning(tmp_path, caplog):
    content = "".join(
        f"{line},{'issue' if n == 0 else f'2025-03-0{n}'}\n" for n, line in enumerate(OBSERVED.splitlines())
    )

    assert observed_in(tmp_path, content).values.tolist() == VALUES
    assert "are of several vintages (column issue), and all are used" in caplog.text


def test_a_file_of_one_vintage_needs_no_choice(tmp_path, caplog):
    content = "".join(
        f"{line},{'as_of' if n == 0 else '2025-03-01'}\n" for n, line in enumerate(OBSERVED.splitlines())
    )

    assert observed_in(tmp_path, content).values.tolist() == VALUES
    assert "vintage" not in caplog.text
