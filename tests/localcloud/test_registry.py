"""The emulated Artifact Registry with the real gcloud."""

import json

import pytest

from tests.emulated import post
from tests.localcloud.jobs import PROJECT, numbers

DIGEST, OTHER = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


@pytest.fixture
def repository(cloud):
    """Return the path of a repository with two images of one name; the older one still has a tag."""
    path = f"us-central1-docker.pkg.dev/{PROJECT}/repo-{next(numbers)}"
    for tag, digest in (("first", DIGEST), ("latest", DIGEST), ("second", OTHER), ("latest", OTHER)):
        post(f"{cloud.apis}/_emulator/images", {"image": f"{path}/suite:{tag}", "digest": digest})
    return path


def test_a_tag_is_the_digest_that_was_pushed_last(repository, run_gcloud):
    described = run_gcloud(
        "artifacts", "docker", "images", "describe", f"{repository}/suite:latest", "--format=json"
    )
    tags = json.loads(
        run_gcloud("artifacts", "docker", "tags", "list", f"{repository}/suite", "--format=json")
    )

    assert json.loads(described)["image_summary"]["fully_qualified_digest"] == f"{repository}/suite@{OTHER}"
    by_tag = {each["tag"].rpartition("/")[2]: each["version"].rpartition("/")[2] for each in tags}
    assert by_tag == {"first": DIGEST, "latest": OTHER, "second": OTHER}


def test_images_are_listed_with_their_tags(repository, run_gcloud):
    words = ["artifacts", "docker", "images", "list", "--include-tags", "--format=json"]

    of_repository = json.loads(run_gcloud(*words, repository))
    of_image = json.loads(run_gcloud(*words, f"{repository}/suite"))

    for listed in (of_repository, of_image):
        assert {each["version"]: sorted(each["tags"]) for each in listed} == {
            DIGEST: ["first"],
            OTHER: ["latest", "second"],
        }


def test_repositories_are_listed_and_described(repository, run_gcloud):
    name = repository.rpartition("/")[2]
    described = json.loads(
        run_gcloud("artifacts", "repositories", "describe", name, "--location=us-central1", "--format=json")
    )

    assert described["format"] == "DOCKER"
    assert name in run_gcloud("artifacts", "repositories", "list")


def test_what_does_not_exist_is_not_found(repository, run_gcloud):
    describe = ["artifacts", "docker", "images", "describe"]

    assert "Image not found" in run_gcloud(*describe, f"{repository}/suite:nothing", fails=True)
    assert "NOT_FOUND" in run_gcloud(*describe, f"{repository}-x/suite:latest", fails=True)
    assert "NOT_FOUND" in run_gcloud("artifacts", "docker", "tags", "list", f"{repository}/other", fails=True)


def test_tags_come_in_pages_and_by_digest(repository, api):
    path = repository.rpartition("/")[2]
    tags = f"/v1/projects/{PROJECT}/locations/us-central1/repositories/{path}/packages/suite/tags"

    first = api("GET", f"{tags}?pageSize=2").json()
    rest = api("GET", f"{tags}?pageSize=2&pageToken={first['nextPageToken']}").json()
    version = first["tags"][0]["version"]
    of_one = api("GET", tags, params={"filter": f'version="{version}"'}).json()["tags"]

    assert (len(first["tags"]), len(rest["tags"])) == (2, 1)
    assert "nextPageToken" not in rest
    assert [each["name"].rpartition("/")[2] for each in of_one] == ["first"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"image": "ghcr.io/x/y:z"}, 'image "ghcr.io/x/y:z" is not LOCATION-docker.pkg.dev/'),
        ({"img": "x"}, 'image "" is not LOCATION-docker.pkg.dev/'),
        (
            {"image": "us-docker.pkg.dev/p/r/i:t", "digest": "sha256:1"},
            'digest "sha256:1" is not sha256: and 64',
        ),
        ({"image": "us-docker.pkg.dev/p/r/i:t", "digest": [1]}, 'digest "[1]" is not sha256: and 64'),
    ],
)
def test_an_image_with_a_wrong_name_or_digest_is_refused_by_what_is_wrong(api, given, said):
    answer = api("POST", "/_emulator/images", json=given)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(said)
