"""A table that a forecast hub would not take is refused in stage A, and what is missing is named."""

import shutil

import pytest

from modeling.build.warnings import warn_once
from modeling.failures import UserError
from tests.bending import CALIBRATION, DELETED, check_mistake, problems_in, put
from tests.builds import workloads_in
from tests.experiments import OBSERVED, POPULATIONS, calibrated, write_repository

TRENDS = {
    "observed_data_path": "data/observed.csv",
    "observed_value_column": "cases",
    "observed_date_column": "date",
    "observed_location_column": "geo_value",
}
SECOND = {"observed_value_column": "deaths", "observed_date_column": "date", "simulation": ["S_to_I_total"]}


def forecasting() -> dict:
    experiment = calibrated()
    experiment["output"] = {"flusight_format": {"reference_date": "2025-01-25"}}
    calibration = experiment["modelset"]["calibration"]
    calibration["fitting_window"]["end_date"] = "2025-01-18"
    calibration["projection"]["n_trajectories"] = 100
    return experiment


def trends(**changes):
    return put("output", "flusight_format", "rate_trends", TRENDS | changes)


def names(**names: object):
    return put("output", "flusight_format", {"reference_date": "2025-01-25", **names})


def reference(day: str):
    return put("output", "flusight_format", "reference_date", day)


