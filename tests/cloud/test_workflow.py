"""The pipeline's workflow on an emulated cloud, on each of its ways, with tasks that are nothing at all.

With the real stages it runs in test_rehearsal.py.
"""

import itertools
import json
import re
import statistics
import time
from contextlib import contextmanager

import pytest

from localcloud.faults import TAGS
from localcloud.process import running
from ops.cloud.log_reader import LogRequest
from ops.watching.run_logs import log_filter
from tests.cloud_runs import PROJECT, RUN_ID, WORKFLOW, Pipeline
from tests.emulated import create_bucket, order_faults, request

DAY = 86_400
RETRIED = [75, 50001, 50002, 50003, 50004, 50006]
MANIFEST = {"num_workloads": 1, "num_pending": 1, "workloads_per_task": 1}


@contextmanager
def cloud_of_null_tasks(tmp_path_factory, speed):
    with running(tmp_path_factory.mktemp("state"), "--clock-speed", str(speed), "--tasks", "null") as cloud:
        yield cloud


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """A cloud on which an hour takes two seconds, and whose tasks are nothing."""
    with cloud_of_null_tasks(tmp_path_factory, 2000) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def fast_cloud(tmp_path_factory):
    """A day takes four seconds."""
    with cloud_of_null_tasks(tmp_path_factory, 20_000) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def calm_cloud(tmp_path_factory):
    """Ten minutes take three seconds, so that a test that is held up for a moment does not miss them."""
    with cloud_of_null_tasks(tmp_path_factory, 200) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def slow_cloud(tmp_path_factory):
    """A minute takes two seconds, so that what programs take of it does not count."""
    with cloud_of_null_tasks(tmp_path_factory, 30) as cloud:
        yield cloud


@pytest.fixture
def pipeline(cloud):
    pipeline = Pipeline.deployed(cloud, create_bucket(cloud))
    yield pipeline
    pipeline.clear_faults()


@pytest.mark.parametrize(("pending", "parallelism"), [(1, 1), (100, 100), (5_000, 100), (100_000, 100)])
def test_stage_b_is_as_wide_as_the_manifest_says(pipeline, pending, parallelism):
    pipeline.put_manifest(pending)

    result = pipeline.run(runId=RUN_ID)

    runner = pipeline.job(result["jobs"]["runner"])
    group = runner["taskGroups"][0]
    assert (int(group["taskCount"]), int(group["parallelism"])) == (pending, parallelism)
    assert runner["status"]["taskGroups"]["group0"]["counts"]["SUCCEEDED"] == str(pending)
    assert result["num_tasks"] == pending
    assert result["num_failed_tasks"] == 0
    assert result["path"] == f"gs://{pipeline.bucket}/trial/{RUN_ID}/"
    assert not pipeline.is_claimed()


def test_more_inputs_than_a_job_takes_tasks_are_shared_out(pipeline):
    pipeline.put_manifest(250_001)

    result = pipeline.run(runId=RUN_ID)

    runner = pipeline.job(result["jobs"]["runner"])
    variables = runner["taskGroups"][0]["taskSpec"]["environment"]["variables"]
    assert result["num_tasks"] == 83_334
    assert variables["WORKLOADS_PER_TASK"] == "3"
    assert variables["PENDING_FILE"] == "pending-1a2b3c4d.txt"


def test_the_limits_of_workflows_leave_room_at_100_000_tasks(fast_cloud):
    pipeline = Pipeline.deployed(fast_cloud, create_bucket(fast_cloud))
    pipeline.put_manifest(100_000)
    pipeline.order({"job": "runner", "null_seconds": 3600})

    execution = pipeline.start(runId=RUN_ID, maxParallelism=5000)
    ended = pipeline.wait(execution)

    told = pipeline.steps(execution)
    assert json.loads(ended["result"])["seconds"]["runner"] >= 20 * 3600
    assert told["steps"][-1]["number"] < 5_000  # of 100,000
    assert told["peakMemoryBytes"] < 64 * 1024  # of 512 KiB


def test_the_steps_of_an_execution_are_enough_for_every_stage_at_its_longest(pipeline):
    pipeline.put_manifest(1)
    pipeline.order({"job": "runner", "null_seconds": 4000})
    execution = pipeline.start(runId=RUN_ID)
    pipeline.wait(execution)

    numbers = [step["number"] for step in pipeline.steps(execution)["steps"] if step["step"] == "look"]
    steps_a_look = statistics.median(after - before for before, after in itertools.pairwise(numbers))

    queued, retries = 2 * DAY, 1 + 10
    longest = [queued + 3600 * retries, 16 * DAY, queued + 7200 * retries]  # of stages A, B and C
    assert sum(map(looks_in, longest)) * steps_a_look < 90_000  # of 100,000


