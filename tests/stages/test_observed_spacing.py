"""Observed dates must be as far apart as those that the model reports."""

import pytest

from tests.observed import DAYS, HEADER, MONTHS, WEEKS, experiment_on, observed_in, problem_of, series

APART = {
    "weeks and days": ("D", WEEKS, "7 days apart, but the model reports each day (resample_frequency D)"),
    "weeks and days: the setting": ("D", WEEKS, "set simulation.resample_frequency (model.yaml:9) to W-SAT"),
    "fortnights and steps": (
        None,
        series("2025-01-11", 14, 14, 14, 14),
        "14 days apart, but the model reports each step of 1 day (no resample_frequency)",
    ),
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
    "weeks, some without a value": (
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