# what is wrong: how the experiment is bent, and what the first line must say
MISTAKES = {
    "no Saturday": (
        [reference("2025-01-24")],
        [
            "output.yaml:3:",
            "2025-01-24 is a Friday; a reference date is a Saturday, such as 2025-01-18 or 2025-01-25",
        ],
    ),
    "no reference date": (
        [put("output", "flusight_format", {})],
        ["output.yaml:2:", '"reference_date" is missing'],
    ),
    "no projection": (
        [put(*CALIBRATION, "projection", DELETED)],
        ["output.yaml:2:", "the calibration has no projection; add projection: {n_trajectories: 100}"],
    ),
    "few trajectories": (
        [put(*CALIBRATION, "projection", "n_trajectories", 99)],
        ["output.yaml:2:", "99 trajectories are too few", "set projection.n_trajectories to 100 or more"],
    ),
    "days": (
        [put("model", "simulation", "resample_frequency", "D")],
        ["output.yaml:2:", "Sunday to Saturday, but the model reports D; set simulation.resample_frequency"],
    ),
    "weeks to Sunday": (
        [put("model", "simulation", "resample_frequency", "W")],
        ["output.yaml:2:", "but the model reports W; set simulation.resample_frequency to W-SAT"],
    ),
    "every step": (
        [put("model", "simulation", "resample_frequency", DELETED)],
        ["output.yaml:2:", "but the model reports each step"],
    ),
    "after the model": (
        [reference("2025-02-22"), put("model", "timespan", "end_date", "2025-02-14")],
        ["output.yaml:3:", "no week from 2025-02-15 to 2025-03-15", "runs from 2025-01-05 to 2025-02-14"],
    ),
    "before the model": (
        [reference("2024-12-14")],
        ["output.yaml:3:", "no week from 2024-12-07 to 2025-01-04", "runs from 2025-01-05"],
    ),
    "no calibrated start": (
        [put("model", "timespan", "start_date", "calibrated")],
        ["start_date", "calibrated"],
    ),
    "several series": (
        [put(*CALIBRATION, "comparison", [calibrated()["modelset"]["calibration"]["comparison"][0], SECOND])],
        ["output.yaml:2:", "which of cases, deaths is forecast? Call its column hospitalizations"],
    ),
    "two hubs": (
        [put("output", "covid19_format", {})],
        ["output.yaml:4:", "more than one hub format; keep one"],
    ),
    "two hubs, one of them empty": (
        [put("output", "flusmh_format", {})],
        ["output.yaml:4:", "more than one hub format; keep one"],
    ),
    "team without model": (
        [names(team="my_lab")],
        ["output.yaml:4:", "team without model; give both for the file of a submission, or neither"],
    ),
    "model without team": (
        [put("output", {"covid19_format": {"model": "growth"}})],
        ["output.yaml:3:", "model without team; give both"],
    ),
    "hyphen in a name": (
        [names(team="my-lab", model="growth")],
        [
            "output.yaml:4: flusight_format.team: ",
            '"my-lab" is not a name that the hub takes: letters',
        ],
    ),
    "long name": (
        [names(team="my_lab", model="growth_regression")],
        ["output.yaml:5: flusight_format.model: ", "from 1 to 16 characters"],
    ),
    "no text as a name": (
        [names(team=2025, model="growth")],
        ["output.yaml:4: flusight_format.team: ", '"2025" should be text'],
    ),
    "submission without a horizon": (
        [names(team="my_lab", model="growth"), put("model", "timespan", "end_date", "2025-02-14")],
        ["output.yaml:2:", "the submission would be without horizon 3 (2025-02-15): the model runs from"],
    ),
    "rate changes of COVID-19": (
        [put("output", {"covid19_format": {"rate_trends": TRENDS}})],
        ["output.yaml:3:", 'unknown key "rate_trends"; known: reference_date'],
    ),
    "no file": (
        [trends(observed_data_path="data/nope.csv")],
        ["output.yaml:5:", "no file data/nope.csv in"],
    ),
    "no column": (
        [trends(observed_value_column="case")],
        ["output.yaml:4:", '"case"', 'did you mean "cases"'],
    ),
    "no week before": (
        [trends(), reference("2025-02-22"), put("model", "timespan", "end_date", "2025-03-01")],
        ["output.yaml:4:", "observed.csv has nothing for US-VT in the week to 2025-02-15", "to 2025-02-08"],
    ),
    "other dates in each place": (
        [
            put("output", {"covid19_format": {}}),
            put("modelset", "population_names", ["US-VT", "US-MA"]),
            put("model", "population", "name", DELETED),
        ],
        ["output.yaml:2:", "is 2025-01-25 for US-VT, but 2025-01-18 for US-MA; set reference_date"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_table_that_the_hub_would_not_take_is_refused(tmp_path, name):
    bends, fragments = MISTAKES[name]

    check_mistake(tmp_path, forecasting, bends, fragments)


@pytest.mark.parametrize(
    ("observed", "fragments"),
    [
        (OBSERVED.replace("950", ""), ["nothing for US-VT in the week to 2025-01-18"]),
        (OBSERVED.replace("950", "many"), ["observed.csv:3:", '"many" is not a number']),
        (OBSERVED.replace("01-18", "01-19"), ["on 2025-01-19, not on 2025-01-18", "by its Saturday"]),
    ],
    ids=["no value", "no number", "Sunday"],
)
def test_the_count_before_the_reference_date_must_be_one_of_a_saturday(tmp_path, observed, fragments):
    experiment = forecasting()
    trends(observed_data_path="data/trends.csv")(experiment)
    config = write_repository(tmp_path, experiment)
    (tmp_path / "data" / "trends.csv").write_text(observed.replace("observed.csv", "trends.csv"))

    line = problems_in(config)[0]

    for fragment in fragments:
        assert fragment.replace("observed.csv", "trends.csv") in line


def test_a_place_that_the_hub_does_not_have_is_refused(tmp_path):
    experiment = forecasting()
    experiment["model"]["population"]["name"] = "FR"
    experiment["modelset"]["population_names"] = ["FR"]
    config = write_repository(tmp_path, experiment, observed=OBSERVED.replace("US-VT", "FR"))
    populations = tmp_path / "populations"
    shutil.copytree(POPULATIONS, populations)
    (populations / "data" / "United_States_Vermont").rename(populations / "data" / "France")
    listing = populations / "locations.csv"
    listing.write_text(listing.read_text().replace("United_States_Vermont", "France"))

    with pytest.raises(UserError, match=r"output.yaml:2: FR is not a place of the hub, which has the United"):
        workloads_in(config, populations=populations)


@pytest.mark.parametrize(
    ("day", "line"),
    [
        (
            "2025-02-01",
            "the hub's table is without horizon 3 (2025-02-22): the model runs from 2025-01-05 to 2025-02-15",
        ),
        (
            "2025-01-11",
            "last fitted date, 2025-01-18, is not before the reference date 2025-01-11: the forecast knows",
        ),
    ],
)
def test_what_a_forecast_lacks_or_should_not_know_is_told(tmp_path, caplog, day, line):
    experiment = forecasting()
    reference(day)(experiment)
    warn_once.cache_clear()

    workloads_in(write_repository(tmp_path, experiment))

    assert any(line in message for message in caplog.messages)


def test_the_vintage_of_the_calibration_is_that_of_the_rate_changes_where_the_file_has_vintages(tmp_path):
    experiment = forecasting()
    experiment["modelset"]["calibration"]["observed_data_as_of"] = "2025-01-22"
    trends(observed_data_path="data/trends.csv")(experiment)
    both = ["as_of,date,geo_value,cases"]
    for day, count in (("2025-01-22", 940), ("2025-01-29", 990)):
        both += [f"{day},2025-01-11,US-VT,800", f"{day},2025-01-18,US-VT,{count}"]
    config = write_repository(tmp_path, experiment, observed="\n".join(both) + "\n")
    (tmp_path / "data" / "trends.csv").write_text("\n".join(both) + "\n")

    counts = workloads_in(config)[0].task.observed[0].hub_counts

    assert counts.source == "data/trends.csv (cases, date, geo_value)"
    assert counts.dates.astype(str).tolist() == ["2025-01-11", "2025-01-18"]
    assert counts.values.tolist() == [800, 940]

    (tmp_path / "data" / "trends.csv").write_text(OBSERVED)
    assert workloads_in(config)[0].task.observed[0].hub_counts.values.tolist() == [800, 950, 1200, 1500, 1900]


def test_a_file_that_is_read_for_fit_and_rate_changes_is_told_of_once(tmp_path, caplog):
    experiment = forecasting()
    trends()(experiment)
    rows = ["as_of,date,geo_value,cases"]
    for day in ("2025-01-22", "2025-01-29"):
        rows += [f"{day},2025-01-11,US-VT,800", f"{day},2025-01-18,US-VT,940"]

    with caplog.at_level("INFO"):
        workloads_in(write_repository(tmp_path, experiment, observed="\n".join(rows) + "\n"))

    assert sum("has several vintages" in message for message in caplog.messages) == 1
    assert caplog.messages.count("observed.csv: US-VT as known on 2025-01-29") == 1


def test_the_series_called_hospitalizations_is_forecast(tmp_path):
    experiment = forecasting()
    trends()(experiment)
    first = experiment["modelset"]["calibration"]["comparison"][0]
    named = SECOND | {"observed_value_column": "hospitalizations"}
    experiment["modelset"]["calibration"]["comparison"] = [first, named]
    rows = OBSERVED.strip().splitlines()
    observed = "\n".join([rows[0] + ",hospitalizations", *[f"{row},7" for row in rows[1:]]]) + "\n"

    series = workloads_in(write_repository(tmp_path, experiment, observed=observed))[0].task.observed

    assert [each.hub_counts is None for each in series] == [True, False]
