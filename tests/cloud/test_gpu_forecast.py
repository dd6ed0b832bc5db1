"""Forecasts by the GPU lane: uploads of admissions or of an experiment, for five jurisdictions."""

import csv
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.rehearsal.five_states import OBSERVED, STATES, write_five_states
from tests.emulated import names_in
from tests.experiments import REPOSITORY
from tests.forecasts import archive_of
from tests.gpu_lanes import gpu_lane
from tests.web_services import FORECAST, SENTIMENT

TABLE = "quantiles_projection.csv.gz"
MOST_UPLOAD_MIB = 8


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
    variables = {"MODELS": f"{FORECAST},{SENTIMENT}", "MOST_UPLOAD_MIB": str(MOST_UPLOAD_MIB)}
    arguments = ("--clock-speed", "60", "--idle-seconds", "100000")
    with gpu_lane(tmp_path_factory.mktemp("state"), *arguments, models=models, **variables) as lane:
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


BAD: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "column.csv": (
        lambda repository: (repository / OBSERVED).read_bytes().replace(b"admissions", b"patients", 1),
        "column.csv:1: no column admissions",
    ),
    "photo.png": (lambda repository: b"\x89PNG", "photo.png: no model takes this file"),
    "empty.csv": (lambda repository: b"", "empty.csv: the file is empty"),
    "large.csv": (
        lambda repository: bytes((MOST_UPLOAD_MIB << 20) + 1),
        "8,388,609 bytes; a file has at most 8,388,608",
    ),
    "damaged.tar.gz": (
        lambda repository: repository.with_name("forecast.tar.gz").read_bytes()[:-500],
        "damaged.tar.gz: cannot be unpacked (",
    ),
    "out.tar.gz": (
        lambda repository: archive_of({"../out.txt": b"x"}),
        "cannot be unpacked (../out.txt leads out",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_upload_fails_at_once_with_the_line_of_the_service_and_leaves_nothing(lane, repository, name):
    content, words = BAD[name]

    generation = lane.upload(name, content(repository))
    (execution,) = lane.ended(name, generation, seconds=10)

    assert execution["state"] == "FAILED"
    error = json.loads(execution["error"]["payload"])
    assert error["code"] == 422
    assert words in error["message"]
    assert error["message"].startswith("preprocess: ")
    refused = lane.log("preprocess", f'jsonPayload.request_id = "{error["request_id"]}"')
    assert [each["jsonPayload"]["event"] for each in refused] == ["refused"]
    assert lane.results(name) == []
    assert names_in(lane.emulator, lane.names.bucket("output"), f"work/{error['key']}/") == []


def places(lane, name: str, generation: str) -> set[str]:
    """Return the jurisdictions in a table of an upload's results."""
    data = lane.output(f"results/{name}/{generation}/{TABLE}")
    rows = csv.DictReader(io.TextIOWrapper(gzip.GzipFile(fileobj=io.BytesIO(data)), "utf-8"))
    return {row["population"] for row in rows}
