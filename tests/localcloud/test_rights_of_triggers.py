"""Who may make a trigger, and as which account it starts a workflow."""

import pytest

from localcloud.members import OWNER
from localcloud.process import running
from tests.emulated import post
from tests.localcloud.rights_api import PROJECT, REGION, RESOURCE, Enforced, denied
from tests.localcloud.workflow_api import ECHO, wait_until

ANA = "user:ana@example.com"
LOCATION = f"{RESOURCE}/locations/{REGION}"
TRIGGERS = f"{LOCATION}/triggers"
NUMBER = "123456789012"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with running(tmp_path_factory.mktemp("state"), "--rights-of", PROJECT) as cloud:
        yield cloud


@pytest.fixture
def project(cloud):
    """The project with a bucket, a workflow, and the accounts that carry its events, with their roles."""
    project = Enforced(cloud)
    bucket = {"name": "uploads", "location": "us-central1"}
    assert project.ask(OWNER, "POST", f"/storage/v1/b?project={PROJECT}", bucket, at="storage").ok
    assert project.ask(OWNER, "GET", f"/storage/v1/projects/{PROJECT}/serviceAccount", at="storage").ok
    project.make("POST", f"{LOCATION}/workflows?workflowId=echo", {"sourceContents": ECHO})
    project.make("POST", "/v1beta1/projects/p/services/eventarc.googleapis.com:generateServiceIdentity")
    email = project.account("events")
    project.grant(f"serviceAccount:{email}", "roles/eventarc.eventReceiver", "roles/workflows.invoker")
    for agent, role in (
        ("gs-project-accounts", "pubsub.publisher"),
        ("gcp-sa-eventarc", "eventarc.serviceAgent"),
    ):
        project.grant(f"serviceAccount:service-{NUMBER}@{agent}.iam.gserviceaccount.com", f"roles/{role}")
    yield project
    post(f"{cloud.apis}/_emulator/reset", {})


def trigger(account="events"):
    return {
        "name": f"{TRIGGERS[4:]}/uploads",
        "eventFilters": [
            {"attribute": "type", "value": "google.cloud.storage.object.v1.finalized"},
            {"attribute": "bucket", "value": "uploads"},
        ],
        "destination": {"workflow": f"{LOCATION[4:]}/workflows/echo"},
        "serviceAccount": f"{account}@{PROJECT}.iam.gserviceaccount.com",
    }


def create(project: Enforced, member: str):
    return project.ask(member, "POST", f"{TRIGGERS}?triggerId=uploads", trigger())


def test_a_trigger_needs_its_role_and_its_account(project):
    for permission, role in {
        "eventarc.triggers.create": "roles/eventarc.admin",
        "iam.serviceAccounts.actAs": "roles/iam.serviceAccountUser",
    }.items():
        assert denied(create(project, ANA)) == permission
        assert project.make("GET", TRIGGERS) == {}
        project.grant(ANA, role)

    begun = create(project, ANA)

    assert begun.status_code == 200, begun.text
    assert project.ask(ANA, "GET", f"/v1/{begun.json()['name']}").json()["done"]
    assert len(project.make("GET", TRIGGERS)["triggers"]) == 1


def test_a_trigger_does_not_pass_to_an_account_one_may_not_act_as(project):
    project.account("another")
    create(project, OWNER)
    project.grant(ANA, "roles/eventarc.admin")
    project.grant(ANA, "roles/iam.serviceAccountUser", on=f"{RESOURCE}/serviceAccounts/{_email('events')}")

    refused = project.ask(ANA, "PATCH", f"{TRIGGERS}/uploads?updateMask=serviceAccount", trigger("another"))
    renewed = project.ask(ANA, "PATCH", f"{TRIGGERS}/uploads?updateMask=labels", {"labels": {"a": "b"}})

    kept = project.make("GET", f"{TRIGGERS}/uploads")
    assert denied(refused) == "iam.serviceAccounts.actAs"
    assert renewed.status_code == 200
    assert (kept["serviceAccount"], kept["labels"]) == (_email("events"), {"a": "b"})


def test_gcloud_makes_a_trigger_for_one_who_may_act_as_its_account_and_for_nobody_else(project):
    project.grant(ANA, "roles/eventarc.admin")
    filters = ("type=google.cloud.storage.object.v1.finalized", "bucket=uploads")
    words = (
        *("eventarc", "triggers", "create", "uploads", f"--location={REGION}"),
        *(f"--event-filters={each}" for each in filters),
        *("--destination-workflow=echo", f"--service-account={_email('events')}"),
    )

    refused = project.gcloud(ANA, *words, fails=True)
    before = project.make("GET", TRIGGERS)
    project.grant(ANA, "roles/iam.serviceAccountUser", on=f"{RESOURCE}/serviceAccounts/{_email('events')}")
    project.gcloud(ANA, *words)

    assert "Permission 'iam.serviceAccounts.actAs' denied on resource" in refused
    assert before == {}
    wait_until(lambda: len(project.make("GET", TRIGGERS).get("triggers", [])) == 1)


def _email(name: str) -> str:
    return f"{name}@{PROJECT}.iam.gserviceaccount.com"
