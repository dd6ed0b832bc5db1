"""The real gcloud creates, changes and deletes repositories of the emulated cloud, and what is in them."""

import json

import pytest

from tests.emulated import add_image

pytestmark = pytest.mark.usefixtures("emptied")
WHERE = "--location=us-central1"
PLACE = "us-central1-docker.pkg.dev/p/lane"
DIGEST = f"sha256:{'a' * 64}"
OTHER = f"sha256:{'b' * 64}"
REPOSITORIES = "/v1/projects/p/locations/us-central1/repositories"


@pytest.fixture
def artifacts(run_gcloud):
    """Return a function that runs gcloud artifacts."""
    return lambda *words, **more: run_gcloud("artifacts", *words, **more)


def test_a_repository_from_its_creation_to_its_deletion(artifacts):
    create = ("repositories", "create", "lane", WHERE, "--repository-format=docker")
    artifacts(*create, "--description=Images", "--labels=a=b")
    again = artifacts(*create, fails=True)
    artifacts("repositories", "update", "lane", WHERE, "--update-labels=c=d")
    member = ("--member=user:a@example.org", "--role=roles/artifactregistry.reader")
    artifacts("repositories", "add-iam-policy-binding", "lane", WHERE, *member)
    described = json.loads(artifacts("repositories", "describe", "lane", WHERE, "--format=json"))
    policy = json.loads(artifacts("repositories", "get-iam-policy", "lane", WHERE, "--format=json"))
    artifacts("repositories", "delete", "lane", WHERE)
    gone = artifacts("repositories", "describe", "lane", WHERE, fails=True)
    artifacts(*create)
    anew = json.loads(artifacts("repositories", "get-iam-policy", "lane", WHERE, "--format=json"))

    assert "ALREADY_EXISTS" in again
    assert (described["description"], described["format"]) == ("Images", "DOCKER")
    assert described["labels"] == {"a": "b", "c": "d"}
    assert policy["bindings"] == [
        {"members": ["user:a@example.org"], "role": "roles/artifactregistry.reader"}
    ]
    assert "NOT_FOUND" in gone
    assert "bindings" not in anew


def test_tags_versions_and_images_are_deleted_one_by_one(artifacts, cloud):
    def images():
        listed = artifacts("docker", "images", "list", PLACE, "--include-tags", "--format=json")
        return {
            (each["package"].rpartition("/")[2], each["version"]): each["tags"] for each in json.loads(listed)
        }

    add_image(cloud, f"{PLACE}/inference:1", DIGEST)
    add_image(cloud, f"{PLACE}/inference:2", OTHER)
    add_image(cloud, f"{PLACE}/postprocess:1", OTHER)
    artifacts("docker", "tags", "add", f"{PLACE}/inference:1", f"{PLACE}/inference:latest")
    begun = images()
    artifacts("docker", "tags", "delete", f"{PLACE}/inference:1")
    artifacts("docker", "images", "delete", f"{PLACE}/inference@{OTHER}", "--delete-tags")
    fewer = images()
    tagged = artifacts("docker", "images", "delete", f"{PLACE}/inference@{DIGEST}", fails=True)
    artifacts("docker", "images", "delete", f"{PLACE}/inference", "--delete-tags")

    assert begun["inference", DIGEST] == ["1", "latest"]
    assert fewer == {("inference", DIGEST): ["latest"], ("postprocess", OTHER): ["1"]}
    assert "because it is tagged" in tagged
    assert images() == {("postprocess", OTHER): ["1"]}
    assert "Image not found" in artifacts("docker", "images", "describe", f"{PLACE}/inference:1", fails=True)


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("Lane", {}, "Invalid repository ID"),
        ("lane-", {}, "Invalid repository ID"),
        ("lane", {"format": "NPM"}, "DOCKER only"),
        ("lane", {"mode": "REMOTE_REPOSITORY"}, "DOCKER only"),
        ("lane", {"labels": {"A": "b"}}, "Invalid label: A=b"),
        ("lane", {"label": {"a": "b"}}, 'Unknown name "label"'),
    ],
)
def test_a_repository_that_the_service_refuses_is_not_made(api, name, settings, reason):
    answer = api("POST", f"{REPOSITORIES}?repositoryId={name}", json={"format": "DOCKER", **settings})

    assert answer.status_code == 400
    assert reason in answer.json()["error"]["message"]
    assert api("GET", REPOSITORIES).json() == {}


def test_a_version_with_a_tag_is_deleted_by_force_only(api, cloud):
    add_image(cloud, f"{PLACE}/inference:1", DIGEST)
    version = f"{REPOSITORIES}/lane/packages/inference/versions/{DIGEST}"

    refused = api("DELETE", version)
    deleted = api("DELETE", f"{version}?force=true")
    operation = api("GET", f"/v1/{deleted.json()['name']}").json()

    assert refused.json()["error"]["status"] == "FAILED_PRECONDITION"
    assert (deleted.json()["done"], operation["done"]) == (False, True)
    assert api("GET", version).status_code == 404
