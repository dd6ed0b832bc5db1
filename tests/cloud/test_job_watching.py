"""Jobs by hand, listed, described, followed and cancelled: how each ended is told by words and exit code."""

import hashlib
import json
import re
import signal

import pytest

from ops.cloud import executions
from ops.failures import UserError
from ops.jobs import batch_jobs
from ops.run_request import RunRequest
from ops.runs import cloud_run
from ops.shell import Shell
from ops.watching import status
from tests.cloud_operators import read_until, wait_until
from tests.cloud_runs import PROJECT, RUN_ID
from tests.emulated import order_faults, request
from tests.job_operators import RUN, begin, described, operator_of_jobs, upload
from tests.odd_gcloud import path_with_odd_gcloud


@pytest.fixture
def operator(null_cloud, pipeline, tmp_path, monkeypatch):
    return operator_of_jobs(null_cloud, tmp_path, monkeypatch)


def test_jobs_are_listed_described_and_cancelled(operator, pipeline, capsys):
    pending = "".join(f"{index:02d}\n" for index in range(39, -1, -1)).encode()
    name = f"pending-{hashlib.sha256(pending).hexdigest()[:8]}.txt"
    pipeline.put_manifest(40, per_task=2, pending_file=name)
    pipeline.order({"job": "runner", "tasks": [3, 17], "exit_code": 50005})
    execution = pipeline.start(runId=RUN_ID)
    pipeline.wait(execution)
    pipeline.clear_faults()
    upload(pipeline, f"trial/{RUN_ID}/builder-artifacts/{name}", pending)
    pipeline.order({"null_seconds": 100_000}, {"job": "waiting", "queue": "CODE_GCE_QUOTA_EXCEEDED"})
    begin(operator, pipeline, "output", "waiting")
    begin(operator, pipeline, "builder", "strange", labels={"component": "another"})
    wait_until(lambda: "QUOTA" in str(pipeline.job("waiting")["status"].get("statusEvents")))
    here = operator.google_cloud()

    listed = operator.invoke("job-list", "--limit", "3")
    batch_jobs.show_jobs(here, exp_id="trial", stage="runner")
    only = capsys.readouterr().out
    batch_jobs.show_job(here, f"runner-{execution}")
    failed = capsys.readouterr().out
    batch_jobs.show_job(here, "waiting")
    queued = capsys.readouterr().out

    rows = [line.split()[0] for line in listed.lines if RUN_ID in line]
    assert rows == ["waiting", f"runner-{execution}", f"builder-{execution}"]
    assert re.search(rf"waiting +output +trial +{RUN_ID} +QUEUED .*CODE_GCE_QUOTA_EXCEEDED", listed.output)
    assert re.search(r"runner +trial .* FAILED .* 2 failed, 18 succeeded", only)
    assert "waiting" not in only
    assert "20 tasks: 2 failed, 18 succeeded" in failed
    assert "task 17, input 5; input 4: exit code 50005 (it exceeded its time limit)" in failed
    assert f"invoke job --stage runner {' '.join(RUN)} --only 33,32,5,4" in failed
    assert f"invoke logs {' '.join(RUN)} --stage runner" in failed
    assert "CODE_GCE_QUOTA_EXCEEDED" in queued
    assert f"/jobs/waiting/details?project={PROJECT}" in queued

    with pytest.raises(
        UserError, match="has no label component=epymodelingsuite: it is not a job of this pipeline"
    ) as refused:
        batch_jobs.cancel(here, "strange")
    cancelled = operator.invoke("job-cancel", "waiting")
    wait_until(lambda: pipeline.job("waiting")["status"]["state"] == "CANCELLED")
    batch_jobs.cancel(here, "waiting")

    assert refused.value.exit_code == 2
    assert pipeline.job("strange")["status"]["state"] != "CANCELLED"
    assert (cancelled.exit_code, "is being cancelled" in cancelled.last_line) == (0, True)
    assert "has already ended" in capsys.readouterr().out


def test_a_list_has_the_newest_jobs_of_ours_and_of_no_namesake(operator, pipeline, capsys):
    for number in range(3):
        begin(operator, pipeline, "output", f"ours-{number}")
        begin(operator, pipeline, "output", f"theirs-{number}", labels={"component": "another"})
    # with the same label as ours, which is lower case
    namesake = json.loads(json.dumps(described(operator, "output")).replace('"trial"', '"Trial"'))
    begin(operator, pipeline, "output", "namesake", taskGroups=namesake["taskGroups"])

    batch_jobs.show_jobs(operator.google_cloud(), "trial", limit=2)

    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["ours-2", "ours-1"]


