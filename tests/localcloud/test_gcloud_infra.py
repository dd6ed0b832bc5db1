"""The real gcloud applies, previews, lists and deletes deployments, also when requests fail."""

import json

import pytest

from tests.emulated import names_in, order_faults, post, request
from tests.localcloud.infra_api import ACCOUNT, LOCATION, MAIN, PLACE, Infra

WHERE = f"--location={LOCATION}"
STAGING = "p_infra_manager_staging"


@pytest.fixture
def infra(cloud, impatient_gcloud):
    yield Infra(cloud)
    request("DELETE", f"{cloud.apis}/_emulator/faults")
    post(f"{cloud.apis}/_emulator/reset", {})


@pytest.fixture
def manage(run_gcloud):
    """Return a function that runs a command of infra-manager in a region."""
    return lambda *words, **more: run_gcloud("infra-manager", *words, WHERE, **more)


@pytest.fixture
def apply(manage, tmp_path):
    """Return a function that applies a small blueprint from a folder here."""
    source = tmp_path / "blueprint"
    source.mkdir()
    (source / "main.tf").write_text(MAIN)
    (source / "backend.tf").write_text('terraform {\n  backend "gcs" {}\n}\n')
    (source / ".gcloudignore").write_text(".gcloudignore\nbackend.tf\ntests/\n")
    (source / "tests").mkdir()
    (source / "tests" / "later.tf").write_text("not { Terraform")

    def run(*options, name="lane", **more):
        words = ["deployments", "apply", name, f"--service-account={ACCOUNT}", f"--local-source={source}"]
        return manage(*words, *(options or ["--input-values=project_id=my-lab"]), **more)

    run.source = source
    return run


def test_a_deployment_from_its_creation_to_its_deletion(infra, manage, apply):
    apply()
    first = {name.split("/")[3] for name in names_in(infra.cloud, STAGING)}
    apply("--input-values=project_id=my-lab,instances=5", "--labels=team=flu")
    described = json.loads(manage("deployments", "describe", "lane", "--format=json"))
    listed = manage("deployments", "list").split("\n")
    revisions = manage("revisions", "list", "--deployment=lane").split("\n")
    one = json.loads(manage("revisions", "describe", "r-1", "--deployment=lane", "--format=json"))
    staged = names_in(infra.cloud, STAGING)
    manage("deployments", "delete", "lane", "--quiet")

    assert listed[0].split()[:4] == ["NAME", "STATE", "TF_VERSION", "LATEST_REVISION"]
    assert listed[1].split()[:4] == ["lane", "ACTIVE", "1.5.7", "r-1"]
    assert [line.split()[:3] for line in revisions[1:3]] == [
        ["r-0", "APPLIED", "1.5.7"],
        ["r-1", "APPLIED", "1.5.7"],
    ]
    assert described["labels"] == {"team": "flu"}
    assert described["terraformBlueprint"]["inputValues"]["instances"] == {"inputValue": "5"}
    assert (one["action"], one["state"]) == ("UPDATE", "APPLIED")
    assert first < {name.split("/")[3] for name in staged}  # what the last good revision has is kept
    assert {name.split("/")[4] for name in staged} == {"main.tf"}
    assert names_in(infra.cloud, STAGING) == []
    assert "NOT_FOUND" in manage("deployments", "describe", "lane", fails=True)
    assert "Listed 0 items" not in manage("terraform-versions", "list")


def test_a_refused_blueprint_ends_apply_with_the_reason(infra, apply):
    (apply.source / ".gcloudignore").unlink()

    refused = apply(fails=True)

    assert 'backend.tf:2: backend "gcs": Infrastructure Manager keeps the state itself' in refused
    assert infra.ask("GET", "/deployments/lane").json()["state"] == "FAILED"


