"""What the APIs for services, triggers, deployments, dashboards, accounts and projects let a member do."""

import csv
import re

import pytest

from localcloud.members import OWNER
from localcloud.process import running
from localcloud.rights.needs import NONE, TABLES
from tests.emulated import add_image, post
from tests.localcloud.rights_api import PROJECT, REGION, RESOURCE, RUN_HOST, Enforced, denied
from tests.localcloud.run_api import DIGEST, IMAGE, PLACE, service

ANA, BEN = "user:ana@example.com", "user:ben@example.com"
LOCATION = f"{RESOURCE}/locations/{REGION}"
SERVICES, SERVICE = f"{PLACE}/services", f"{LOCATION}/services/app"
# Of each API, the roles of docs/access.md and docs/gpu.md that let a person do all of it.
ADMINS = {
    "cloudbilling": "roles/browser",
    "cloudresourcemanager": "roles/resourcemanager.projectIamAdmin",
    "config": "roles/config.admin",
    "eventarc": "roles/eventarc.admin",
    "iam": "roles/iam.serviceAccountAdmin",
    "monitoring": "roles/monitoring.editor",
    "run": "roles/run.admin",
    "serviceusage": "roles/serviceusage.serviceUsageAdmin",
}
# Of an API, the role that only looks, and which of the permissions it does not have.
VIEWERS = {
    "cloudresourcemanager": ("roles/browser", r".*\.setIamPolicy"),
    "iam": ("roles/iam.serviceAccountViewer", r".*\.(create|delete|disable|enable|setIamPolicy)"),
    "monitoring": ("roles/monitoring.viewer", r".*\.(create|update|delete)"),
    "run": ("roles/run.viewer", r".*\.(create|update|delete|setIamPolicy)"),
    "serviceusage": ("roles/serviceusage.serviceUsageViewer", r".*\.(enable|disable)"),
}
CHART = {"displayName": "a dashboard", "gridLayout": {}}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with running(tmp_path_factory.mktemp("state"), "--rights-of", PROJECT) as cloud:
        yield cloud


@pytest.fixture
def project(cloud):
    """The project, which is emptied after a test."""
    yield Enforced(cloud)
    post(f"{cloud.apis}/_emulator/reset", {})


@pytest.fixture
def image(cloud):
    add_image(cloud, IMAGE, DIGEST)