def test_a_job_that_fails_is_followed_to_what_failed(operator, pipeline, capsys):
    pipeline.put_manifest(3)
    pipeline.order({"job": "by-hand", "tasks": [1], "exit_code": 2})
    pipeline.api("POST", "/jobs?jobId=by-hand", json=described(operator, "runner", "by-hand", 3))

    with pytest.raises(UserError, match="job by-hand ended FAILED: 1 of 3 tasks failed") as failed:
        batch_jobs.follow(operator.google_cloud(), "by-hand")

    said = capsys.readouterr().out
    assert failed.value.exit_code == 2
    assert "task 1, input 1: exit code 2 (the input or a setting is wrong)" in said
    assert f"invoke job --stage runner {' '.join(RUN)} --only 1" in said


@pytest.mark.parametrize(
    ("codes", "exit_code", "said"),
    [
        ({0: 75, 1: 75}, 75, "task 0, input 0: exit code 75 (a temporary fault)"),
        ({0: 2, 1: 75}, 1, "task 1, input 1: exit code 75"),
        ({1: 137}, 1, "task 1, input 1: exit code 137 (killed, most likely out of memory)"),
        (
            {1: 50001},
            1,
            "task 1, input 1: exit code 50001 (a Spot machine was taken away), after 4 attempts\n",
        ),
        (
            {1: 50002},
            1,
            "reporting), after 4 attempts; all attempts ended in ways typical of too little memory",
        ),
        (
            {0: 50004},
            1,
            "responding), after 4 attempts; all attempts ended in ways typical of too little memory",
        ),
    ],
)
def test_a_followed_job_ends_with_the_exit_code_of_its_tasks(
    operator, pipeline, capsys, codes, exit_code, said
):
    pipeline.put_manifest(3)
    pipeline.order(*({"job": "by-hand", "tasks": [task], "exit_code": code} for task, code in codes.items()))
    pipeline.api("POST", "/jobs?jobId=by-hand", json=described(operator, "runner", "by-hand", 3))

    with pytest.raises(UserError) as failed:
        batch_jobs.follow(operator.google_cloud(), "by-hand")

    assert failed.value.exit_code == exit_code
    assert said in capsys.readouterr().out


def test_a_job_that_is_said_not_to_be_there_is_looked_for_again_before_it_is_left_running(
    operator, pipeline, capsys
):
    """An execution that ended before does not stop its job any more."""
    pipeline.put_manifest(1)
    pipeline.order({"job": "runner", "null_seconds": 10_000_000})
    execution = pipeline.start(runId=RUN_ID)
    wait_until(lambda: f"runner-{execution}" in pipeline.jobs())
    pipeline.cancel(execution)
    untrue = {"method": "GET", "path": "/jobs/runner", "status": 404, "message": "Resource was not found"}
    order_faults(operator.cloud, {"times": 1, **untrue})

    executions.cancel(operator.google_cloud(), execution)

    assert f"cancelled runner-{execution}" in capsys.readouterr().out
    wait_until(lambda: pipeline.job(f"runner-{execution}")["status"]["state"] == "CANCELLED")


@pytest.mark.parametrize("result", ["null", "[]", "no JSON", ""])
def test_an_execution_with_a_result_that_is_no_map_is_done_all_the_same(operator, tmp_path, capsys, result):
    """As of another workflow under the same name."""
    found = {
        "state": "SUCCEEDED",
        "startTime": "2026-01-01T00:00:00Z",
        "endTime": "2026-01-01T01:00:00Z",
        "result": result,
    }
    refusal = {"refusal": "ERROR: (gcloud.batch.jobs.describe) Could not fetch resource: it was not found"}
    answers = {"workflows executions describe": found, "batch jobs describe": refusal}
    shell = Shell(environment={"PATH": path_with_odd_gcloud(tmp_path, answers)})

    executions.follow(executions.execution_named(operator.google_cloud(shell), "some-execution"))
    executions.show_execution(operator.google_cloud(shell), "some-execution")

    assert "done in 1 h" in capsys.readouterr().out


def test_a_task_that_was_stopped_with_its_job_is_cancelled_and_not_failed(operator, pipeline, capsys):
    pipeline.put_manifest(3)
    pipeline.order(
        {"job": "by-hand", "tasks": [0], "exit_code": 2}, {"job": "by-hand", "null_seconds": 100_000}
    )
    job = described(operator, "runner", "by-hand", 3)
    job["taskGroups"][0]["parallelism"] = 2
    pipeline.api("POST", "/jobs?jobId=by-hand", json=job)
    here = operator.google_cloud()
    wait_until(lambda: "FAILED" in str(pipeline.job("by-hand")["status"].get("taskGroups")))
    batch_jobs.cancel(here, "by-hand")
    wait_until(lambda: pipeline.job("by-hand")["status"]["state"] == "CANCELLED")
    capsys.readouterr()

    with pytest.raises(UserError, match=r"job by-hand was cancelled: .*failed or cancelled") as ended:
        batch_jobs.follow(here, "by-hand")
    said = capsys.readouterr().out
    status.show_status(here)

    assert ended.value.exit_code == 130
    assert "task 0, input 0: exit code 2 (the input or a setting is wrong)" in said
    assert "task 1, input 1: cancelled" in said
    assert "50000" not in said
    shown = capsys.readouterr().out
    assert "0 jobs running without an execution, 1 by hand ended" in shown
    assert re.search(rf"^trial  run {RUN_ID}  job by-hand \(by hand\)$", shown, re.MULTILINE)
    assert "failed tasks: invoke job-describe by-hand" in shown
    assert "so far" not in shown


