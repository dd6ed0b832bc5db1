"""The life of a job in the emulated Batch: states, events, lists, cancelling, deleting."""

import json
import time
import tracemalloc
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from localcloud.batch.tasks import TaskTable
from localcloud.process import running
from tests.localcloud.jobs import Jobs, id_of, job, null, says, shell


def test_a_job_passes_through_its_states_and_reports_each(jobs):
    made = jobs.create(job(null(), count=2), "states")

    ended = jobs.wait(made)

    assert made["status"]["state"] == "QUEUED"
    assert made["uid"].startswith("states-")
    events = ended["status"]["statusEvents"]
    changes = [event["description"].partition(" for job ")[0] for event in events]
    assert changes == [
        "Job state is set from QUEUED to SCHEDULED",
        "Job state is set from SCHEDULED to RUNNING",
        "Job state is set from RUNNING to SUCCEEDED",
    ]
    assert {event["type"] for event in events} == {"STATUS_CHANGED"}
    assert ended["status"]["taskGroups"]["group0"]["counts"] == {"SUCCEEDED": "2"}
    assert float(ended["status"]["runDuration"].removesuffix("s")) >= 0
    assert made["createTime"] == ended["createTime"] < ended["updateTime"]


def test_a_job_fails_if_one_task_does_and_the_others_go_on(jobs):
    jobs.order({"job": "one-of-ten", "tasks": [3], "exit_code": 2})

    ended = jobs.run(job(null(), count=10, parallelism=1), "one-of-ten")

    assert ended["status"]["state"] == "FAILED"
    assert ended["status"]["taskGroups"]["group0"]["counts"] == {"FAILED": "1", "SUCCEEDED": "9"}
    assert says(ended, "task with index 3 failed")
    assert says(ended, "with exit code 2")


def test_a_second_job_of_a_name_is_refused(jobs):
    jobs.create(job(null()), "twice")

    error = jobs.refusal(job(null()), "twice")

    assert (error["code"], error["status"]) == (409, "ALREADY_EXISTS")


def test_a_repeated_create_request_creates_no_second_job(jobs):
    request = str(uuid.uuid4())
    first = jobs.create(job(null()), "once", requestId=request)
    jobs.wait(first)

    again = jobs.create(job(null()), "once", requestId=request)
    error = jobs.refusal(job(null()), "once", requestId=str(uuid.uuid4()))

    assert (again["uid"], again["status"]["state"]) == (first["uid"], "SUCCEEDED")
    assert error["code"] == 409


def test_a_job_without_a_name_gets_one(jobs):
    answer = jobs.http("POST", "/jobs", json=job(null())).json()

    assert answer["name"].rpartition("/")[2].startswith("j-")
    assert jobs.wait(answer)["status"]["state"] == "SUCCEEDED"


def test_what_does_not_exist_is_not_found(jobs):
    made = jobs.run(job(null()))

    for path in (
        "/jobs/none",
        "/jobs/none/taskGroups/group0/tasks",
        f"/jobs/{id_of(made)}/taskGroups/group0/tasks/1",
        f"/jobs/{id_of(made)}/taskGroups/group1/tasks/0",
        "/operations/batch-none",
    ):
        answer = jobs.http("GET", path)
        assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")


def test_jobs_are_listed_by_pages_in_any_order(jobs):
    labels = {"labels": {"list": "pages"}}
    for number in (2, 0, 1):
        jobs.create(job(null()) | labels, f"page-{number}")

    def listed(**query):
        names, token = [], ""
        while True:
            asked = {"filter": 'labels.list="pages"', "pageSize": 2, "pageToken": token, **query}
            page = jobs.http("GET", "/jobs", params=asked).json()
            names += [found["name"].rsplit("-", 1)[1] for found in page.get("jobs", [])]
            token = page.get("nextPageToken", "")
            if not token:
                return names

    assert listed() == ["1", "0", "2"]
    assert listed(orderBy="create_time") == ["2", "0", "1"]
    assert listed(orderBy="name") == ["0", "1", "2"]
    assert listed(orderBy="name  desc") == ["2", "1", "0"]
    assert listed(filter='labels.list="pages" AND status.state="FAILED"') == []
    assert jobs.http("GET", "/jobs", params={"orderBy": "size"}).status_code == 400
    assert jobs.http("GET", "/jobs", params={"pageToken": "?"}).status_code == 400