def methods_of(api: str) -> dict[str, list[str]]:
    """Return the permissions of each method of an API, in the order in which they are asked."""
    found: dict[str, list[str]] = {}
    text = (TABLES / f"{api}.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        found.setdefault(row["method"], []).append(row["permission"])
    return found


def asked_by(project: Enforced, member: str, method: str):
    """Ask for a method, on resources that are not there, with an empty body."""
    verb, pattern = method.split()
    path = re.sub(r"\{region\}|\{location\}", REGION, pattern.replace("{project}", PROJECT))
    path = path.replace("{account}", f"nobody@{PROJECT}.iam.gserviceaccount.com")
    path = path.replace("{service}", "run.googleapis.com" if "/v1/projects/p/services" in path else "app")
    return project.ask(
        member, verb, re.sub(r"\{\w+\}", "none", path), {} if verb != "GET" else None, RUN_HOST
    )


def run_api(project: Enforced, member: str, method: str, body=None, name: str = ""):
    return project.ask(member, method, f"{SERVICES}/{name}".rstrip("/"), body, RUN_HOST)


def blueprint(email: str) -> dict:
    """Return a deployment or a preview, whose blueprint is looked for after its creation."""
    return {
        "serviceAccount": f"projects/{PROJECT}/serviceAccounts/{email}",
        "terraformBlueprint": {"gcsSource": "gs://blueprints/main"},
    }


def names(project: Enforced) -> list[str]:
    listed = project.make("GET", SERVICES, host=RUN_HOST)["items"]
    return [each["metadata"]["name"] for each in listed]


@pytest.mark.parametrize("api", ADMINS)
def test_whoever_has_no_role_is_denied_the_permission_of_every_method(project, api):
    first = {method: permissions[0] for method, permissions in methods_of(api).items()}

    refused = {method: denied(asked_by(project, ANA, method)) for method in first}

    assert refused == {method: "" if each == NONE else each for method, each in first.items()}


@pytest.mark.parametrize("api", ADMINS)
def test_the_role_that_the_documentation_names_has_every_permission_of_an_api(project, api):
    project.grant(ANA, ADMINS[api])

    refused = {method: denied(asked_by(project, ANA, method)) for method in methods_of(api)}

    assert set(refused.values()) == {""}


@pytest.mark.parametrize("api", VIEWERS)
def test_a_role_that_looks_changes_nothing(project, api):
    role, missing = VIEWERS[api]
    project.grant(ANA, role)

    refused = {denied(asked_by(project, ANA, method)) for method in methods_of(api)} - {""}

    firsts = {permissions[0] for permissions in methods_of(api).values()}
    assert refused == {each for each in firsts if re.fullmatch(missing, each)}
    assert refused


def test_a_service_needs_its_role_its_account_and_its_image(project, image):
    email = project.account("app-runs")
    asked = service(spec={"serviceAccountName": email})
    needed = {
        "run.services.create": "roles/run.admin",
        "iam.serviceAccounts.actAs": "roles/iam.serviceAccountUser",
        "artifactregistry.repositories.downloadArtifacts": "roles/artifactregistry.reader",
    }

    for permission, role in needed.items():
        assert denied(run_api(project, ANA, "POST", asked)) == permission
        assert names(project) == []
        project.grant(ANA, role)

    assert run_api(project, ANA, "POST", asked).status_code == 200
    assert names(project) == ["app"]


def test_a_service_keeps_what_a_refused_change_would_replace(project, image):
    mine, other = project.account("app-runs"), project.account("another")
    project.make("POST", SERVICES, service(spec={"serviceAccountName": mine}), RUN_HOST)
    project.grant(ANA, "roles/run.admin", "roles/artifactregistry.reader")
    project.grant(ANA, "roles/iam.serviceAccountUser", on=f"{RESOURCE}/serviceAccounts/{mine}")

    taken = run_api(project, ANA, "PUT", service(spec={"serviceAccountName": other}), "app")
    renewed = run_api(
        project, ANA, "PUT", service(spec={"serviceAccountName": mine}, limits={"cpu": "2"}), "app"
    )

    assert denied(taken) == "iam.serviceAccounts.actAs"
    assert taken.json()["error"]["details"][0]["metadata"]["resource"].endswith(f"/serviceAccounts/{other}")
    assert renewed.status_code == 200
    kept = project.make("GET", f"{SERVICES}/app", host=RUN_HOST)["spec"]["template"]["spec"]
    assert kept["serviceAccountName"] == mine


def test_traffic_and_labels_change_without_reading_the_image_again(project, image):
    email = project.account("app-runs")
    project.make("POST", SERVICES, service(spec={"serviceAccountName": email}), RUN_HOST)
    project.grant(ANA, "roles/run.admin", "roles/iam.serviceAccountUser")

    labelled = run_api(
        project, ANA, "PUT", service(spec={"serviceAccountName": email}, labels={"a": "b"}), "app"
    )
    larger = run_api(
        project, ANA, "PUT", service(spec={"serviceAccountName": email}, limits={"cpu": "2"}), "app"
    )

    assert labelled.status_code == 200
    assert denied(larger) == "artifactregistry.repositories.downloadArtifacts"


def test_a_role_on_one_service_counts_for_that_service_and_its_revisions(project, image):
    for name in ("app", "other"):
        project.make("POST", SERVICES, service(name), RUN_HOST)
    project.grant(ANA, "roles/run.viewer", on=SERVICE, host=RUN_HOST)
    revisions = {
        each["metadata"]["labels"]["serving.knative.dev/service"]: each["metadata"]["name"]
        for each in project.make("GET", f"{PLACE}/revisions", host=RUN_HOST)["items"]
    }

    def seen(path):
        return project.ask(ANA, "GET", f"{PLACE}/{path}", host=RUN_HOST).status_code

    assert [seen("services/app"), seen("services/other"), seen("services")] == [200, 403, 403]
    assert [seen(f"revisions/{revisions[name]}") for name in ("app", "other")] == [200, 403]


def test_nobody_becomes_an_invoker_by_one_who_may_not_set_the_policy(project, image):
    project.make("POST", SERVICES, service(), RUN_HOST)
    project.grant(ANA, "roles/run.viewer")
    policy = {"policy": {"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]}}

    refused = project.ask(ANA, "POST", f"{SERVICE}:setIamPolicy", policy, RUN_HOST)

    assert denied(refused) == "run.services.setIamPolicy"
    assert "bindings" not in project.make("GET", f"{SERVICE}:getIamPolicy", host=RUN_HOST)


@pytest.mark.parametrize(
    ("path", "kept"), [("deployments?deploymentId=d", "deployments"), ("previews?previewId=d", "previews")]
)
def test_a_blueprint_is_applied_and_previewed_only_as_an_account_one_may_act_as(project, path, kept):
    email = project.account("applies")
    project.grant(ANA, "roles/config.admin")
    asked = blueprint(email)

    refused = project.ask(ANA, "POST", f"{LOCATION}/{path}", asked)
    before = project.make("GET", f"{LOCATION}/{kept}")
    project.grant(ANA, "roles/iam.serviceAccountUser", on=f"{RESOURCE}/serviceAccounts/{email}")
    accepted = project.ask(ANA, "POST", f"{LOCATION}/{path}", asked)

    assert denied(refused) == "iam.serviceAccounts.actAs"
    assert before == {}
    assert accepted.status_code == 200
    assert accepted.json()["name"].startswith(f"projects/{PROJECT}/locations/{REGION}/operations/")


def test_a_deployment_does_not_pass_to_an_account_one_may_not_act_as(project):
    mine, other = project.account("applies"), project.account("another")
    project.grant(ANA, "roles/config.admin")
    project.grant(ANA, "roles/iam.serviceAccountUser", on=f"{RESOURCE}/serviceAccounts/{mine}")
    place = f"{LOCATION}/deployments/d"
    project.ask(ANA, "POST", f"{LOCATION}/deployments?deploymentId=d", blueprint(mine))

    refused = project.ask(ANA, "PATCH", place, blueprint(other))

    assert denied(refused) == "iam.serviceAccounts.actAs"
    assert project.make("GET", place)["serviceAccount"].endswith(mine)


def test_a_dashboard_and_an_alert_of_a_refused_member_are_not_there(project):
    project.grant(ANA, "roles/monitoring.viewer")
    project.grant(BEN, "roles/monitoring.editor")

    refused = project.ask(ANA, "POST", f"{RESOURCE}/dashboards", CHART)
    before = project.ask(ANA, "GET", f"{RESOURCE}/dashboards").json()
    made = project.ask(BEN, "POST", f"{RESOURCE}/dashboards", CHART)
    deleted = project.ask(ANA, "DELETE", f"/v1/{made.json()['name']}")

    assert denied(refused) == "monitoring.dashboards.create"
    assert before.get("dashboards", []) == []
    assert denied(deleted) == "monitoring.dashboards.delete"
    assert len(project.ask(ANA, "GET", f"{RESOURCE}/dashboards").json()["dashboards"]) == 1


def test_an_account_is_found_without_its_project_and_by_its_number(project):
    account = project.make("POST", f"{RESOURCE}/serviceAccounts", {"accountId": "app-runs"})
    project.grant(ANA, "roles/iam.serviceAccountViewer", on=f"{RESOURCE}/serviceAccounts/{account['email']}")

    ways = [
        f"/v1/projects/{owner}/serviceAccounts/{name}"
        for owner in ("-", PROJECT)
        for name in (account["email"], account["uniqueId"])
    ]

    assert {project.ask(ANA, "GET", way).status_code for way in ways} == {200}
    assert {denied(project.ask(BEN, "GET", way)) for way in ways} == {"iam.serviceAccounts.get"}
    # documented: where no project is named, an account that is not there is a denial
    assert denied(project.ask(BEN, "GET", "/v1/projects/-/serviceAccounts/123")) == "iam.serviceAccounts.get"


def test_only_who_may_set_a_projects_policy_changes_it(project):
    project.grant(ANA, "roles/browser")
    before = project.make("POST", f"{RESOURCE}:getIamPolicy")
    wanted = {"policy": {"bindings": [{"role": "roles/owner", "members": [ANA]}]}}

    refused = project.ask(ANA, "POST", f"{RESOURCE}:setIamPolicy", wanted)

    assert denied(refused) == "resourcemanager.projects.setIamPolicy"
    assert project.make("POST", f"{RESOURCE}:getIamPolicy") == before


def test_an_api_stays_as_it_is_for_one_who_may_only_look(project):
    project.grant(ANA, "roles/serviceusage.serviceUsageViewer")

    refused = project.ask(ANA, "POST", f"{RESOURCE}/services/run.googleapis.com:disable")
    seen = project.ask(ANA, "GET", f"{RESOURCE}/services/run.googleapis.com")
    made = project.ask(ANA, "POST", "/v1beta1/projects/p/services/run.googleapis.com:generateServiceIdentity")

    assert denied(refused) == "serviceusage.services.disable"
    assert seen.json()["state"] == "ENABLED"
    assert made.json()["response"]["email"].endswith("@serverless-robot-prod.iam.gserviceaccount.com")


def test_what_a_handler_asks_is_on_the_record_with_the_grant_that_allowed_it(project, image):
    email = project.account("app-runs")
    project.grant(ANA, "roles/run.admin", "roles/artifactregistry.reader")
    project.grant(ANA, "roles/iam.serviceAccountUser", on=f"{RESOURCE}/serviceAccounts/{email}")

    run_api(project, ANA, "POST", service(spec={"serviceAccountName": email}))

    asked = project.make("GET", "/_emulator/rights")["asked"]
    by = {row["permission"]: [each["holder"] for each in row["by"]] for row in asked if row["member"] == ANA}
    assert by["iam.serviceAccounts.actAs"] == [f"projects/{PROJECT}/serviceAccounts/{email}"]
    assert by["run.services.create"] == [f"projects/{PROJECT}"]
    assert by["artifactregistry.repositories.downloadArtifacts"] == [f"projects/{PROJECT}"]


def test_a_member_is_told_what_it_may_do(project, image):
    email = project.account("app-runs")
    project.make("POST", SERVICES, service(), RUN_HOST)
    project.grant(ANA, "roles/browser")
    project.grant(ANA, "roles/iam.serviceAccountUser", on=f"{RESOURCE}/serviceAccounts/{email}")
    project.grant(ANA, "roles/run.viewer", on=SERVICE, host=RUN_HOST)

    def told(member, resource, *permissions):
        answer = project.ask(
            member, "POST", f"{resource}:testIamPermissions", {"permissions": permissions}, RUN_HOST
        )
        assert answer.status_code == 200, answer.text
        return answer.json().get("permissions", [])

    of_project = ("resourcemanager.projects.get", "run.services.get", "iam.serviceAccounts.actAs")
    of_account = ("iam.serviceAccounts.actAs", "iam.serviceAccounts.delete")
    of_service = ("run.services.get", "run.services.setIamPolicy")
    account = f"{RESOURCE}/serviceAccounts/{email}"
    assert told(ANA, RESOURCE, *of_project) == ["resourcemanager.projects.get"]
    assert told(ANA, account, *of_account) == ["iam.serviceAccounts.actAs"]
    assert told(ANA, SERVICE, *of_service) == ["run.services.get"]
    assert told(BEN, RESOURCE, *of_project) == told(BEN, account, *of_account) == []
    assert told(OWNER, RESOURCE, *of_project) == list(of_project)
    assert told(OWNER, f"{LOCATION}/services/later", *of_service) == list(of_service)
    assert [row for row in project.make("GET", "/_emulator/rights")["asked"] if row["member"] == BEN] == []


@pytest.mark.parametrize(
    ("resource", "permissions", "reason"),
    [
        (RESOURCE, ["storage.*"], "has a wildcard"),
        (RESOURCE, ["run.services.imagine"], "is not valid for this resource"),
        (RESOURCE, ["resourcemanager.projects.list"], "is not valid for this resource"),
        (RESOURCE, ["run.services.get"] * 101, "at most 100"),
        (RESOURCE, "run.services.get", "must be a list"),
        (
            f"{RESOURCE}/serviceAccounts/app-runs@p.iam.gserviceaccount.com",
            ["run.services.get"],
            "is not valid",
        ),
        (SERVICE, ["iam.serviceAccounts.actAs"], "is not valid for this resource"),
    ],
)
def test_permissions_that_cannot_be_tested_are_refused(project, resource, permissions, reason):
    project.account("app-runs")

    refused = project.ask(
        OWNER, "POST", f"{resource}:testIamPermissions", {"permissions": permissions}, RUN_HOST
    )

    assert refused.status_code == 400
    assert reason in refused.json()["error"]["message"]
