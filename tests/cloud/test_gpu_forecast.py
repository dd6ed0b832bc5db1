"""Forecasts by the GPU lane: uploads of admissions or of an experiment, for five jurisdictions."""

import csv
import gzip
import io
import subprocess
import sys

import pytest

from ops.rehearsal.five_states import OBSERVED, STATES, write_five_states
from tests.experiments import REPOSITORY
from tests.gpu_lanes import FORECAST, SENTIMENT, gpu_lane

TABLE = "quantiles_projection.csv.gz"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The forecasting repository of five states, with its archive beside it."""
    folder = tmp_path_factory.mktemp("five") / "forecast"
    write_five_states(folder)
    pack = [sys.executable, str(REPOSITORY / "scripts" / "pack_forecast.py"), str(folder), f"{folder}.tar.gz"]
    subprocess.run(pack, check=True)
    return folder


@pytest.fixture(scope="module")
def lane(tmp_path_factory, repository):
    models = {"forecast/experiment.tar.gz": repository.with_name("forecast.tar.gz")}
    listed = f"{FORECAST},{SENTIMENT}"
    arguments = ("--clock-speed", "60", "--idle-seconds", "100000")
    with gpu_lane(tmp_path_factory.mktemp("state"), *arguments, models=models, MODELS=listed) as lane:
        yield lane


def test_a_weeks_admissions_become_tables_with_every_jurisdiction(lane, repository):
    generation = lane.upload("2026-w05.csv", (repository / OBSERVED).read_bytes())

    told = lane.done("2026-w05.csv", generation)

    assert (told["units"], told["failed"]) == (5, [])
    assert places(lane, "2026-w05.csv", generation) == {f"US-{state}" for state in STATES}
    files = lane.result("2026-w05.csv", generation)["files"]
    assert "report.html" in files
    assert len([name for name in files if name.startswith("charts/")]) >= 5


def test_an_experiment_with_the_same_data_has_the_same_tables(lane, repository):
    of_table = lane.upload("same.csv", (repository / OBSERVED).read_bytes())
    of_archive = lane.upload("same.tar.gz", repository.with_name("forecast.tar.gz").read_bytes())

    lane.done("same.csv", of_table)
    lane.done("same.tar.gz", of_archive)

    tables = [
        {name: digest for name, digest in files.items() if name.endswith(".csv.gz")}
        for files in (
            lane.result("same.csv", of_table)["files"],
            lane.result("same.tar.gz", of_archive)["files"],
        )
    ]
    assert TABLE in tables[0]
    assert tables[0] == tables[1]


def test_a_jurisdiction_without_data_is_named_and_the_others_have_their_forecasts(lane, repository):
    rows = (repository / OBSERVED).read_text().splitlines(keepends=True)
    upload = "".join(row for row in rows if ",ME," not in row).encode()

    generation = lane.upload("without-maine.csv", upload)
    told = lane.done("without-maine.csv", generation)

    assert [each["unit"] for each in told["failed"]] == ["US-ME"]
    assert places(lane, "without-maine.csv", generation) == {f"US-{s}" for s in STATES} - {"US-ME"}


def test_a_missing_column_fails_at_once_with_the_line_of_the_service_and_leaves_nothing(lane, repository):
    upload = (repository / OBSERVED).read_bytes().replace(b"admissions", b"patients", 1)

    generation = lane.upload("broken.csv", upload)
    (execution,) = lane.ended("broken.csv", generation, seconds=10)

    assert execution["state"] == "FAILED"
    assert "broken.csv:1: no column admissions" in execution["error"]["payload"]
    refused = lane.log("preprocess", 'jsonPayload.event = "refused"')
    assert len([each for each in refused if "broken.csv" in each["jsonPayload"]["message"]]) == 1
    assert lane.results("broken.csv") == []


def places(lane, name: str, generation: str) -> set[str]:
    """Return the jurisdictions in a table of an upload's results."""
    data = lane.output(f"results/{name}/{generation}/{TABLE}")
    rows = csv.DictReader(io.TextIOWrapper(gzip.GzipFile(fileobj=io.BytesIO(data)), "utf-8"))
    return {row["population"] for row in rows}
