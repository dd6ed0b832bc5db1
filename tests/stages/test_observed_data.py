"""Observed data: what is read, what is refused with line and column, and what is warned about."""

import datetime

import pytest

from modeling.build.workloads import DataPlaces, build_workloads
from modeling.failures import UserError
from modeling.vocabulary.experiment import load_experiment
from tests.experiments import OBSERVED, POPULATIONS, calibrated, write_repository
from tests.stage_scripts import Stages

VALUES = [800, 950, 1200, 1500, 1900]  # of US-VT in OBSERVED, from 11 January 2025 on


def experiment_on(frequency="W-SAT", start="2025-01-05", end="2025-02-15", delta_t=1, **calibration) -> dict:
    experiment = calibrated()
    experiment["model"]["timespan"] = {"start_date": start, "end_date": end, "delta_t": delta_t}
    experiment["model"]["simulation"]["resample_frequency"] = frequency
    experiment["modelset"]["calibration"] |= calibration
    return experiment


def observed_in(tmp_path, content: str | bytes, experiment=None):
    """Return the observed series that stage A packs into its input."""
    config = write_repository(tmp_path, experiment or calibrated())
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "data" / "observed.csv").write_bytes(data)
    places = DataPlaces([tmp_path], [POPULATIONS], tmp_path / "cache")
    [workload] = build_workloads(load_experiment(config), places, seed=1)
    return workload.task.observed[0]


def problem_of(tmp_path, content: str | bytes, experiment=None) -> str:
    with pytest.raises(UserError) as caught:
        observed_in(tmp_path, content, experiment)
    line = str(caught.value)
    assert line.isprintable()
    assert len(line) < 500
    return line


def changed(old: str, new: str) -> str:
    assert old in OBSERVED
    return OBSERVED.replace(old, new)


# -- the file