def test_all_locations_can_be_listed_at_once(api):
    for region in ("us-east1", "europe-west1"):
        api("POST", f"/v1/projects/everywhere/locations/{region}/jobs?jobId=same", json=job(null()))

    found = api("GET", "/v1/projects/everywhere/locations/-/jobs").json()["jobs"]

    assert [each["name"].split("/")[3] for each in found] == ["europe-west1", "us-east1"]


def test_cancelling_stops_tasks_and_leaves_the_others_unexecuted(jobs):
    made = jobs.create(job(shell("echo on; sleep 600"), count=3, parallelism=1))
    jobs.wait(made, "RUNNING")

    operation = jobs.cancel(made)
    cancelled = jobs.wait(made)

    assert cancelled["status"]["state"] == "CANCELLED"
    assert says(cancelled, "from RUNNING to CANCELLATION_IN_PROGRESS")
    counts = cancelled["status"]["taskGroups"]["group0"]["counts"]
    assert counts == {"FAILED": "1", "UNEXECUTED": "2"}
    ended = jobs.http("GET", "/operations/" + operation["name"].rsplit("/", 1)[1]).json()
    assert ended["done"]
    assert ended["metadata"]["verb"] == "cancel"
    assert ended["response"]["@type"].endswith("CancelJobResponse")


def test_a_job_is_cancelled_before_it_starts(jobs):
    jobs.order({"job": "early", "queue": "CODE_GCE_QUOTA_EXCEEDED"})
    made = jobs.create(job(null(), count=3), "early")

    jobs.cancel(made)

    assert jobs.wait(made)["status"]["state"] == "CANCELLED"
    assert {task["status"]["state"] for task in jobs.tasks(made)} == {"UNEXECUTED"}


def test_a_finished_job_cannot_be_cancelled(jobs):
    made = jobs.run(job(null()))

    answer = jobs.http("POST", f"/jobs/{id_of(made)}:cancel", json={})

    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "FAILED_PRECONDITION"


@pytest.mark.parametrize("is_over", [True, False])
def test_a_deleted_job_is_gone_and_its_name_free(jobs, is_over):
    made = jobs.create(job(shell("true" if is_over else "sleep 600")))
    jobs.wait(made, "SUCCEEDED" if is_over else "RUNNING")

    operation = jobs.delete(made)

    until = time.monotonic() + 20
    while not operation["done"] and time.monotonic() < until:
        operation = jobs.http("GET", "/operations/" + operation["name"].rsplit("/", 1)[1]).json()
    assert operation["done"]
    assert jobs.http("GET", f"/jobs/{id_of(made)}").status_code == 404
    assert jobs.create(job(null()), id_of(made))["uid"] != made["uid"]


def test_a_job_too_large_for_its_machine_type_stays_queued_and_says_why(jobs):
    machine = {"instances": [{"policy": {"machineType": "c4d-standard-2"}}]}
    spec = {"computeResource": {"memoryMib": 8192}}
    fitting = {"computeResource": {"memoryMib": 7168}}

    made = jobs.create(job(null(), spec=spec) | {"allocationPolicy": machine})
    fits = jobs.run(job(null(), spec=fitting) | {"allocationPolicy": machine})

    assert fits["status"]["state"] == "SUCCEEDED"
    waiting = jobs.get(made)
    assert waiting["status"]["state"] == "QUEUED"
    assert says(waiting, "c4d-standard-2 has 7168 MiB of memory, a task needs 8192 MiB")


@pytest.mark.parametrize(
    ("machine", "disk", "state"),
    [
        ("c4d-standard-2", "pd-balanced", "FAILED"),
        ("n4-standard-2", "pd-ssd", "FAILED"),
        ("n4a-standard-2", "pd-balanced", "FAILED"),
        ("e2-standard-2", "hyperdisk-balanced", "FAILED"),
        ("n2d-standard-2", "hyperdisk-balanced", "FAILED"),
        ("c4d-standard-2", "hyperdisk-balanced", "SUCCEEDED"),
        ("c4-standard-2", None, "SUCCEEDED"),
        ("e2-standard-2", "pd-balanced", "SUCCEEDED"),
        ("c3-standard-4", "hyperdisk-balanced", "SUCCEEDED"),
    ],
)
def test_a_boot_disk_that_the_machine_type_does_not_support_fails_the_job(jobs, machine, disk, state):
    policy = {"machineType": machine, **({"bootDisk": {"type": disk}} if disk else {})}

    ended = jobs.run(job(null(), count=2) | {"allocationPolicy": {"instances": [{"policy": policy}]}})

    assert ended["status"]["state"] == state
    assert says(ended, "CODE_GCE_INVALID_FIELD_VALUE") == (state == "FAILED")


