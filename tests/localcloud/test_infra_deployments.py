"""A deployment of Infrastructure Manager: what is refused at once, its revisions, its lock, its end."""

import pytest
import requests

from tests.emulated import order_faults, post, request
from tests.localcloud.infra_api import ACCOUNT, INPUTS, LOCATION, MAIN, PROJECT, Infra, described


@pytest.fixture
def infra(cloud):
    yield Infra(cloud)
    post(f"{cloud.apis}/_emulator/reset", {})


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"serviceAccount": ""}, 400, "service_account is required"),
        (
            {"serviceAccount": ACCOUNT.rpartition("/")[2]},
            400,
            "must be projects/PROJECT/serviceAccounts/EMAIL",
        ),
        (
            {"serviceAccount": ACCOUNT.replace("infra", "nobody")},
            403,
            "actAs' denied on service account nobody",
        ),
        ({"terraformBlueprint": None}, 400, "terraform_blueprint is required"),
        ({"terraformBlueprint": {"gitSource": {"repo": "x"}}}, 400, "not from git"),
        ({"terraformBlueprint": {"gcsSource": "bucket/x"}}, 400, "must be gs://BUCKET"),
        ({"tfVersionConstraint": "=1.6.0"}, 400, "admits none of the versions of Terraform"),
        ({"tfVersionConstraint": "newest"}, 400, "'newest' is not a version constraint"),
        ({"labels": {"Team": "x"}}, 400, "label Team=x"),
        ({"state": "ACTIVE"}, 400, "state is not a setting"),
        ({"artifactsGcsBucket": "gs://blueprints/x/logs"}, 400, "lies within gcs_source"),
        ({"name": "projects/p/locations/us-central1/deployments/other"}, 400, "differs from the address"),
    ],
)
def test_a_request_that_describes_no_deployment_is_refused_at_once(infra, change, status, reason):
    body = described("gs://blueprints/x", INPUTS) | change

    refused = infra.ask("POST", "/deployments?deploymentId=lane", json=body)

    assert (refused.status_code, reason in refused.text) == (status, True), refused.text
    assert infra.ask("GET", "/deployments").json() == {}


@pytest.mark.parametrize("value", [["a"], {"a": 1}, None])
def test_an_input_that_is_no_scalar_is_refused_at_once(infra, value):
    refused = infra.begin("lane", infra.upload({"main.tf": MAIN}), {"project_id": value})

    assert refused.status_code == 400
    assert "input value project_id must be a scalar" in refused.text


@pytest.mark.parametrize("name", ["", "Lane", "1lane", "lane-", "a" * 64])
def test_an_unfit_name_is_refused(infra, name):
    refused = infra.ask(
        "POST", f"/deployments?deploymentId={name}", json=described("gs://blueprints/x", INPUTS)
    )

    assert (refused.status_code, "deployment id" in refused.text) == (400, True)


def test_logs_go_to_a_bucket_that_is_given_if_it_is_there(infra):
    there = infra.apply({"main.tf": MAIN}, name="lane", artifactsGcsBucket=f"gs://{infra.bucket}/im")
    missing = infra.apply({"main.tf": MAIN}, name="other", artifactsGcsBucket="gs://no-such-bucket")

    revision = infra.ask("GET", "/deployments/lane/revisions/r-0").json()
    assert there["state"] == "ACTIVE"
    assert revision["logs"].startswith(f"gs://{infra.bucket}/im/lane/r-0/logs/log-{revision['build']}")
    assert (missing["state"], "no-such-bucket" in missing["stateDetail"]) == ("FAILED", True)


def test_an_account_without_the_agents_role_cannot_run_the_build(infra):
    infra.allow("roles/storage.admin")

    deployment = infra.apply({"main.tf": MAIN}, name="lane")

    assert (deployment["state"], deployment["errorCode"]) == ("FAILED", "CLOUD_BUILD_PERMISSION_DENIED")
    assert "lacks roles/config.agent on project p" in deployment["stateDetail"]
    assert "logs" not in infra.ask("GET", "/deployments/lane/revisions/r-0").json()


def test_the_version_of_terraform_is_the_newest_that_is_admitted_and_never_goes_back(infra):
    files = {"main.tf": MAIN}

    first = infra.apply(files, name="lane", tfVersionConstraint="~> 1.4.0")
    second = infra.apply(files, name="lane")
    third = infra.begin("lane", infra.upload(files), INPUTS, tfVersionConstraint="=1.4.7")

    assert [first["tfVersion"], second["tfVersion"]] == ["1.4.7", "1.5.7"]
    assert (third.status_code, "Terraform 1.4.7 is older than 1.5.7" in third.text) == (400, True)


def test_each_change_is_a_revision_and_a_failed_one_can_be_followed_by_a_good_one(infra):
    states = [
        infra.apply(files, inputs, name="lane")["state"]
        for files, inputs in [
            ({"main.tf": MAIN}, INPUTS),
            ({"main.tf": MAIN}, {}),
            ({"main.tf": MAIN}, INPUTS),
        ]
    ]

    deployment = infra.ask("GET", "/deployments/lane").json()
    revisions = infra.ask("GET", "/deployments/lane/revisions").json()["revisions"]
    assert states == ["ACTIVE", "FAILED", "ACTIVE"]
    assert [(each["action"], each["state"]) for each in revisions] == [
        ("CREATE", "APPLIED"),
        ("UPDATE", "FAILED"),
        ("UPDATE", "APPLIED"),
    ]
    assert "errorCode" not in deployment
    assert deployment["latestRevision"] == revisions[-1]["name"]


