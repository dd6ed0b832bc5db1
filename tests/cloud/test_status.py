"""`invoke status`: what goes on in the cloud, as an operator sees it; real gcloud on the emulated cloud."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from ops.cloud.executions import show_execution
from ops.cloud.log_reader import LogRequest
from ops.cloud.spending import spending_of
from ops.jobs.job_templates import Filling, render_job
from ops.manifests import Share
from ops.run_request import RunRequest
from ops.shell import Shell
from ops.watching import run_logs, status
from tests.cloud_operators import IMAGE, CloudOperator, read_until, wait_until
from tests.cloud_runs import RUN_ID
from tests.emulated import order_faults, request
from tests.experiments import sampled
from tests.odd_gcloud import path_with_odd_gcloud
from tests.operators import invoke_in

QUOTA = "CODE_GCE_QUOTA_EXCEEDED"
LIST = "/workflows/{workflow}/executions"


@pytest.fixture
def operator(null_cloud, pipeline, tmp_path):
    return CloudOperator(null_cloud, tmp_path, sampled())


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


def make_job(operator, pipeline, job_id: str, exp_id: str = "trial", **labels: str) -> None:
    """Make a job of stage B as `gcloud batch jobs submit` does."""
    filling = Filling(RunRequest(exp_id, RUN_ID), f"{IMAGE}:latest", True, Share(3, 1))
    job = render_job(operator.settings(), "runner", filling, job_id)
    pipeline.api("POST", f"/jobs?jobId={job_id}", json=job | {"labels": job["labels"] | labels})


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
    by_hand, abandoned, strange = f"runner-{RUN_ID}-0a1b2c3d", "runner-of-last-week", "runner-another"
    make_job(operator, pipeline, by_hand)
    make_job(operator, pipeline, abandoned, **{"managed-by": "workflows"})
    make_job(operator, pipeline, strange, "other")

    before = requests_of(operator.cloud)
    ended = operator.invoke("status", "--exp-id", "trial")
    asked = requests_of(operator.cloud) - before

    assert ended.exit_code == 0, ended.output
    assert "1 execution of trial running, 1 ended in the last 12 hours; 2 jobs running" in ended.lines[0]
    blocks = ended.output.split("\n\n")
    assert len(blocks) == 6, ended.output
    assert blocks[3].startswith(f"trial  run {RUN_ID}  job {abandoned} (its execution has ended")
    assert blocks[4].startswith(f"trial  run {RUN_ID}  job {by_hand} (by hand)")
    assert re.search(r"runner +QUEUED +3 pending; queued .*about \$0\.00 so far", blocks[4], re.DOTALL)
    assert re.fullmatch(r"and 29\d more executions: invoke workflow-list\n", blocks[5])
    assert re.search(rf"^trial  run {RUN_ID}  ACTIVE for ", blocks[1])
    assert re.search(r"builder +SUCCEEDED +1 succeeded; queued ", blocks[1])
    assert re.search(rf"runner +QUEUED +7 pending; queued .*\n +20\S+Z .*{QUOTA}", blocks[1])
    assert waiting in blocks[1]
    assert re.search(r"runner +FAILED +1 failed, 6 succeeded; 2 retries; queued ", blocks[2])
    assert "2 with exit code 50001 (a Spot machine was taken away), 1 with exit code 2 (" in blocks[2]
    assert re.search(r"about \$0\.\d\d \(0\.\d machine hours with their start, list prices of ", blocks[2])
    assert "1 of 7 tasks failed (task 3)" in blocks[2]
    assert failed in blocks[2]
    # the workflow that waits asks for its own job all the while
    assert asked[LIST] == 1
    assert asked["/workflows/{workflow}/executions/{execution}"] <= 8
    assert asked["/jobs"] == 1
    assert asked["/jobs/{job}/taskGroups/{group}/tasks"] <= 3


def test_logs_are_of_the_newest_run_also_where_nothing_of_it_is_in_the_bucket(operator, pipeline, capsys):
    def newest():
        run_logs.show_logs(operator.google_cloud(), LogRequest("trial"))
        return re.search(r"^run (\S+) of trial", capsys.readouterr().err, re.MULTILINE)[1]

    older, failed_early, never_begun = (f"20260131-12000{n}-0a1b2c3d" for n in range(3))
    pipeline.put_manifest(2, older)
    assert newest() == older

    pipeline.order({"job": "builder", "exit_code": 2})
    pipeline.wait(pipeline.start(runId=failed_early))
    pipeline.start("other", mistyped="argument", runId="20991231-120000-0a1b2c3d")
    assert newest() == failed_early

    pipeline.wait(pipeline.start(mistyped="argument", runId=never_begun))
    assert newest() == never_begun


def as_if_no_time_went_by(block: str) -> str:
    """Return what is told of an execution without what grows by itself: times, and what they cost."""
    return re.sub(r"((?<=ACTIVE for )|(?<=queued )|(?<=about \$)).*", "", block)


def test_status_in_a_pipe_prints_what_changes_through_faults_until_ctrl_c(operator, pipeline):
    pipeline.order({"job": "builder", "null_seconds": 300}, {"job": "output", "queue": QUOTA})
    execution = pipeline.start()  # by hand: the workflow names the run
    wait_for_event(pipeline, f"builder-{execution}", "RUNNING")
    run_id = pipeline.job(f"builder-{execution}")["labels"]["run_id"]
    pipeline.put_manifest(0, run_id)  # as of one that has all its results
    pipeline.put(f"trial/{run_id}/run_metadata.json", {"estimated_cost": {"total_usd": 1.234}})
    wait_for_event(pipeline, f"output-{execution}", QUOTA)
    process = operator.start("status", "--watch", "--exp-id", "trial")
    try:
        output = read_until(QUOTA, process)
        fault = {"path": "/executions\\?", "status": 409, "message": "ABORTED", "times": 1}
        order_faults(operator.cloud, fault)
        output += read_until("the cloud answers again", process)
        looks = requests_of(operator.cloud)[LIST]
        wait_until(lambda: requests_of(operator.cloud)[LIST] > looks, 60)  # a look told nothing new
        pipeline.clear_faults()
        pipeline.wait(execution)
        output += read_until("about $1.23 in all, according to its run_metadata.json", process)
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Traceback" not in output + rest
    assert re.search(rf"trial  run {run_id}  ACTIVE for ", output)
    assert "runner " not in output
    assert re.search(r"about \$0\.\d\d so far \(0\.\d machine hours with their start", output)
    assert output.count("a request to the cloud failed; asking again") == 1
    assert output.count("the cloud answers again") == 1
    told = [as_if_no_time_went_by(block) for block in re.split(r"^[\d:]{8}Z  ", output, flags=re.MULTILINE)]
    assert all(block != before for before, block in pairwise(told)), output
    assert f"0 tasks of stage B; gs://{pipeline.bucket}/trial/{run_id}/" in output


def test_status_on_a_terminal_is_renewed_in_place(operator):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*invoke_in(operator.code), "status", "--watch"],
        cwd=operator.folder,
        env=operator.environ | {"TERM": "xterm", "COLUMNS": "150", "LINES": "40"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    timer = threading.Timer(120, process.kill)
    timer.start()
    output, is_interrupted = "", False
    with contextlib.suppress(OSError):  # so Linux tells that the program, and with it its terminal, has ended
        while more := os.read(ours, 65536):
            output += more.decode(errors="replace")
            if not is_interrupted and output.count("0 executions running") >= 2:
                process.send_signal(signal.SIGINT)
                is_interrupted = True
    timer.cancel()
    os.close(ours)

    assert process.wait(60) == 130, output
    assert "\r\x1b[2K" in output  # the line anew
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("task_seconds", "told"),
    [
        ([3600.0] * 4, "about $0.17 so far (2.1 machine hours with their start"),
        ([3600.0], "about $0.09 so far (1.0 machine hours"),
        ([], "about $0.00 so far (0.0 machine hours"),
        (None, "at most $0.17 so far (2.1 machine hours"),  # by how long the job has run
    ],
)
def test_what_a_job_has_cost_is_told_by_the_time_of_its_tasks_and_the_list_of_prices(task_seconds, told):
    # an hour of n2-standard-4 on Spot: (4 x $0.031611 + 16 x $0.004237) x 0.4 + disk and NAT = $0.083
    policy = {"machineType": "n2-standard-4", "provisioningModel": "SPOT"}
    group = {"taskCount": "4", "parallelism": "4", "taskCountPerNode": "2", "taskSpec": {}}
    job = {
        "taskGroups": [group],
        "allocationPolicy": {"instances": [{"policy": policy}]},
        "status": {"runDuration": "0s" if task_seconds == [] else "3600s"},
    }

    line = spending_of(job, "us-central1", task_seconds).in_a_line(so_far=True)

    assert line.startswith(told)
    assert ("Spot at 40%" in line) == (task_seconds != [])


@pytest.mark.parametrize("told", [{}, {"runDuration": "0s"}])
@pytest.mark.parametrize(
    ("changes", "hours"),
    [
        (["QUEUED to SCHEDULED"], "0.0"),
        (["QUEUED to SCHEDULED", "SCHEDULED to RUNNING"], "1.0"),
        (["SCHEDULED to RUNNING", "RUNNING to RUNNING: a machine was taken away"], "2.0"),
        (["QUEUED to SCHEDULED", "SCHEDULED to RUNNING", "RUNNING to FAILED"], "1.0"),
    ],
)
def test_where_batch_does_not_tell_how_long_a_job_has_run_its_events_do(changes, hours, told):
    ago = [timedelta(hours=number) for number in range(len(changes), 0, -1)]
    events = [
        {
            "eventTime": f"{datetime.now(UTC) - each:%Y-%m-%dT%H:%M:%SZ}",
            "description": f"Job state is set from {change}",
        }
        for each, change in zip(ago, changes, strict=True)
    ]
    job = {
        "taskGroups": [{"taskCount": "2000", "parallelism": "1", "taskSpec": {}}],
        "allocationPolicy": {"instances": [{"policy": {"machineType": "n2-standard-4"}}]},
        "status": {"state": re.search(r"to (\w+)", changes[-1])[1], "statusEvents": events, **told},
    }

    line = spending_of(job, "us-central1", None).in_a_line(so_far=True)

    assert f"({hours} machine hours" in line
    assert ("$0.00" in line) == (hours == "0.0")


def test_an_execution_and_tasks_in_states_that_are_new_to_us_go_on(operator, pipeline, capsys):
    pipeline.put_manifest(3)
    pipeline.order({"job": "runner", "null_seconds": 300})
    name = pipeline.start(runId=RUN_ID)
    wait_for_event(pipeline, f"runner-{name}", "RUNNING")
    strange = pipeline.execution(name) | {"state": "PAUSED"}
    job = pipeline.job(f"runner-{name}")
    job["status"]["taskGroups"]["group0"]["counts"] = {"SUSPENDED": "3"}
    answers = {
        "workflows executions list": [strange],
        "workflows executions describe": strange,
        f"batch jobs describe runner-{name}": job,
    }
    path = path_with_odd_gcloud(operator.folder, answers)
    here = operator.google_cloud(Shell(environment={**operator.environ, "PATH": path}))

    status.show_status(here)
    show_execution(here, name)

    told = capsys.readouterr().out
    assert "1 execution running, 0 ended" in told
    assert f"trial  run {RUN_ID}  PAUSED for " in told
    assert re.search(r"runner   RUNNING    3 suspended; queued", told)
    assert f"execution {name}: PAUSED, run {RUN_ID} of trial" in told


def test_what_cannot_be_is_one_line(operator):
    wrong = operator.invoke("status", "--hours", "soon")
    dry = operator.invoke("status", "--dry-run")

    assert wrong.exit_code == 2
    assert "--hours soon: a whole number is needed" in wrong.last_line
    assert "+ gcloud workflows executions list" in dry.output
