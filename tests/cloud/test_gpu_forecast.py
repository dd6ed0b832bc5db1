"""Forecasts by the GPU lane: uploads of admissions or of an experiment, for five jurisdictions."""

import csv
import gzip
import io
import json
import random
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from ops.gpu.names import SERVICES
from ops.rehearsal.five_states import OBSERVED, STATES, write_five_states
from tests.emulated import names_in
from tests.experiments import REPOSITORY
from tests.gpu_lanes import gpu_lane
from tests.web_services import FORECAST, SENTIMENT

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
    archive = repository.with_name("forecast.tar.gz")
    listed = f"{FORECAST},{SENTIMENT}"
    arguments = ("--clock-speed", "60", "--idle-seconds", "100000")
    with gpu_lane(
        tmp_path_factory.mktemp("state"), *arguments, archive=archive, MODELS=listed, MOST_UPLOAD_MIB="1"
    ) as lane:
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


def without_end(_: Path) -> bytes:
    return 10 * gzip.compress(bytes(64 << 20))


def leading_out(_: Path) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../evil"))
    return data.getvalue()


def without_column(repository: Path) -> bytes:
    return (repository / OBSERVED).read_bytes().replace(b"admissions", b"patients", 1)


def of_another_place(repository: Path) -> bytes:
    header, *rows = (repository / OBSERVED).read_bytes().splitlines(keepends=True)
    return header + b"".join(row.replace(b",MA,", b",NY,") for row in rows if b",MA," in row)


def cut(repository: Path) -> bytes:
    return repository.with_name("forecast.tar.gz").read_bytes()[:-1000]


BAD = {
    "unknown.png": (lambda _: b"PNG", "unknown.png: no model takes this file"),
    "empty.csv": (lambda _: b"", "empty.csv: the file is empty"),
    "column.csv": (without_column, "column.csv:1: no column admissions"),
    "places.csv": (of_another_place, "US-MA"),
    "large.csv": (lambda _: bytes((1 << 20) + 1), "large.csv"),
    "cut.tar.gz": (cut, "cut.tar.gz: cannot be unpacked"),
    "out.tar.gz": (leading_out, "leads out of the archive"),
    "without-end.tar.gz": (without_end, "without-end.tar.gz"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_upload_fails_at_once_with_the_line_of_the_service_and_leaves_nothing(lane, repository, name):
    make, said = BAD[name]
    content = make(repository)

    generation = lane.upload(name, content)
    (execution,) = lane.ended(name, generation, seconds=10)

    assert execution["state"] == "FAILED"
    error = json.loads(execution["error"]["payload"])
    assert error["message"].startswith("preprocess: ")
    assert said in error["message"]
    assert error["code"] == 422
    assert len(lane.log("preprocess", f'jsonPayload.request_id = "{error["request_id"]}"')) == 1
    assert lane.results(name) == []
    assert names_in(lane.emulator, lane.names.bucket("output"), f"work/{error['key']}/") == []


def test_two_hundred_damaged_uploads_are_each_refused_or_taken_and_none_is_a_bug(lane, repository):
    rng = random.Random(16)
    table, archive = (
        (repository / OBSERVED).read_bytes(),
        repository.with_name("forecast.tar.gz").read_bytes(),
    )
    contents = {f"damaged-{n:03}.csv": damaged(table, len(table) // 20, rng) for n in range(100)}
    contents |= {f"damaged-{n:03}.tar.gz": damaged(archive, 3, rng) for n in range(100)}

    generations = {name: lane.upload(name, content) for name, content in contents.items()}
    ended = {name: lane.ended(name, generation)[0] for name, generation in generations.items()}

    errors = [json.loads(each["error"]["payload"]) for each in ended.values() if each["state"] == "FAILED"]
    assert len(errors) > 150
    assert {each["code"] for each in errors} == {422}
    assert not any("\n" in each["message"] or "Traceback" in each["message"] for each in errors)
    for service in SERVICES:
        assert lane.log(service, 'jsonPayload.event = "failed"') == []


def damaged(content: bytes, places: int, rng: random.Random) -> bytes:
    """Return a content with some random bytes in random places."""
    data = bytearray(content)
    for _ in range(places):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def places(lane, name: str, generation: str) -> set[str]:
    """Return the jurisdictions in a table of an upload's results."""
    data = lane.output(f"results/{name}/{generation}/{TABLE}")
    rows = csv.DictReader(io.TextIOWrapper(gzip.GzipFile(fileobj=io.BytesIO(data)), "utf-8"))
    return {row["population"] for row in rows}
