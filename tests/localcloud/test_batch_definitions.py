"""What the emulated Batch refuses in a job; gcloud sends most of it without a warning."""

import copy

import pytest

from localcloud.batch.retries import RetryRule
from tests.localcloud.jobs import job, null

POLICY = {"action": "RETRY_TASK", "actionCondition": {"exitCodes": [75]}}


def changed(**group):
    """Return a valid job with changes to its task group."""
    return job(null(), **group)


def with_spec(**spec):
    return job(null(), spec=spec)


def with_policy(**policy):
    return job(null()) | {"allocationPolicy": policy}


def labelled(count, prefix="k"):
    return {f"{prefix}{number}": "" for number in range(count)}


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        (job(null()) | {"foo": 1}, 'no field named "foo"'),
        (with_spec(maxRetryCounts=1), 'no field named "maxRetryCounts"'),
        (changed(taskCount="three"), "taskCount"),
        (changed(taskCount=2.5), "taskCount"),
        (changed(taskCount=0), "taskCount must be 1 to 100000"),
        (changed(taskCount=100_001), "taskCount must be 1 to 100000"),
        (changed(taskCount=-1), "taskCount must be 1 to 100000"),
        (changed(parallelism=5001), "parallelism must be 1 to 5000"),
        (changed(parallelism=-1), "parallelism must be 1 to 5000"),
        (changed(schedulingPolicy="IN_ORDER", parallelism=2), "parallelism must be 1"),
        (changed(schedulingPolicy="SOMEHOW"), "SOMEHOW"),
        (with_spec(maxRetryCount=11), "maxRetryCount must be 0 to 10"),
        (with_spec(maxRetryCount=-1), "maxRetryCount must be 0 to 10"),
        (with_spec(maxRunDuration="1h"), 'must end with letter "s"'),
        (with_spec(maxRunDuration="-5s"), "maxRunDuration must not be negative"),
        (with_spec(computeResource={"cpuMilli": 10**30}), "out of range"),
        (with_spec(computeResource={"memoryMib": -1}), "computeResource.memoryMib must not be negative"),
        (with_spec(runnables=[]), "at least one runnable"),
        (with_spec(runnables=[{}]), "runnables[0] needs one of container, script, barrier"),
        (with_spec(runnables=[{"container": {}}]), "imageUri is required"),
        (with_spec(runnables=[{"container": {"imageUri": "x", "commands": "ls"}}]), "commands"),
        (with_spec(runnables=[{"script": {}}]), "script needs a text or a path"),
        (with_spec(runnables=[{"script": {"text": "x\0"}}]), "runnables[0].script contains a null character"),
        (
            with_spec(runnables=[{"container": {"imageUri": "x", "commands": ["a", "b\0"]}}]),
            "runnables[0].container contains a null character",
        ),
        (with_spec(lifecyclePolicies=[POLICY, POLICY]), "at most one lifecycle policy"),
        (with_spec(lifecyclePolicies=[{"actionCondition": {"exitCodes": [1]}}]), "needs an action"),
        (with_spec(lifecyclePolicies=[{"action": "FAIL_TASK"}]), "needs exit codes"),
        (with_spec(lifecyclePolicies=[{"action": "TRY_TASK"}]), "TRY_TASK"),
        (with_spec(environment={"variables": {"A=B": "x"}}), "cannot name an environment variable"),
        (with_spec(environment={"variables": {"A": 1}}), "string"),
        (with_spec(environment={"secretVariables": {"PAT": "github-pat"}}), "secret variable PAT must name"),
        (job(null()) | {"taskGroups": []}, "exactly one task group"),
        (job(null()) | {"taskGroups": job(null())["taskGroups"] * 2}, "exactly one task group"),
        (job(null()) | {"priority": 100}, "priority must be 0 to 99"),
        (job(null()) | {"labels": {"a": 1}}, "string"),
        (job(null()) | {"labels": {"Upper": "x"}}, "label key 'Upper'"),
        (job(null()) | {"labels": {"exp_id": "flu/2026"}}, "label value 'flu/2026'"),
        (job(null()) | {"labels": {"k": "x" * 64}}, "label value"),
        (job(null()) | {"labels": {"1k": "x"}}, "label key '1k'"),
        (job(null()) | {"labels": {"goog-x": "y"}}, "'goog-x' is reserved"),
        (job(null()) | {"labels": {"batch-job-id": "y"}}, "'batch-job-id' is reserved"),
        (job(null()) | {"labels": labelled(64)}, "may have 63 labels"),
        (with_policy(labels=labelled(62)), "allocationPolicy.labels may have 61 labels"),
        (with_policy(labels={"a": "B"}), "label value 'B'"),
        (with_policy(location={"allowedLocations": ["regions/us-east1"]}), "must be in the job's region"),
        (with_policy(location={"allowedLocations": ["zones/us-east1-b"]}), "must be in the job's region"),
        (with_policy(location={"allowedLocations": ["us-central1"]}), "must be regions/REGION or zones/ZONE"),
        (
            with_policy(location={"allowedLocations": ["regions/us-central1", "zones/us-central1-a"]}),
            "one region, or zones of one region",
        ),
        (with_policy(instances=[{}, {}]), "at most one of allocationPolicy.instances"),
        (
            with_policy(instances=[{"policy": {"machineType": "z9-standard-2"}}]),
            "machine type 'z9-standard-2' does not exist; add it to terraform/machine_types.json",
        ),
        (job(null()) | {"logsPolicy": {"destination": "CONSOLE"}}, "CONSOLE"),
        (job(null()) | {"logsPolicy": {"destination": "PATH"}}, "logsPath is required"),
        (job(null()) | {"taskGroups": [[]]}, "at least one runnable"),
        ([], "JSON object"),
    ],
)
def test_a_mistake_in_a_job_is_refused_and_named(jobs, definition, said):
    error = jobs.refusal(definition)

    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert said in error["message"]


