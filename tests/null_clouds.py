"""Clouds whose tasks are nothing and whose clock goes fast, and what a test waits for on one."""

import time
from contextlib import contextmanager

from localcloud.process import running
from tests.cloud_runs import Pipeline
from tests.emulated import create_bucket, request

DAY = 86_400
RETRIED = [75, 50001, 50002, 50003, 50004, 50006]
# A stage whose tasks outlast a test on a slow machine, for they have no shorter limit of their own.
ENDLESS = {"stages": {"runner": {"maxRunSeconds": 14 * DAY}}}
MANIFEST = {"num_workloads": 1, "num_pending": 1, "workloads_per_task": 1}


@contextmanager
def cloud_of_null_tasks(tmp_path_factory, speed):
    with running(tmp_path_factory.mktemp("state"), "--clock-speed", str(speed), "--tasks", "null") as cloud:
        yield cloud


def pipeline_on(cloud):
    """Yield the workflow, deployed with an empty bucket; the faults that a test sets are cleared after it."""
    pipeline = Pipeline.deployed(cloud, create_bucket(cloud))
    yield pipeline
    pipeline.clear_faults()


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