def test_no_expression_holds_a_map():
    """The service's grammar of expressions has lists, and no maps: those stand in YAML alone."""
    expressions = re.findall(r"\$\{((?:\"[^\"]*\"|[^}\"])*)\}", WORKFLOW.read_text())

    assert len(expressions) > 200
    assert [each for each in expressions if "{" in re.sub(r'"[^"]*"', "", each)] == []


def looks_in(seconds):
    """How often wait_for_job looks: every 2 % of what has gone by, 2 s at least and 300 s at most."""
    gone, looks = 0.0, 0
    while gone < seconds:
        gone += max(2.0, min(300.0, 0.02 * gone))
        looks += 1
    return looks


def test_waiting_adds_few_seconds_to_short_stages(slow_cloud):
    pipeline = Pipeline.deployed(slow_cloud, create_bucket(slow_cloud))
    pipeline.put_manifest(1)
    pipeline.order({"null_seconds": 60})

    took = pipeline.run(runId=RUN_ID)["seconds"]

    assert all(seconds >= 60 for seconds in took.values())
    assert sum(took.values()) <= 3 * 60 + 10


def test_waiting_adds_less_than_3_percent_to_long_stages(pipeline):
    pipeline.put_manifest(1)
    pipeline.order({"job": "runner", "null_seconds": 20_000})

    assert 20_000 <= pipeline.run(runId=RUN_ID)["seconds"]["runner"] <= 20_600


def test_a_failed_builder_ends_the_run_before_anything_else_begins(pipeline):
    pipeline.put_manifest(3)
    pipeline.order({"job": "builder", "exit_code": 2})

    error = pipeline.fail(runId=RUN_ID)

    assert error["stage"] == "builder"
    assert error["job"].startswith("builder-")
    assert "ended FAILED with 1 of 1 tasks failed (task 0)" in error["message"]
    logs = f"invoke logs --exp-id trial --run-id {RUN_ID} --stage builder"
    assert error["message"].endswith(f"; read its logs: {logs}")
    assert error["run_id"] == RUN_ID
    assert len([job for job in pipeline.jobs() if job.endswith(error["job"][8:])]) == 1
    assert not pipeline.is_claimed()


def test_a_builder_that_leaves_no_manifest_is_named(pipeline):
    error = pipeline.fail(runId=RUN_ID)

    assert error["job"].startswith("builder-")
    assert f"left no readable manifest.json in gs://{pipeline.bucket}/trial/{RUN_ID}/" in error["message"]


def test_failed_tasks_end_the_run_by_name_and_stage_c_is_not_begun(pipeline):
    pipeline.put_manifest(40)
    pipeline.order({"job": "runner", "tasks": [3, 17], "exit_code": 2})

    error = pipeline.fail(runId=RUN_ID)

    assert error["failed_tasks"] == "3, 17"
    assert "2 of 40 tasks failed (task 3, 17)" in error["message"]
    assert f"output-{error['job'][7:]}" not in pipeline.jobs()


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 403},
        {"body": {"tasks": [{"status": {}}]}},
        {"body": {"tasks": [{"name": 3}]}},
        {"body": {"tasks": {"name": "no list"}}},
        {"body": []},
    ],
    ids=str,
)
def test_failed_tasks_are_counted_where_their_names_cannot_be_had(cloud, pipeline, answer):
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "tasks": [3], "exit_code": 2})
    order_faults(cloud, {"path": "/taskGroups/", **answer})

    error = pipeline.fail(runId=RUN_ID)

    assert "ended FAILED with 1 of 4 tasks failed and 0 not started" in error["message"]


def test_where_partial_results_are_allowed_stage_c_runs_on_what_is_there(pipeline):
    pipeline.put_manifest(40)
    pipeline.order({"job": "runner", "tasks": [3, 17], "exit_code": 2})

    result = pipeline.run(runId=RUN_ID, allowPartial=True)

    assert result["num_failed_tasks"] == 2
    output = pipeline.job(result["jobs"]["output"])["taskGroups"][0]["taskSpec"]["environment"]["variables"]
    assert output["ALLOW_PARTIAL_RESULTS"] == "1"


def test_results_of_an_earlier_execution_are_enough_to_go_on_with(pipeline):
    pipeline.put_manifest(2, num_workloads=40)
    pipeline.order({"job": "runner", "exit_code": 2})

    result = pipeline.run(runId=RUN_ID, allowPartial=True)

    assert result["num_failed_tasks"] == 2
    assert result["jobs"]["output"]


