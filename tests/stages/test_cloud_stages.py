"""The three stages in cloud mode, as processes over an emulated Cloud Storage."""

import json
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
import requests

from localcloud.process import running
from pipeline.bucket import BucketStorage
from tests.experiments import REPOSITORY, sampled
from tests.stage_scripts import RUN_ID, Ended, Stages

RUN_PREFIX = f"flu/trial/{RUN_ID}/"
ONE_TASK = {"WORKLOADS_PER_TASK": "3", "BATCH_TASK_INDEX": "0"}
STAGES = ("builder", "runner", "output")

# A stage gives storage five minutes to come back; a test has less.
IMPATIENT_STAGE = """
import runpy, sys
import pipeline.bucket

pipeline.bucket.RETRY_SECONDS = 2
runpy.run_path(sys.argv[1], run_name="__main__")
"""

_numbers = count(1)


class Cloud:
    """An emulated Cloud Storage, and the stages that use it."""

    def __init__(self, url: str):
        self.url = url

    def create_bucket(self) -> str:
        name = f"forecasts-{next(_numbers)}"
        answer = requests.post(f"{self.url}/storage/v1/b?project=p", json={"name": name}, timeout=10)
        assert answer.status_code == 200, answer.text
        return name

    def stages(self, folder: Path, bucket: str) -> Stages:
        return Stages(
            folder,
            sampled(),
            EXECUTION_MODE="cloud",
            GCS_BUCKET=bucket,
            DIR_PREFIX="flu/",
            STORAGE_EMULATOR_HOST=self.url,
            GOOGLE_CLOUD_PROJECT="p",
            **ONE_TASK,
        )

    def storage(self, bucket: str) -> BucketStorage:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("STORAGE_EMULATOR_HOST", self.url)
            return BucketStorage(bucket)

    def order(self, *rules: dict) -> None:
        answer = requests.post(f"{self.url}/_emulator/faults", json=list(rules), timeout=10)
        assert answer.status_code == 200, answer.text

    def hits(self) -> list[int]:
        rules = requests.get(f"{self.url}/_emulator/faults", timeout=10).json()
        return [rule["hits"] for rule in rules]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("cloud")) as cloud:
        yield Cloud(cloud.storage)


@pytest.fixture
def cloud(server):
    yield server
    requests.delete(f"{server.url}/_emulator/faults", timeout=10)


@pytest.fixture(scope="module")
def local_tables(tmp_path_factory):
    """The tables of the same experiment, run on a folder."""
    stages = Stages(tmp_path_factory.mktemp("local"), sampled(), **ONE_TASK)
    ended = [stages.run(stage) for stage in STAGES]
    assert [e.exit_code for e in ended] == [0, 0, 0], ended[-1].output
    return {path.name: path.read_bytes() for path in stages.outputs().glob("*.csv.gz")}


@pytest.fixture(scope="module")
def finished(server, tmp_path_factory):
    """A run in the cloud: its storage, and how each stage ended."""
    bucket = server.create_bucket()
    stages = server.stages(tmp_path_factory.mktemp("finished"), bucket)
    return server.storage(bucket), {stage: stages.run(stage) for stage in STAGES}


def tables(storage: BucketStorage) -> dict[str, bytes]:
    """Return the tables of the only outputs of the run."""
    lists = [n for n in storage.list_files(f"{RUN_PREFIX}outputs/") if n.endswith("/files.json")]
    assert len(lists) == 1
    names = [entry["name"] for entry in json.loads(storage.load_bytes(lists[0]))]
    folder = lists[0].removesuffix("files.json")
    return {n: storage.load_bytes(folder + n) for n in names if n.endswith(".csv.gz")}


def log_of(ended: Ended) -> list[dict]:
    return [json.loads(line) for line in ended.lines]