def test_a_job_of_higher_priority_gets_the_slots_first(tmp_path):
    with running(tmp_path, "--slots", "1", "--queue-seconds", "0.05") as cloud:
        jobs = Jobs(cloud)
        first = jobs.create(job(shell(f"until [ -e {tmp_path}/go ]; do sleep 0.02; done")))
        jobs.wait(first, "RUNNING")
        later = [
            jobs.create(job(shell("true")) | {"priority": priority}, f"priority-{priority}")
            for priority in (1, 50)
        ]
        for made in later:
            jobs.wait(made, "SCHEDULED")
        time.sleep(0.3)  # SCHEDULED for 0.05 s; now both wait for the slot
        (tmp_path / "go").touch()

        [low, high] = [jobs.wait(made) for made in later]

        assert jobs.state(first) == "SUCCEEDED"
        assert high["updateTime"] < low["updateTime"]


def test_a_faster_clock_shortens_queues_and_time_limits(tmp_path):
    with running(tmp_path, "--queue-seconds", "60", "--clock-speed", "600") as cloud:
        jobs = Jobs(cloud)
        begun = time.monotonic()
        jobs.run(job(null()))

        assert 0.2 <= time.monotonic() - begun < 5

    with running(tmp_path, "--clock-speed", "1e6") as cloud:
        jobs = Jobs(cloud)
        jobs.order({"queue": "ZONE_RESOURCE_POOL_EXHAUSTED"})
        ended = jobs.run(job(null()))
        assert says(ended, "QUEUED for longer than the 172800 seconds allowed")

        jobs.clear_faults()
        jobs.order({"null_seconds": 100 * 86400})
        ended = jobs.run(job(null()))
        assert ended["status"]["state"] == "FAILED"
        assert says(ended, "RUNNING for longer than the 1209600 seconds allowed")


def test_a_hundred_clients_at_once_get_no_error(jobs):
    jobs.run(job(null()))

    def client(number):
        own = Jobs(jobs.cloud)
        made = own.create(job(null(), count=20), f"client-{number}")
        own.http("GET", "/jobs", params={"pageSize": 5}).raise_for_status()
        assert len(own.tasks(made, pageSize=7)) == 20
        return own.wait(made)["status"]["state"]

    with ThreadPoolExecutor(100) as pool:
        states = list(pool.map(client, range(100)))

    assert set(states) == {"SUCCEEDED"}


def test_a_reset_removes_jobs_and_kills_their_tasks(jobs):
    request = str(uuid.uuid4())
    made = jobs.create(job(shell("sleep 600")), "reset", requestId=request)
    jobs.wait(made, "RUNNING")

    jobs._session.post(f"{jobs.cloud.apis}/_emulator/reset", timeout=30).raise_for_status()

    assert jobs.http("GET", "/jobs").json() == {}
    assert jobs.work_folders() == []
    assert jobs.create(job(null()), "reset", requestId=request)["uid"] != made["uid"]


def test_the_oldest_finished_jobs_are_dropped():
    from localcloud.batch.definition import read_definition
    from localcloud.batch.jobs import MAX_BYTES, JobStore

    store = JobStore()
    definition = read_definition(json.loads(json.dumps(job(null(), count=100_000))), "x", "us-central1")
    for number in range(200):
        made, _ = store.create("p", "us-central1", f"job-{number}", definition)
        made.end("SUCCEEDED")
        store.keep(made)

    kept = store.all_of("p", "-")

    assert sum(each.size_bytes for each in kept) <= MAX_BYTES
    assert kept[-1].job_id == "job-199"
    assert 50 < len(kept) < 200


@pytest.mark.parametrize("attempts", [1, 2, 11])
def test_the_counted_memory_of_a_job_covers_the_attempts_of_its_tasks(attempts):
    count = 3_000
    tracemalloc.start()
    tasks = TaskTable(count)
    for attempt in range(attempts):
        for _ in range(count):
            tasks.start_next(time.time())
        for index in range(count):
            end = tasks.end if attempt == attempts - 1 else tasks.retry
            end(index, time.time(), 50001)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert taken <= tasks.size_bytes < 2 * taken
