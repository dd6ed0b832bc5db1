"""What `invoke doctor --report` makes of the services' answers, in the shapes that Google documents.

The real gcloud reads them; where the emulated cloud does not answer so, its answer is ordered.
"""

import itertools
from dataclasses import replace

import pytest

from ops.gpu import evidence as gpu_evidence
from ops.names import COMPONENT
from ops.project import evidence, report
from tests.cloud_operators import CloudOperator
from tests.cloud_runs import REGION
from tests.emulated import order_faults, post, request
from tests.experiments import sampled

_numbers = itertools.count(1)
SUBJECT = "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/lab/subject/ada"


@pytest.fixture(scope="module")
def operator(null_cloud, tmp_path_factory):
    return CloudOperator(null_cloud, tmp_path_factory.mktemp("desk"), sampled())


@pytest.fixture
def project(operator):
    """A project of its own, with empty logs; the answers that a test ordered are taken back."""
    cloud = operator.google_cloud()
    yield replace(cloud, project=f"another-project-{next(_numbers)}")
    request("DELETE", f"{operator.cloud.apis}/_emulator/faults")


def answered(operator, path: str, body: dict) -> None:
    order_faults(operator.cloud, {"path": path, "body": body})


def log(operator, project, name: str, *entries: dict) -> None:
    log_name = f"projects/{project.project}/logs/{name}"
    post(f"{operator.cloud.apis}/v2/entries:write", {"logName": log_name, "entries": list(entries)})


def refusal(code: int, **said) -> dict:
    status = {"code": code, "message": "Permission denied."}
    audited = {"@type": "type.googleapis.com/google.cloud.audit.AuditLog", "status": status, **said}
    return {"severity": "ERROR", "protoPayload": audited, "resource": {"type": "audited_resource"}}


def test_a_refusal_names_who_asked_and_the_permissions_that_were_not_granted(operator, project):
    asked = [
        {"permission": "batch.jobs.create", "granted": True, "resource": "projects/p"},
        {"permission": "iam.serviceAccounts.actAs", "granted": False, "resourceAttributes": {}},
        {"permission": "batch.jobs.get"},  # as JSON of a false field may be
    ]
    who = {"principalEmail": "ada@example.org"}
    log(
        operator,
        project,
        "cloudaudit.googleapis.com%2Factivity",
        refusal(5, methodName="not.found"),
        refusal(
            7,
            serviceName="batch.googleapis.com",
            methodName="create",
            authenticationInfo=who,
            authorizationInfo=asked,
        ),
        refusal(7, methodName="get", authenticationInfo={"principalSubject": SUBJECT}),
    )

    found = evidence.denials(project)

    by_method = {each["method"]: each for each in found.answer}
    assert by_method.keys() == {"create", "get"}
    assert by_method["create"] == {
        "service": "batch.googleapis.com",
        "method": "create",
        "permissions": ["iam.serviceAccounts.actAs", "batch.jobs.get"],
        "member": "ada@example.org",
        "message": "Permission denied.",
    }
    assert by_method["get"]["member"] == SUBJECT
    assert by_method["get"]["permissions"] == []
    assert found.names == (("principal", SUBJECT.partition(":")[2]),)
    assert report.denied(found.answer) == ["batch.jobs.get", "iam.serviceAccounts.actAs"]


def test_without_a_refusal_the_answer_says_which_ones_the_logs_do_not_have(operator, project):
    assert "which have refused reads only if data access is logged" in evidence.denials(project).answer


@pytest.mark.parametrize(
    "longest",
    [
        # as Cloud Run writes it: with the time at which it began, when it has ended
        {"timestamp": "2026-01-01T00:00:10Z", "receiveTimestamp": "2026-01-01T00:05:10.600000001Z"},
        # should it have the time at which it ended
        {"timestamp": "2026-01-01T00:05:10.500Z", "receiveTimestamp": "2026-01-01T00:05:10.500Z"},
    ],
)
def test_an_instance_is_idle_from_the_end_of_its_last_request(operator, project, longest):
    of_instance = {"resource": {"type": "cloud_run_revision"}, "labels": {"instanceId": "0007e2"}}
    requests_log = {**of_instance, "logName": "projects/p/logs/run.googleapis.com%2Frequests"}
    entries = [
        {
            **of_instance,
            "logName": "projects/p/logs/run.googleapis.com%2Fvarlog%2Fsystem",
            "timestamp": "2026-01-01T00:15:10.500000001Z",
            "textPayload": "Shutting down",
        },
        {
            **requests_log,
            "timestamp": "2026-01-01T00:01:00.25Z",
            "receiveTimestamp": "2026-01-01T00:01:03Z",
            "httpRequest": {"status": 200, "latency": "2s"},
        },
        {**requests_log, **longest, "httpRequest": {"status": 200, "latency": "300.500000001s"}},
        # of the service, not of an instance
        {**requests_log, "labels": {}, "timestamp": "2026-01-01T00:30:00Z"},
    ]
    answered(operator, "entries:list", {"entries": entries})

    (found,) = gpu_evidence.idle_times(project).answer

    assert found["requests"] == 2
    assert found["idle_seconds"] == 600.0
    assert found["last_log"] == "run.googleapis.com/varlog/system"
    assert found["last_line"] == "Shutting down"


