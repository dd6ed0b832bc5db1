"""The emulated Batch with the real gcloud and the real client library."""

import json
import re
import time

import pytest
from google.api_core import exceptions
from google.cloud import batch_v1
from google.oauth2.credentials import Credentials
from google.protobuf import json_format

from tests.localcloud.jobs import PROJECT, REGION, id_of, job, null, says, shell

PARENT = f"projects/{PROJECT}/locations/{REGION}"


@pytest.fixture(scope="module")
def client(cloud):
    return batch_v1.BatchServiceClient(
        transport="rest",
        credentials=Credentials("any"),
        client_options={"api_endpoint": cloud.apis},
    )


def as_message(definition):
    return batch_v1.Job.wrap(json_format.ParseDict(definition, batch_v1.Job.pb(batch_v1.Job())))


def test_gcloud_submits_watches_and_reads_the_log_of_a_job(jobs, run_gcloud, tmp_path):
    jobs.order({"job": "by-gcloud", "tasks": [1], "attempts": [0], "exit_code": 50001})
    text = 'echo "task $BATCH_TASK_INDEX"; exit $((BATCH_TASK_INDEX / 2))'
    config = tmp_path / "job.json"
    config.write_text(json.dumps(job(shell(text), count=3, spec={"maxRetryCount": 1})))
    where = f"--location={REGION}"

    made = json.loads(
        run_gcloud("batch", "jobs", "submit", "by-gcloud", where, f"--config={config}", "--format=json")
    )
    jobs.wait(made)
    described = json.loads(run_gcloud("batch", "jobs", "describe", "by-gcloud", where, "--format=json"))
    listed = run_gcloud("batch", "jobs", "list", "--filter=status.state=FAILED", "--format=value(name)")
    tasks = json.loads(run_gcloud("batch", "tasks", "list", "--job=by-gcloud", where, "--format=json"))
    second = json.loads(
        run_gcloud(
            *("batch", "tasks", "describe", "1", "--job=by-gcloud", "--task_group=group0", where),
            "--format=json",
        )
    )
    log = run_gcloud("logging", "read", f'labels.job_uid="{made["uid"]}"', "--format=value(textPayload)")

    assert described["status"]["state"] == "FAILED"
    assert made["name"] in listed.split()
    assert [task["status"]["state"] for task in tasks] == ["SUCCEEDED", "SUCCEEDED", "FAILED"]
    assert says(second, "with exit code 50001")
    assert {"task 0", "task 1", "task 2"} <= set(log.splitlines())


def test_gcloud_cancels_and_deletes(jobs, run_gcloud):
    definition = json.dumps(job(shell("sleep 600")))
    where = f"--location={REGION}"
    run_gcloud("batch", "jobs", "submit", "stopped", where, "--config=-", stdin=definition)
    jobs.wait({"name": "/stopped"}, "RUNNING")

    run_gcloud("batch", "jobs", "cancel", "stopped", where)
    state = jobs.wait({"name": "/stopped"})["status"]["state"]
    run_gcloud("batch", "jobs", "delete", "stopped", where)
    gone = run_gcloud("batch", "jobs", "describe", "stopped", where, fails=True)

    assert state == "CANCELLED"
    assert "jobs/stopped' was not found" in gone


def test_gcloud_shows_why_a_job_is_refused(run_gcloud):
    refused = run_gcloud(
        *("batch", "jobs", "submit", "Bad_Name", f"--location={REGION}", "--config=-"),
        stdin=json.dumps(job(null())),
        fails=True,
    )

    assert re.search(r"INVALID_ARGUMENT.*Job ID \[Bad_Name\]", refused)


def test_the_client_library_runs_a_job_to_its_end(client, jobs):
    request = batch_v1.CreateJobRequest(
        parent=PARENT, job_id="by-client", job=as_message(job(shell("exit 4"), count=2))
    )

    made = client.create_job(request)
    jobs.wait({"name": made.name})

    ended = client.get_job(name=made.name)
    tasks = list(client.list_tasks(parent=f"{made.name}/taskGroups/group0"))
    assert ended.status.state == batch_v1.JobStatus.State.FAILED
    assert ended.uid == made.uid
    assert ended.status.task_groups["group0"].counts == {"FAILED": 2}
    assert [event.task_execution.exit_code for event in tasks[1].status.status_events] == [0, 0, 4]
    assert client.get_task(name=tasks[0].name).status.state == batch_v1.TaskStatus.State.FAILED


def test_the_client_library_lists_cancels_and_deletes(client, jobs):
    definition = as_message(job(shell("sleep 600")) | {"labels": {"by": "client"}})
    names = [
        client.create_job(parent=PARENT, job_id=f"client-{number}", job=definition).name
        for number in range(3)
    ]
    request = batch_v1.ListJobsRequest(
        parent=PARENT, filter='labels.by="client"', order_by="name", page_size=2
    )

    listed = [each.name for each in client.list_jobs(request)]
    client.cancel_job(name=names[0]).result(timeout=30)
    client.delete_job(name=names[1]).result(timeout=30)

    assert listed == names
    assert jobs.state({"name": names[0]}) == "CANCELLED"
    with pytest.raises(exceptions.NotFound):
        client.get_job(name=names[1])
    assert client.delete_job(name=names[0]).result(timeout=30) is not None  # one that is over
    with pytest.raises(exceptions.Conflict, match="already exists"):
        client.create_job(parent=PARENT, job_id=id_of({"name": names[2]}), job=definition)
    jobs.delete({"name": names[2]})


def test_what_the_client_library_cannot_do_is_refused_as_it_expects(client):
    with pytest.raises(exceptions.BadRequest, match="at least one runnable"):
        client.create_job(parent=PARENT, job_id="bad", job=as_message(job()))


def test_a_fault_of_the_api_is_met_by_the_client_library(client, api):
    path = f"/{PARENT}/jobs/unavailable"
    api("POST", "/_emulator/faults", json=[{"path": path, "status": 503, "times": 1}])
    begun = time.monotonic()

    with pytest.raises(exceptions.NotFound):
        client.get_job(name=f"{PARENT}/jobs/unavailable")

    assert time.monotonic() - begun < 20
    api("DELETE", "/_emulator/faults")
