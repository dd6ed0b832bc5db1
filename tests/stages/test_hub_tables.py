"""The table for a forecast hub, from a calibration whose projected counts are known on paper."""

import csv
import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from modeling.hubs import hub_populations
from modeling.workload import Result
from tests.experiments import OBSERVED, calibrated, sampled, simulated
from tests.forgeries import forge, having_expected
from tests.in_process import ended
from tests.stage_scripts import Stages

LEVELS = [0.01, 0.025, *(round(0.05 * i, 2) for i in range(1, 20)), 0.975, 0.99]
RATE_TRENDS = {
    "observed_data_path": "data/admissions.csv",
    "observed_value_column": "admissions",
    "observed_date_column": "week",
    "observed_location_column": "place",
}
# The calibrated series has 1,200 on the second Saturday before the model's last but one; this file has 960.
ADMISSIONS = "week,place,admissions\n2025-01-11,50,900\n2025-01-18,50,950\n2025-01-25,50,960\n"
FLUSIGHT = {"flusight_format": {"reference_date": "2025-01-25", "rate_trends": RATE_TRENDS}}


def forecasting(output: dict) -> dict:
    """Return a calibration that ends with 101 projections of the weeks to 2025-01-11 to 2025-02-15."""
    experiment = calibrated()
    experiment["output"] = output
    calibration = experiment["modelset"]["calibration"]
    calibration["strategy"] = {"name": "SMC", "options": {"num_particles": 4, "num_generations": 1}}
    calibration["fitting_window"]["end_date"] = "2025-01-18"
    calibration["projection"]["n_trajectories"] = 101
    return experiment


def with_known_counts(result: Result) -> Result:
    """Return a result with two more admissions in each trajectory than in the one before, every week.

    The first has none in the weeks to 2025-01-11 and 2025-01-18, and 850 in each later week.
    """
    paths = result.trajectories
    weeks = np.array([0, 0, 850, 850, 850, 850])
    moved = np.zeros_like(paths.by_transition)
    for name in ("I_to_R_0-17", "I_to_R_total"):
        moved[:, paths.transitions.index(name)] = weeks + 2 * np.arange(101)[:, None]
    return replace(result, trajectories=replace(paths, by_transition=moved))


def shortened(result: Result, count: int) -> Result:
    """Return a result with its first trajectories alone."""
    paths = result.trajectories
    kept = replace(
        paths, in_compartments=paths.in_compartments[:count], by_transition=paths.by_transition[:count]
    )
    return having_expected(trajectories=count)(replace(result, trajectories=kept))


@pytest.fixture(scope="module")
def finished_forecast(tmp_path_factory) -> Path:
    """A run of FLUSIGHT with known counts; tests work on copies."""
    folder = tmp_path_factory.mktemp("forecast")
    stages = Stages(folder, forecasting(FLUSIGHT))
    (folder / "forecast" / "data" / "admissions.csv").write_text(ADMISSIONS)
    for stage in ("builder", "runner"):
        code, said = ended(stages, stage, TASK_INDEX=0)
        assert (code, said) == (0, [])
    forge(stages, with_known_counts)
    return folder


@pytest.fixture
def forecast(finished_forecast, tmp_path) -> Stages:
    shutil.copytree(finished_forecast / "bucket", tmp_path / "bucket")
    return Stages(tmp_path, forecasting(FLUSIGHT))


def written_again(stages: Stages, output: dict) -> tuple[int, list[str]]:
    """Run stage C with another output configuration."""
    (stages.config / "other.yml").write_text(yaml.safe_dump({"output": output}))
    return ended(stages, "output", OUTPUT_CONFIG_FILE="other.yml")


def warnings_of(stages: Stages) -> list[str]:
    """Return what stage A warned of, as the report has it."""
    return json.loads((stages.run_folder / "summaries" / "builder.json").read_text())["warnings"]


def rows_of(stages: Stages, table: str = "hub_flusight") -> list[dict[str, str]]:
    with gzip.open(stages.outputs() / f"{table}.csv.gz", "rt", newline="") as file:
        return list(csv.DictReader(file))


