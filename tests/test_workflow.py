"""The pipeline's workflow on an emulated cloud, on each of its ways, with tasks that are nothing at all.

With the real stages it runs in test_rehearsal.py.
"""

import time

import pytest

from localcloud.process import running
from tests.cloud_runs import RUN_ID, Pipeline
from tests.emulated import create_bucket, order_faults, request

SPEED = 2000


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """A cloud on which an hour takes two seconds, and whose tasks are nothing."""
    with running(tmp_path_factory.mktemp("state"), "--clock-speed", str(SPEED), "--tasks", "null") as cloud:
        yield cloud


@pytest.fixture
def pipeline(cloud):
    pipeline = Pipeline(cloud, create_bucket(cloud))
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