def test_without_a_single_result_there_is_nothing_partial_to_go_on_with(pipeline):
    pipeline.put_manifest(3)
    pipeline.order({"job": "runner", "exit_code": 2})

    error = pipeline.fail(runId=RUN_ID, allowPartial=True)

    assert "3 of 3 tasks failed (task 0, 1, 2)" in error["message"]
    assert "the run cannot continue without any result; its last events: " in error["message"]
    assert f"output-{error['job'][7:]}" not in pipeline.jobs()


def test_a_task_that_is_preempted_twice_is_no_failure(pipeline):
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "tasks": [1], "attempts": [0, 1], "exit_code": 50001})

    result = pipeline.run(runId=RUN_ID, provisioningModel="SPOT")

    runner = pipeline.job(result["jobs"]["runner"])
    assert result["num_failed_tasks"] == 0
    assert [code for code in pipeline.exit_codes(runner, 1) if code] == [50001, 50001]
    assert runner["allocationPolicy"]["instances"][0]["policy"]["provisioningModel"] == "SPOT"
    builder = pipeline.job(result["jobs"]["builder"])
    assert builder["allocationPolicy"]["instances"][0]["policy"]["provisioningModel"] == "STANDARD"


@pytest.mark.parametrize("kind", ["delete", "cancel"])
def test_a_job_that_is_taken_away_ends_the_run_by_its_name(pipeline, kind):
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "null_seconds": 100_000_000})
    execution = pipeline.start(runId=RUN_ID)
    runner = f"runner-{execution}"
    wait_until(lambda: runner in pipeline.jobs())

    if kind == "delete":
        pipeline.api("DELETE", f"/jobs/{runner}")
    else:
        pipeline.api("POST", f"/jobs/{runner}:cancel", json={})

    error = pipeline.error(execution)
    assert error["job"] == runner
    said = {"delete": ("was deleted", "DELETION_IN_PROGRESS"), "cancel": ("ended CANCELLED",)}[kind]
    assert any(each in error["message"] for each in said)
    assert not pipeline.is_claimed()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("path", ["/jobs\\?", "/jobs/", "/o/", "/upload/"])
def test_passing_faults_of_the_services_do_not_show(pipeline, status, path):
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "null_seconds": 60})
    order_faults(pipeline.cloud, {"path": path, "status": status, "times": 6})

    result = pipeline.run(runId=RUN_ID)

    assert result["num_tasks"] == 4
    assert faults_of(pipeline)[0]["hits"] == 6


def test_an_answer_that_is_lost_after_a_job_was_made_makes_no_second_job(pipeline):
    pipeline.put_manifest(4)
    order_faults(pipeline.cloud, {"method": "POST", "path": "/jobs\\?", "action": "reset_after", "times": 1})

    result = pipeline.run(runId=RUN_ID)

    execution = result["jobs"]["builder"].removeprefix("builder-")
    assert sorted(job for job in pipeline.jobs() if job.endswith(execution)) == [
        f"builder-{execution}",
        f"output-{execution}",
        f"runner-{execution}",
    ]


@pytest.mark.parametrize("is_partial_enough", [False, True])
def test_a_job_that_never_begins_ends_with_what_kept_it(fast_cloud, is_partial_enough):
    pipeline = Pipeline.deployed(fast_cloud, create_bucket(fast_cloud))
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "queue": "CODE_GCE_QUOTA_EXCEEDED"})

    short = {"stages": {"runner": {"maxRunSeconds": 60}}, "maxRetryCount": 0}
    error = pipeline.fail(runId=RUN_ID, allowPartial=is_partial_enough, **short)

    pipeline.clear_faults()
    assert error["job"].startswith("runner-")
    assert f"output-{error['job'][7:]}" not in pipeline.jobs()
    assert pipeline.job(error["job"])["status"]["state"] in (
        "FAILED",
        "CANCELLED",
        "CANCELLATION_IN_PROGRESS",
    )
    assert "CODE_GCE_QUOTA_EXCEEDED" in error["message"]


def test_a_deadline_that_passes_cancels_the_job_and_ends_the_run(fast_cloud):
    pipeline = Pipeline.deployed(fast_cloud, create_bucket(fast_cloud))
    pipeline.clear_faults()
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "null_seconds": 30 * DAY})
    order_faults(fast_cloud, {"method": "GET", "path": "/jobs/runner", "status": 503})

    error = pipeline.fail(runId=RUN_ID, stages={"runner": {"maxRunSeconds": 60}}, maxRetryCount=0)

    pipeline.clear_faults()
    assert f"job {error['job']} could not be read until its deadline" in error["message"]
    wait_until(lambda: pipeline.job(error["job"])["status"]["state"] in ("CANCELLED", "FAILED"))


