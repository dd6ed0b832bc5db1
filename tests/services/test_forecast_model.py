"""The forecast of an upload: the files of the stages for the same experiment, whatever the shards."""

import hashlib
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from modeling.failures import UserError
from modeling.threads import set_usable_threads, usable_threads
from services.models.forecast import Forecast
from tests.emulated import create_bucket
from tests.experiments import REPOSITORY, calibrated, sampled
from tests.forecasts import (
    PLACES,
    SEED,
    finished,
    five_places,
    hub_table,
    own_table,
    packed,
    predicted,
    prepared,
    write_places,
    write_upload,
)
from tests.in_process import ended
from tests.stage_scripts import Stages
from tests.web_services import FORECAST, PATHS, Lane, Service, started

REPORT = "report.html"  # the one file with the run's id, times and use of machines


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A models folder with the experiment in five jurisdictions."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "experiment.tar.gz").write_bytes(
        packed(write_upload(folder / "default", five_places(), "date,geo_value,cases\n2025-01-11,US-VT,1\n"))
    )
    return folder


@pytest.fixture(scope="module")
def files(models, tmp_path_factory) -> dict[str, bytes]:
    """The files of the forecast from the week's table."""
    given = prepared("2025/week.csv", own_table(), models)
    return finished(given, predicted(given), tmp_path_factory.mktemp("files") / "x")[1]


def files_of_a_run(folder: Path, experiment: dict) -> dict[str, bytes]:
    """Return the outputs of the stages."""
    populations = write_places(folder / "populations")
    stages = Stages(folder, experiment, EPYDEMIX_DATA_DIR=str(populations))
    (folder / "forecast" / "data" / "observed.csv").write_text(own_table())
    assert ended(stages, "builder")[0] == 0
    for index in range(stages.manifest()["num_workloads"]):
        code, said = ended(stages, "runner", TASK_INDEX=index)
        assert code == 0, said
    assert ended(stages, "output")[0] == 0
    outputs = stages.outputs()
    written = {p.relative_to(outputs).as_posix(): p.read_bytes() for p in outputs.rglob("*") if p.is_file()}
    return {name: content for name, content in written.items() if name not in (REPORT, "files.json")}


def without_report(files: dict[str, bytes]) -> dict[str, bytes]:
    assert REPORT in files
    return {name: content for name, content in files.items() if name != REPORT}


def test_a_weeks_admissions_give_the_files_of_a_run_of_the_stages(files, tmp_path):
    assert without_report(files) == files_of_a_run(tmp_path, five_places())
    assert {f"charts/{iso}.png" for iso in PLACES} < set(files)


def test_parameter_sets_in_several_populations_give_the_files_of_a_run(models, tmp_path):
    experiment = sampled()
    del experiment["model"]["population"]["name"]
    experiment["modelset"]["population_names"] = ["US-VT", "US-NH"]
    given = prepared("mine.tar.gz", packed(write_upload(tmp_path / "mine", experiment)), models)

    assert list(given.units) == ["US-VT", "US-NH"]
    _, found = finished(given, predicted(given, 2), tmp_path / "files")

    assert without_report(found) == files_of_a_run(tmp_path / "run", experiment)


@pytest.mark.parametrize(("shards", "threads"), [(2, 1), (5, 2)])
def test_the_bytes_depend_neither_on_shards_nor_on_threads(files, models, tmp_path, shards, threads):
    before = usable_threads()
    given = prepared("2025/week.csv", own_table(), models)
    set_usable_threads(threads)
    try:
        _, found = finished(given, predicted(given, shards), tmp_path / "files")
    finally:
        set_usable_threads(before)

    assert found == files


def test_a_request_that_is_repeated_gives_the_same_bytes(files, models, tmp_path):
    first, second = (prepared("2025/week.csv", own_table(), models) for _ in range(2))

    assert first == second
    assert predicted(first) == predicted(second)
    assert finished(second, predicted(second), tmp_path / "again")[1] == files


def test_the_columns_of_a_hub_mean_what_those_of_the_experiment_mean(models):
    assert (
        prepared("hub.csv", hub_table(), models).content == prepared("own.csv", own_table(), models).content
    )


def test_an_archive_with_the_same_data_gives_the_same_files(files, models, tmp_path):
    given = prepared("mine.tgz", packed(write_upload(tmp_path / "mine", five_places())), models)

    assert finished(given, predicted(given), tmp_path / "files")[1] == files


