"""The pipeline's workflow on an emulated cloud, on each of its ways, with tasks that are nothing at all.

With the real stages it runs in test_cloud_run.py.
"""

import itertools
import json
import re
import statistics

import pytest

from tests.cloud_runs import RUN_ID, WORKFLOW, Pipeline
from tests.emulated import create_bucket, order_faults
from tests.null_clouds import DAY, pipeline_on


@pytest.fixture
def pipeline(cloud):
    yield from pipeline_on(cloud)


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


def test_stage_c_can_be_left_out(pipeline):
    pipeline.put_manifest(4)

    result = pipeline.run(runId=RUN_ID, runOutputStage=False)

    assert result["jobs"]["output"] == ""


def test_a_run_with_nothing_left_to_do_goes_straight_to_its_outputs(pipeline):
    pipeline.put_manifest(0)

    result = pipeline.run(runId=RUN_ID)

    assert result["jobs"]["runner"] == ""
    assert result["jobs"]["output"]