def test_all_mistakes_are_reported_at_once(jobs):
    error = jobs.refusal(changed(taskCount=0, parallelism=9999) | {"labels": {"A": ""}})

    for said in ("taskCount", "parallelism", "label key"):
        assert said in error["message"]


@pytest.mark.parametrize(
    "job_id", ["Bad_Name", "1abc", "ends-", "-a", "x" * 64, "with.dot", "with space", "Ümlaut"]
)
def test_a_job_id_that_breaks_the_rules_is_refused(jobs, job_id):
    assert "Job ID" in jobs.refusal(job(null()), job_id)["message"]


def test_a_request_id_must_be_a_uuid(jobs):
    for request_id in ("1", "00000000-0000-0000-0000-000000000000"):
        assert "request_id" in jobs.refusal(job(null()), requestId=request_id)["message"]


def test_a_job_is_not_created_in_a_zone(jobs, api):
    answer = api("POST", "/v1/projects/p/locations/us-central1-a/jobs?jobId=x", json=job(null()))

    assert answer.status_code == 400
    assert "not a region" in answer.text


def test_a_definition_may_have_one_megabyte(jobs):
    fits, too_large = (
        with_spec(environment={"variables": {"A": "x" * size}}) for size in (2**20 - 1000, 2**20)
    )

    assert "1048576 bytes" in jobs.refusal(too_large)["message"]
    assert jobs.run(fits)["status"]["state"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("runnable", "spec", "said"),
    [
        ({"barrier": {}}, {}, "barriers"),
        (None, {"volumes": [{"gcs": {"remotePath": "bucket"}, "mountPath": "/mnt"}]}, "volumes of tasks"),
        ({"container": {"imageUri": "x", "volumes": ["/a:/b"]}}, {}, "volumes of a container"),
        ({"container": {"imageUri": "x", "blockExternalNetwork": True}}, {}, "containers without a network"),
        (None, {"environment": {"encryptedVariables": {"keyName": "k", "cipherText": "c"}}}, "encrypted"),
    ],
)
def test_what_is_not_emulated_is_refused_and_not_ignored(jobs, runnable, spec, said):
    definition = job(runnable or {"container": {"imageUri": "x"}}, spec=spec)

    assert said in jobs.refusal(definition)["message"]


def test_a_job_that_needs_a_hosts_file_is_refused(jobs):
    definition = job({"container": {"imageUri": "x"}}, requireHostsFile=True)

    assert "hosts files" in jobs.refusal(definition)["message"]


def test_missing_fields_get_the_defaults_of_the_service(jobs):
    made = jobs.create({"taskGroups": [{"taskSpec": {"runnables": [null()]}, "task_count": "3"}]}, "defaults")

    [group] = made["taskGroups"]
    assert (group["taskCount"], group["parallelism"]) == ("3", "3")
    assert group["taskSpec"]["computeResource"] == {"cpuMilli": "2000", "memoryMib": "2000"}
    assert made["allocationPolicy"]["location"] == {"allowedLocations": ["regions/us-central1"]}
    assert made["allocationPolicy"]["labels"] == {"batch-job-id": "defaults"}


def test_a_definition_is_returned_as_it_was_sent(jobs):
    definition = job(null(), spec={"maxRetryCount": 3, "lifecyclePolicies": [POLICY]}) | {
        "labels": {"run_id": "1"}
    }
    sent = copy.deepcopy(definition) | {
        "name": "projects/x/locations/y/jobs/z",
        "status": {"state": "FAILED"},
    }

    made = jobs.create(sent, "as-sent")

    assert made["name"] == "projects/p/locations/us-central1/jobs/as-sent"
    assert made["status"]["state"] == "QUEUED"
    assert made["labels"] == definition["labels"]
    assert made["taskGroups"][0]["taskSpec"].items() >= definition["taskGroups"][0]["taskSpec"].items()


@pytest.mark.parametrize(
    ("rule", "retried"),
    [
        (RetryRule(3), {1, 50001, 137}),
        (RetryRule(3, "RETRY_TASK", frozenset({75, 50001})), {75, 50001}),
        (RetryRule(3, "RETRY_TASK", frozenset({50005})), {50005}),
        (RetryRule(3, "FAIL_TASK", frozenset({1})), {2, 75, 137, 50001}),
        (RetryRule(0), set()),
        (RetryRule(0, "RETRY_TASK", frozenset({75})), set()),
    ],
)
def test_a_retry_rule_allows_the_exit_codes_that_it_covers(rule, retried):
    codes = {0, 1, 50005} | retried

    assert {code for code in codes if rule.allows_retry(code, attempt=0)} == retried
    assert not any(rule.allows_retry(code, attempt=rule.max_retry_count) for code in codes)
