"""gcloud as members of a project that enforces rights: what it reads for them, and what it says to others."""

import os
import subprocess
from collections.abc import Callable

import pytest

from localcloud.environment import client_environment
from localcloud.process import running
from tests.emulated import add_image, add_secret
from tests.localcloud.jobs import PROJECT
from tests.localcloud.members import OF_PROJECT, Member, denied
from tests.needs import need_program

REPOSITORY = "us-central1-docker.pkg.dev/p/repo"
DIGEST = "sha256:" + "a" * 64
IN_REGION = ("--location", "us-central1")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with running(tmp_path_factory.mktemp("state"), "--rights-of", PROJECT, "--tasks", "null") as cloud:
        add_image(cloud, f"{REPOSITORY}/stages:latest", DIGEST)
        add_secret(cloud, "token", "pat")
        yield cloud


@pytest.fixture(scope="module")
def gcloud_as(cloud, tmp_path_factory) -> Callable[..., subprocess.CompletedProcess]:
    """Return a function that runs gcloud as a member."""
    program = need_program("gcloud")
    home = str(tmp_path_factory.mktemp("home"))

    def run(who: Member, *words: str) -> subprocess.CompletedProcess:
        variables = client_environment(cloud.storage, cloud.apis, cloud.state, PROJECT, who.name)
        environment = {"PATH": os.environ["PATH"], "HOME": home, "LANG": "C.UTF-8", **variables}
        return subprocess.run(
            [program, *words], env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return run


def test_who_runs_reads_the_image_the_secret_jobs_and_logs(cloud, gcloud_as):
    """The roles are those of docs/access.md for those who run."""
    who = Member(cloud).given("workflows.viewer", "workflows.invoker", "batch.jobsEditor", "logging.viewer")
    who.given("artifactregistry.reader", on=f"{OF_PROJECT}/locations/us-central1/repositories/repo")
    who.given("secretmanager.viewer", on=f"{OF_PROJECT}/secrets/pat")

    for words in (
        ("artifacts", "docker", "images", "list", REPOSITORY, "--include-tags"),
        ("artifacts", "docker", "tags", "list", f"{REPOSITORY}/stages"),
        ("artifacts", "docker", "images", "describe", f"{REPOSITORY}/stages@{DIGEST}"),
        ("secrets", "versions", "describe", "latest", "--secret", "pat"),
        ("batch", "jobs", "list", *IN_REGION),
        ("workflows", "list", *IN_REGION),
        ("logging", "read", "severity>=INFO"),
    ):
        done = gcloud_as(who, *words)
        assert done.returncode == 0, done.stderr


def test_gcloud_says_which_permission_is_missing_on_what(cloud, gcloud_as):
    who = Member(cloud)

    done = gcloud_as(who, "secrets", "versions", "access", "latest", "--secret", "pat")

    assert done.returncode == 1
    assert "PERMISSION_DENIED" in done.stderr
    assert "secretmanager.versions.access" in done.stderr
    assert "projects/p/secrets/pat/versions/latest" in done.stderr
    refused = who.ask("GET", f"{OF_PROJECT}/secrets/pat/versions/latest:access")
    assert denied(refused) == "secretmanager.versions.access"
