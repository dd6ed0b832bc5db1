"""A forecast from surveillance data through stages A and B, and what is refused on the way."""

import datetime
import json

import check_experiment
import pytest

from modeling.forecast.methods import METHODS, run_forecast
from modeling.forecast_records import ForecastResult
from modeling.hubs import QUANTILES, hub_populations
from modeling.input_names import input_name
from modeling.vocabulary import SurveillanceForecast
from pipeline.input_list import entry_of
from pipeline.pickles import decode_result, decode_workload, encode_workload
from tests.in_process import called, ended
from tests.stage_scripts import Stages
from tests.surveillance import (
    DATA,
    build_of,
    csv_text,
    extract,
    forecast,
    staged,
    where,
    workload_of,
    write_folder,
    write_forecast,
)

SATURDAY = datetime.date(2025, 1, 11)


def result_of(stages: Stages) -> ForecastResult:
    folder = stages.run_folder / "builder-artifacts"
    workload = decode_workload((folder / "input_0000.pkl").read_bytes(), "")
    digest = (folder / "inputs.sha256").read_text().strip()
    data = (stages.run_folder / "runner-artifacts" / "result_0000.pkl").read_bytes()
    return decode_result(data, 0, digest, entry_of(workload), "")


def test_a_forecast_of_all_locations_is_one_workload_and_one_result(tmp_path):
    stages = staged(tmp_path)

    assert ended(stages, "builder") == (0, [])
    assert ended(stages, "runner", TASK_INDEX=0) == (0, [])

    manifest, result = stages.manifest(), result_of(stages)
    assert (manifest["workflow"], manifest["num_workloads"], manifest["seed"]) == ("forecast", 1, None)
    assert (stages.run_folder / "config" / "forecast.yaml").is_file()
    assert result.locations == ["06", "25", "50"]
    assert result.people.tolist() == [hub_populations()[each] for each in result.locations]
    assert (result.population, result.population_name) == ("US", "3 locations")
    assert result.forecast.reference_date == SATURDAY
    assert result.previous.reference_date == datetime.date(2025, 1, 4)
    assert result.forecast.values.shape == (5, 3, len(QUANTILES))
    newest = where(extract("2025-01-08"), date="2025-01-04")
    assert result.counts[-1].tolist() == [float(row["value"]) for row in newest]
    assert result.forecast.values[0, :, 11].tolist() == result.counts[-1].tolist()  # horizon -1 is known
    assert result.doubts == []


def test_the_list_of_inputs_and_the_summary_describe_a_forecast(tmp_path):
    stages = staged(tmp_path)
    ended(stages, "builder")

    ended(stages, "runner", TASK_INDEX=0)

    listed = (stages.run_folder / "builder-artifacts" / "inputs.csv").read_text().splitlines()
    summary = json.loads((stages.run_folder / "summaries" / "runner_0000.json").read_text())
    assert listed[1].startswith("US,3 locations,0,,,,,")
    assert (summary["status"], summary["population"], summary["simulations"]) == ("done", "US", 0)


def test_a_forecast_gives_the_same_bytes_each_time(tmp_path):
    made = []
    for name in ("first", "second"):
        stages = staged(tmp_path / name)
        ended(stages, "builder")
        ended(stages, "runner", TASK_INDEX=0)
        files = ("builder-artifacts/input_0000.pkl", "runner-artifacts/result_0000.pkl")
        made.append([(stages.run_folder / each).read_bytes() for each in files])

    assert made[0] == made[1]


def test_a_run_of_a_forecast_is_resumed_with_what_it_was_built_from(tmp_path):
    stages = staged(tmp_path)
    ended(stages, "builder")
    ended(stages, "runner", TASK_INDEX=0)

    assert ended(stages, "builder") == (0, [])
    assert stages.manifest()["num_pending"] == 0

    config = stages.config / "forecast.yaml"
    config.write_text(config.read_text().replace("US-VT", "US-OH"))
    assert "have changed since this run was built" in ended(stages, "builder")[1][0]