ODD_ANSWERS = [
    *({"status": status} for status in (400, 401, 403, 404, 408, 409, 418, 423, 429, 500, 501, 503)),
    *({"tag": tag} for tag in TAGS),
    *({"action": action} for action in ("reset", "truncate")),
    *({"body": body} for body in ({}, [], "no job", {"status": {}}, {"status": {"state": "ASLEEP"}})),
    {"body": {"status": {"state": 3}}},
    {"body": {"status": {"state": "RUNNING", "taskGroups": {"group0": {"counts": {"RUNNING": "some"}}}}}},
    {"status": 403, "body": {"error": {"message": {"text": "no text"}}}},
    {"status": 404, "body": {"error": {"message": 404}}},
    {"status": 503, "body": {"error": ["no map"]}},
    {"status": 400, "body": ["no map"]},
]


def test_no_odd_answer_ends_the_wait_for_a_job(calm_cloud):
    pipeline = Pipeline.deployed(calm_cloud, create_bucket(calm_cloud))
    pipeline.clear_faults()
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "null_seconds": 800})
    order_faults(
        calm_cloud,
        *({"method": "GET", "path": "/jobs/runner", "times": 2, **answer} for answer in ODD_ANSWERS),
    )

    result = pipeline.run(runId=RUN_ID)

    job = result["jobs"]["runner"]
    assert pipeline.job(job)["status"]["state"] == "SUCCEEDED"
    assert [rule["hits"] for rule in faults_of(pipeline)] == [2] * len(ODD_ANSWERS)
    lines = [line["jsonPayload"]["message"] for line in pipeline.log(f'jsonPayload.job="{job}"')]
    odd = "cannot be read at the moment: HTTP server responded with error code 423"
    assert any(odd in line for line in lines)


@pytest.mark.parametrize("status", [403, 404])
def test_the_same_refusal_for_less_than_10_minutes_does_not_end_the_wait(calm_cloud, status):
    pipeline = Pipeline.deployed(calm_cloud, create_bucket(calm_cloud))
    pipeline.clear_faults()
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "null_seconds": 300})
    order_faults(calm_cloud, {"method": "GET", "path": "/jobs/runner", "status": status, "times": 20})

    result = pipeline.run(runId=RUN_ID)

    assert (result["num_tasks"], result["num_failed_tasks"]) == (4, 0)
    assert faults_of(pipeline)[0]["hits"] == 20


def test_the_same_refusal_for_10_minutes_ends_the_run_and_its_job(pipeline):
    """Told not to be there, to be cancelled, a job that was made is asked to end again, until it has."""
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "null_seconds": 100_000_000})
    order_faults(
        pipeline.cloud,
        {"method": "GET", "path": "/jobs/runner", "status": 403, "message": "no right"},
        {"method": "POST", "path": ":cancel", "status": 404, "times": 2},
    )
    execution = pipeline.start(runId=RUN_ID)
    runner = f"runner-{execution}"

    wait_until(lambda: state_in_list(pipeline, runner) == "CANCELLED")
    claimed = pipeline.is_claimed()
    pipeline.clear_faults()
    error = pipeline.error(execution)

    assert error["job"] == runner
    assert "could not be read for 10 minutes: " in error["message"]
    assert "error code 403: no right" in error["message"]
    assert claimed
    assert not pipeline.is_claimed()
    assert error["job_may_run"] is False


def test_a_run_whose_job_may_still_run_is_kept_from_others_until_the_job_has_ended(pipeline):
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "null_seconds": 100_000_000})
    order_faults(
        pipeline.cloud,
        {"method": "GET", "path": "/jobs/runner", "status": 403},
        {"method": "POST", "path": ":cancel", "status": 403},
    )

    error = pipeline.fail(runId=RUN_ID)
    untold = pipeline.fail(runId=RUN_ID)
    pipeline.clear_faults()
    pipeline.order({"job": "runner", "null_seconds": 100_000_000})
    refused = pipeline.fail(runId=RUN_ID)
    order_faults(  # of a job that is known to have been made, half a minute of this is not believed
        pipeline.cloud, {"method": "GET", "path": "/jobs/runner", "status": 404, "times": 10}
    )
    refused_again = pipeline.fail(runId=RUN_ID)
    pipeline.clear_faults()
    pipeline.api("POST", f"/jobs/{error['job']}:cancel", json={})
    wait_until(lambda: pipeline.job(error["job"])["status"]["state"] == "CANCELLED")
    result = pipeline.run(runId=RUN_ID)

    running = f"the job may still run, and the run waits for its end: invoke job-cancel {error['job']};"
    assert running in error["message"]
    assert "it is unknown whether its job " in untold["message"]
    assert " has ended: HTTP server responded with error code 403" in untold["message"]
    for each in (refused, refused_again):
        assert f"{error['job']} is RUNNING; cancel it, or wait for its end" in each["message"]
    assert result["num_tasks"] == 4
    assert not pipeline.is_claimed()
    wanted = LogRequest("trial", stage="runner", severity="ERROR")  # as `invoke logs` asks
    told = [line["jsonPayload"] for line in pipeline.log(log_filter(wanted, RUN_ID))]
    (line,) = [line for line in told if line["job"].endswith(f"/{error['job']}")]
    assert line["message"].endswith(f"gcloud batch jobs cancel {line['job']}")
    assert "403" in line["answer"]


