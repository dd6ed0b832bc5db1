"""Who may build images, read and delete them, and use the secrets of builds and stages."""

import base64

import pytest

from localcloud.process import running
from tests.emulated import add_image, add_secret, request
from tests.localcloud.jobs import PROJECT, numbers
from tests.localcloud.members import OF_PROJECT, Member, account, denied, path_of

BUILDS = f"{OF_PROJECT}/locations/global/builds"
PLACE = f"{OF_PROJECT}/locations/us-central1/repositories"
REGISTRY = f"us-central1-docker.pkg.dev/{PROJECT}"
DIGEST = "sha256:" + "a" * 64
TOKEN = {"payload": {"data": base64.b64encode(b"another").decode()}}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """A cloud that enforces rights, and whose builds stay QUEUED."""
    options = ("--rights-of", PROJECT, "--tasks", "null", "--builds", "queue")
    with running(tmp_path_factory.mktemp("state"), *options) as cloud:
        yield cloud


@pytest.fixture
def registry(cloud) -> str:
    """The path of a repository with an image."""
    name = f"repository-{next(numbers)}"
    add_image(cloud, f"{REGISTRY}/{name}/stages:latest", DIGEST)
    return f"{PLACE}/{name}"


def build_as(builder: Member | None) -> dict:
    own = {"serviceAccount": path_of(builder).removeprefix("/v1/")} if builder else {}
    return {"steps": [{"name": "gcr.io/any"}], "options": {"logging": "CLOUD_LOGGING_ONLY"}, **own}


def test_who_builds_submits_watches_and_cancels_builds(cloud):
    builder = account(cloud)
    building = Member(cloud).given("cloudbuild.builds.editor")
    building.given("iam.serviceAccountUser", on=path_of(builder))

    submitted = building.ask("POST", BUILDS, json=build_as(builder))

    assert submitted.status_code == 200, submitted.text
    path = f"{BUILDS}/{submitted.json()['metadata']['build']['id']}"
    assert building.get(path)["status"] == "QUEUED"
    assert building.get(BUILDS)["builds"]
    assert building.get("/v1/" + submitted.json()["name"])["metadata"]["build"]["status"] == "QUEUED"
    assert building.ask("POST", f"{path}:cancel", json={}).json()["status"] == "CANCELLED"


def test_no_build_is_submitted_by_whom_may_not_act_as_its_account(cloud):
    builder = account(cloud)
    building = Member(cloud).given("cloudbuild.builds.editor")

    refused = building.ask("POST", BUILDS, json=build_as(builder))

    assert denied(refused) == "iam.serviceAccounts.actAs"
    assert builder.email in refused.text
    known = building.get(BUILDS).get("builds", [])
    assert builder.email not in [each["serviceAccount"].rpartition("/")[2] for each in known]


def test_a_build_without_an_account_of_its_own_needs_no_right_to_act_as_one(cloud):
    building = Member(cloud).given("cloudbuild.builds.editor")

    assert building.ask("POST", f"{OF_PROJECT}/builds", json=build_as(None)).status_code == 200


def test_who_has_no_role_neither_submits_nor_sees_builds(cloud):
    nobody = Member(cloud)
    operation = request("POST", cloud.apis + BUILDS, json=build_as(None)).json()
    path = f"{BUILDS}/{operation['metadata']['build']['id']}"

    assert denied(nobody.ask("POST", BUILDS, json=build_as(None))) == "cloudbuild.builds.create"
    assert denied(nobody.ask("GET", BUILDS)) == "cloudbuild.builds.list"
    assert denied(nobody.ask("GET", path)) == "cloudbuild.builds.get"
    assert denied(nobody.ask("GET", "/v1/" + operation["name"])) == "cloudbuild.operations.get"
    assert denied(nobody.ask("POST", f"{path}:cancel", json={})) == "cloudbuild.builds.update"
    assert request("GET", cloud.apis + path).json()["status"] == "QUEUED"


def test_a_reader_of_a_repository_sees_its_images_and_changes_none(cloud, registry):
    reading = account(cloud).given("artifactregistry.reader", on=registry)
    add_image(cloud, f"{REGISTRY}/another/stages:latest", DIGEST)
    image = f"{registry}/packages/stages"

    assert reading.get(registry)["format"] == "DOCKER"
    assert reading.get(f"{registry}/dockerImages")["dockerImages"][0]["tags"] == ["latest"]
    assert reading.get(f"{registry}/dockerImages/stages@{DIGEST}")["uri"]
    assert reading.get(f"{image}/versions/{DIGEST}")
    assert reading.get(f"{image}/tags/latest")
    assert denied(reading.ask("DELETE", image)) == "artifactregistry.packages.delete"
    assert denied(reading.ask("DELETE", f"{image}/tags/latest")) == "artifactregistry.tags.delete"
    assert denied(reading.ask("DELETE", registry)) == "artifactregistry.repositories.delete"
    listed = reading.ask("GET", f"{PLACE}/another/dockerImages")
    assert denied(listed) == "artifactregistry.dockerimages.list"
    assert reading.get(f"{registry}/dockerImages")["dockerImages"]