def test_an_archive_may_be_a_folder_with_config_and_take_the_populations_of_the_models(models, tmp_path):
    repository = write_upload(tmp_path / "repository", five_places())
    mine = tmp_path / "top" / "mine"
    mine.mkdir(parents=True)
    (repository / "experiments" / "trial" / "config").rename(mine / "config")
    (mine / "config" / "._model.yaml").write_bytes(b"\0\5\x16\7")  # as macOS packs a file
    (mine / "data").mkdir()
    (mine / "data" / "observed.csv").write_text(own_table())

    given = prepared("mine.tar.gz", packed(tmp_path / "top"), models)

    assert list(given.units) == list(PLACES)


def test_the_seed_is_that_of_the_experiment_unless_an_option_says_otherwise(models, files, tmp_path):
    own = prepared("week.csv", own_table(), models)
    asked = prepared("week.csv", own_table(), models, seed=SEED)

    assert (own.seed, asked.seed) == (five_places()["model"]["random_seed"], SEED)
    done, found = finished(asked, predicted(asked), tmp_path / "files")
    assert done.summary["seed"] == SEED
    assert set(found) == set(files)
    assert found["posteriors.csv.gz"] != files["posteriors.csv.gz"]


def test_an_option_that_there_is_not_is_refused(models):
    with pytest.raises(UserError, match=r'there is no option "sed" \(did you mean "seed"\?\)'):
        prepared("week.csv", own_table(), models, sed=SEED)


def test_an_experiment_without_a_seed_takes_that_of_the_request(models, tmp_path):
    experiment = calibrated()
    del experiment["model"]["random_seed"]

    assert prepared("mine.tar.gz", packed(write_upload(tmp_path / "mine", experiment)), models).seed == SEED


def test_what_another_request_is_warned_of_is_no_warning_of_this_one(models):
    alone = prepared("week.csv", own_table(), models)
    ended = threading.Event()

    def warn() -> None:
        while not ended.is_set():
            logging.getLogger("services").warning("/preprocess: refused")
            time.sleep(0.001)

    other = threading.Thread(target=warn)
    other.start()
    try:
        assert prepared("week.csv", own_table(), models) == alone
    finally:
        ended.set()
        other.join()


def test_weeks_after_the_fitting_window_are_warned_of(models, tmp_path):
    table = own_table() + "2025-02-08,US-VT,1900\n"
    given = prepared("week.csv", table, models)

    done, _ = finished(given, predicted(given), tmp_path / "files")

    warning = done.summary["warnings"][0]
    assert "the fitting window ends on 2025-02-01, and week.csv has values until 2025-02-08" in warning


def test_places_of_a_table_that_are_not_forecast_are_warned_of(models, tmp_path):
    given = prepared("week.csv", own_table() + "2025-02-01,US-MA,1900\n2025-02-01,Vermnt,7\n", models)

    done, _ = finished(given, predicted(given), tmp_path / "files")

    warning = done.summary["warnings"][0]
    assert "has no forecast for US-MA, Vermnt, which week.csv has in column geo_value" in warning


# -- one bad jurisdiction