ODD_ANSWERS_TO_CREATE = [
    *({"status": status} for status in (401, 403, 404, 409, 423, 429, 503)),
    *({"tag": tag} for tag in ("SystemError", "OperationError")),
    *({"action": action} for action in ("reset_after", "truncate", "duplicate")),
    {"body": "no job"},
]


@pytest.mark.parametrize("answer", ODD_ANSWERS_TO_CREATE, ids=str)
def test_an_odd_answer_to_the_request_for_a_job_makes_neither_none_nor_two(pipeline, answer):
    run_id = "20260131-120000-00000003"
    pipeline.put_manifest(4, run_id)
    order_faults(pipeline.cloud, {"method": "POST", "path": r"/jobs\?jobId=runner", "times": 1, **answer})

    if "body" in answer:  # it was not made, though the service said so
        assert "was deleted while the run waited for it" in pipeline.fail(runId=run_id)["message"]
    else:
        result = pipeline.run(runId=run_id)
        assert pipeline.job(result["jobs"]["runner"])["status"]["state"] == "SUCCEEDED"
    assert not pipeline.is_claimed(run_id)


def test_a_job_that_is_there_by_the_answer_409_is_not_given_up_for_one_that_is_not_found(pipeline):
    """The answer to the request was lost, and for minutes the job is said both to be there and not to be."""
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "null_seconds": 100_000_000})
    order_faults(
        pipeline.cloud,
        {"method": "POST", "path": r"/jobs\?jobId=runner", "action": "reset_after", "times": 1},
        {"method": "POST", "path": r"/jobs\?jobId=runner", "status": 409},
        {"method": "GET", "path": "/jobs/runner", "status": 404, "times": 30},
        {"method": "POST", "path": ":cancel", "status": 404, "times": 15},
    )

    error = pipeline.fail(runId=RUN_ID)

    pipeline.clear_faults()
    assert "error code 409" in error["message"]
    assert pipeline.job(error["job"])["status"]["state"] == "CANCELLED"


@pytest.mark.parametrize("status", [400, 403])
def test_a_job_that_is_refused_for_good_ends_the_run_with_the_reason(pipeline, status):
    pipeline.put_manifest(4)
    fault = {"method": "POST", "path": r"/jobs\?jobId=runner", "status": status, "message": "no such quota"}
    order_faults(pipeline.cloud, fault)

    error = pipeline.fail(runId=RUN_ID)

    assert error["message"].endswith(f"HTTP server responded with error code {status}: no such quota")
    assert not pipeline.is_claimed()


def test_stage_c_can_be_left_out(pipeline):
    pipeline.put_manifest(4)

    result = pipeline.run(runId=RUN_ID, runOutputStage=False)

    assert result["jobs"]["output"] == ""


def test_a_run_with_nothing_left_to_do_goes_straight_to_its_outputs(pipeline):
    pipeline.put_manifest(0)

    result = pipeline.run(runId=RUN_ID)

    assert result["jobs"]["runner"] == ""
    assert result["jobs"]["output"]


def test_a_second_execution_of_a_run_ends_at_once_and_names_the_first(pipeline):
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "null_seconds": 100_000_000})
    first = pipeline.start(runId=RUN_ID)
    wait_until(lambda: f"runner-{first}" in pipeline.jobs())

    second = pipeline.start(runId=RUN_ID)

    error = pipeline.error(second)
    assert error["execution"] == first
    assert f"run {RUN_ID} belongs to execution {first}, which is still running" in error["message"]
    assert not [job for job in pipeline.jobs() if job.endswith(second)]
    assert pipeline.is_claimed()