def test_a_repository_says_what_its_caller_may_do(cloud, registry):
    asked = {"permissions": ["artifactregistry.tags.get", "artifactregistry.tags.delete"]}
    reading, nobody = Member(cloud).given("artifactregistry.reader", on=registry), Member(cloud)

    test = f"{registry}:testIamPermissions"
    assert reading.ask("POST", test, json=asked).json() == {"permissions": ["artifactregistry.tags.get"]}
    assert nobody.ask("POST", test, json=asked).json() == {}
    assert request("POST", cloud.apis + test, json=asked).json() == asked
    missing = f"{cloud.apis}{PLACE}/missing:testIamPermissions"
    assert request("POST", missing, json=asked).json() == {}


def test_a_secret_is_read_only_by_whom_may_access_it(cloud):
    name, another = add_secret(cloud, "token"), add_secret(cloud, "token")
    stage = account(cloud).given("secretmanager.secretAccessor", on=f"{OF_PROJECT}/secrets/{name}")
    looking = Member(cloud).given("secretmanager.viewer", on=f"{OF_PROJECT}/secrets/{name}")
    latest = f"{OF_PROJECT}/secrets/{name}/versions/latest"

    assert base64.b64decode(stage.get(f"{latest}:access")["payload"]["data"]) == b"token"
    assert denied(stage.ask("GET", latest)) == "secretmanager.versions.get"
    assert looking.get(latest)["state"] == "ENABLED"
    assert denied(looking.ask("GET", f"{latest}:access")) == "secretmanager.versions.access"
    of_another = stage.ask("GET", f"{OF_PROJECT}/secrets/{another}/versions/latest:access")
    assert denied(of_another) == "secretmanager.versions.access"


def test_who_sets_the_token_adds_and_ends_versions_of_one_secret(cloud):
    name, another = add_secret(cloud, "token"), add_secret(cloud, "token")
    secret = f"{OF_PROJECT}/secrets/{name}"
    setting = Member(cloud).given("secretmanager.viewer", "secretmanager.secretVersionManager", on=secret)

    assert setting.ask("POST", f"{secret}:addVersion", json=TOKEN).status_code == 200
    assert setting.get(f"{secret}/versions")["totalSize"] == 2
    for action, state in (("disable", "DISABLED"), ("enable", "ENABLED"), ("destroy", "DESTROYED")):
        assert setting.ask("POST", f"{secret}/versions/1:{action}", json={}).json()["state"] == state
    assert denied(setting.ask("GET", f"{secret}/versions/2:access")) == "secretmanager.versions.access"
    assert denied(setting.ask("DELETE", secret)) == "secretmanager.secrets.delete"
    of_another = setting.ask("POST", f"{OF_PROJECT}/secrets/{another}:addVersion", json=TOKEN)
    assert denied(of_another) == "secretmanager.versions.add"
    made = setting.ask("POST", f"{OF_PROJECT}/secrets?secretId=new", json={})
    assert denied(made) == "secretmanager.secrets.create"


@pytest.mark.parametrize("action", ["enable", "disable", "destroy"])
def test_each_end_of_a_version_has_a_permission_of_its_own(cloud, action):
    secret = f"{OF_PROJECT}/secrets/{add_secret(cloud, 'token')}"
    looking = Member(cloud).given("secretmanager.viewer", on=secret)

    refused = looking.ask("POST", f"{secret}/versions/1:{action}", json={})

    assert denied(refused) == f"secretmanager.versions.{action}"
    assert looking.get(f"{secret}/versions/1")["state"] == "ENABLED"


def test_a_secret_says_what_its_caller_may_do(cloud):
    secret = f"{OF_PROJECT}/secrets/{add_secret(cloud, 'token')}"
    asked = {"permissions": ["secretmanager.versions.access", "secretmanager.versions.add"]}
    test = f"{secret}:testIamPermissions"
    reading, nobody = Member(cloud).given("secretmanager.secretAccessor", on=secret), Member(cloud)

    assert reading.ask("POST", test, json=asked).json() == {"permissions": ["secretmanager.versions.access"]}
    assert nobody.ask("POST", test, json=asked).json() == {}
    assert request("POST", cloud.apis + test, json=asked).json() == asked
    missing = f"{cloud.apis}{OF_PROJECT}/secrets/missing:testIamPermissions"
    assert request("POST", missing, json=asked).json() == {}
    wild = nobody.ask("POST", test, json={"permissions": ["secretmanager.*"]})
    assert wild.status_code == 400
    assert "secretmanager.*" in wild.text