def test_a_job_in_a_state_that_is_new_to_us_goes_on(operator, pipeline, capsys, monkeypatch):
    pipeline.put_manifest(3)
    pipeline.order({"null_seconds": 100_000})
    begin(operator, pipeline, "runner", "by-hand")
    strange = pipeline.job("by-hand")
    strange["status"] = strange["status"] | {"state": "SUSPENDED"}
    answers = {"batch jobs describe": strange, "batch jobs list": [strange]}
    path = path_with_odd_gcloud(operator.folder, answers)
    here = operator.google_cloud(Shell(environment={**operator.environ, "PATH": path}))

    status.show_status(here)
    batch_jobs.show_job(here, "by-hand")
    batch_jobs.cancel(here, "by-hand")
    shown = capsys.readouterr().out
    with pytest.raises(UserError, match="job by-hand, submitted by hand, is SUSPENDED on stage runner"):
        cloud_run.start(here, RunRequest("trial", RUN_ID))

    assert "1 job running without an execution" in shown
    assert "runner   SUSPENDED" in shown
    assert "job by-hand: SUSPENDED, stage runner" in shown
    assert "job by-hand is being cancelled" in shown


def test_ctrl_c_leaves_the_job_going(operator, pipeline):
    pipeline.order({"null_seconds": 100_000})
    begin(operator, pipeline, "runner", "by-hand")
    process = operator.start("job-describe", "by-hand", "--wait")
    read_until("RUNNING", process)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "invoke job-cancel by-hand" in rest
    assert pipeline.job("by-hand")["status"]["state"] == "RUNNING"


def test_a_stage_c_that_failed_tells_its_last_error_and_what_would_mend_it(operator, pipeline, capsys):
    another = "output-configs/other-1a2b3c4d.yaml"
    pipeline.order({"job": "by-hand", "exit_code": 2})
    job = described(operator, "output", "by-hand", asked={"output_config_file": another})
    created = pipeline.api("POST", "/jobs?jobId=by-hand", json=job)
    entry = {
        "logName": f"projects/{PROJECT}/logs/batch_task_logs",
        "labels": {"job_uid": created["uid"]},
        "resource": {"type": "batch.googleapis.com/Job"},
        "timestamp": created["createTime"],
        "severity": "ERROR",
    }
    missing = "1 of 3 results are missing or wrong (1); 1: no result"
    entries = [
        entry | {"jsonPayload": {"message": missing}},
        entry | {"labels": {"job_uid": "another"}, "jsonPayload": {"message": "not ours"}},
    ]
    assert request("POST", f"{operator.cloud.apis}/v2/entries:write", json={"entries": entries}).ok

    with pytest.raises(UserError, match="1 of 1 task failed, last error: 1 of 3 results are missing"):
        batch_jobs.follow(operator.google_cloud(), "by-hand")

    said = capsys.readouterr().out
    options = f"{' '.join(RUN)} --output-config-file {another}"
    assert f"resume   invoke run --cloud {options}\n" in said
    assert f"or       invoke job --stage output {options} --allow-partial\n" in said


def test_a_stage_a_that_failed_is_run_again_for_the_same_week(operator, pipeline, capsys):
    pipeline.order({"job": "by-hand", "exit_code": 2})
    asked = {"reference_date": "2026-01-10", "strict": True, "seed": 0}
    pipeline.api("POST", "/jobs?jobId=by-hand", json=described(operator, "builder", "by-hand", asked=asked))

    with pytest.raises(UserError, match="1 of 1 task failed"):
        batch_jobs.follow(operator.google_cloud(), "by-hand")

    again = f"invoke job --stage builder {' '.join(RUN)} --seed 0 --reference-date 2026-01-10 --strict\n"
    assert f"again    {again}" in capsys.readouterr().out


def test_outputs_from_a_part_of_the_results_end_with_what_they_are_without(operator, pipeline, capsys):
    pipeline.put(f"trial/{RUN_ID}/summaries/output.json", {"missing": [1, 17]})
    job = described(operator, "output", "by-hand", asked={"allow_partial": True})
    pipeline.api("POST", "/jobs?jobId=by-hand", json=job)

    batch_jobs.follow(operator.google_cloud(), "by-hand")

    assert (
        ", without the results of 2 inputs (input 1; input 17); outputs in gs://" in capsys.readouterr().out
    )
