"""Uploads that no forecast can be made of: one line says where and how to fix it, and nothing is left."""

import gzip
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modeling.failures import UserError
from pipeline.forecast_pack import Limits
from services.models import forecast_build, forecast_table, forecast_upload
from services.models.forecast import Forecast
from tests.archives import tar_entry
from tests.bending import put
from tests.emulated import create_bucket
from tests.experiments import simulated
from tests.forecasts import archive_of, five_places, hub_table, own_table, packed, prepared, write_upload
from tests.web_services import FORECAST, Lane, Service, started

MOST_SECONDS = 10  # of processor time, where it is measured in this process


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """The experiment in five jurisdictions; tests work on copies."""
    return write_upload(tmp_path_factory.mktemp("repository") / "mine", five_places())


@pytest.fixture(scope="module")
def models(repository, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    (folder / "experiment.tar.gz").write_bytes(packed(repository))
    return folder


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder of temporary files, which is empty after each test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def refused(name: str, content: bytes | str, models: Path) -> str:
    """Return the one line with which an upload is refused, in time."""
    began = time.process_time()
    with pytest.raises(UserError) as caught:
        prepared(name, content, models)
    message = str(caught.value)
    assert type(caught.value) is UserError  # a missing file would be another answer of the service
    assert "\n" not in message
    assert "/upload" not in message
    assert "/default" not in message
    assert time.process_time() - began < MOST_SECONDS
    return message


def changed(text: str, line: int, old: str, new: str) -> str:
    """Return a table with a change in one line, counted from 1."""
    lines = text.splitlines()
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    return "\n".join(lines) + "\n"


HUB = "date, location, value"
TABLES: dict[str, tuple[bytes | str, str]] = {
    "no column of values": (
        changed(own_table(), 1, "cases", "admissions"),
        "week.csv:1: no column cases; it has date, geo_value, admissions; needed are date, geo_value, cases, "
        f"or those of a hub's target-hospital-admissions: {HUB}",
    ),
    "no column of a hub": (
        changed(hub_table(), 1, "value", "count"),
        "week.csv:1: no column value; it has date, location, location_name, count, weekly_rate; "
        f"needed are date, geo_value, cases, or those of a hub's target-hospital-admissions: {HUB}",
    ),
    "other columns": ("a,b\n1,2\n", "week.csv:1: no columns date, geo_value, cases; it has a, b; needed are"),
    "an empty file": ("", "observed data week.csv are empty; a header and rows are needed"),
    "only blanks": (" \n\n", "observed data week.csv are empty; a header and rows are needed"),
    "a header alone": ("date,geo_value,cases\n", "observed data week.csv have no rows below the header"),
    "a date that is none": (
        changed(own_table(), 9, "2025-02-01", "2025-02-31"),
        'week.csv:9: "2025-02-31" is not a date like 2025-01-04 (column "date")',
    ),
    "values that are none": (
        re.sub(r",(\d+)$", r",n\1", own_table(), flags=re.MULTILINE),
        'week.csv:2: "n800" is not a number (column "cases"); leave the field empty',
    ),
    "a negative value everywhere": (
        re.sub(r",(\d+)$", r",-\1", own_table(), flags=re.MULTILINE),
        "week.csv:2: -800 is not a count",
    ),
    "places of nobody": (
        own_table().replace("US-", "XX-"),
        "week.csv has no rows for US-CT in column geo_value; it has XX-CT, XX-ME",
    ),
    "dates of another year": (
        own_table().replace("2025-", "2023-"),
        "week.csv has nothing for US-CT in the fitting window 2025-01-05 to 2025-02-01; it has 2023-01-11 to",
    ),
    "a duplicate date": (
        own_table() + own_table().partition("\n")[2],
        "week.csv:22: duplicate date 2025-01-11",
    ),
    "a row too long": (changed(own_table(), 5, ",", ",,"), "week.csv:5: 4 fields instead of 3"),
    "a quote without end": (changed(own_table(), 5, ",", ',"'), "week.csv:5: a quote that opens in this row"),
    "semicolons": (own_table().replace(",", ";"), "the columns of week.csv are separated by semicolons"),
    "UTF-16": (own_table().encode("utf-16"), "observed data week.csv are UTF-16"),
    "Latin-1": (own_table().replace("US-CT", "Québec", 1).encode("latin-1"), "week.csv:2: byte 0xe9 is not"),
    "a NUL": (changed(own_table(), 3, "9", "\0"), "week.csv:3: a NUL byte"),
    "an archive": (gzip.compress(b"x" * 999, mtime=0), "week.csv:1: byte 0x8b is not UTF-8"),
    "two columns of a name": (changed(own_table(), 1, "geo_value", "date"), 'duplicate column "date"'),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_that_cannot_be_used_is_refused_with_its_line(models, kind):
    content, message = TABLES[kind]

    assert message in refused("2025/w05/week.csv", content, models)


def test_a_column_of_a_hub_beside_one_of_that_name_is_no_mistake(models):
    """A hub's table may have a column of its own that the experiment's data have, too."""
    lines = hub_table().splitlines()
    table = "\n".join([f"{lines[0]},cases", *(f"{line},1" for line in lines[1:])])

    assert prepared("week.csv", table, models) == prepared("week.csv", hub_table(), models)


@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_a_table_may_have_other_line_ends_and_blank_lines_before_its_header(models, end):
    table = f"\ufeff\n,,\n{hub_table()}".replace("\n", end)

    assert prepared("week.csv", table, models) == prepared("week.csv", hub_table(), models)


def test_a_table_larger_than_an_instance_can_read_is_refused(models, monkeypatch):
    monkeypatch.setattr(forecast_table, "MOST_BYTES", 1 << 8)

    assert "bytes, and a table has at most" in refused("week.csv", own_table(), models)


def test_a_table_needs_the_experiment_of_the_models_and_a_calibration_in_it(tmp_path):
    (tmp_path / "models").mkdir()

    message = refused("week.csv", own_table(), tmp_path / "models")
    assert "the models have no experiment.tar.gz" in message
    assert "scripts/pack_forecast.py makes it" in message

    archive = packed(write_upload(tmp_path / "simulation", simulated()))
    (tmp_path / "models" / "experiment.tar.gz").write_bytes(archive)
    assert "calibrates nothing" in refused("week.csv", own_table(), tmp_path / "models")


# -- archives


CONFIG = {"config/model.yaml": b"model: {}\n"}
ARCHIVES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "mine.tar.gz: cannot be unpacked ("),
    "no archive": (b"date,location,value\n", "mine.tar.gz: cannot be unpacked (Not a gzipped file"),
    "no tar": (gzip.compress(b"no tar" * 200, mtime=0), "mine.tar.gz: cannot be unpacked ("),
    "an absolute name": (archive_of({"/etc/x": b"1"}), "mine.tar.gz: cannot be unpacked (/etc/x leads out"),
    "a name that climbs": (
        archive_of({"a/../../x": b"1"}),
        "mine.tar.gz: cannot be unpacked (a/../../x leads",
    ),
    "a link that climbs": (archive_of({"a": tar_entry("a", "../../x")}), "a leads out of the archive"),
    "an absolute link": (archive_of({"a": tar_entry("a", "/etc/passwd")}), "a leads out of the archive"),
    "no config": (archive_of({"data/x.csv": b"1"}), "mine.tar.gz has no folder config/ with the YAML files"),
    "an empty config": (
        archive_of({"config/x.txt": b"1"}),
        "mine.tar.gz has no folder config/ with the YAML",
    ),
    "two experiments": (
        archive_of({f"experiments/{name}/config/model.yaml": b"" for name in "ab"}),
        "mine.tar.gz has 2 experiments (experiments/a/config, experiments/b/config); pack one of them",
    ),
    "no keys": (archive_of(CONFIG), "model.yaml:1: "),
    "no YAML": (archive_of({"config/model.yaml": b"model: [\n"}), "model.yaml:"),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_that_cannot_be_used_is_refused(models, kind):
    content, message = ARCHIVES[kind]

    assert message in refused("2025/mine.tar.gz", content, models)


@pytest.mark.parametrize("kind", ["files", "bytes", "a header"])
def test_an_archive_that_unpacks_without_end_is_refused_while_it_unpacks(models, monkeypatch, kind):
    archives = {
        "files": {str(number): b"" for number in range(60)},
        "bytes": {"zeros": bytes(9 << 20)},
        "a header": {"a": tar_entry("a", pax_headers={"comment": "0" * (9 << 20)})},
    }
    (models / "experiment.tar.gz").rename(models / "kept")
    monkeypatch.setattr(forecast_upload, "LIMITS", Limits("an upload", 50, 8 << 20))
    try:
        said = refused("mine.tar.gz", archive_of(archives[kind]), models)
    finally:
        (models / "kept").rename(models / "experiment.tar.gz")

    assert "mine.tar.gz: an upload has at most 50 files and 8 MiB" in said or "unpacks to more than" in said


FUNCTION = {"user_script_path": "data/own.py", "user_function_name": "f"}
CALIBRATION = ("modelset", "calibration")
EXPERIMENTS: dict[str, tuple[Callable[[dict], None], str]] = {
    "a distance of its own": (put(*CALIBRATION, "distance_function", FUNCTION), "functions of your own"),
    "a transformation": (put(*CALIBRATION, "post_hoc_transformation", FUNCTION), "functions of your own"),
    "an absolute path": (
        put(*CALIBRATION, "observed_data_path", "/etc/passwd"),
        "modelset.yaml:15: observed_data_path: /etc/passwd leads out of the archive",
    ),
    "a path that climbs": (
        put(*CALIBRATION, "observed_data_path", "../../../x.csv"),
        "observed_data_path: ../../../x.csv leads out of the archive",
    ),
    "a path to nothing": (
        put(*CALIBRATION, "observed_data_path", "data/none.csv"),
        "no file data/none.csv in mine.tar.gz, mine.tar.gz/experiments/trial",
    ),
    "a place without data": (
        put("modelset", "population_names", ["US-TX"]),
        "population US-TX has no data in mine.tar.gz/data/epydemix-data, "
        "experiment.tar.gz/data/epydemix-data; add its folder data/United_States_Texas of epydemix-data",
    ),
    "an unknown place": (
        put("modelset", "population_names", ["US-XY"]),
        'modelset.yaml:3: "US-XY" is not a known population',
    ),
    "an unknown parameter": (
        put("model", "transitions", 1, "rate", "gama"),
        'uses "gama", which is not a parameter (did you mean "gamma"?)',
    ),
    "more simulations than a request has time for": (
        put(*CALIBRATION, "strategy", {"name": "SMC", "options": {"num_particles": 900_000_000}}),
        "modelset.yaml:9: a population takes about 32 hours of one core",
    ),
    "trajectories that no instance holds": (
        put(*CALIBRATION, "projection", {"n_trajectories": 1_000_000}),
        "1,000,000 trajectories need 39 GiB of memory, and an upload may need 4; ask for fewer, or run it",
    ),
}


@pytest.mark.parametrize("kind", EXPERIMENTS)
def test_an_experiment_that_may_not_run_here_is_refused_with_its_line(models, tmp_path, kind):
    bend, message = EXPERIMENTS[kind]
    experiment = five_places()
    bend(experiment)
    if "trajectories" in kind:  # in ten years of weeks
        experiment["model"]["timespan"]["end_date"] = "2034-12-31"
    folder = write_upload(tmp_path / "mine", experiment)
    (folder / "data" / "own.py").write_text("def f(data, simulation):\n    return 0.0\n")

    assert message in refused("mine.tar.gz", packed(folder), models)


@pytest.mark.parametrize("kind", ["an archive", "the experiment of the models"])
def test_a_forecast_from_surveillance_data_is_refused_for_what_it_is(tmp_path, repository, kind):
    folder = tmp_path / "mine"
    shutil.copytree(repository, folder)
    config = folder / "experiments" / "trial" / "config"
    for path in config.iterdir():
        path.unlink()
    (config / "forecast.yaml").write_text("# weekly\nforecast:\n  method: random_walk\n")
    models = tmp_path / "models"
    models.mkdir()
    (models / "experiment.tar.gz").write_bytes(packed(folder))

    uploads = {
        "an archive": ("mine.tar.gz", packed(folder)),
        "the experiment of the models": ("w.csv", own_table()),
    }
    message = refused(*uploads[kind], models)

    assert message == (
        "forecast.yaml:2: this lane calibrates models, and an experiment with the key forecast has none; "
        "run it with `invoke run`"
    )


def test_more_inputs_than_an_upload_may_have_are_refused(models, repository, monkeypatch):
    monkeypatch.setattr(forecast_build, "MOST_INPUTS", 4)

    assert "more than the 4 inputs" in refused("mine.tar.gz", packed(repository), models)


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("a/Week.CSV", True),
        ("x.tar.gz", True),
        ("x.tgz", True),
        ("x.txt", False),
        ("csv", False),
        ("x.zip", False),
    ],
)
def test_a_file_is_accepted_by_its_name(name, taken):
    assert Forecast().accepts(name, b"") == taken


