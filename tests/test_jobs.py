"""`invoke job` and its kin as an operator types them: real gcloud, the emulated cloud, real stage scripts."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.process import running
from tests.cloud_runs import PROJECT, REGION, RUN_ID, Pipeline
from tests.emulated import names_in, object_of, order_faults, request
from tests.experiments import REPOSITORY, sampled
from tests.test_cloud_run import BUCKET, WORKFLOW, CloudOperator, ready_cloud, run_id_in, wait_until

pytestmark = pytest.mark.slow

RUN = ("--exp-id", "trial", "--run-id", RUN_ID)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """A cloud with real tasks, furnished once."""
    with running(tmp_path_factory.mktemp("state"), "--clock-speed", "20") as cloud:
        ready_cloud(cloud)
        yield cloud


@pytest.fixture
def operator(cloud, tmp_path):
    return CloudOperator(cloud, tmp_path, sampled())


@pytest.fixture(scope="module")
def null_cloud(tmp_path_factory):
    state = tmp_path_factory.mktemp("null")
    with running(state, "--clock-speed", "100", "--tasks", "null") as cloud:
        yield cloud


@pytest.fixture
def pipeline(null_cloud):
    yield ready_cloud(null_cloud)
    request("POST", f"{null_cloud.apis}/_emulator/reset")


@pytest.fixture
def null_operator(null_cloud, pipeline, tmp_path):
    """An operator with a checkout of their own, and so with jobs/rendered/ of their own."""
    return with_own_jobs(CloudOperator(null_cloud, tmp_path, sampled()))


def with_own_jobs(operator):
    operator.with_own_code()
    ignored = shutil.ignore_patterns("rendered")
    shutil.copytree(REPOSITORY / "jobs", operator.folder / "jobs", ignore=ignored)
    (operator.folder / "terraform").mkdir()
    shutil.copy(REPOSITORY / "terraform" / "machine_types.json", operator.folder / "terraform")
    return operator


def job_in(output):
    return re.search(r"^job (\S+) ", output, re.MULTILINE)[1]


def group_of(job):
    group = job["taskGroups"][0]
    return int(group["taskCount"]), group["taskSpec"]["environment"]["variables"]


def file_names(operator, run_id, below):
    return [name.rpartition("/")[2] for name in operator.files(run_id, below)]


@pytest.mark.timeout(900)
def test_stages_by_hand_go_to_the_outputs_and_single_inputs_are_run_again(cloud, tmp_path):
    operator = with_own_jobs(CloudOperator(cloud, tmp_path, sampled()))
    pipeline = Pipeline(cloud, BUCKET, WORKFLOW)

    built = operator.invoke("job", "--stage", "builder", "--exp-id", "trial", "--wait")
    assert built.exit_code == 0, built.output
    run_id = run_id_in(built.output)
    run = ("--exp-id", "trial", "--run-id", run_id)
    assert f"next: invoke job --stage runner --exp-id trial --run-id {run_id}" in built.last_line
    logs = re.search(r"^logs +invoke (logs .*)", built.output, re.MULTILINE)[1]
    said = operator.invoke(*logs.split())
    assert "3 inputs" in said.output

    pipeline.order({"job": "runner", "tasks": [1], "exit_code": 2})
    failed = operator.invoke("job", "--stage", "runner", *run, "--wait")
    pipeline.clear_faults()
    assert failed.exit_code == 1
    assert "task 1: exit code 2 (the input or a setting is wrong)" in failed.output
    assert f"invoke job --stage runner {' '.join(run)} --only 1" in failed.output
    assert f"job {job_in(failed.output)} ended FAILED: 1 of 3 tasks failed" in failed.last_line
    assert file_names(operator, run_id, "runner-artifacts/") == ["result_0000.pkl", "result_0002.pkl"]

    again = operator.invoke("job", "--stage", "runner", *run, "--only", "1", "--memory-mib", "2048", "--wait")
    assert again.exit_code == 0, again.output
    job = pipeline.job(job_in(again.output))
    tasks, variables = group_of(job)
    assert tasks == 1
    assert job["taskGroups"][0]["taskSpec"]["computeResource"]["memoryMib"] == "2048"
    pending = f"trial/{run_id}/builder-artifacts/{variables['PENDING_FILE']}"
    assert object_of(cloud, BUCKET, pending) == b"1\n"
    assert len(operator.files(run_id, "runner-artifacts/")) == 3

    output = operator.invoke("job", "--stage", "C", *run, "--wait")
    assert output.exit_code == 0, output.output
    assert f"outputs in gs://{BUCKET}/trial/{run_id}/outputs/" in output.last_line
    here = operator.invoke("run", "--local", "--exp-id", "trial")
    assert here.exit_code == 0, here.output
    expected = {path.name: path.read_bytes() for path in operator.outputs()[0].parent.glob("*.csv.gz")}
    tables = [name for name in operator.files(run_id, "outputs/") if name.endswith(".csv.gz")]
    assert len(expected) >= 4
    assert {n.rpartition("/")[2]: object_of(cloud, BUCKET, n) for n in tables} == expected


@pytest.mark.timeout(900)
def test_the_commands_of_the_readme_work_as_they_stand(cloud, tmp_path):
    operator = with_own_jobs(CloudOperator(cloud, tmp_path, sampled()))
    text = (REPOSITORY / "jobs" / "README.md").read_text().replace("demo", "trial")
    commands = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
    programs = tmp_path / "programs"
    programs.mkdir()
    shim = f'#!/bin/sh\nexec "{sys.executable}" -m invoke --search-root "{tmp_path}" "$@"\n'
    (programs / "invoke").write_text(shim)
    (programs / "invoke").chmod(0o755)

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(commands)],
        cwd=tmp_path,
        env={**operator.environ, "PATH": f"{programs}{os.pathsep}{operator.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=800,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(commands) > 10
    assert re.search(r"runner +SUCCEEDED +3 succeeded", done.stdout)
    assert "files.json" in done.stdout
    runner = json.loads((tmp_path / "jobs" / "rendered" / "stage-b.json").read_text())
    assert runner["taskGroups"][0]["taskCount"] == 3


def test_a_command_given_twice_and_an_answer_that_is_lost_make_one_job(null_operator, pipeline):
    pipeline.put_manifest(7)
    pipeline.order({"null_seconds": 100_000})
    order_faults(
        null_operator.cloud, {"method": "POST", "path": "/jobs\\?", "action": "reset_after", "times": 1}
    )

    first = null_operator.invoke("job", "--stage", "runner", *RUN)
    second = null_operator.invoke("job", "--stage", "runner", *RUN)
    other = null_operator.invoke("job", "--stage", "runner", *RUN, "--spot")
    chosen = null_operator.invoke("job", "--stage", "runner", *RUN, "--only", "2-3,5", "--spot")

    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    job = job_in(first.output)
    assert f"job {job} is under way already: 7 tasks" in second.output
    assert other.exit_code == 2
    assert f"job {job} is " in other.last_line
    assert other.last_line.endswith(f"invoke job-cancel {job}")
    assert chosen.exit_code == 0, chosen.output
    assert sorted(pipeline.jobs()) == sorted([job, job_in(chosen.output)])
    tasks, variables = group_of(pipeline.job(job_in(chosen.output)))
    assert tasks == 3
    pending = f"trial/{RUN_ID}/builder-artifacts/{variables['PENDING_FILE']}"
    assert object_of(null_operator.cloud, BUCKET, pending) == b"2\n3\n5\n"


def test_a_job_that_has_ended_is_submitted_again_under_the_next_number(null_operator, pipeline):
    pipeline.put_manifest(2)
    first = job_in(null_operator.invoke("job", "--stage", "B", *RUN).output)
    wait_until(lambda: pipeline.job(first)["status"]["state"] == "SUCCEEDED")
    sixth = {name: pipeline.job(first)[name] for name in ("taskGroups", "labels")}
    pipeline.api("POST", f"/jobs?jobId={first}-6", json=sixth)
    wait_until(lambda: pipeline.job(f"{first}-6")["status"]["state"] == "SUCCEEDED")

    again = null_operator.invoke("job", "--stage", "B", *RUN, "--wait")

    assert re.fullmatch(rf"runner-{RUN_ID}-[0-9a-f]{{8}}", first)
    assert job_in(again.output) == f"{first}-7"
    assert again.exit_code == 0, again.output


@pytest.mark.timeout(900)
def test_jobs_are_listed_described_followed_and_cancelled(null_operator, pipeline):
    pipeline.put_manifest(40, per_task=2)
    pipeline.order({"job": "runner", "tasks": [3, 17], "exit_code": 50005})
    execution = pipeline.start(runId=RUN_ID)
    pipeline.wait(execution)
    pipeline.clear_faults()
    pending = "".join(f"{index:02d}\n" for index in range(39, -1, -1)).encode()
    upload(pipeline, f"trial/{RUN_ID}/builder-artifacts/pending-1a2b3c4d.txt", pending)
    pipeline.order({"job": "output", "queue": "CODE_GCE_QUOTA_EXCEEDED"})
    waiting = job_in(null_operator.invoke("job", "--stage", "output", *RUN).output)
    wait_until(lambda: "QUOTA" in str(pipeline.job(waiting)["status"].get("statusEvents")))

    listed = null_operator.invoke("job-list")
    only = null_operator.invoke("job-list", "--exp-id", "trial", "--stage", "B", "--limit", "5")
    nothing = null_operator.invoke("job-list", "--exp-id", "other")
    failed = null_operator.invoke("job-describe", f"runner-{execution}")
    queued = null_operator.invoke("job-describe", waiting)
    cancelled = null_operator.invoke("job-cancel", waiting)
    wait_until(lambda: pipeline.job(waiting)["status"]["state"] == "CANCELLED")
    ended = null_operator.invoke("job-cancel", waiting)
    followed = null_operator.invoke("job-describe", waiting, "--wait")

    rows = [line.split()[0] for line in listed.lines if RUN_ID in line]
    assert rows[:3] == [waiting, f"runner-{execution}", f"builder-{execution}"]
    assert re.search(rf"{waiting} +output +trial +{RUN_ID} +QUEUED .*CODE_GCE_QUOTA_EXCEEDED", listed.output)
    assert re.search(r"runner +trial .* FAILED .* 2 failed, 18 succeeded", only.output)
    assert waiting not in only.output
    assert f"no such jobs in {REGION} of {PROJECT}" in nothing.output
    assert "20 tasks: 2 failed, 18 succeeded" in failed.output
    assert "task 17: exit code 50005 (it took longer than it may)" in failed.output
    assert f"invoke job --stage runner {' '.join(RUN)} --only 33,32,5,4" in failed.output
    assert f"invoke logs {' '.join(RUN)} --stage runner" in failed.output
    assert "CODE_GCE_QUOTA_EXCEEDED" in queued.output
    assert f"/jobs/{waiting}/details?project={PROJECT}" in queued.output
    assert "is being cancelled" in cancelled.last_line
    assert (ended.exit_code, "has ended already" in ended.last_line) == (0, True)
    assert followed.exit_code == 1
    assert f"job {waiting} ended CANCELLED" in followed.last_line


def test_ctrl_c_leaves_the_job_going(null_operator, pipeline):
    pipeline.put_manifest(1)
    pipeline.order({"null_seconds": 100_000})
    process = null_operator.start("job", "--stage", "runner", *RUN, "--wait")
    output = ""
    while "RUNNING" not in output:
        line = process.stdout.readline()
        assert line, output
        output += line
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert f"invoke job-cancel {job_in(output)}" in rest
    assert pipeline.job(job_in(output))["status"]["state"] == "RUNNING"


def test_a_dry_run_prints_the_job_and_makes_nothing(null_operator, pipeline):
    ended = null_operator.invoke("job", "--stage", "builder", "--exp-id", "trial", "--dry-run")
    rendered = null_operator.invoke("jobs-render", "--exp-id", "trial", "--dry-run")

    assert (ended.exit_code, rendered.exit_code) == (0, 0), ended.output + rendered.output
    assert '"commands": [' in ended.output
    assert "+ gcloud batch jobs submit builder-" in ended.output
    assert "gcloud batch jobs submit 'stage-" not in rendered.output
    assert "gcloud batch jobs submit stage-b-$(date +%s) --location us-central1" in rendered.output
    assert pipeline.jobs() == {}
    assert names_in(null_operator.cloud, BUCKET) == []
    assert not Path(null_operator.folder, "jobs", "rendered").exists()


def test_nothing_pending_is_no_job(null_operator, pipeline):
    pipeline.put_manifest(0, num_workloads=4)

    ended = null_operator.invoke("job", "--stage", "runner", *RUN)
    rendered = null_operator.invoke("jobs-render", *RUN)

    assert (ended.exit_code, rendered.exit_code) == (0, 0), ended.output + rendered.output
    assert "every input has a result" in ended.last_line
    assert sorted(path.name for path in (null_operator.folder / "jobs" / "rendered").iterdir()) == [
        "stage-a.json",
        "stage-c.json",
    ]
    assert pipeline.jobs() == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["job", "--stage", "D", "--exp-id", "trial"], '"D" is not a stage'),
        (["job", "--exp-id", "trial"], "is not a stage"),
        (["job", "--stage", "runner", "--exp-id", "trial"], "--run-id is needed for stage runner"),
        (["job", "--stage", "runner", *RUN[:2], "--run-id", "20200101-000000-00000000"], "no such run"),
        (["job", "--stage", "runner", *RUN, "--only", "3,x"], "--only 3,x: inputs are needed"),
        (["job", "--stage", "runner", *RUN, "--only", "9-3"], "--only 9-3: inputs are needed"),
        (["job", "--stage", "runner", *RUN, "--only", "2,7"], "--only 7: the inputs of this run are 0 to 6"),
        (["job", "--stage", "runner", *RUN, "--count", "2"], "--count is for stage builder, not for runner"),
        (["job", "--stage", "output", *RUN, "--only", "2"], "--only is for stage runner, not for output"),
        (["job", "--stage", "runner", *RUN, "--memory-mib", "9"], "STAGE_B_MEMORY_MIB"),
        (["job", "--stage", "runner", *RUN, "--image-tag", "v9"], "invoke build"),
        (
            ["jobs-render", "--exp-id", "trial"],
            "add --num-tasks N, or build it first: invoke job --stage builder",
        ),
        (["jobs-render", *RUN, "--num-tasks", "8"], "--num-tasks 8: this run has 7 tasks to run"),
        (["job-describe", "nothing-there"], "there is no job nothing-there in us-central1: invoke job-list"),
        (["job-cancel", "nothing-there"], "there is no job nothing-there"),
        (["job-list", "--run-id", "yesterday"], "a run id looks like"),
        (["job-cancel", "Not A Job"], "is not the id of a job: invoke job-list"),
    ],
)
def test_what_is_wrong_is_one_line_with_what_mends_it(null_operator, pipeline, words, said):
    pipeline.put_manifest(7)

    ended = null_operator.invoke(*words)

    assert ended.exit_code == 2, ended.output
    assert said in ended.last_line
    assert "Traceback" not in ended.output
    assert pipeline.jobs() == {}


def upload(pipeline, name, data):
    url = f"{pipeline.cloud.storage}/upload/storage/v1/b/{pipeline.bucket}/o"
    answer = request("POST", url, params={"uploadType": "media", "name": name}, data=data)
    assert answer.status_code == 200, answer.text