BAD_ROWS = {
    "no rows": ("US-RI", "", r"week.csv has no rows for US-RI in column geo_value"),
    "a value that is no count": ("US-RI", "x", r'week.csv:14: "x830" is not a number \(column "cases"\)'),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_a_jurisdiction_whose_data_are_unusable_is_named_and_the_others_are_forecast(models, tmp_path, kind):
    place, mark, reason = BAD_ROWS[kind]
    lines = [line for line in own_table().splitlines() if mark or place not in line]
    first = next((number for number, line in enumerate(lines) if place in line), 0)
    if mark:
        lines[first] = lines[first].replace(f"{place},", f"{place},{mark}")
    given = prepared("week.csv", "\n".join(lines), models)

    shards = predicted(given, 2)
    done, found = finished(given, shards, tmp_path / "files")

    others = [iso for iso in PLACES if iso != place]
    assert list(given.units) == [*others, place]
    failed = {name: text for shard in shards for name, text in shard.failed.items()}
    assert list(failed) == [place]
    assert re.search(reason, failed[place])
    assert any(f"{place} is left out: " in text for text in done.summary["warnings"])
    experiment = five_places()
    experiment["modelset"]["population_names"] = others
    assert without_report(found) == files_of_a_run(tmp_path / "run", experiment)


@pytest.fixture
def half(models, tmp_path) -> Path:
    """A repository in which every draw is impossible in one place: its people hardly meet."""
    experiment = five_places()
    experiment["model"]["transitions"][1]["rate"] = "gamma - 0.1*beta"
    folder = write_upload(tmp_path / "half", experiment)
    place = folder / "data" / "epydemix-data" / "data" / "United_States_Maine" / "contact_matrices"
    for matrix in place.rglob("*.csv"):
        rows = [line.split(",") for line in matrix.read_text().splitlines()]
        matrix.write_text("\n".join(",".join(f"{float(v) / 1000:.8f}" for v in row) for row in rows))
    return folder


def test_a_jurisdiction_that_cannot_be_calibrated_is_named_and_the_others_go_on(half, models, tmp_path):
    given = prepared("half.tar.gz", packed(half), models)

    shards = predicted(given, 5)
    done, found = finished(given, shards, tmp_path / "files")

    failed = {name: text for shard in shards for name, text in shard.failed.items()}
    assert list(failed) == ["US-ME"]
    assert "cannot be simulated" in failed["US-ME"]
    assert (done.summary["results"], done.summary["missing"]) == (4, 1)
    (missing,) = json.loads(found["headline.json"])["missing_inputs"]
    assert missing["name"].startswith("US-ME")
    assert missing["reason"] == failed["US-ME"]
    assert missing["name"].encode() in found[REPORT]


def test_a_forecast_of_no_jurisdiction_is_refused_with_the_first_reason(half, models, tmp_path):
    given = prepared("half.tar.gz", packed(half), models)
    shard = Forecast().predict(given.content, list(given.units).index("US-ME"), 1, 7)

    with pytest.raises(UserError, match=r"^no population has a forecast; US-ME: .*cannot be simulated"):
        finished(given, [shard], tmp_path / "files")

    assert not list((tmp_path / "files").iterdir())


def test_a_result_that_its_shard_has_not_and_nobody_explains_is_refused(models, tmp_path):
    given = prepared("week.csv", own_table(), models)
    other = prepared("week.csv", own_table().replace(",800\n", ",801\n"), models)
    shards = [predicted(other, 5)[0], *predicted(given, 5)[1:]]

    with pytest.raises(UserError, match=r"^the results of US-CT are not in its shard, or"):
        finished(given, shards, tmp_path / "files")


# -- the services


@pytest.fixture(scope="module")
def forecast_services(cloud, models, tmp_path_factory) -> Iterator[dict[str, Service]]:
    """The three services with this model, and its files in a bucket."""
    bucket, folder = create_bucket(cloud), tmp_path_factory.mktemp("forecast")
    Lane(cloud, {}).upload("forecast/experiment.tar.gz", (models / "experiment.tar.gz").read_bytes(), bucket)
    variables = {"MODELS": FORECAST, "MODELS_BUCKET": bucket}
    with ExitStack() as stack:
        yield {name: stack.enter_context(started(name, cloud.storage, folder, **variables)) for name in PATHS}


def test_the_services_make_the_same_files_and_name_the_seed_and_what_failed(cloud, forecast_services, files):
    lane = Lane(cloud, forecast_services)

    result = lane.run("2025/week.csv", own_table().encode(), shards=2)
    lacking = "\n".join(line for line in own_table().splitlines() if "US-RI" not in line)
    partial = lane.run("2025/partial.csv", lacking.encode(), shards=5)

    assert result["files"] == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    assert (result["seed"], result["units"], result["failed"]) == (
        five_places()["model"]["random_seed"],
        5,
        [],
    )
    assert result["summary"]["results"] == 5
    (failed,) = partial["failed"]
    assert failed["unit"] == "US-RI"
    assert "partial.csv has no rows for US-RI" in failed["reason"]
    assert partial["summary"]["results"] == 4


def test_the_services_refuse_a_table_with_the_models_own_line(cloud, forecast_services):
    lane = Lane(cloud, forecast_services)
    generation = lane.upload("week.csv", own_table().replace("cases", "number").encode())

    answer = forecast_services["preprocess"].ask(lane.preprocess_body("week.csv", generation))

    assert answer.status_code == 422
    assert answer.json()["error"]["message"].startswith("week.csv:1: no column cases; it has date, geo_value")
    assert answer.json()["error"]["retry"] is False
    assert lane.names() == []


# -- inference

HEAVY = ("modeling.vocabulary", "modeling.populations", "modeling.build", "modeling.outputs")
LARGE = ("yaml", "pandas", "matplotlib", "jinja2", "epydemix", "numba", "google")


def test_inference_loads_what_a_runner_loads(models, tmp_path):
    given = prepared("week.csv", own_table(), models)
    predicted(given)  # compiles the engine, if need be
    (tmp_path / "inputs").write_bytes(given.content)
    program = f"""
import sys
from pathlib import Path
from services.models.forecast import Forecast
model = Forecast()
model.load(Path(), "cpu")
made = model.predict(Path("inputs").read_bytes(), 0, 1, 7)
assert made.content and not made.failed
heavy = [name for name in sys.modules if name.startswith({HEAVY}) or name.partition(".")[0] in {LARGE}]
print(heavy)
"""
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "scripts")])
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
