"""The real gcloud is refused what a member may not do, and does it once the documented role is there."""

import json

import pytest

from localcloud.process import running
from ops.people import PROJECT as THE_PROJECT
from ops.people import roles_of
from tests.emulated import add_image, post
from tests.localcloud.rights_api import PROJECT, REGION, RESOURCE, RUN_HOST, Enforced
from tests.localcloud.run_api import DIGEST, IMAGE, PLACE

ANA, BEN = "user:ana@example.com", "user:ben@example.com"
GRANT = (
    "projects",
    "add-iam-policy-binding",
    PROJECT,
    f"--member={BEN}",
    "--role=roles/browser",
    "--condition=None",
)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with running(tmp_path_factory.mktemp("state"), "--rights-of", PROJECT) as cloud:
        yield cloud


@pytest.fixture
def project(cloud):
    yield Enforced(cloud)
    post(f"{cloud.apis}/_emulator/reset", {})


def deploy(email: str) -> tuple[str, ...]:
    account = ("--service-account", email, "--no-allow-unauthenticated", "--async")
    return ("run", "deploy", "app", "--region", REGION, "--image", IMAGE, *account)


def test_gcloud_gives_a_role_for_whoever_may_and_changes_nothing_for_others(project):
    project.grant(ANA, "roles/browser")
    before = project.make("POST", f"{RESOURCE}:getIamPolicy")

    refused = project.gcloud(ANA, *GRANT, fails=True)

    assert "Permission 'resourcemanager.projects.setIamPolicy' denied on resource" in refused
    assert project.make("POST", f"{RESOURCE}:getIamPolicy") == before
    project.grant(ANA, "roles/resourcemanager.projectIamAdmin")
    assert BEN in project.gcloud(ANA, *GRANT)


def test_gcloud_deploys_a_service_for_whoever_may_act_as_its_account(project, cloud):
    add_image(cloud, IMAGE, DIGEST)
    email = project.account("app-runs")
    project.grant(ANA, "roles/run.admin", "roles/artifactregistry.reader")

    refused = project.gcloud(ANA, *deploy(email), fails=True)
    before = project.make("GET", f"{PLACE}/services", host=RUN_HOST)["items"]
    project.grant(ANA, "roles/iam.serviceAccountUser", on=f"{RESOURCE}/serviceAccounts/{email}")
    project.gcloud(ANA, *deploy(email))

    assert "iam.serviceAccounts.actAs" in refused
    assert before == []
    assert len(project.make("GET", f"{PLACE}/services", host=RUN_HOST)["items"]) == 1


def test_the_roles_that_gpu_check_lists_are_enough_for_what_a_deployment_types(project, cloud, tmp_path):
    """Those of its commands that use the APIs of services, accounts, dashboards and the project."""
    add_image(cloud, IMAGE, DIGEST)
    project.grant(ANA, *(f"roles/{role}" for role, on in roles_of("deploy the lane") if on == THE_PROJECT))
    dashboard = tmp_path / "dashboard.json"
    dashboard.write_text(json.dumps({"displayName": "lane", "gridLayout": {}}))
    service = ("app", "--region", REGION)
    commands = [
        ("projects", "describe", PROJECT),
        ("billing", "projects", "describe", PROJECT),
        ("services", "list", "--enabled"),
        ("services", "enable", "run.googleapis.com", "eventarc.googleapis.com"),
        ("beta", "services", "identity", "create", "--service", "eventarc.googleapis.com"),
        ("iam", "service-accounts", "create", "app-runs"),
        ("iam", "service-accounts", "list"),
        ("iam", "service-accounts", "get-iam-policy", f"app-runs@{PROJECT}.iam.gserviceaccount.com"),
        deploy(f"app-runs@{PROJECT}.iam.gserviceaccount.com"),
        ("run", "services", "list", "--region", REGION),
        (
            "run",
            "services",
            "add-iam-policy-binding",
            *service,
            f"--member={BEN}",
            "--role=roles/run.invoker",
        ),
        ("run", "services", "get-iam-policy", *service),
        ("run", "services", "delete", *service, "--quiet"),
        ("monitoring", "dashboards", "create", f"--config-from-file={dashboard}"),
        ("monitoring", "dashboards", "list"),
        ("alpha", "monitoring", "policies", "list"),
        ("beta", "monitoring", "channels", "list"),
        ("eventarc", "triggers", "list", f"--location={REGION}"),
        GRANT,
        ("iam", "service-accounts", "delete", f"app-runs@{PROJECT}.iam.gserviceaccount.com", "--quiet"),
    ]

    for words in commands:
        project.gcloud(ANA, *words)

    asked = [row for row in project.make("GET", "/_emulator/rights")["asked"] if row["member"] == ANA]
    assert [row for row in asked if not row["by"]] == []
    assert len({row["permission"] for row in asked}) > 20
