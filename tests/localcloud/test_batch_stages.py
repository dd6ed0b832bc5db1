"""The three stages of this repository as three jobs of the emulated Batch, with the emulated storage."""

import json

import pytest
import requests

from localcloud.process import running
from pipeline.bucket import BucketStorage
from tests.experiments import POPULATIONS, sampled, write_repository
from tests.localcloud.jobs import PROJECT, Jobs, exit_codes, job
from tests.stage_scripts import RUN_ID

BUCKET = "forecasts"
RUN_PREFIX = f"trial/{RUN_ID}/"


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    with running(tmp_path_factory.mktemp("state"), "--slots", "2") as cloud:
        made = requests.post(
            f"{cloud.storage}/storage/v1/b?project={PROJECT}", json={"name": BUCKET}, timeout=10
        )
        made.raise_for_status()
        yield Jobs(cloud)


@pytest.fixture(scope="module")
def storage(batch):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", batch.cloud.storage)
        patch.setenv("GOOGLE_CLOUD_PROJECT", PROJECT)
        return BucketStorage(BUCKET)


def stage_job(stage, repository, count=1, **more):
    """Return the job of a stage: the image's script, configured by variables only."""
    variables = {
        "GCS_BUCKET": BUCKET,
        "EXP_ID": "trial",
        "RUN_ID": RUN_ID,
        "FORECAST_REPO_DIR": str(repository),
        "EPYDEMIX_DATA_DIR": str(POPULATIONS),
        **more,
    }
    container = {
        "imageUri": "us-docker.pkg.dev/p/repo/epymodelingsuite:latest",
        "entrypoint": "bash",
        "commands": [f"/scripts/run_{stage}.sh"],
    }
    policy = {"action": "RETRY_TASK", "actionCondition": {"exitCodes": [75, 50001, 50002, 50006]}}
    spec = {
        "environment": {"variables": variables},
        "maxRetryCount": 3,
        "lifecyclePolicies": [policy],
        "maxRunDuration": "600s",
    }
    return job({"container": container}, count=count, spec=spec) | {"labels": {"stage": stage}}


def test_three_jobs_give_the_tables_of_a_local_run_though_one_task_is_preempted(
    batch, storage, local_tables, tmp_path
):
    write_repository(tmp_path, sampled())
    batch.order(
        {"job": "runner", "tasks": [1], "attempts": [0], "exit_code": 50001, "after_seconds": 1.0},
        {"job": "runner", "tasks": [2], "attempts": [0], "exit_code": 50002},
    )

    builder = batch.run(stage_job("builder", tmp_path), "builder")
    assert builder["status"]["state"] == "SUCCEEDED", batch.logs(builder)
    manifest = json.loads(storage.load_bytes(f"{RUN_PREFIX}builder-artifacts/manifest.json"))
    runner = batch.run(stage_job("runner", tmp_path, count=manifest["num_pending"]), "runner")
    assert runner["status"]["state"] == "SUCCEEDED", batch.logs(runner)
    output = batch.run(stage_job("output", tmp_path), "output")
    assert output["status"]["state"] == "SUCCEEDED", batch.logs(output)

    assert manifest["num_pending"] == 3
    assert [exit_codes(task)[:1] for task in batch.tasks(runner)][2] == [50002]
    tables = {
        name.rsplit("/", 1)[1]: storage.load_bytes(name)
        for name in storage.list_files(f"{RUN_PREFIX}outputs/")
        if name.endswith(".csv.gz")
    }
    assert tables == local_tables
    [last] = batch.logs(output)[-1:]
    assert last["severity"] == "INFO"
    assert last["jsonPayload"]["stage"] == "output"
    assert last["labels"]["stage"] == "output"
    assert batch.work_folders() == []


def test_a_stage_that_cannot_do_its_work_fails_once_and_says_why(batch, tmp_path):
    ended = batch.run(stage_job("builder", tmp_path, GCS_BUCKET="no-such-bucket"), "no-bucket")

    [task] = batch.tasks(ended)
    assert exit_codes(task) == [2]
    [entry] = batch.logs(ended)
    assert entry["severity"] == "ERROR"
    assert "gs://no-such-bucket: no such bucket" in entry["jsonPayload"]["message"]