def test_the_data_may_be_a_folder_with_a_file_for_each_day(tmp_path):
    config = write_forecast(tmp_path, experiment=forecast(observed_data_path="data/vintages"))
    write_folder(tmp_path / "data" / "vintages", extract())

    found = build_of(config).workloads[0]

    wanted = workload_of(tmp_path / "file")
    assert encode_workload(found) == encode_workload(wanted)


def test_the_order_of_populations_does_not_matter(tmp_path):
    found = workload_of(tmp_path, population_names=["US-VT", "US-MA", "US-CA"])

    assert found.locations == ["06", "25", "50"]


@pytest.mark.parametrize("day", ["2025-01-11", "2025-01-18"])
@pytest.mark.parametrize("bend", ["deleted", "overwritten", "damaged"])
def test_what_was_released_later_does_not_change_a_forecast(tmp_path, day, bend):
    days = ("2024-12-26", "2025-01-02", "2025-01-08", "2025-01-15", "2025-01-29")
    rows = extract(*days)
    later = [row for row in rows if row["as_of"] > day]
    wanted = run_forecast(build_of(write_forecast(tmp_path, rows, forecast(reference_date=day))).workloads[0])
    if bend == "deleted":
        rows = [row for row in rows if row not in later]
    for row in later:
        row["value"] = "1" if bend == "overwritten" else "-1" if row["location"] == "25" else "x"
    for row in later if bend == "damaged" else ():
        row["value"] = "7" if row["location"] == "06" else row["value"]

    found = run_forecast(build_of(write_forecast(tmp_path, rows, forecast(reference_date=day))).workloads[0])

    for name in ("forecast", "previous"):
        assert getattr(found, name).values.tobytes() == getattr(wanted, name).values.tobytes()
    assert (found.counts.tobytes(), found.doubts, found.notes) == (
        wanted.counts.tobytes(),
        wanted.doubts,
        wanted.notes,
    )


def test_all_is_every_location_of_the_hub(tmp_path):
    config = write_forecast(tmp_path, experiment=forecast(population_names=["all"]))
    (tmp_path / DATA).write_text(csv_text(extract(locations=("US", "06", "25", "39", "42", "50", "72"))))

    workload = build_of(config).workloads[0]

    assert workload.locations == ["US", "06", "25", "39", "42", "50", "72"]
    assert len(workload.left_out) == 46


def test_a_forecast_of_one_place_has_its_name(tmp_path):
    workload = workload_of(tmp_path, population_names=["US-VT"])

    assert input_name(workload) == "US-VT (input 0)"
    assert workload.population_name == "Vermont"


def test_a_given_reference_date_replaces_that_of_the_file(tmp_path):
    config = write_forecast(tmp_path)

    workload = build_of(config, reference_date=datetime.date(2025, 1, 4)).workloads[0]

    assert (workload.known.reference_date, str(workload.known.as_of)) == (
        datetime.date(2025, 1, 4),
        "2025-01-02",
    )
    assert workload.previous is None  # there is no earlier vintage
    assert workload.later[:2, 2].tolist() == [
        float(each["value"]) for each in extract("2025-01-08", since="2024-12-28", locations=("50",))
    ]


def test_without_a_reference_date_the_newest_data_are_forecast_from(tmp_path, caplog):
    workload = workload_of(tmp_path, reference_date=None)

    assert workload.known.reference_date == SATURDAY
    assert "2025-01-11, which has passed: the newest data are of 2025-01-08" in caplog.text


def test_the_vocabulary_has_a_name_for_every_method():
    named = SurveillanceForecast.model_json_schema()["properties"]["method"]["enum"]

    assert set(METHODS) <= set(named)


def test_validate_says_what_would_be_forecast(tmp_path):
    stages = staged(tmp_path)

    from pipeline.environment import read_stage_context

    said = called(lambda: check_experiment.check(read_stage_context(stages.environment())))

    assert "is valid: forecast of 2025-01-11 by random_walk for 3 locations" in said.output
    assert "from the data of 2025-01-08, which end with the week ending 2025-01-04" in said.output