def test_a_run_whose_execution_was_cancelled_goes_on_once_its_jobs_have_ended(pipeline):
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "null_seconds": 100_000_000})
    first = pipeline.start(runId=RUN_ID)
    wait_until(lambda: f"runner-{first}" in pipeline.jobs())
    pipeline.cancel(first)

    refused = pipeline.fail(runId=RUN_ID)
    pipeline.api("POST", f"/jobs/runner-{first}:cancel", json={})
    wait_until(lambda: pipeline.job(f"runner-{first}")["status"]["state"] == "CANCELLED")
    pipeline.clear_faults()
    result = pipeline.run(runId=RUN_ID)

    assert f"runner-{first}" in refused["job"]
    assert "is RUNNING; cancel it, or wait for its end" in refused["message"]
    assert result["num_tasks"] == 4


def test_a_run_of_an_execution_that_workflows_has_forgotten_is_taken_over(pipeline):
    pipeline.put_manifest(4)
    pipeline.put_claim("0b9c1d2e-0000-4000-8000-000000000000")

    result = pipeline.run(runId=RUN_ID)

    assert result["num_tasks"] == 4
    assert not pipeline.is_claimed()


def test_a_claim_that_may_not_be_read_ends_the_run_at_once(pipeline):
    pipeline.put_claim("0b9c1d2e-0000-4000-8000-000000000000")
    order_faults(pipeline.cloud, {"method": "GET", "path": "execution.json", "status": 403})

    error = pipeline.fail(runId=RUN_ID)

    claim = f"gs://{pipeline.bucket}/trial/{RUN_ID}/execution.json"
    why = "HTTP server responded with error code 403: injected fault"
    assert error["message"] == f"run {RUN_ID}: {claim} exists but cannot be read: {why}"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            {"status": 403},
            "error code 403: no right; the workflow's account cannot write there. Permissions take",
        ),
        (
            {"status": 401},
            "error code 401: no right; the workflow's account cannot write there. Permissions take",
        ),
        ({"status": 404}, "error code 404: no right; is there such a bucket? invoke doctor --cloud"),
        ({"status": 400}, "error code 400: no right"),
        ({"tag": "SystemError"}, "SystemError: the call of https://storage.googleapis.com/upload/"),
        (
            {"status": 412},
            "execution.json exists but cannot be read: HTTP server responded with error code 404",
        ),
    ],
    ids=str,
)
def test_a_claim_that_is_refused_ends_the_run_with_the_reason(pipeline, answer, said):
    run_id = "20260131-120000-00000004"
    order_faults(pipeline.cloud, {"method": "POST", "path": "/upload/", "message": "no right", **answer})

    error = pipeline.fail(runId=run_id)

    assert error["message"].startswith(f"run {run_id}")
    assert said in error["message"]


@pytest.mark.parametrize("claim", [{}, [], {"execution": 3}], ids=str)
def test_a_claim_that_names_no_execution_is_refused_by_its_path(pipeline, claim):
    pipeline.put(f"trial/{RUN_ID}/execution.json", claim)

    error = pipeline.fail(runId=RUN_ID)

    assert f"gs://{pipeline.bucket}/trial/{RUN_ID}/execution.json names no execution" in error["message"]
    assert pipeline.is_claimed()


@pytest.mark.parametrize("answer", [{"status": 404, "times": 3}, {"body": {}}, {"body": []}], ids=str)
def test_an_odd_answer_does_not_take_a_run_from_an_execution_that_goes_on(pipeline, answer):
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "null_seconds": 100_000_000})
    first = pipeline.start(runId=RUN_ID)
    wait_until(lambda: f"runner-{first}" in pipeline.jobs())
    order_faults(pipeline.cloud, {"method": "GET", "path": f"/executions/{first}", **answer})

    second = pipeline.start(runId=RUN_ID)
    error = pipeline.error(second)

    assert f"run {RUN_ID} belongs to execution {first}, which is still running" in error["message"]


def test_an_execution_removes_no_claim_but_its_own(pipeline):
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "null_seconds": 20_000})
    first = pipeline.start(runId=RUN_ID)
    wait_until(lambda: f"runner-{first}" in pipeline.jobs())

    pipeline.put_claim("another")

    assert pipeline.wait(first)["state"] == "SUCCEEDED"
    assert pipeline.is_claimed()


def test_of_executions_that_begin_together_one_gets_the_run(pipeline):
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "null_seconds": 20_000})

    executions = [pipeline.start(runId=RUN_ID) for _ in range(5)]

    states = [pipeline.wait(each)["state"] for each in executions]
    assert sorted(states) == ["FAILED"] * 4 + ["SUCCEEDED"]