REFUSED = {
    "a column twice": (changed("cases", "cases,cases").replace("00\n", "00,1\n"), 'duplicate column "cases"'),
    "a column twice but for blanks": (
        "date,geo_value,cases, cases\n2025-01-11,US-VT,1,2\n",
        'observed.csv:1: duplicate column "cases" (columns 3 and 4)',
    ),
    "a value with a comma": (
        changed("950", "1,950"),
        'observed.csv:3: 4 fields instead of 3: column 4, "950", has no name',
    ),
    "a row cut short": (
        changed(",US-MA,8000", ""),
        'observed.csv:7: 1 field instead of 3: column "geo_value"',
    ),
    "a broken row of another place": (
        changed("US-MA,8000", "US-MA,8000,1"),
        "observed.csv:7: 4 fields instead of 3",
    ),
    "a broken row outside the window": (OBSERVED + "2020-01-04,US-VT\n", 'column "cases" is missing'),
    "text after a date": (
        changed("2025-01-18", "2025-01-18xyz"),
        'observed.csv:3: "2025-01-18xyz" is not a date like 2025-01-04 (column "date")',
    ),
    "two dates": (changed("2025-01-18", "2025-01-12/2025-01-18"), '3: "2025-01-12/2025-01-18" is not a date'),
    "a date without dashes": (changed("2025-01-18", "20250118"), '3: "20250118" is not a date'),
    "a week": (changed("2025-01-18", "2025-W03-6"), '3: "2025-W03-6" is not a date'),
    "a day that does not exist": (changed("2025-01-18", "2025-02-30"), '3: "2025-02-30" is not a date'),
    "an hour that does not exist": (changed("2025-01-18", "2025-01-18T25:00"), "is not a date"),
    "digits that are not ASCII": (changed("2025-01-18", "２０２５-01-18"), "is not a date"),
    "no date": (changed("2025-01-18", ""), 'observed.csv:3: "" is not a date'),
    "a year too far": (changed("2025-02-08", "9999-12-31"), "observed.csv:6: "),
    "a date of another place": (
        changed("2025-01-11,US-MA", "11.1.2025,US-MA"),
        'observed.csv:7: "11.1.2025"',
    ),
    "a date twice with other times": (
        OBSERVED + "2025-01-18T12:00:00Z,US-VT,950\n",
        "observed.csv:8: duplicate date 2025-01-18 for US-VT (first in line 3); if the file holds vintages",
    ),
    "a date twice under two names": (OBSERVED + "2025-01-18,Vermont,950\n", "observed.csv:8: duplicate date"),
    "a suppressed value": (
        changed("950", "<5"),
        'observed.csv:3: "<5" is not a number (column "cases"); leave the field empty',
    ),
    "a value with a separator": (
        changed("950", '"1,950"'),
        '3: "1,950" is not a number (column "cases"); write it without separators',
    ),
    "a value with an underscore": (changed("950", "1_950"), '"1_950" is not a number'),
    "a value of other digits": (changed("950", "٩٥٠"), "is not a number"),
    "a negative value": (changed("950", "-950"), "observed.csv:3: -950 is not a count"),
    "a huge value": (changed("950", "1e300"), "observed.csv:3: 1e300 is not a count"),
    "blank lines before": ("\n\n" + changed("950", "x"), 'observed.csv:5: "x" is not a number'),
    "blank lines between": (changed("2025-01-18,US-VT,950", "\n\n,,\n2025-01-18,US-VT,x"), "observed.csv:6:"),
    "quoted line breaks": (
        'note,date,geo_value,cases\n"a\nb\r\nc",2025-01-11,US-VT,1\n,2025-01-18,US-VT,x\n',
        'observed.csv:5: "x"',
    ),
    "Windows line ends": (changed("950", "x").replace("\n", "\r\n"), 'observed.csv:3: "x"'),
    "old Macintosh line ends": (changed("950", "x").replace("\n", "\r"), 'observed.csv:3: "x"'),
    "a quote that is not closed": (
        changed("1500", '"1500'),
        "observed.csv:5: a quote that opens in this row",
    ),
    "rows swallowed by two stray quotes": (
        changed("1900\n", '"1900\n').replace("8000", '8000"'),
        "observed.csv:6: a line break inside",
    ),
    "text after a quote": (changed("950", '"950"1'), "observed.csv:3: text after a closing quote"),
    "a long field": (changed("950", "9" * 200_000), "observed.csv:3: a field is longer than 131,072"),
    "a long value": (changed("950", "x" * 90_000), 'observed.csv:3: "xxxxx'),
    "control characters": (changed("950", "\x1b[31m9"), '"\\x1b[31m9" is not a number'),
    "a NUL byte": (changed("950", "9\x0050"), "observed.csv:3: a NUL byte"),
    "Latin-1": (changed("US-MA", "Vermonté").encode("latin-1"), "observed.csv:7: byte 0xe9 is not UTF-8"),
    "UTF-16": (OBSERVED.encode("utf-16"), "are UTF-16; save them as UTF-8"),
    "UTF-16 without a mark": (OBSERVED.encode("utf-16-le"), "are UTF-16; save them as UTF-8"),
    "UTF-16 of the other order": (OBSERVED.encode("utf-16-be"), "are UTF-16; save them as UTF-8"),
    "UTF-32": (OBSERVED.encode("utf-32"), "are UTF-32; save them as UTF-8"),
    "tabs": (OBSERVED.replace(",", "\t"), "modelset.yaml:13: the columns of"),
    "semicolons": (OBSERVED.replace(",", ";"), "separated by semicolons; commas are needed"),
    "an empty file": ("", "are empty; a header and rows are needed"),
    "a byte order mark alone": (b"\xef\xbb\xbf", "are empty"),
    "blank lines alone": ("\n\n \n", "are empty"),
    "a header alone": ("date,geo_value,cases\n\n", "have no rows below the header"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_broken_or_ambiguous_is_refused_with_its_line(tmp_path, name):
    content, said = REFUSED[name]

    assert said in problem_of(tmp_path, content)


READ = {
    "as it is": OBSERVED,
    "places in small letters": OBSERVED.replace("US-VT", "vt"),
    "places with blanks": OBSERVED.replace("US-VT", " Us - Vt "),
    "places by name": OBSERVED.replace("US-VT", "VERMONT"),
    "places by FIPS code": OBSERVED.replace("US-VT", "50").replace("US-MA", "25"),
    "blanks around names": OBSERVED.replace("date,geo_value,cases", " date , geo_value,cases "),
    "blanks around values": OBSERVED.replace("950", " 950 "),
    "a byte order mark": "\ufeff" + OBSERVED,
    "a byte order mark and quotes": "\ufeff" + OBSERVED.replace("date,", '"date",', 1),
    "Windows line ends": OBSERVED.replace("\n", "\r\n"),
    "no last line end": OBSERVED.rstrip("\n"),
    "blank lines": OBSERVED.replace("\n", "\n\n"),
    "rows of commas": OBSERVED + ",,\n , ,\n",
    "columns without a name": OBSERVED.replace("\n", ",,\n"),
    "quoted commas": OBSERVED.replace("US-MA", '"Washington, DC"'),
    "times": OBSERVED.replace("2025-01-18", "2025-01-18T00:00:00"),
    "times with a zone": OBSERVED.replace("2025-01-18", "2025-01-18 23:30:00.000+05:30"),
    "times of Greenwich": OBSERVED.replace("2025-01-18", "2025-01-18T12:00Z"),
    "numbers with a point": OBSERVED.replace("950", "950.0"),
    "numbers with an exponent": OBSERVED.replace("950", "9.5e2"),
    "a strange row of another place": OBSERVED.replace("8000", "<5"),
}


@pytest.mark.parametrize("name", READ)
def test_usual_spellings_of_the_same_data_are_read_alike(tmp_path, caplog, name):
    observed = observed_in(tmp_path, READ[name])

    assert observed.values.tolist() == VALUES
    assert observed.dates.astype(str).tolist()[:2] == ["2025-01-11", "2025-01-18"]
    assert observed.fitted.tolist() == [True] * 4 + [False]
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize("text", ["", "NA", "n/a", "N/A", "NULL", "null", "NaN", ".", " . "])
def test_a_missing_value_is_left_out_with_a_warning(tmp_path, caplog, text):
    observed = observed_in(tmp_path, changed("950", text))

    assert observed.values.tolist() == [800, 1200, 1500, 1900]
    assert "1 dates of US-VT have no value and are left out" in caplog.text


@pytest.mark.parametrize("text", ["-3", "<5", "inf", "1e300", "*"])
def test_a_value_outside_the_fitting_window_that_is_no_count_is_left_out_with_a_warning(
    tmp_path, caplog, text
):
    observed = observed_in(tmp_path, OBSERVED + f"2020-05-02,US-VT,{text}\n")

    assert observed.values.tolist() == VALUES
    assert "observed.csv:8: " in caplog.text
    assert "outside the fitting window, so it is left out" in caplog.text


def test_a_file_that_changed_is_read_again(tmp_path):
    observed_in(tmp_path, OBSERVED)

    assert observed_in(tmp_path, changed("950", "951 ")).values.tolist()[1] == 951


def test_a_path_too_long_for_a_file_is_refused_in_one_line(tmp_path):
    experiment = experiment_on(observed_data_path="x" * 5000)

    assert "File name too long" in problem_of(tmp_path, OBSERVED, experiment)


# -- how far apart dates are


def series(first: str, *steps: int, place: str = "US-VT") -> str:
    """Return rows of dates with these gaps in days, the first as given."""
    day = datetime.date.fromisoformat(first)
    rows = [f"{day},{place},100"]
    for step in steps:
        day += datetime.timedelta(days=step)
        rows.append(f"{day},{place},100")
    return "".join(f"{row}\n" for row in rows)


HEADER = "date,geo_value,cases\n"
WEEKS = series("2025-01-11", 7, 7, 7, 7)
DAYS = series("2025-01-06", *[1] * 30)
MONTHS = series("2025-01-01", 31, 28, 31, 30)

APART = {
    "weeks and days": ("D", WEEKS, "7 days apart, but the model reports each day (resample_frequency D)"),
    "weeks and days: the setting": ("D", WEEKS, "set simulation.resample_frequency (model.yaml:9) to W-SAT"),
    "weeks and steps": (None, WEEKS, "the model reports each step of 1 day (no resample_frequency)"),
    "weeks and fortnights": ("2W-SAT", WEEKS, "7 days apart, but the model reports each 14 days"),
    "weeks and intervals": ("14D", WEEKS, "7 days apart, but the model reports each 14 days"),
    "weeks and months": ("MS", WEEKS, "7 days apart, but the model reports months (resample_frequency MS)"),
    "days and weeks": ("W-SAT", DAYS, "1 day apart, but the model reports each 7 days"),
    "days and weeks: the setting": ("W-SAT", DAYS, "to D"),
    "days and months": ("ME", DAYS, "1 day apart, but the model reports months"),
    "months and weeks": ("W-SAT", MONTHS, "31 days apart, but the model reports each 7 days"),
    "months and weeks: the setting": ("W-SAT", MONTHS, "to MS"),
    "months and days": ("D", MONTHS, "to MS"),
    "fortnights and weeks": (
        "W-SAT",
        series("2025-01-11", 14, 14, 14),
        "add their dates with an empty value",
    ),
    "quarters and months": ("MS", series("2025-01-01", 90, 91, 92), "90 days apart"),
    "weeks with a gap and days": ("D", series("2025-01-11", 7, 14, 7, 7), "7 days apart"),
    "weeks with a stray day and days": ("D", series("2025-01-11", 7, 7, 1, 6, 7, 7), "7 days apart"),
    "two weeks and days": ("D", series("2025-01-11", 7), "the dates in observed.csv are 7 days apart"),
    "one date among weeks": ("D", series("2025-01-11") + WEEKS.replace("VT", "MA"), "7 days apart"),
    "a place of weeks beside one of days": ("D", WEEKS + DAYS.replace("VT", "MA"), "7 days apart"),
    "weeks after days": ("D", series("2024-06-01", *[1] * 217, 7, 7, 7, 7, 7, 7, 7), "7 days apart"),
    "few weeks after days": ("D", series("2024-12-10", *[1] * 25, 7, 7, 7, 7), "7 days apart, but"),
    "weeks after days in the window": (
        "D",
        series("2025-01-06", *[1] * 26, 7, 7, 7, 7),
        "7 days apart from 2025-02-01 to 2025-03-01, but the model reports each day",
    ),
    "fortnights after weeks": ("W-SAT", series("2025-01-11", 7, 7, 7, 7, 14, 14, 14), "14 days apart from"),
}


@pytest.mark.parametrize("name", APART)
def test_dates_further_apart_or_closer_than_those_reported_are_refused(tmp_path, name):
    frequency, rows, said = APART[name]
    experiment = experiment_on(frequency, "2025-01-01", "2025-06-30")
    window = {"start_date": "2025-01-06", "end_date": "2025-05-31"}
    if name.startswith(("months", "quarters")):
        window["start_date"] = "2025-01-01"
    experiment["modelset"]["calibration"]["fitting_window"] = window

    problem = problem_of(tmp_path, HEADER + rows, experiment)

    assert problem.startswith("modelset.yaml:13: the dates ")
    assert said in problem


TOGETHER = {
    "days": ("D", DAYS),
    "days as steps": (None, DAYS),
    "working days": ("D", series("2025-01-06", 1, 1, 1, 1, 3, 1, 1, 1, 1, 3, 1)),
    "days with many missing": ("D", series("2025-01-06", 1, 2, 3, 1, 2, 4, 1)),
    "weeks": ("W-SAT", WEEKS),
    "weeks by their first day": ("7D", series("2025-01-01", 7, 7, 7, 7)),
    "weeks with one missing": ("W-SAT", series("2025-01-11", 7, 14, 7)),
    "weeks with many missing": ("W-SAT", series("2025-01-11", 14, 7, 14, 14, 7)),
    "three weeks with one missing": ("W-SAT", series("2025-01-11", 7, 14)),
    "two weeks": ("W-SAT", series("2025-01-11", 7)),
    "two weeks far apart, others near": (
        "W-SAT",
        series("2025-01-11", 21) + series("2025-01-11", 7, 7, 7, 7, place="US-MA"),
    ),
    "fortnights": ("14D", series("2025-01-01", 14, 14, 14)),
    "months": ("MS", series("2025-01-01", 31, 28, 31)),
    "months by their end": ("ME", series("2025-01-31", 28, 31, 30)),
    "months with one missing": ("MS", series("2025-01-01", 31, 59)),
    "weeks after days": ("W-SAT", series("2024-08-03", *[1] * 154, 7, 7, 7, 7, 7, 7)),
    "weeks of which some have no value": (
        "W-SAT",
        WEEKS.replace("2025-01-25,US-VT,100", "2025-01-25,US-VT,"),
    ),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_dates_as_far_apart_as_those_reported_are_accepted(tmp_path, name):
    frequency, rows = TOGETHER[name]
    experiment = experiment_on(frequency, "2025-01-01", "2025-06-30")
    window = {"start_date": "2025-01-01", "end_date": "2025-05-31"}
    if name == "weeks after days":
        window["start_date"] = "2025-01-06"
    experiment["modelset"]["calibration"]["fitting_window"] = window

    assert observed_in(tmp_path, HEADER + rows, experiment).fitted.any()


def test_a_step_of_a_week_is_a_spacing_of_a_week(tmp_path):
    experiment = experiment_on(None, "2025-01-04", "2025-02-14", delta_t=7)

    assert observed_in(tmp_path, HEADER + WEEKS, experiment).fitted.sum() == 4
    assert "1 day apart, but the model reports each step of 7 days" in problem_of(
        tmp_path, HEADER + DAYS, experiment
    )


def test_weekly_values_in_a_column_of_a_daily_file_are_warned_about(tmp_path, caplog):
    saturdays = ("2025-01-11", "2025-01-18", "2025-01-25", "2025-02-01")
    rows = series("2025-01-06", *[1] * 26).splitlines(keepends=True)
    every_week = "".join(row if row.startswith(saturdays) else row.replace(",100", ",") for row in rows)
    experiment = experiment_on("D", "2025-01-01", "2025-06-30")
    window = {"start_date": "2025-01-06", "end_date": "2025-05-31"}
    experiment["modelset"]["calibration"]["fitting_window"] = window

    assert observed_in(tmp_path, HEADER + every_week, experiment).fitted.sum() == 4

    assert "the values of US-VT (column cases) are 7 days apart, with empty ones between" in caplog.text
    assert (
        "counts of 1 day; if each is a total of 7 days, change simulation.resample_frequency" in caplog.text
    )


def test_some_empty_values_in_a_daily_file_are_no_weekly_values(tmp_path, caplog):
    days = series("2025-01-06", *[1] * 26)
    for day in ("2025-01-12", "2025-01-19", "2025-01-20"):
        days = days.replace(f"{day},US-VT,100", f"{day},US-VT,")

    observed_in(tmp_path, HEADER + days, experiment_on("D", "2025-01-01", "2025-06-30"))

    assert "days apart" not in caplog.text


def test_a_single_date_is_warned_about(tmp_path, caplog):
    observed_in(tmp_path, HEADER + series("2025-01-11"))

    assert "a single date for US-VT does not show whether it is a day or a week" in caplog.text
    assert "has no row of US-VT for 2025-01-18, 2025-01-25, 2025-02-01" in caplog.text


# -- vintages


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
            VINTAGES,
            None,
            'observed.csv has several vintages of US-VT (column "as_of"): 2025-01-11 is in lines 2 and 4; '
            'choose with the key "observed_data_as_of" of calibration, e.g. observed_data_as_of: 2025-02-12',
        ),
        (VINTAGES.replace("as_of", "issue"), None, '(column "issue")'),
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
    ids=["no choice", "no choice of issues", "too early", "no column", "two columns", "no date", "twice"],
)
def test_vintages_without_a_choice_and_choices_without_a_vintage_are_refused(tmp_path, content, as_of, said):
    chosen = experiment_on(observed_data_as_of=as_of) if as_of else calibrated()

    assert said in problem_of(tmp_path, content, chosen)


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


# -- at the door


def test_the_stage_refuses_unusable_data_in_one_line_and_writes_nothing(tmp_path):
    stages = Stages(tmp_path, experiment_on("D"))

    ended = stages.run("builder")

    assert ended.exit_code == 2
    assert "Traceback" not in ended.output
    assert "the dates of US-VT in observed.csv are 7 days apart" in ended.last_line
    assert not (tmp_path / "bucket").exists()
