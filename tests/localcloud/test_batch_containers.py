"""Tasks of the emulated Batch in containers of a real Docker engine; no container is left behind."""

import json
import os
import signal
import subprocess
import time

import pytest

from localcloud.process import Cloud, running
from tests.localcloud.jobs import Jobs, exit_codes, job, make_secret
from tests.localcloud.processes import started
from tests.needs import need_program

BASE = "python:3.11-slim"  # the base of this repository's images
NAME = "us-docker.pkg.dev/p/repo/epymodelingsuite"


def docker(*words):
    done = subprocess.run(["docker", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def engine():
    """Require a Docker engine that has the base image."""
    need_program("docker")
    if subprocess.run(["docker", "image", "inspect", BASE], capture_output=True).returncode:
        message = f'no Docker engine with {BASE} answers; start one, or: eval "$(tests/local-docker up)"'
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(scope="module")
def docker_cloud(engine, tmp_path_factory):
    arguments = ("--tasks", "docker", "--slots", "2", "--image", f"{NAME}={BASE}")
    with running(tmp_path_factory.mktemp("state"), *arguments) as cloud:
        yield cloud


@pytest.fixture
def jobs(docker_cloud):
    jobs = Jobs(docker_cloud)
    yield jobs
    jobs.clear_faults()


def contained(text, **more):
    """Return a runnable in the image, by its name in the registry."""
    return {"container": {"imageUri": f"{NAME}:v1", "entrypoint": "bash", "commands": ["-c", text], **more}}


def containers(mark):
    """Return the containers whose command contains a mark."""
    listed = docker("ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Command}}")
    return [line.split()[0] for line in listed.splitlines() if mark in line]


def test_a_task_is_a_container_with_its_variables_and_limits(jobs):
    text = "env; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>&1; exit 3"
    spec = {
        "environment": {
            "variables": {"EXP_ID": "flu trial", "PATH": "/opt:/usr/bin:/bin", "DOCKER_HOST": "nowhere"},
            "secretVariables": {"PAT": make_secret(jobs, "pat", "two\nlines")},
        },
        "computeResource": {"cpuMilli": "64000", "memoryMib": "256"},
    }

    ended = jobs.run(job(contained(text), spec=spec))

    lines = jobs.lines(ended)
    assert exit_codes(jobs.tasks(ended)[0]) == [3]
    assert {"EXP_ID=flu trial", "PAT=two", "lines", "BATCH_TASK_INDEX=0", "DOCKER_HOST=nowhere"} <= set(lines)
    assert {"PATH=/opt:/usr/bin:/bin", f"STORAGE_EMULATOR_HOST={jobs.cloud.storage}"} <= set(lines)
    assert str(256 * 2**20) in lines


def test_a_container_reaches_the_emulator(jobs):
    url = "os.environ['STORAGE_EMULATOR_HOST'] + '/storage/v1/b?project=p'"
    text = f'python3 -c "import os, urllib.request; print(urllib.request.urlopen({url}).status)"'

    assert jobs.lines(jobs.run(job(contained(text)))) == ["200"]


def test_the_agent_reports_an_image_that_does_not_exist(jobs):
    ended = jobs.run(job({"container": {"imageUri": "us-docker.pkg.dev/p/repo/none:1"}}))

    assert exit_codes(jobs.tasks(ended)[0]) == [125]
    assert any("us-docker.pkg.dev/p/repo/none:1" in line for line in jobs.lines(ended, "batch_agent_logs"))


def test_the_agent_reports_options_that_cannot_be_parsed(jobs):
    ended = jobs.run(job(contained("true", options='--label "unended')))

    assert exit_codes(jobs.tasks(ended)[0]) == [125]
    assert any("No closing quotation" in line for line in jobs.lines(ended, "batch_agent_logs"))


def test_no_secret_is_an_argument(jobs):
    spec = {"environment": {"secretVariables": {"PAT": make_secret(jobs, "hidden", "hush-hush")}}}
    made = jobs.create(job(contained("echo ready; sleep 8001"), spec=spec))
    until = time.monotonic() + 30
    while not jobs.lines(made):
        assert time.monotonic() < until
        time.sleep(0.1)

    listed = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True).stdout

    jobs.delete(made)
    assert "--env PAT" in listed
    assert "hush-hush" not in listed


@pytest.mark.parametrize("ready", [True, False])
def test_a_cancelled_container_is_removed_also_while_it_starts(jobs, ready):
    mark = f"sleep 800{2 + ready}"
    made = jobs.create(job(contained(f"echo ready; {mark}"), count=2))
    jobs.wait(made, "RUNNING")
    until = time.monotonic() + 30
    while ready and len(jobs.lines(made)) < 2:
        assert time.monotonic() < until
        time.sleep(0.1)

    jobs.cancel(made)

    assert jobs.wait(made)["status"]["state"] == "CANCELLED"
    assert containers(mark) == []


def test_a_container_that_exceeds_its_time_limit_is_removed(jobs):
    ended = jobs.run(job(contained("sleep 8004"), spec={"maxRunDuration": "2s"}))

    assert exit_codes(jobs.tasks(ended)[0]) == [50005]
    assert containers("sleep 8004") == []


@pytest.mark.parametrize(("number", "mark"), [(signal.SIGKILL, "sleep 8005"), (signal.SIGTERM, "sleep 8006")])
def test_no_container_outlives_the_emulator(engine, tmp_path, number, mark):
    arguments = (
        "-m",
        "localcloud",
        "--state",
        str(tmp_path),
        "--tasks",
        "docker",
        "--image",
        f"{NAME}={BASE}",
    )
    with started(*arguments) as emulator:
        jobs = Jobs(Cloud(**json.loads(emulator.stdout.readline()), state=tmp_path))
        made = jobs.create(job(contained(f"echo ready; {mark}")))
        until = time.monotonic() + 30
        while not jobs.lines(made):
            assert time.monotonic() < until
            time.sleep(0.1)

        emulator.send_signal(number)
        emulator.wait()

        until = time.monotonic() + 20
        while containers(mark) and time.monotonic() < until:
            time.sleep(0.1)
        assert containers(mark) == []