def probabilities(rows: list[dict[str, str]], horizon: int) -> dict[str, float]:
    """Return the number of the 101 trajectories in each category."""
    found = {
        r["output_type_id"]: r for r in rows if r["output_type"] == "pmf" and r["horizon"] == str(horizon)
    }
    assert sum(float(row["value"]) for row in found.values()) == pytest.approx(1, abs=1e-12)
    return {name: round(float(row["value"]) * 101, 9) for name, row in found.items()}


def test_a_calibration_gives_the_quantiles_of_flusight_in_its_columns(forecast):
    assert ended(forecast, "output") == (0, [])

    rows = rows_of(forecast)
    assert list(rows[0]) == [
        "reference_date",
        "target",
        "horizon",
        "target_end_date",
        "location",
        "output_type",
        "output_type_id",
        "value",
    ]
    assert {row["reference_date"] for row in rows} == {"2025-01-25"}
    assert {row["location"] for row in rows} == {"50"}
    quantiles = [row for row in rows if row["output_type"] == "quantile"]
    assert {row["target"] for row in quantiles} == {"wk inc flu hosp"}
    ends = ["2025-01-18", "2025-01-25", "2025-02-01", "2025-02-08", "2025-02-15"]
    # the values of 101 trajectories, 2 apart, have quantile p at 200 p above the lowest
    assert [
        (row["horizon"], row["target_end_date"], row["output_type_id"], row["value"]) for row in quantiles
    ] == [
        (str(horizon), end, f"{level:g}", str(lowest + round(200 * level)))
        for horizon, end, lowest in zip(range(-1, 4), ends, [0, 850, 850, 850, 850], strict=True)
        for level in LEVELS
    ]


def test_rate_changes_are_shares_of_trajectories_by_the_thresholds_of_the_hub(forecast):
    assert ended(forecast, "output") == (0, [])

    rows = rows_of(forecast)
    changes = [row for row in rows if row["output_type"] == "pmf"]
    assert {row["target"] for row in changes} == {"wk flu hosp rate change"}
    assert sorted({row["horizon"] for row in changes}) == ["0", "1", "2", "3"]
    # Changes from the 950 of the file run from -100 to 100 in steps of 2. Nine are below 10 people. Of the
    # 648,493 people of Vermont, 1.7, 3, 4 and 5 per 100,000 are 11.02, 19.5, 25.9 and 32.4 people, so that
    # changes are large from 12, 20, 26 and 34 people on.
    for horizon, (moderate, large) in enumerate([(1, 45), (5, 41), (8, 38), (12, 34)]):
        assert probabilities(rows, horizon) == {
            "large_decrease": large,
            "decrease": moderate,
            "stable": 9,
            "increase": moderate,
            "large_increase": large,
        }


def submitting(**changes: object) -> dict:
    """Return FLUSIGHT with the names for a submission."""
    return {"flusight_format": FLUSIGHT["flusight_format"] | {"team": "my_lab", "model": "epi+1"} | changes}


def test_team_and_model_give_the_file_of_a_submission_with_the_rows_of_the_table(forecast):
    code, said = written_again(forecast, submitting())

    assert code == 0
    (note,) = said
    assert note.startswith(
        "the submission has no row of US: 51 of the 52 jurisdictions are not there: US-AL, US-AK, US-AZ"
    )
    assert note in (forecast.outputs() / "report.html").read_text()
    name = "2025-01-25-my_lab-epi+1.csv"
    assert name in [each["name"] for each in json.loads((forecast.outputs() / "files.json").read_text())]
    with open(forecast.outputs() / name, newline="") as file:
        found = list(csv.DictReader(file))
    assert [{**row, "value": float(row["value"])} for row in found] == [
        {**row, "value": pytest.approx(float(row["value"]), abs=1e-12)} for row in rows_of(forecast)
    ]


def test_without_rate_trends_a_submission_measures_changes_from_the_calibrated_series(forecast):
    code, said = written_again(forecast, submitting(rate_trends=None))

    assert (code, len(said)) == (0, 1)
    assert {row["output_type"] for row in rows_of(forecast)} == {"quantile"}  # the table has no categories
    with open(forecast.outputs() / "2025-01-25-my_lab-epi+1.csv", newline="") as file:
        shares = probabilities(list(csv.DictReader(file)), 0)
    assert shares["stable"] == 9  # from the 950 of the series, as from those of the file


