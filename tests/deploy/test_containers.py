"""The same run in containers: a real engine, the image as `invoke build-dev` makes it, the same bytes.

`tests/local-docker up` starts an engine where none answers.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.experiments import REPOSITORY, calibrated, sampled
from tests.needs import docker, need_engine, one_build_at_a_time
from tests.operators import Operator
from tests.stage_scripts import RUN_ID

RUN = ("run", "--exp-id", "trial", "--docker")
SOMEBODY = 4321  # a user that the image does not know


@pytest.fixture(scope="module")
def image() -> str:
    """The local image, built by one test process while the others wait."""
    need_engine()
    with one_build_at_a_time(), tempfile.TemporaryDirectory() as folder:
        built = Operator(Path(folder), sampled()).invoke("build-dev")
    assert built.exit_code == 0, built.output
    return "epymodelingsuite:local"


def contents(operator: Operator, what: str) -> dict[str, bytes]:
    [run] = (operator.folder / "local" / "bucket" / "trial").iterdir()
    return {path.name: path.read_bytes() for path in sorted(run.glob(what))}


@pytest.mark.parametrize("make", [sampled, calibrated])
def test_a_run_in_containers_has_the_bytes_of_one_in_processes(image, tmp_path, make):
    in_containers, in_processes = Operator(tmp_path / "c", make()), Operator(tmp_path / "p", make())

    ran = in_containers.invoke(*RUN)
    also = in_processes.invoke("run", "--exp-id", "trial")

    assert ran.exit_code == 0, ran.output
    assert also.exit_code == 0, also.output
    for what in ("runner-artifacts/*.pkl", "outputs/*/*.csv.gz", "outputs/*/charts/*.png"):
        assert contents(in_containers, what), what
        assert contents(in_containers, what) == contents(in_processes, what), what


def test_what_containers_write_belongs_to_the_one_who_ran_them(image, tmp_path):
    operator = Operator(tmp_path, sampled())
    local = tmp_path / "local"
    shutil.chown(local, SOMEBODY, SOMEBODY)

    ended = operator.invoke(*RUN, HOST_UID=str(SOMEBODY), HOST_GID=str(SOMEBODY))

    assert ended.exit_code == 0, ended.output
    written = [p for p in (local / "bucket").rglob("*") if p.is_file()]
    assert written
    assert {(p.stat().st_uid, p.stat().st_gid) for p in written} == {(SOMEBODY, SOMEBODY)}


def test_the_image_runs_as_nobody_in_particular_and_holds_no_compiler(image):
    assert docker("inspect", "-f", "{{.Config.User}} {{.Config.Healthcheck.Test}}", image) == "10001 [NONE]"
    found = docker("run", "--rm", image, "bash", "-c", "command -v gcc cc uv make || true; command -v git")
    assert found == "/usr/bin/git"
    revision = docker("inspect", "-f", '{{index .Config.Labels "org.opencontainers.image.revision"}}', image)
    assert len(revision.removesuffix("-dirty")) == 40


def test_compose_alone_runs_a_stage(image, tmp_path):
    operator = Operator(tmp_path, sampled())
    built = operator.invoke("stage", "builder", "--exp-id", "trial", "--run-id", RUN_ID)
    assert built.exit_code == 0, built.output
    variables = {
        "LOCAL_DATA_PATH": str(tmp_path / "local"),
        "HOST_UID": str(os.getuid()),
        "HOST_GID": str(os.getgid()),
        "EXP_ID": "trial",
        "RUN_ID": RUN_ID,
        "TASK_INDEX": "1",
    }

    done = subprocess.run(
        ["docker", "compose", "run", "--rm", "-T", "runner"],
        cwd=REPOSITORY,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert list(contents(operator, "runner-artifacts/*")) == ["result_0001.pkl"]


@pytest.mark.parametrize("folder", ["local", "./local", "/tmp/local"])
def test_compose_takes_every_folder_that_a_setting_may_name(folder):
    need_engine()
    variables = {"LOCAL_DATA_PATH": folder, "FORECAST_REPO_DIR": "examples/forecast"}

    done = subprocess.run(
        ["docker", "compose", "config", "--format", "json"],
        cwd=REPOSITORY,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    mounted = json.loads(done.stdout)["services"]["runner"]["volumes"][0]
    assert (mounted["type"], mounted["source"]) == ("bind", str(REPOSITORY / folder))


def test_ctrl_c_leaves_no_container_behind(image, tmp_path):
    experiment = sampled()
    experiment["model"]["simulation"]["n_sims"] = 20_000
    operator = Operator(tmp_path, experiment)
    ours = ("ps", "-q", "--filter", f"volume={tmp_path / 'local'}")
    process = operator.start(*RUN)
    logs = tmp_path / "local" / "logs"
    until = time.monotonic() + 100
    while not any("input 0" in log.read_text() for log in logs.rglob("runner_0000.log")):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.1)
    working = docker(*ours)

    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=100)

    assert working
    assert process.returncode == 130, output
    assert docker(*ours) == ""


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"DOCKER_HOST": "unix:///nowhere.sock"}, "no Docker engine answers"),
        (
            {"LOCAL_IMAGE": "no-such-image:1"},
            "image no-such-image:1 not found; `invoke build-dev` builds it",
        ),
    ],
)
def test_no_engine_and_no_image_are_told_before_anything_is_written(image, tmp_path, variables, said):
    operator = Operator(tmp_path, sampled())

    ended = operator.invoke(*RUN, **variables)

    assert ended.exit_code == 2
    assert said in ended.output
    assert "Traceback" not in ended.output
    assert not (tmp_path / "local" / "bucket").exists()


def test_an_output_yaml_that_a_container_cannot_see_is_refused(image, tmp_path):
    operator = Operator(tmp_path, sampled())
    elsewhere = tmp_path / "elsewhere.yaml"
    elsewhere.write_text("output: {}\n")

    ended = operator.invoke(*RUN, "--output-config-file", str(elsewhere))

    assert ended.exit_code == 2
    assert "a container sees only" in ended.output