def test_inputs_come_from_a_file_and_only_as_scalars(infra, apply, tmp_path):
    inputs = tmp_path / "inputs.tfvars"
    inputs.write_text('# of our lab\nproject_id = "my-lab"\ninstances  = 5 // at most\n')
    lists = tmp_path / "lists.tfvars"
    lists.write_text('project_id = ["my-lab"]\n')

    apply(f"--inputs-file={inputs}")
    refused = apply(f"--inputs-file={lists}", fails=True)

    assert "input value project_id must be a scalar" in refused
    values = infra.ask("GET", "/deployments/lane").json()["terraformBlueprint"]["inputValues"]
    assert values == {"project_id": {"inputValue": "my-lab"}, "instances": {"inputValue": 5}}


def test_a_preview_is_created_described_listed_and_deleted(infra, manage, apply):
    source = infra.upload({"main.tf": MAIN})
    name = f"{PLACE.removeprefix('/v1/')}/previews/look"
    options = [f"--service-account={ACCOUNT}", f"--gcs-source={source}", "--input-values=project_id=my-lab"]
    bare = [f"--service-account={ACCOUNT}", f"--gcs-source={source}"]

    manage("previews", "create", name, *options)
    refused = manage("previews", "create", *bare, fails=True)
    described = json.loads(manage("previews", "describe", "look", "--format=json"))
    listed = manage("previews", "list")
    exported = manage("previews", "export", "look", fails=True)
    manage("previews", "delete", "look", "--quiet")

    assert '"project_id" is not given and has no default' in refused
    assert described["state"] == "SUCCEEDED"
    assert listed.count("SUCCEEDED") == listed.count("FAILED") == 1
    assert "localcloud made no plan" in exported
    assert "NOT_FOUND" in manage("previews", "describe", "look", fails=True)


def test_a_second_apply_while_one_runs_is_refused(infra, apply):
    post(f"{infra.cloud.apis}/_emulator/infra", {"seconds": 4})
    apply("--input-values=project_id=my-lab", "--async")

    refused = apply(fails=True)

    assert "is locked by operation" in refused


def test_faults_that_pass_do_not_change_how_an_apply_ends(infra, apply):
    faults = [
        {"method": "GET", "path": "/deployments/lane", "status": 503, "times": 1},
        {"method": "GET", "path": "/storage/v1/b", "action": "reset", "times": 1},
        {"method": "POST", "path": "/upload/", "status": 503, "times": 1},
        {"method": "POST", "path": r"/deployments\?", "status": 503, "times": 1},
        {"method": "GET", "path": "/operations/", "action": "reset", "times": 1},
        {"method": "GET", "path": "/operations/", "action": "truncate", "times": 1},
    ]
    order_faults(infra.cloud, *faults)

    apply()

    hits = [each["hits"] for each in request("GET", f"{infra.cloud.apis}/_emulator/faults").json()]
    assert hits == [1] * len(faults)
    assert infra.ask("GET", "/deployments/lane").json()["state"] == "ACTIVE"
    assert len(infra.ask("GET", "/deployments/lane/revisions").json()["revisions"]) == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [({"action": "reset_after"}, "already exists"), ({"status": 429}, "RESOURCE_EXHAUSTED")],
    ids=["the answer is lost", "too many requests"],
)
def test_an_apply_that_gcloud_gives_up_can_be_repeated(infra, apply, fault, reason):
    order_faults(infra.cloud, {"method": "POST", "path": r"/deployments\?", "times": 1, **fault})

    refused = apply(fails=True)
    apply()

    assert reason in refused
    assert infra.ask("GET", "/deployments/lane").json()["state"] == "ACTIVE"


def test_an_upload_that_was_lost_ends_apply_before_anything_is_deployed(infra, apply):
    order_faults(infra.cloud, {"method": "POST", "path": "/upload/", "body": {"name": "lost"}, "times": 1})

    lost = apply(fails=True)

    assert "main.tf. Please retry" in lost
    assert infra.ask("GET", "/deployments").json() == {}


def test_a_disabled_api_is_named(infra, apply):
    post(f"{infra.cloud.apis}/v1/projects/p/services/config.googleapis.com:disable", {})

    assert "Infrastructure Manager API has not been used" in apply(fails=True)
