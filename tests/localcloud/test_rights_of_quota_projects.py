"""Requests that name a project to charge, in a cloud that enforces rights."""

import itertools

import pytest

from tests.localcloud.jobs import PROJECT
from tests.localcloud.members import OF_PROJECT, Member, account
from tests.localcloud.rights_api import Enforced

CHARGED = {"X-Goog-User-Project": PROJECT}
_names = itertools.count(1)
# A request to an API that needs the role beside it, and nothing else.
READS = {
    "cloudresourcemanager": (OF_PROJECT, "browser"),
    "batch": (f"{OF_PROJECT}/locations/us-central1/jobs", "batch.jobsViewer"),
    "workflows": (f"{OF_PROJECT}/locations/us-central1/workflows", "workflows.viewer"),
    "secretmanager": (f"{OF_PROJECT}/secrets", "secretmanager.viewer"),
    "iam": (f"{OF_PROJECT}/serviceAccounts", "iam.serviceAccountViewer"),
    "serviceusage": (f"{OF_PROJECT}/services", "serviceusage.serviceUsageViewer"),
}


def reason_of(answer) -> str:
    """Return the reason of a refusal, and the project that it names."""
    assert answer.status_code == 403, answer.text
    [info] = answer.json()["error"]["details"]
    assert info["domain"] == "googleapis.com"
    return f"{info['reason']} {info['metadata']['consumer']}"


@pytest.mark.parametrize(("path", "role"), READS.values(), ids=list(READS))
def test_who_names_a_quota_project_must_be_allowed_to_use_its_services(enforcing, path, role):
    robot = account(enforcing).given(role)

    at_once = robot.ask("GET", path)
    refused = robot.ask("GET", path, headers_too=CHARGED)
    elsewhere = robot.ask("GET", path, headers_too={"X-Goog-User-Project": "their-lab"})
    robot.given("serviceusage.serviceUsageConsumer")
    allowed = robot.ask("GET", path, headers_too=CHARGED)

    assert at_once.status_code == 200, at_once.text
    assert reason_of(refused) == f"USER_PROJECT_DENIED projects/{PROJECT}"
    assert f"required permission to use project {PROJECT}" in refused.json()["error"]["message"]
    assert reason_of(elsewhere) == "USER_PROJECT_DENIED projects/their-lab"
    assert allowed.status_code == 200, allowed.text


def test_a_quota_user_is_no_project_and_needs_no_right(enforcing):
    robot = account(enforcing).given("browser")

    for more in ({"params": {"quotaUser": "their-lab"}}, {"headers_too": {"X-Goog-Quota-User": "x"}}):
        assert robot.ask("GET", OF_PROJECT, **more).status_code == 200


def test_the_name_of_a_quota_project_is_that_of_a_project(enforcing):
    robot = account(enforcing).given("browser")

    answer = robot.ask("GET", OF_PROJECT, headers_too={"X-Goog-User-Project": f"{PROJECT}/secrets/s"})

    assert answer.status_code == 400
    assert "Invalid quota project" in answer.text


def test_nothing_is_done_for_who_may_not_use_the_quota_project(enforcing):
    robot, secret = account(enforcing).given("secretmanager.admin"), f"s-{next(_names)}"
    body = {"replication": {"automatic": {}}}

    answer = robot.ask("POST", f"{OF_PROJECT}/secrets?secretId={secret}", headers_too=CHARGED, json=body)

    assert reason_of(answer).startswith("USER_PROJECT_DENIED")
    assert robot.ask("GET", f"{OF_PROJECT}/secrets/{secret}").status_code == 404


def test_gcloud_charges_the_project_that_it_is_told_and_says_what_is_missing(enforcing):
    cloud = Enforced(enforcing)
    ann = Member(enforcing).given("batch.jobsViewer")
    words = ("batch", "jobs", "list", "--location", "us-central1", "--billing-project", PROJECT)

    said = cloud.gcloud(ann.name, *words, fails=True)
    ann.given("serviceusage.serviceUsageConsumer")

    assert "serviceusage.services.use" in said
    cloud.gcloud(ann.name, *words)