def test_several_calibrations_give_one_submission_and_a_missing_one_is_named(tmp_path):
    experiment = forecasting(submitting(rate_trends=None))
    experiment["modelset"]["population_names"] = ["US-VT", "US-MA"]
    del experiment["model"]["population"]["name"]
    stages = Stages(tmp_path, experiment)
    rows = OBSERVED.strip().splitlines()
    both = [*rows[:-1], *(row.replace("US-VT", "US-MA") + "0" for row in rows[1:-1])]
    (tmp_path / "forecast" / "data" / "observed.csv").write_text("\n".join(both) + "\n")
    assert ended(stages, "builder")[0] == 0
    assert ended(stages, "runner", TASK_INDEX=0) == (0, [])

    _, first = ended(stages, "output", ALLOW_PARTIAL_RESULTS=1)
    assert ended(stages, "runner", TASK_INDEX=1) == (0, [])
    code, second = ended(stages, "output")

    assert code == 0
    assert first[0].startswith("continuing without 1 of 2 results: US-MA")
    assert first[-1].startswith("the submission has no row of US: 51 of the 52 jurisdictions are not there")
    assert second[-1].startswith("the submission has no row of US: 50 of the 52 jurisdictions are not there")
    with open(stages.outputs() / "2025-01-25-my_lab-epi+1.csv", newline="") as file:
        assert {row["location"] for row in csv.DictReader(file)} == {"25", "50"}


def test_a_submission_for_covid19_has_no_categories(forecast):
    code, _ = written_again(forecast, {"covid19_format": {"team": "my_lab", "model": "epi"}})

    assert code == 0
    with open(forecast.outputs() / "2025-01-25-my_lab-epi.csv", newline="") as file:
        assert {row["target"] for row in csv.DictReader(file)} == {"wk inc covid hosp"}


def test_another_reference_date_is_measured_from_the_same_file_and_names_what_is_missing(forecast):
    later = {"flusight_format": {"reference_date": "2025-02-01", "rate_trends": RATE_TRENDS}}

    code, said = written_again(forecast, later)

    missing = (
        "hub_flusight is without horizon 3 (2025-02-22): the projection has whole weeks from 2025-01-11 to "
        "2025-02-15"
    )
    assert (code, said) == (0, [missing])
    assert missing in (forecast.outputs() / "report.html").read_text()
    rows = rows_of(forecast)
    assert sorted({row["horizon"] for row in rows if row["output_type"] == "quantile"}) == [
        "-1",
        "0",
        "1",
        "2",
    ]
    # from 960 on: -110 to 90
    assert probabilities(rows, 0) == {
        "large_decrease": 50,
        "decrease": 1,
        "stable": 9,
        "increase": 1,
        "large_increase": 40,
    }


def test_a_file_that_the_run_was_not_built_with_gives_way_to_the_calibrated_series_and_a_note(forecast):
    trends = RATE_TRENDS | {"observed_data_path": "data/newer.csv"}

    code, said = written_again(
        forecast, {"flusight_format": FLUSIGHT["flusight_format"] | {"rate_trends": trends}}
    )

    assert code == 0
    assert said == [
        "hub_flusight: rate changes are measured from cases as calibrated, because the run was built without "
        "data/newer.csv (admissions, week, place) of rate_trends"
    ]
    assert probabilities(rows_of(forecast), 0)["stable"] == 9  # which has 950, too