def run_impatiently(stages: Stages, stage: str) -> Ended:
    done = subprocess.run(
        [sys.executable, "-c", IMPATIENT_STAGE, str(REPOSITORY / "scripts" / f"main_{stage}.py")],
        env=stages.environment(PYTHONPATH=REPOSITORY / "scripts"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return Ended(done.returncode, done.stdout, done.stdout.strip().splitlines())


def test_a_run_in_the_cloud_gives_the_tables_of_a_local_one(finished, local_tables):
    storage, ended = finished

    assert {stage: e.exit_code for stage, e in ended.items()} == dict.fromkeys(STAGES, 0)
    assert len(local_tables) >= 4
    assert tables(storage) == local_tables


def test_a_run_keeps_to_its_own_prefix_of_the_bucket(finished):
    storage, _ = finished

    names = list(storage.list_files(""))

    assert {name.removeprefix(RUN_PREFIX).split("/")[0] for name in names} == {
        "config",
        "builder-artifacts",
        "runner-artifacts",
        "summaries",
        "outputs",
        "run_metadata.json",
    }


def test_nothing_is_written_to_the_folder_of_local_mode(cloud, tmp_path):
    stages = cloud.stages(tmp_path, cloud.create_bucket())

    ended = stages.run("builder")

    assert ended.exit_code == 0
    assert not (tmp_path / "bucket").exists()


@pytest.mark.parametrize("stage", STAGES)
def test_a_log_is_lines_of_json_that_name_the_run(finished, stage):
    _, ended = finished

    lines = log_of(ended[stage])

    assert lines
    for line in lines:
        assert line["severity"] == "INFO"
        assert line["message"]
        assert (line["exp_id"], line["run_id"], line["stage"]) == ("trial", RUN_ID, stage)
        assert str(line["task_index"]) == "0"


def test_a_log_without_a_task_has_no_task_index(cloud, tmp_path):
    stages = cloud.stages(tmp_path, cloud.create_bucket())
    del stages.variables["BATCH_TASK_INDEX"]

    ended = stages.run("builder")

    assert ended.exit_code == 0
    assert all("task_index" not in line for line in log_of(ended))


@pytest.mark.parametrize("stage", STAGES)
def test_a_bucket_that_is_not_there_ends_a_stage_in_one_line(cloud, tmp_path, stage):
    ended = cloud.stages(tmp_path, "no-such-bucket").run(stage)

    assert ended.exit_code == 2
    (line,) = log_of(ended)
    assert line["severity"] == "ERROR"
    assert line["message"] == "gs://no-such-bucket: no such bucket; check the setting, or create it"
    assert line["stage"] == stage


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_denied_access_ends_a_stage_in_one_line(cloud, tmp_path, method):
    bucket = cloud.create_bucket()
    cloud.order({"method": method, "path": f"/b/{bucket}/", "status": 403})

    ended = cloud.stages(tmp_path, bucket).run("builder")

    assert ended.exit_code == 2
    (line,) = log_of(ended)
    assert line["severity"] == "ERROR"
    assert (
        f"access denied (403 injected fault); the account needs roles/storage.objectUser on gs://{bucket}"
        in (line["message"])
    )


@pytest.mark.parametrize(("stage", "method"), [("builder", "POST"), ("runner", "GET")])
def test_storage_that_does_not_answer_asks_batch_to_try_again(cloud, tmp_path, stage, method):
    bucket = cloud.create_bucket()
    cloud.order({"method": method, "path": f"/b/{bucket}/", "status": 503})

    ended = run_impatiently(cloud.stages(tmp_path, bucket), stage)

    assert ended.exit_code == 75
    (line,) = log_of(ended)
    assert line["message"].endswith("storage does not answer (503 injected fault); try again")


def test_random_faults_of_storage_do_not_change_the_tables(cloud, tmp_path, local_tables):
    bucket = cloud.create_bucket()
    objects = f"/b/{bucket}/o"
    cloud.order(
        {"path": objects, "status": 503, "probability": 0.1, "seed": 7},
        {"path": objects, "action": "reset_after", "probability": 0.03, "seed": 8},
        {"path": objects, "action": "truncate", "probability": 0.03, "seed": 9},
        {"path": objects, "latency_seconds": 0.02, "probability": 0.5, "seed": 10},
    )
    stages = cloud.stages(tmp_path, bucket)

    ended = [stages.run(stage) for stage in STAGES]

    assert [e.exit_code for e in ended] == [0, 0, 0], ended[-1].output
    assert sum(cloud.hits()[:3]) > 3
    assert tables(cloud.storage(bucket)) == local_tables


def test_a_stage_that_is_run_again_in_the_cloud_changes_nothing(finished, cloud, tmp_path):
    storage, _ = finished
    stages = cloud.stages(tmp_path, storage.name)
    results = dict(storage.load_many(storage.list_files(f"{RUN_PREFIX}runner-artifacts/")))
    inputs = dict(storage.load_many(storage.list_files(f"{RUN_PREFIX}builder-artifacts/input")))

    runner, builder = stages.run("runner"), stages.run("builder")

    assert (runner.exit_code, builder.exit_code) == (0, 0)
    assert "exists already" in runner.output
    assert dict(storage.load_many(results)) == results
    assert dict(storage.load_many(inputs)) == inputs
    manifest = json.loads(storage.load_bytes(f"{RUN_PREFIX}builder-artifacts/manifest.json"))
    assert (manifest["num_workloads"], manifest["num_pending"]) == (3, 0)
