"""Projects, their APIs, accounts and quotas in the emulated cloud, with the real gcloud."""

import json

import pytest

from tests.emulated import post
from tests.localcloud.jobs import PROJECT

pytestmark = pytest.mark.usefixtures("emptied")
WHERE = "--location=us-central1"


def test_an_api_that_is_disabled_refuses_until_it_is_enabled(run_gcloud):
    run_gcloud("services", "disable", "batch.googleapis.com")

    refused = run_gcloud("batch", "jobs", "list", WHERE, fails=True)
    enabled = run_gcloud("services", "list", "--enabled", "--format=value(config.name)").split()
    run_gcloud("services", "enable", "batch.googleapis.com", "workflows.googleapis.com")

    assert "PERMISSION_DENIED: Batch API has not been used in project" in refused
    assert "SERVICE_DISABLED" in refused
    assert "batch.googleapis.com" not in enabled
    assert "workflows.googleapis.com" in enabled
    assert json.loads(run_gcloud("batch", "jobs", "list", WHERE, "--format=json")) == []


@pytest.mark.parametrize(
    ("api_name", "path"),
    [
        ("workflows", "locations/us-central1/workflows"),
        ("workflowexecutions", "locations/us-central1/workflows/w/executions"),
        ("cloudbuild", "builds"),
        ("artifactregistry", "locations/us-central1/repositories"),
        ("secretmanager", "secrets"),
        ("iam", "serviceAccounts"),
        ("run", "locations/-/services"),
    ],
)
def test_each_api_is_disabled_separately_for_each_project(api, api_name, path):
    disable = f"/v1/projects/{PROJECT}/services/{api_name}.googleapis.com:disable"
    api("POST", disable, json={}).raise_for_status()

    refused = api("GET", f"/v1/projects/{PROJECT}/{path}")
    elsewhere = api("GET", f"/v1/projects/other/{path}")

    assert refused.status_code == 403
    [reason] = [each["reason"] for each in refused.json()["error"]["details"] if "reason" in each]
    assert reason == "SERVICE_DISABLED"
    assert elsewhere.status_code in (200, 404)


def test_services_come_in_pages(api):
    first = api("GET", f"/v1/projects/{PROJECT}/services?filter=state:ENABLED&pageSize=10").json()
    rest = api(
        "GET", f"/v1/projects/{PROJECT}/services?filter=state:ENABLED&pageToken={first['nextPageToken']}"
    ).json()

    assert len(first["services"]) == 10
    assert "nextPageToken" not in rest
    assert not {s["name"] for s in first["services"]} & {s["name"] for s in rest["services"]}


def test_a_project_that_does_not_exist_is_refused_like_one_without_permission(cloud, run_gcloud):
    post(f"{cloud.apis}/_emulator/projects", {"only": ["other"]})

    described = run_gcloud("projects", "describe", PROJECT, fails=True)
    listed = run_gcloud("workflows", "list", WHERE, fails=True)

    assert "does not have permission" in described
    assert "(or it may not exist)" in described
    assert f"PERMISSION_DENIED: Permission denied on resource project {PROJECT}" in listed
    assert "other" in run_gcloud("projects", "describe", "other")


def test_a_project_has_a_billing_account_until_it_is_taken_away(cloud, run_gcloud):
    paid = json.loads(run_gcloud("billing", "projects", "describe", PROJECT, "--format=json"))
    post(f"{cloud.apis}/_emulator/projects", {"billing": False})
    unpaid = json.loads(run_gcloud("billing", "projects", "describe", PROJECT, "--format=json"))

    assert (paid["billingEnabled"], paid["billingAccountName"][:16]) == (True, "billingAccounts/")
    assert not unpaid.get("billingEnabled")
    assert not unpaid.get("billingAccountName")


def test_service_accounts_are_created_disabled_and_deleted(run_gcloud):
    email = f"runs-of-a-lab@{PROJECT}.iam.gserviceaccount.com"
    run_gcloud("iam", "service-accounts", "create", "runs-of-a-lab", "--display-name=Runs")
    run_gcloud("iam", "service-accounts", "disable", email)

    [listed] = json.loads(run_gcloud("iam", "service-accounts", "list", "--format=json"))
    run_gcloud("iam", "service-accounts", "delete", email)

    assert (listed["email"], listed["displayName"], listed["disabled"]) == (email, "Runs", True)
    assert "NOT_FOUND" in run_gcloud("iam", "service-accounts", "describe", email, fails=True)


def test_quotas_and_subnets_are_those_that_were_set(cloud, run_gcloud):
    post(
        f"{cloud.apis}/_emulator/compute",
        {"quotas": {"CPUS": 24, "CPUS_ALL_REGIONS": 12}, "usage": {"CPUS": 8}},
    )
    post(f"{cloud.apis}/_emulator/compute", {"subnetwork": f"{PROJECT}/us-central1/runs"})
    subnet = ["compute", "networks", "subnets", "describe", "--region=us-central1"]

    region = json.loads(run_gcloud("compute", "regions", "describe", "us-central1", "--format=json"))
    project = json.loads(run_gcloud("compute", "project-info", "describe", "--format=json"))

    assert {"metric": "CPUS", "limit": 24.0, "usage": 8.0} in region["quotas"]
    assert {"metric": "CPUS_ALL_REGIONS", "limit": 12.0, "usage": 0.0} in project["quotas"]
    assert "runs" in run_gcloud(*subnet, "runs")
    assert "was not found" in run_gcloud(*subnet, "others", fails=True)


def test_compute_engine_has_the_machine_types_of_the_table(api):
    zone = f"/compute/v1/projects/{PROJECT}/zones/us-central1-a/machineTypes"

    known = api("GET", f"{zone}/c4d-standard-2").json()
    unknown = api("GET", f"{zone}/z9-standard-2")

    assert (known["guestCpus"], known["memoryMb"]) == (2, 7168)
    assert unknown.status_code == 404
    assert "machineTypes/z9-standard-2' was not found" in unknown.json()["error"]["message"]