def test_while_one_operation_runs_no_other_begins(infra):
    source = infra.upload({"main.tf": MAIN})
    infra.apply({"main.tf": MAIN}, name="lane")
    post(f"{infra.cloud.apis}/_emulator/infra", {"seconds": 1})

    first = infra.begin("lane", source, INPUTS)
    during = infra.ask("GET", "/deployments/lane").json()
    others = [infra.begin("lane", source, INPUTS), infra.ask("DELETE", "/deployments/lane?force=true")]
    infra.ended(first)
    after = infra.ask("GET", "/deployments/lane").json()

    assert (during["state"], during["lockState"]) == ("UPDATING", "LOCKED")
    assert [other.status_code for other in others] == [409, 409]
    assert all(f"locked by operation {first.json()['name']}" in other.text for other in others)
    assert (after["state"], after["lockState"]) == ("ACTIVE", "UNLOCKED")
    assert len(infra.ask("GET", "/deployments/lane/revisions").json()["revisions"]) == 2


def test_a_deployment_is_deleted_with_its_revisions_only_by_force(infra):
    infra.apply({"main.tf": MAIN}, name="lane")

    refused = infra.ask("DELETE", "/deployments/lane")
    begun = infra.ask("DELETE", "/deployments/lane?force=true").json()
    done = infra.wait(begun["name"])

    assert (refused.status_code, refused.json()["error"]["status"]) == (400, "FAILED_PRECONDITION")
    assert done["metadata"]["target"] == f"projects/{PROJECT}/locations/{LOCATION}/deployments/lane"
    assert (done["metadata"]["verb"], done["response"]["state"]) == ("delete", "DELETED")
    assert infra.ask("GET", "/deployments/lane").status_code == 404
    assert infra.ask("GET", "/deployments/lane/revisions").status_code == 404


def test_a_failure_that_a_test_orders_ends_an_apply_and_a_deletion_as_terraform_would(infra):
    infra.apply({"main.tf": MAIN}, name="lane")
    post(f"{infra.cloud.apis}/_emulator/infra", {"failure": "Error 409: the bucket exists"})

    applied = infra.apply({"main.tf": MAIN}, name="lane")
    deleted = infra.ended(infra.ask("DELETE", "/deployments/lane?force=true"))
    left = infra.ask("GET", "/deployments/lane").json()

    assert (applied["state"], applied["stateDetail"]) == (
        "FAILED",
        "r-1 failed: Error 409: the bucket exists",
    )
    assert "Error 409: the bucket exists" in deleted["message"]
    assert (left["state"], left["errorCode"]) == ("FAILED", "DELETE_BUILD_RUN_FAILED")


def test_a_preview_takes_what_it_is_not_given_from_its_deployment(infra):
    infra.apply({"main.tf": MAIN}, name="lane", tfVersionConstraint="=1.4.7")
    body = {
        "deployment": f"projects/{PROJECT}/locations/{LOCATION}/deployments/lane",
        "previewMode": "DELETE",
    }

    preview = infra.ended(infra.ask("POST", "/previews", json=body))
    refused = infra.ask("POST", "/previews", json=body | {"deployment": body["deployment"] + "x"})

    assert (preview["state"], preview["tfVersion"], preview["previewMode"]) == (
        "SUCCEEDED",
        "1.4.7",
        "DELETE",
    )
    assert refused.status_code == 404


def test_a_preview_of_a_broken_blueprint_has_failed_and_has_no_plan(infra):
    source = infra.upload({"main.tf": MAIN})

    preview = infra.ended(infra.ask("POST", "/previews?previewId=look", json=described(source, {})))
    exported = infra.ask("POST", "/previews/look:export", json={})

    assert (preview["state"], preview["errorCode"]) == ("FAILED", "PREVIEW_BUILD_RUN_FAILED")
    assert '"project_id" is not given' in preview["errorStatus"]["message"]
    assert (exported.status_code, "has no plan" in exported.text) == (400, True)


def test_a_project_without_the_api_is_refused(infra):
    services = f"{infra.cloud.apis}/v1/projects/{PROJECT}/services/config.googleapis.com"
    post(f"{services}:disable", {})

    refused = infra.ask("GET", "/deployments")

    assert refused.status_code == 403
    assert "Infrastructure Manager API has not been used" in refused.text


def test_a_reset_forgets_deployments_previews_and_orders(infra):
    infra.apply({"main.tf": MAIN}, name="lane")
    infra.ask("POST", "/previews", json=described(infra.upload({"main.tf": MAIN}), INPUTS))
    post(f"{infra.cloud.apis}/_emulator/infra", {"seconds": 5, "failure": "x"})

    post(f"{infra.cloud.apis}/_emulator/reset", {})

    assert infra.ask("GET", "/deployments").json() == infra.ask("GET", "/previews").json() == {}
    ordered = request("GET", f"{infra.cloud.apis}/_emulator/infra").json()
    assert ordered == {"seconds": 0.0, "failure": ""}


def test_an_apply_whose_answer_is_lost_has_begun(infra):
    source = infra.upload({"main.tf": MAIN})
    order_faults(infra.cloud, {"method": "POST", "path": "/deployments", "action": "reset_after", "times": 1})

    with pytest.raises(requests.ConnectionError):
        infra.begin("lane", source, INPUTS)

    again = infra.ask("POST", "/deployments?deploymentId=lane", json=described(source, INPUTS))
    assert again.status_code == 409
    assert infra.ask("GET", "/deployments/lane").json()["tfVersion"] == "1.5.7"