@pytest.mark.parametrize(
    "answer",
    [
        {"method": "POST", "path": "/upload/", "body": {}},
        {"method": "POST", "path": "/upload/", "body": "written"},
        {"method": "POST", "path": "/upload/", "action": "truncate"},
        {"method": "GET", "path": "manifest.json", "status": 401},
        {"method": "GET", "path": "manifest.json", "status": 409},
        {"method": "GET", "path": "manifest.json", "body": {"num_pending": "4"}},
        {"method": "GET", "path": "manifest.json", "body": []},
    ],
    ids=str,
)
def test_one_odd_answer_of_the_bucket_does_not_end_a_run(pipeline, answer):
    run_id = "20260131-120000-00000005"
    pipeline.put_manifest(4, run_id)
    order_faults(pipeline.cloud, {"times": 1, **answer})

    result = pipeline.run(runId=run_id)

    assert result["num_tasks"] == 4
    assert not pipeline.is_claimed(run_id)


def test_a_claim_that_is_never_written_over_ends_the_run(pipeline):
    pipeline.put_claim("0b9c1d2e-0000-4000-8000-000000000000")
    order_faults(pipeline.cloud, {"method": "POST", "path": "/upload/", "status": 412})

    error = pipeline.fail(runId=RUN_ID)

    assert "execution.json exists but cannot be read: the answer is not the expected one" in error["message"]


@pytest.mark.parametrize("body", [{}, [], {"generation": 3}], ids=str)
def test_a_claim_of_another_shape_than_the_service_has_is_named_by_its_path(pipeline, body):
    pipeline.put_claim("0b9c1d2e-0000-4000-8000-000000000000")
    order_faults(pipeline.cloud, {"method": "GET", "path": "execution.json", "body": body})

    error = pipeline.fail(runId=RUN_ID)

    assert "execution.json exists but cannot be read: the answer is not the expected one" in error["message"]


def test_a_claim_that_cannot_be_removed_is_told_in_the_logs_of_the_run(pipeline):
    run_id = "20260131-120000-00000002"
    pipeline.put_manifest(0, run_id)
    order_faults(pipeline.cloud, {"method": "DELETE", "path": "execution.json", "status": 403})

    pipeline.run(runId=run_id)

    told = [line["jsonPayload"] for line in pipeline.log(log_filter(LogRequest("trial"), run_id))]
    assert [line["fault"]["code"] for line in told if "could not be removed" in line["message"]] == [403]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"exp_id": ""}, "the argument exp_id is missing"),
        ({"maxParalelism": 4}, "unknown argument maxParalelism; the arguments are"),
    ],
)
def test_a_mistaken_argument_is_refused_before_anything_begins(pipeline, arguments, told):
    error = pipeline.fail(**arguments)

    assert told in error["message"]


def test_each_look_and_each_end_of_a_stage_writes_a_line_for_dashboards(pipeline):
    pipeline.put_manifest(10)
    pipeline.order({"job": "runner", "null_seconds": 4000}, {"job": "runner", "tasks": [4], "exit_code": 2})

    result = pipeline.run(runId=RUN_ID, allowPartial=True)

    job = result["jobs"]["runner"]
    lines = [entry["jsonPayload"] for entry in pipeline.log(f'jsonPayload.job="{job}"')]
    assert {line["event"] for line in lines} == {"stage_progress", "stage_end"}
    last = next(line for line in lines if line["event"] == "stage_end")
    assert (last["tasks"]["succeeded"], last["tasks"]["failed"], last["failed_share"]) == (9, 1, 0.1)
    assert last["state"] == "FAILED"
    assert {"waiting_seconds", "elapsed_seconds", "task_count", "exp_id", "run_id", "stage"} <= last.keys()


def test_labels_of_jobs_and_machines_are_valid_whatever_the_experiment_is_called(pipeline):
    run_id = "20260131-120000-0a1b2c3d"
    pipeline.put(f"Flu/2026-W05/{run_id}/builder-artifacts/manifest.json", {**MANIFEST})

    result = pipeline.run(exp_id="Flu/2026-W05", runId=run_id, billingProject="Grant R01/77")

    job = pipeline.job(result["jobs"]["runner"])
    expected = {
        "component": "epymodelingsuite",
        "stage": "runner",
        "exp_id": "flu-2026-w05",
        "run_id": run_id,
        "environment": "test",
        "managed-by": "workflows",
        "billing_project": "grant-r01-77",
    }
    assert job["labels"] == expected
    assert job["allocationPolicy"]["labels"].items() >= expected.items()


def test_a_run_gets_an_id_of_its_own_where_none_is_given(pipeline):
    execution = pipeline.start()
    error = pipeline.error(execution)  # for there is no manifest

    variables = pipeline.job(error["job"])["taskGroups"][0]["taskSpec"]["environment"]["variables"]
    assert re.fullmatch(rf"[0-9]{{8}}-[0-9]{{6}}-{execution[:8]}", variables["RUN_ID"])


