"""The pipeline's workflow when services give odd answers, and jobs are refused, late or taken away."""

import pytest

from localcloud.faults import TAGS
from modeling.refusals import MAY_NOT_COUNT_YET
from ops.cloud.log_reader import LogRequest
from ops.watching.run_logs import log_filter
from tests.cloud_runs import RUN_ID, Pipeline
from tests.emulated import create_bucket, order_faults
from tests.null_clouds import DAY, ENDLESS, faults_of, pipeline_on, state_in_list, wait_until


@pytest.fixture
def pipeline(cloud):
    yield from pipeline_on(cloud)


@pytest.fixture
def calm_pipeline(calm_cloud):
    yield from pipeline_on(calm_cloud)


@pytest.fixture
def slow_pipeline(slow_cloud):
    yield from pipeline_on(slow_cloud)


@pytest.mark.parametrize("kind", ["delete", "cancel"])
def test_a_job_that_is_taken_away_ends_the_run_by_its_name(pipeline, kind):
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "null_seconds": 100_000_000})
    execution = pipeline.start(runId=RUN_ID, **ENDLESS)
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


def test_no_odd_answer_ends_the_wait_for_a_job(calm_pipeline):
    calm_pipeline.clear_faults()
    calm_pipeline.put_manifest(4)
    calm_pipeline.order({"job": "runner", "null_seconds": 800})
    order_faults(
        calm_pipeline.cloud,
        *({"method": "GET", "path": "/jobs/runner", "times": 2, **answer} for answer in ODD_ANSWERS),
    )

    result = calm_pipeline.run(runId=RUN_ID)

    job = result["jobs"]["runner"]
    assert calm_pipeline.job(job)["status"]["state"] == "SUCCEEDED"
    assert [rule["hits"] for rule in faults_of(calm_pipeline)] == [2] * len(ODD_ANSWERS)
    lines = [line["jsonPayload"]["message"] for line in calm_pipeline.log(f'jsonPayload.job="{job}"')]
    odd = "cannot be read at the moment: HTTP server responded with error code 423"
    assert any(odd in line for line in lines)


@pytest.mark.parametrize("status", [403, 404])
def test_the_same_refusal_for_less_than_10_minutes_does_not_end_the_wait(calm_pipeline, status):
    calm_pipeline.clear_faults()
    calm_pipeline.put_manifest(4)
    calm_pipeline.order({"job": "runner", "null_seconds": 300})
    order_faults(
        calm_pipeline.cloud, {"method": "GET", "path": "/jobs/runner", "status": status, "times": 20}
    )

    result = calm_pipeline.run(runId=RUN_ID)

    assert (result["num_tasks"], result["num_failed_tasks"]) == (4, 0)
    assert faults_of(calm_pipeline)[0]["hits"] == 20


def test_the_same_refusal_for_10_minutes_ends_the_run_and_its_job(calm_pipeline):
    """Told not to be there, to be cancelled, a job that was made is asked to end again, until it has."""
    calm_pipeline.put_manifest(4)
    calm_pipeline.order({"job": "runner", "null_seconds": 100_000_000})
    order_faults(
        calm_pipeline.cloud,
        {"method": "GET", "path": "/jobs/runner", "status": 403, "message": "no right"},
        {"method": "POST", "path": ":cancel", "status": 404, "times": 2},
    )
    execution = calm_pipeline.start(runId=RUN_ID, **ENDLESS)
    runner = f"runner-{execution}"

    wait_until(lambda: state_in_list(calm_pipeline, runner) == "CANCELLED")
    claimed = calm_pipeline.is_claimed()
    calm_pipeline.clear_faults()
    error = calm_pipeline.error(execution)

    assert error["job"] == runner
    assert "could not be read for 10 minutes: " in error["message"]
    assert "error code 403: no right" in error["message"]
    assert claimed
    assert not calm_pipeline.is_claimed()
    assert error["job_may_run"] is False


def test_a_run_whose_job_may_still_run_is_kept_from_others_until_the_job_has_ended(pipeline):
    pipeline.put_manifest(4)
    pipeline.order({"job": "runner", "null_seconds": 100_000_000})
    order_faults(
        pipeline.cloud,
        {"method": "GET", "path": "/jobs/runner", "status": 403},
        {"method": "POST", "path": ":cancel", "status": 403},
    )

    error = pipeline.fail(runId=RUN_ID, **ENDLESS)
    untold = pipeline.fail(runId=RUN_ID, **ENDLESS)
    pipeline.clear_faults()
    pipeline.order({"job": "runner", "null_seconds": 100_000_000})
    refused = pipeline.fail(runId=RUN_ID, **ENDLESS)
    order_faults(  # of a job that is known to have been made, half a minute of this is not believed
        pipeline.cloud, {"method": "GET", "path": "/jobs/runner", "status": 404, "times": 10}
    )
    refused_again = pipeline.fail(runId=RUN_ID, **ENDLESS)
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


def test_a_job_that_is_there_by_the_answer_409_is_not_given_up_for_one_that_is_not_found(slow_pipeline):
    """The answer to the request was lost, and for minutes the job is said both to be there and not to be."""
    slow_pipeline.put_manifest(4)
    slow_pipeline.order({"job": "runner", "null_seconds": 100_000_000})
    order_faults(
        slow_pipeline.cloud,
        {"method": "POST", "path": r"/jobs\?jobId=runner", "action": "reset_after", "times": 1},
        {"method": "POST", "path": r"/jobs\?jobId=runner", "status": 409},
        {"method": "GET", "path": "/jobs/runner", "status": 404, "times": 30},
        {"method": "POST", "path": ":cancel", "status": 404, "times": 15},
    )

    error = slow_pipeline.fail(runId=RUN_ID, **ENDLESS)

    slow_pipeline.clear_faults()
    assert "error code 409" in error["message"]
    wait_until(lambda: slow_pipeline.job(error["job"])["status"]["state"] != "RUNNING")
    wait_until(lambda: slow_pipeline.job(error["job"])["status"]["state"] != "CANCELLATION_IN_PROGRESS")
    assert slow_pipeline.job(error["job"])["status"]["state"] == "CANCELLED"


@pytest.mark.parametrize("status", [400, 403])
def test_a_job_that_is_refused_for_good_ends_the_run_with_the_reason(pipeline, status):
    pipeline.put_manifest(4)
    fault = {"method": "POST", "path": r"/jobs\?jobId=runner", "status": status, "message": "no such quota"}
    order_faults(pipeline.cloud, fault)

    error = pipeline.fail(runId=RUN_ID)

    perhaps_later = f"; {MAY_NOT_COUNT_YET}" if status == 403 else ""
    said = f"HTTP server responded with error code {status}: no such quota{perhaps_later}"
    assert error["message"].endswith(said)
    assert not pipeline.is_claimed()