# -- damage


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return data with a few bytes changed, taken out, doubled or cut off."""
    found = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(len(found) + 1)
        size = rng.choice([1, 1, 4, 100, 1000])
        kind = rng.choice(["change", "change", "remove", "insert", "double", "cut"])
        if kind == "change":
            found[at : at + size] = rng.randbytes(min(size, 8))
        elif kind == "remove":
            del found[at : at + size]
        elif kind == "insert":
            found[at:at] = rng.choice([b'"', b",", b"\n", b"\0", b"\xff", b"-", b": ", b"9" * 400])
        elif kind == "double":
            found[at:at] = found[at : at + size]
        else:
            del found[at:]
    return bytes(found)


@pytest.fixture(scope="module")
def preprocess(cloud, models, tmp_path_factory) -> Iterator[Service]:
    """The service, with the experiment in a bucket of models."""
    bucket = create_bucket(cloud)
    Lane(cloud, {}).upload("forecast/experiment.tar.gz", (models / "experiment.tar.gz").read_bytes(), bucket)
    variables = {"MODELS": FORECAST, "MODELS_BUCKET": bucket}
    with started("preprocess", cloud.storage, tmp_path_factory.mktemp("service"), **variables) as service:
        yield service


@pytest.mark.parametrize("kind", ["table", "archive", "tar inside", "YAML inside"])
def test_fifty_randomly_damaged_uploads_are_prepared_or_refused(cloud, preprocess, repository, kind):
    """Fifty of each kind make two hundred."""
    rng, archive, lane = random.Random(f"damage of a {kind}"), packed(repository), Lane(cloud, {})
    number_refused = 0
    for number in range(50):
        name, content = f"{number}.tar.gz", archive
        if kind == "table":
            name, content = f"{number}.csv", damaged(rng.choice([own_table(), hub_table()]).encode(), rng)
        elif kind == "archive":
            content = damaged(archive, rng)
        elif kind == "tar inside":
            content = gzip.compress(damaged(gzip.decompress(archive), rng), 1, mtime=0)
        else:
            files = {f"config/{p.name}": p.read_bytes() for p in repository.rglob("config/*.yaml")}
            chosen = rng.choice(sorted(files))
            content = archive_of(files | {chosen: damaged(files[chosen], rng)})
        generation = lane.upload(name, content)

        answer = preprocess.ask(lane.preprocess_body(name, generation))

        assert answer.status_code in (200, 422), answer.text
        assert answer.elapsed.total_seconds() < MOST_SECONDS
        if answer.status_code == 422:
            number_refused += 1
            error = answer.json()["error"]
            assert error["retry"] is False
            assert len(error["message"].splitlines()) == 1
            assert "Traceback" not in error["message"]
            assert lane.names(f"work/{name}-") == lane.names("results/") == []
    assert number_refused
    assert "stack_trace" not in preprocess.text()
    assert list(preprocess.folder.rglob("upload*")) == []
