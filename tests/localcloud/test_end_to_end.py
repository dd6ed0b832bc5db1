"""A workflow of all three stages, with the real gcloud and the real stage scripts.

The forecasting repository is private, and one of the runner's tasks is preempted.
"""

import json
import shutil
from pathlib import Path

import pytest

from localcloud.process import running
from tests.emulated import (
    add_secret,
    commit_all,
    create_bucket,
    names_in,
    object_of,
    offer_repository,
    request,
)
from tests.experiments import POPULATIONS, sampled, write_repository
from tests.localcloud.jobs import Jobs
from tests.stage_scripts import RUN_ID

WORKFLOW = Path(__file__).with_name("three_stages.yaml")
PREFIX = f"flu/trial/{RUN_ID}/"
TOKEN = "ghp_marked0token0of0the0whole0way"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """Start a cloud with a fast clock, a bucket, a token and a private repository."""
    with running(tmp_path_factory.mktemp("state"), "--clock-speed", "20", "--slots", "2") as cloud:
        origin = tmp_path_factory.mktemp("origin")
        write_repository(origin, sampled())
        shutil.copytree(POPULATIONS, origin / "data" / "epydemix-data")
        commit_all(origin, "an experiment")
        create_bucket(cloud, "forecasts")
        add_secret(cloud, TOKEN, "github-pat")
        offer_repository(cloud, "my-lab/forecasts", origin, TOKEN)
        yield cloud


@pytest.fixture(scope="module")
def deployed(run_gcloud):
    run_gcloud("workflows", "deploy", "three-stages", "--source", WORKFLOW, "--location", "us-central1")


def arguments(cloud, **more: str) -> str:
    variables = {
        "GCS_BUCKET": "forecasts",
        "DIR_PREFIX": "flu/",
        "EXP_ID": "trial",
        "RUN_ID": RUN_ID,
        "GITHUB_URL": f"{cloud.apis}/git",
        "GITHUB_FORECAST_REPO": "my-lab/forecasts",
        "GITHUB_PAT_SECRET": "github-pat",
        "GCLOUD_PROJECT_ID": "p",
        **more,
    }
    return json.dumps({"bucket": "forecasts", "prefix": PREFIX, "variables": variables})


def test_a_run_from_a_private_repository_to_tables_though_a_task_is_preempted(
    cloud, run_gcloud, deployed, local_tables
):
    Jobs(cloud).order({"job": "runner", "tasks": [1], "attempts": [0], "exit_code": 50001})

    ran = json.loads(
        run_gcloud(
            *("workflows", "run", "three-stages", "--location", "us-central1"),
            *("--data", arguments(cloud), "--format", "json"),
        )
    )

    assert ran["state"] == "SUCCEEDED", ran.get("error")
    result = json.loads(ran["result"])
    assert result["workloads"] == 3
    listed = run_gcloud(
        "batch", "jobs", "list", "--location", "us-central1", "--format=value(name,status.state)"
    )
    assert len(result["jobs"]) == 3
    assert all(f"{name}\tSUCCEEDED" in listed for name in result["jobs"])
    outputs = [name for name in names_in(cloud, "forecasts", f"{PREFIX}outputs/") if name.endswith(".csv.gz")]
    assert {n.rpartition("/")[2]: object_of(cloud, "forecasts", n) for n in outputs} == local_tables
    assert "manifest.json" in run_gcloud("storage", "ls", f"gs://forecasts/{PREFIX}builder-artifacts/")
    steps = request("GET", f"{cloud.apis}/_emulator/executions/{ran['name'].rpartition('/')[2]}/steps").json()
    names = [step["step"] for step in steps["steps"]]
    assert [name for name in names if name in ("build_workloads", "run_workloads", "write_outputs")] == [
        *("build_workloads", "run_workloads", "write_outputs"),
    ]


def test_a_stage_that_fails_ends_the_execution_with_the_job_and_its_reason_in_the_log(
    cloud, run_gcloud, deployed
):
    broken = arguments(cloud, RUN_ID="20250201-120000-ffffffff", FORECAST_REPO_REF="no-such-branch")

    ran = run_gcloud(
        *("workflows", "run", "three-stages", "--location", "us-central1", "--data", broken),
        "--format=json",
    )

    said = json.loads(ran)
    assert said["state"] == "FAILED"
    assert "-builder ended as FAILED" in said["error"]["payload"]
    log = run_gcloud("logging", "read", 'severity>=ERROR AND labels.job_uid:"builder"', "--format=json")
    assert 'no branch, tag or whole commit \\"no-such-branch\\"' in log
    assert TOKEN not in log
