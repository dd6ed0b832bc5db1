"""`invoke status`: what goes on in the cloud, as an operator sees it; real gcloud on the emulated cloud."""

import os
import pty
import re
import signal
import subprocess
import time
from collections import Counter

import pytest

from localcloud.process import running
from tests.cloud_runs import RUN_ID
from tests.emulated import request
from tests.experiments import sampled
from tests.test_cloud_run import CloudOperator, ready_cloud
from tests.test_tasks import INVOKE

pytestmark = pytest.mark.slow

OTHER_RUN = "20260131-120000-00000001"
QUOTA = "CODE_GCE_QUOTA_EXCEEDED"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    state = tmp_path_factory.mktemp("status")
    with running(state, "--clock-speed", "100", "--tasks", "null") as cloud:
        yield cloud


@pytest.fixture
def pipeline(cloud):
    yield ready_cloud(cloud)
    request("POST", f"{cloud.apis}/_emulator/reset")


@pytest.fixture
def operator(cloud, pipeline, tmp_path):
    return CloudOperator(cloud, tmp_path, sampled())


def requests_of(cloud) -> Counter:
    """Return how often each route of the APIs was read."""
    asked = request("GET", f"{cloud.apis}/_emulator/requests").json()["by_route"]
    place = "GET /v1/projects/{project}/locations/{location}"
    return Counter(
        {route.removeprefix(place): number for route, number in asked.items() if route.startswith(place)}
    )


def wait_for_event(pipeline, job: str, text: str) -> None:
    deadline = time.monotonic() + 60
    while text not in str(pipeline.jobs().get(job, "")):
        assert time.monotonic() < deadline, pipeline.jobs().get(job)
        time.sleep(0.1)


def start_a_run_that_waits_for_quota(pipeline) -> str:
    pipeline.put_manifest(7)
    pipeline.order({"job": "runner", "queue": QUOTA})
    waiting = pipeline.start(runId=RUN_ID)
    wait_for_event(pipeline, f"runner-{waiting}", QUOTA)
    return waiting


def test_status_tells_of_tasks_retries_and_shortages_among_hundreds_of_executions(operator, pipeline):
    for _ in range(300):
        pipeline.start(exp_id="other", mistyped="argument")  # these fail at once
    pipeline.put_manifest(7)
    pipeline.order(
        {"job": "runner", "tasks": [1, 2], "attempts": [0], "exit_code": 50001},
        {"job": "runner", "tasks": [3], "exit_code": 2},
    )
    failed = pipeline.start(runId=RUN_ID)
    pipeline.wait(failed)
    pipeline.clear_faults()
    waiting = start_a_run_that_waits_for_quota(pipeline)

    before = requests_of(operator.cloud)
    ended = operator.invoke("status", "--exp-id", "trial")
    asked = requests_of(operator.cloud) - before

    assert ended.exit_code == 0, ended.output
    assert "1 execution of trial going on" in ended.lines[0]
    blocks = ended.output.split("\n\n")
    assert len(blocks) == 4, ended.output
    assert re.fullmatch(r"and 29\d more executions: invoke workflow-list\n", blocks[3])
    assert re.search(rf"^trial  run {RUN_ID}  ACTIVE for ", blocks[1])
    assert re.search(r"builder +SUCCEEDED +1 succeeded; queued ", blocks[1])
    assert re.search(rf"runner +QUEUED +7 pending; queued .*\n +20\S+Z .*{QUOTA}", blocks[1])
    assert waiting in blocks[1]
    assert re.search(r"runner +FAILED +1 failed, 6 succeeded; 2 retries; queued ", blocks[2])
    assert "2 with 50001 (Spot VM taken away), 1 with exit code 2" in blocks[2]
    assert "1 of 7 tasks failed (task 3)" in blocks[2]
    assert failed in blocks[2]
    # the workflow that waits asks for its own job all the while
    assert asked["/workflows/{workflow}/executions"] == 1
    assert asked["/workflows/{workflow}/executions/{execution}"] <= 8
    assert asked["/jobs"] == 1
    assert asked["/jobs/{job}/taskGroups/{group}/tasks"] <= 3


def test_status_in_a_pipe_prints_what_changes_until_ctrl_c(operator, pipeline):
    waiting = start_a_run_that_waits_for_quota(pipeline)
    process = operator.start("status", "--watch", "--exp-id", "trial")
    output = ""
    try:
        while "QUEUED" not in output:
            output += process.stdout.readline()
        pipeline.clear_faults()
        pipeline.wait(waiting)
        while "7 tasks of stage B" not in output:
            line = process.stdout.readline()
            assert line, output
            output += line
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Traceback" not in output + rest
    assert output.count("ACTIVE for") <= 12
    assert "SUCCEEDED after" in output
    assert f"7 tasks of stage B; gs://{pipeline.bucket}/trial/{RUN_ID}/" in output


def test_status_on_a_terminal_is_renewed_in_place(operator, pipeline):
    start_a_run_that_waits_for_quota(pipeline)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*INVOKE, str(operator.code), "status", "--watch"],
        cwd=operator.folder,
        env=operator.environ | {"TERM": "xterm", "COLUMNS": "150", "LINES": "40"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    output = ""
    while output.count(QUOTA) < 2:
        output += os.read(ours, 65536).decode(errors="replace")
    process.send_signal(signal.SIGINT)
    while process.poll() is None:
        try:
            output += os.read(ours, 65536).decode(errors="replace")
        except OSError:  # the terminal is closed once the program has ended
            process.wait(60)
    os.close(ours)

    assert process.returncode == 130
    assert "\x1b[1A" in output  # a line up
    assert "Traceback" not in output


def test_what_cannot_be_is_one_line(operator):
    wrong = operator.invoke("status", "--hours", "soon")
    dry = operator.invoke("status", "--dry-run")

    assert wrong.exit_code == 2
    assert "--hours soon: a whole number is needed" in wrong.last_line
    assert "+ gcloud workflows executions list" in dry.output
