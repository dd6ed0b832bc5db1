"""The cloud image as Batch starts it: a private repository cloned, three stages over a bucket, any user."""

import base64
import os
import shutil
import subprocess

import pytest
import requests

from localcloud.process import running
from tests.experiments import EXAMPLES, REPOSITORY, sampled, write_repository
from tests.needs import docker, need_engine, one_build_at_a_time
from tests.stages import RUN_ID, Stages

TOKEN = "ghp_marked0token0of0the0cloud0image"
IMAGE = "epymodelingsuite:cloud-test"


@pytest.fixture(scope="module")
def image():
    need_engine()
    build = ["docker", "build", "-f", "docker/Dockerfile", "--target", "cloud", "-t", IMAGE, "."]
    with one_build_at_a_time():
        done = subprocess.run(
            build, cwd=REPOSITORY, env={**os.environ, "DOCKER_BUILDKIT": "1"}, capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr
    return IMAGE


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with running(tmp_path_factory.mktemp("cloud")) as cloud:
        post(f"{cloud.storage}/storage/v1/b?project=p", {"name": "forecasts"})
        secrets = f"{cloud.apis}/v1/projects/p/secrets"
        post(f"{secrets}?secretId=github-pat", {"replication": {"automatic": {}}})
        data = base64.b64encode(TOKEN.encode()).decode()
        post(f"{secrets}/github-pat:addVersion", {"payload": {"data": data}})
        origin = tmp_path_factory.mktemp("origin")
        write_repository(origin, sampled())
        shutil.copytree(EXAMPLES / "data" / "epydemix-data", origin / "data" / "epydemix-data")
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "experiment"]):
            identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
            subprocess.run(["git", *identity, *words], cwd=origin, check=True)
        body = {"repository": "my-lab/forecasts", "path": str(origin), "token": TOKEN}
        post(f"{cloud.apis}/_emulator/git", body)
        yield cloud


def post(url: str, body: dict) -> None:
    answer = requests.post(url, json=body, headers={"Authorization": "Bearer any"}, timeout=10)
    assert answer.status_code == 200, answer.text


@pytest.mark.timeout(900)
@pytest.mark.parametrize("user", ["10001", "4321:4321"])
def test_three_stages_in_containers_have_the_tables_of_processes(image, cloud, tmp_path, user):
    run_id = RUN_ID[:-1] + user[0]
    variables = {
        "GCS_BUCKET": "forecasts",
        "EXP_ID": "trial",
        "RUN_ID": run_id,
        "GITHUB_FORECAST_REPO": "my-lab/forecasts",
        "GITHUB_URL": f"{cloud.apis}/git",
        "GITHUB_PAT_SECRET": "github-pat",
        "GCLOUD_PROJECT_ID": "p",
        "STORAGE_EMULATOR_HOST": cloud.storage,
        "SECRET_MANAGER_EMULATOR_HOST": cloud.apis,
        "WORKLOADS_PER_TASK": "3",
        "BATCH_TASK_INDEX": "0",
        "OMP_NUM_THREADS": "1",
    }
    options = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]

    for stage in ("builder", "runner", "output"):
        docker(
            *("run", "--rm", "--network", "host", "--user", user, *options),
            *(image, "bash", f"/scripts/run_{stage}.sh"),
        )

    local = Stages(tmp_path, sampled(), WORKLOADS_PER_TASK="3", BATCH_TASK_INDEX="0")
    for stage in ("builder", "runner", "output"):
        assert local.run(stage).exit_code == 0
    expected = {path.name: path.read_bytes() for path in local.outputs().glob("*.csv.gz")}
    assert len(expected) >= 4
    assert tables(cloud, f"trial/{run_id}/outputs/") == expected


def tables(cloud, prefix: str) -> dict[str, bytes]:
    objects = f"{cloud.storage}/storage/v1/b/forecasts/o"
    names = [item["name"] for item in requests.get(f"{objects}?prefix={prefix}", timeout=10).json()["items"]]
    return {
        name.rpartition("/")[2]: requests.get(
            f"{objects}/{requests.utils.quote(name, safe='')}?alt=media", timeout=10
        ).content
        for name in names
        if name.endswith(".csv.gz")
    }