def test_covid19_has_its_own_target_and_the_saturday_after_the_last_fitted_date(forecast):
    code, said = written_again(forecast, {"covid19_format": {}})

    assert code == 0
    assert said == ["hub_covid19: reference_date is 2025-01-25, the Saturday after the last fitted date"]
    rows = rows_of(forecast, "hub_covid19")
    assert len(rows) == 5 * 23
    assert {row["target"] for row in rows} == {"wk inc covid hosp"}
    assert rows[-1]["value"] == "1048"
    assert [path.name for path in forecast.outputs().glob("hub*")] == ["hub_covid19.csv.gz"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"reference_date": "2025-06-07"},
            "US-VT has no week of horizons -1 (2025-05-31), 0 (2025-06-07), 1 (2025-06-14), 2 (2025-06-21), "
            "3 (2025-06-28): the projection has whole weeks from 2025-01-11 to 2025-02-15; change",
        ),
        (
            {"reference_date": "2025-02-15", "rate_trends": RATE_TRENDS},
            "no observed count of US-VT for 2025-02-08, the week before the reference date",
        ),
        ({"rate_trends": RATE_TRENDS}, '"reference_date" is missing; a model needs it'),
        (
            {"reference_date": "2025-02-01", "team": "my_lab", "model": "epi"},
            "a submission needs horizons -1 to 3, and location 50 is without 3 (2025-02-22); change",
        ),
    ],
)
def test_what_a_result_cannot_give_ends_stage_c_with_one_line(forecast, change, line):
    code, said = written_again(forecast, {"flusight_format": change})

    assert code == 2
    assert said[-1].startswith("flusight_format: ")
    assert line in said[-1]
    assert not (forecast.run_folder / "outputs").exists()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (having_expected(frequency="D"), "dates of US-VT are not weeks that end on Saturday"),
        (
            lambda r: having_expected(frequency=None)(replace(r, delta_t_days=7.0)),
            "are not weeks that end on",
        ),
        (lambda r: shortened(r, 99), "US-VT has 99 projected trajectories, and the hub's quantiles need 100"),
        (lambda r: replace(shortened(r, 0), trajectories=None, projected=None), "US-VT has no projection"),
    ],
    ids=["days", "steps of a week", "few trajectories", "no projection"],
)
def test_results_that_were_built_for_no_hub_end_stage_c_with_one_line(forecast, change, line):
    forge(forecast, change)

    code, said = ended(forecast, "output")

    assert code == 2
    assert line in said[-1]


def test_weeks_of_another_suite_are_taken_by_their_dates(forecast):
    forge(forecast, having_expected(frequency=None, dates=None))

    assert ended(forecast, "output")[0] == 0

    assert len(rows_of(forecast)) == 5 * 23 + 4 * 5


def test_parquet_holds_the_same_table(forecast):
    import pyarrow.parquet

    assert written_again(forecast, FLUSIGHT | {"table_formats": ["csv", "parquet"]})[0] == 0

    rows = pyarrow.parquet.read_table(forecast.outputs() / "hub_flusight.parquet").to_pylist()
    assert [str(row["location"]) for row in rows] == [row["location"] for row in rows_of(forecast)]
    assert [row["value"] for row in rows] == [float(row["value"]) for row in rows_of(forecast)]


@pytest.mark.parametrize(("make", "workflow"), [(simulated, "simulation"), (sampled, "sampling")])
def test_without_a_calibration_a_hub_format_is_ignored_with_a_warning(tmp_path, make, workflow):
    experiment = make()
    experiment["output"] = FLUSIGHT
    stages = Stages(tmp_path, experiment)

    assert ended(stages, "builder")[0] == 0

    assert warnings_of(stages) == [
        "output.yaml:2: flusight_format takes the projections of a calibration; this is a "
        f"{workflow}, so its table is not written"
    ]
    for index in range(stages.manifest()["num_workloads"]):
        assert ended(stages, "runner", TASK_INDEX=index)[0] == 0
    code, said = ended(stages, "output")
    assert code == 0
    assert said == ["flusight_format takes the projections of a calibration; its table is not written"]
    assert not list(stages.outputs().glob("hub*"))


def test_the_scenario_hub_gets_nothing_and_says_so(tmp_path):
    experiment = simulated()
    experiment["output"] = {"flusmh_format": {}, "model_meta": {"projection_parameters": True}}
    stages = Stages(tmp_path, experiment)

    assert ended(stages, "builder")[0] == 0

    assert warnings_of(stages) == [
        "output.yaml:2: flusmh_format: nothing is written for the Flu Scenario Modeling Hub",
        "output.yaml:4: there is no projection, so no table of projection_parameters is written",
    ]


def test_both_hubs_have_53_places():
    assert len(hub_populations()) == 53
    assert hub_populations()["US"] == 340_110_988
