"""The emulated Batch at its limits: 100,000 tasks, and a thousand jobs."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from localcloud.process import Cloud, running
from tests.localcloud.jobs import Jobs, id_of, job, null
from tests.localcloud.processes import peak_mib, started

MAX_SECONDS = 60
MAX_MIB = 200


def test_a_job_of_100_000_tasks_ends_soon_and_is_listed_meanwhile(jobs):
    jobs.order({"exit_code": 50001, "probability": 0.05, "attempts": [0]})
    begun = time.monotonic()
    made = jobs.create(job(null(), count=100_000, parallelism=5000, spec={"maxRetryCount": 1}))

    slowest = 0.0
    while (found := jobs.get(made))["status"]["state"] not in ("SUCCEEDED", "FAILED"):
        asked = time.monotonic()
        path = f"/jobs/{made['name'].rsplit('/', 1)[1]}/taskGroups/group0/tasks"
        page = jobs.http("GET", path, params={"pageSize": 1000}).json()
        slowest = max(slowest, time.monotonic() - asked)
        assert len(page["tasks"]) == 1000
        assert page["nextPageToken"]
        assert time.monotonic() - begun < MAX_SECONDS

    assert found["status"]["taskGroups"]["group0"]["counts"] == {"SUCCEEDED": "100000"}
    assert slowest < 5
    assert len(jobs.tasks(made, pageSize=1000)) == 100_000


def test_a_filter_that_reads_every_task_does_not_delay_other_requests(jobs):
    made = jobs.run(job(null(), count=100_000, parallelism=5000))
    path = f"/jobs/{id_of(made)}/taskGroups/group0/tasks"

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(
            Jobs(jobs.cloud).http, "GET", path, params={"filter": 'status.state!="SUCCEEDED"'}
        )
        slowest = 0.0
        while not looking.done():
            asked = time.monotonic()
            jobs.get(made)
            slowest = max(slowest, time.monotonic() - asked)

    assert looking.result().status_code == 200
    assert slowest < 1


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_stays_flat_over_many_jobs(tmp_path):
    with started("-m", "localcloud", "--state", str(tmp_path)) as child:
        jobs = Jobs(Cloud(**json.loads(child.stdout.readline()), state=tmp_path))
        for _ in range(3):
            jobs.run(job(null(), count=100_000, parallelism=5000))
        first = peak_mib(child.pid)
        for number in range(1000):
            jobs.create(job(null(), count=10), f"many-{number}")

        jobs.wait({"name": "/many-999"})
        assert peak_mib(child.pid) < min(first + 30, MAX_MIB)


def test_all_tasks_can_be_null_tasks_whatever_their_image(tmp_path):
    with running(tmp_path, "--tasks", "null") as cloud:
        runnable = {"container": {"imageUri": "us-docker.pkg.dev/p/r/x:1", "entrypoint": "false"}}

        ended = Jobs(cloud).run(job(runnable, count=1000))

        assert ended["status"]["state"] == "SUCCEEDED"