def test_the_stages_get_what_they_need_and_the_machines_that_fit(pipeline):
    pipeline.put_manifest(4)

    result = pipeline.run(
        runId=RUN_ID,
        count=7,
        seed=11,
        outputConfigFile="short.yaml",
        githubForecastRepo="lab/flu",
        forecastRepoRef="v1",
        stages={"runner": {"machineType": "n2-standard-4", "memoryMib": 15000}},
    )

    jobs = {stage: pipeline.job(name) for stage, name in result["jobs"].items()}
    variables = {s: job["taskGroups"][0]["taskSpec"]["environment"]["variables"] for s, job in jobs.items()}
    policies = {s: job["allocationPolicy"]["instances"][0]["policy"] for s, job in jobs.items()}
    asked = {"COUNT": "7", "SEED": "11", "OUTPUT_CONFIG_FILE": "short.yaml"}
    assert variables["builder"].items() >= (asked | {"GITHUB_FORECAST_REPO": "lab/flu"}).items()
    assert variables["output"]["OUTPUT_CONFIG_FILE"] == "short.yaml"
    assert policies["builder"]["bootDisk"]["type"] == "hyperdisk-balanced"
    assert policies["runner"]["machineType"] == "n2-standard-4"
    assert policies["runner"]["bootDisk"]["type"] == "pd-balanced"
    for stage, job in jobs.items():
        spec = job["taskGroups"][0]["taskSpec"]
        assert spec["lifecyclePolicies"][0]["actionCondition"]["exitCodes"] == RETRIED
        assert spec["runnables"][0]["container"]["commands"] == [f"/scripts/run_{stage}.sh"]
        network = job["allocationPolicy"]["network"]["networkInterfaces"][0]
        assert network["noExternalIpAddress"] is True
        assert network["subnetwork"].endswith("/epymodelingsuite")


@pytest.mark.parametrize(
    "arguments",
    [
        {"githubPatSecret": "github-pat"},
        {"variables": {"GITHUB_PAT_SECRET": "github-pat", "LOG_LEVEL": "DEBUG"}},  # as older callers have it
        {
            "githubPatSecret": "github-pat",
            "builderSaEmail": "a@lab.example",
            "batchSaEmail": "bc@lab.example",
        },
    ],
    ids=["as deployed", "among the variables", "accounts of their own"],
)
def test_the_token_is_for_stage_a_alone_and_so_is_the_account_that_may_read_it(pipeline, arguments):
    pipeline.put_manifest(4)

    result = pipeline.run(runId=RUN_ID, **arguments)

    jobs = {stage: pipeline.job(name) for stage, name in result["jobs"].items()}
    accounts = {stage: job["allocationPolicy"]["serviceAccount"]["email"] for stage, job in jobs.items()}
    batch = arguments.get("batchSaEmail", f"batch@{PROJECT}.iam.gserviceaccount.com")
    builder = arguments.get("builderSaEmail", f"builder@{PROJECT}.iam.gserviceaccount.com")
    assert accounts == {"builder": builder, "runner": batch, "output": batch}
    told = {stage for stage, job in jobs.items() if "github-pat" in json.dumps(job)}
    assert told == {"builder"}
    assert "GITHUB_PAT_SECRET" not in json.dumps([jobs["runner"], jobs["output"]])


def test_machines_get_the_ops_agent_where_it_is_wanted_on_an_image_that_takes_it(pipeline):
    pipeline.put_manifest(4)

    wanted = {"installOpsAgent": True}
    result = pipeline.run(runId=RUN_ID, stages={"builder": wanted, "runner": wanted})

    instances = {
        stage: pipeline.job(name)["allocationPolicy"]["instances"][0]
        for stage, name in result["jobs"].items()
    }
    assert instances["builder"]["installOpsAgent"] is True
    assert instances["builder"]["policy"]["bootDisk"] == {
        "type": "hyperdisk-balanced",
        "image": "batch-debian",
    }
    assert instances["runner"]["policy"]["bootDisk"]["image"] == "batch-debian"  # Batch chooses the machine
    assert "installOpsAgent" not in instances["output"]
    assert "image" not in instances["output"]["policy"]["bootDisk"]


def faults_of(pipeline):
    """Return the rules in force, with their hits."""
    return request("GET", f"{pipeline.cloud.apis}/_emulator/faults").json()


def state_in_list(pipeline, job):
    """Return the state of a job, where asking for that job alone is refused."""
    return pipeline.jobs().get(job, {}).get("status", {}).get("state")


def wait_until(holds, seconds=20):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
