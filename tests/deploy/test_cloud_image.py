"""The cloud image as Batch starts it: a private repository cloned, three stages over a bucket, any user."""

import shutil

import pytest

from localcloud.process import running
from tests.emulated import add_secret, commit_all, create_bucket, names_in, object_of, offer_repository
from tests.experiments import EXAMPLES, sampled, write_repository
from tests.needs import build_image, docker, need_engine
from tests.stage_scripts import RUN_ID, Stages

TOKEN = "ghp_marked0token0of0the0cloud0image"
IMAGE = "epymodelingsuite:cloud-test"


@pytest.fixture(scope="module")
def image():
    need_engine()
    done = build_image("cloud", IMAGE, {})
    assert done.returncode == 0, done.stdout
    return IMAGE


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """A cloud with a bucket, a token, and a private repository that it opens."""
    with running(tmp_path_factory.mktemp("cloud")) as cloud:
        origin = tmp_path_factory.mktemp("origin")
        write_repository(origin, sampled())
        shutil.copytree(EXAMPLES / "data" / "epydemix-data", origin / "data" / "epydemix-data")
        commit_all(origin, "experiment")
        create_bucket(cloud, "forecasts")
        add_secret(cloud, TOKEN, "github-pat")
        offer_repository(cloud, "my-lab/forecasts", origin, TOKEN)
        yield cloud


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
    outputs = names_in(cloud, "forecasts", f"trial/{run_id}/outputs/")
    tables = [name for name in outputs if name.endswith(".csv.gz")]
    assert {n.rpartition("/")[2]: object_of(cloud, "forecasts", n) for n in tables} == expected
