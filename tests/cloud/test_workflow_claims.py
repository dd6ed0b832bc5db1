"""One execution of the pipeline's workflow a run: its claim, and how it passes to another."""

import pytest

from modeling.refusals import MAY_NOT_COUNT_YET
from ops.cloud.log_reader import LogRequest
from ops.watching.run_logs import log_filter
from tests.cloud_runs import RUN_ID
from tests.emulated import order_faults
from tests.null_clouds import ENDLESS, pipeline_on, wait_until


@pytest.fixture
def pipeline(cloud):
    yield from pipeline_on(cloud)


def test_a_second_execution_of_a_run_ends_at_once_and_names_the_first(pipeline):
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "null_seconds": 100_000_000})
    first = pipeline.start(runId=RUN_ID, **ENDLESS)
    wait_until(lambda: f"runner-{first}" in pipeline.jobs())

    second = pipeline.start(runId=RUN_ID, **ENDLESS)

    error = pipeline.error(second)
    assert error["execution"] == first
    assert f"run {RUN_ID} belongs to execution {first}, which is still running" in error["message"]
    assert not [job for job in pipeline.jobs() if job.endswith(second)]
    assert pipeline.is_claimed()


def test_a_run_whose_execution_was_cancelled_goes_on_once_its_jobs_have_ended(pipeline):
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "null_seconds": 100_000_000})
    first = pipeline.start(runId=RUN_ID, **ENDLESS)
    wait_until(lambda: f"runner-{first}" in pipeline.jobs())
    pipeline.cancel(first)

    refused = pipeline.fail(runId=RUN_ID, **ENDLESS)
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
    why = f"HTTP server responded with error code 403: injected fault; {MAY_NOT_COUNT_YET}"
    assert error["message"] == f"run {RUN_ID}: {claim} exists but cannot be read: {why}"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            {"status": 403},
            f"error code 403: no right; {MAY_NOT_COUNT_YET}; the workflow's account cannot write there: "
            "invoke doctor --cloud",
        ),
        (
            {"status": 401},
            "error code 401: no right; the workflow's account cannot write there: invoke doctor --cloud",
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
    first = pipeline.start(runId=RUN_ID, **ENDLESS)
    wait_until(lambda: f"runner-{first}" in pipeline.jobs())
    order_faults(pipeline.cloud, {"method": "GET", "path": f"/executions/{first}", **answer})

    second = pipeline.start(runId=RUN_ID, **ENDLESS)
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