def test_a_quota_without_a_value_is_shown_as_such_and_every_quota_with_its_unit(operator, project):
    gpus, cpus = "NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion", "CpuAllocPerProjectRegion"
    here = {"applicableLocations": [REGION]}
    infos = [
        {"quotaId": gpus, "metricUnit": "1", "dimensionsInfos": [{**here, "details": {}}]},
        {
            "quotaId": cpus,
            "metricUnit": "milli vCPU",
            "dimensionsInfos": [
                {"dimensions": {"region": REGION}, "details": {"value": "20000"}, **here},
                {"details": {"value": "1"}, **here},
            ],
        },
    ]
    answered(operator, "quotaInfos", {"quotaInfos": infos})

    assert gpu_evidence.gpu_quotas(project).answer == [
        {"quota": cpus, "value": "20000", "unit": "milli vCPU"},
        {"quota": gpus, "value": "no value: 0, or not known", "unit": "1"},
    ]


def test_a_family_without_a_value_is_not_unlimited_and_the_most_specific_limit_counts(operator, project):
    here = {"applicableLocations": [REGION]}
    limits = [
        {"dimensions": {"region": REGION, "vm_family": "C4D"}, "details": {"value": "8"}, **here},
        {"dimensions": {"vm_family": "C4D"}, "details": {"value": "100"}, **here},
        {"dimensions": {"vm_family": "N4"}, "details": {}, **here},
        {"dimensions": {"vm_family": "C3"}, "details": {"value": "-1"}, **here},
    ]
    answered(operator, "quotaInfos", {"dimensionsInfos": limits})

    assert evidence.family_quotas(project).answer == [
        {"family": "c3", "cpus": "unlimited"},
        {"family": "c4d", "cpus": 8.0},
        {"family": "n4", "cpus": "no value: 0, or not known"},
    ]


def test_quotas_whose_name_gcloud_leaves_out_are_counted(operator, project):
    quotas = [{"metric": "CPUS", "limit": 24, "usage": 2}, {"limit": 8, "usage": 0}]
    answered(operator, "/compute/v1/.*/regions/", {"name": REGION, "quotas": quotas})
    answered(operator, "/compute/v1/projects/[^/]*$", {"name": "p"})

    assert evidence.quotas(project).answer == [
        {"metric": "CPUS", "limit": 24.0, "usage": 2.0},
        {"metric": "unknown to this gcloud", "quotas": 1},
    ]


def test_what_batch_does_not_say_of_a_job_is_null(operator, project):
    event = {"type": "STATUS_CHANGED", "description": "Job state is set from QUEUED to SCHEDULED."}
    job = {
        "name": f"projects/p/locations/{REGION}/jobs/runner-1",
        "createTime": "2030-01-01T00:00:00.123456789Z",
        "labels": {"component": COMPONENT},
        "taskGroups": [{"taskSpec": {}}],
        "status": {
            "state": "SCHEDULED",
            "statusEvents": [event, {**event, "eventTime": "2030-01-01T00:00:10Z"}],
            "taskGroups": {"group0": {"counts": {"PENDING": "2"}}},
        },
    }
    answered(operator, "/jobs", {"jobs": [job]})

    (found,) = evidence.jobs(project).answer

    assert [each["after_seconds"] for each in found["events"]] == [None, 9.9]
    assert found["seconds_to_last_update"] is None
    assert found["run_duration"] is None
    assert found["tasks"] == {"group0": {"PENDING": "2"}}


def test_without_zones_or_bindings_the_answer_says_so(operator, project):
    answered(operator, "/compute/v1/.*/regions/", {"name": REGION})
    answered(operator, "getIamPolicy", {"etag": "ACAB"})

    assert evidence.sizes(project).answer == f"Compute Engine names no zone of {REGION}"
    assert evidence.pullers(project).answer == "nobody: the policy has no binding"
