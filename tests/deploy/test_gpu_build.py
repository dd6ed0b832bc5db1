"""invoke gpu-build: the real gcloud against emulated services, builds whose docker only says that it did."""

import os
import re
import signal
import time

import pytest
import yaml

from localcloud.process import running
from ops.cloud.cloud import Cloud
from ops.gpu.build import KEEP_IMAGES, KEEP_IMAGES_DAYS, build
from ops.gpu.names import SERVICES
from ops.laptop.local_cloud import STRUCTURE_TEST
from tests.build_operators import PROJECT, BuildOperator, copy_of_the_code, operator_at
from tests.emulated import add_image, commit_all, order_faults, request
from tests.experiments import REPOSITORY
from tests.in_process import called, settings_of, shell_of

REGION = "us-central1"
STEM = "ml-pipeline-9f9c0d"
REPOSITORIES = f"/v1/projects/{PROJECT}/locations/{REGION}/repositories"
ACCOUNT = f"{STEM}-bld@{PROJECT}.iam.gserviceaccount.com"
LABELS = {"component": "epymodelingsuite", "managed-by": "manual", "environment": "production"}
# It answers as docker does, and an image has the same digest until the next is built.
DOCKER = """#!/bin/sh
echo "$@" >> {log}
for last; do :; done
case "$*" in
  *RepoDigests*) echo "python@sha256:{digits}" ;;
  "image inspect"*)
    printf 'sha256:'
    printf '%s' "${{last%:*}} $(grep -c '^build' {log})" | sha256sum | cut -c1-64 ;;
esac
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """A checkout whose files are those of its commit; its path."""
    folder = tmp_path_factory.mktemp("code")
    copy_of_the_code(folder)
    (folder / "README").touch()
    commit_all(folder, "all of it")
    return folder


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    """A cloud whose builds end after a moment."""
    programs = tmp_path_factory.mktemp("programs")
    docker = programs / "docker"
    docker.write_text(DOCKER.format(log=programs / "log", digits="0" * 64))
    docker.chmod(0o755)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        with running(tmp_path_factory.mktemp("cloud"), "--builder", STRUCTURE_TEST, "true") as cloud:
            yield cloud


class Builds(BuildOperator):
    """An operator who builds the lane's images, and what that leaves in the project."""

    def api(self, path: str, method: str = "GET", **more):
        answer = request(method, self.cloud.apis + path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def digests(self, tag: str) -> dict[str, str]:
        found = {}
        for service in SERVICES:
            tags = self.api(f"{REPOSITORIES}/{STEM}/packages/{service}/tags").get("tags", [])
            versions = {each["name"].rpartition("/")[2]: each["version"] for each in tags}
            found[service] = versions[tag].rpartition("/")[2]
        return found

    def bucket(self, part: str = "") -> dict:
        return request("GET", f"{self.cloud.storage}/storage/v1/b/{STEM}-build{part}").json()

    def roles(self) -> set[tuple[str, str]]:
        """Return where the account of builds has which role."""
        policies = {
            "project": self.api(f"/v1/projects/{PROJECT}:getIamPolicy", "POST", json={}),
            "repository": self.api(f"{REPOSITORIES}/{STEM}:getIamPolicy"),
            "bucket": self.bucket("/iam"),
        }
        return {
            (place, binding["role"])
            for place, policy in policies.items()
            for binding in policy.get("bindings", [])
            if f"serviceAccount:{ACCOUNT}" in binding["members"]
        }


@pytest.fixture
def builds(emulator, code, tmp_path):
    made = Builds(emulator, tmp_path)
    made.operator = operator_at(made, code)
    yield made
    request("POST", f"{emulator.apis}/_emulator/reset")


def commit_of(folder) -> str:
    return (folder / ".git" / "refs" / "heads" / "main").read_text().strip()


def test_the_first_build_creates_what_it_needs_and_a_second_call_finds_the_images(builds, code):
    ended = builds.invoke("gpu-build")
    again = builds.invoke("gpu-build")
    status = builds.invoke("build-status")

    assert ended.exit_code == 0, ended.output
    digests = builds.digests(commit_of(code))
    assert set(digests) == set(SERVICES)
    assert digests == builds.digests("latest")
    for service, digest in digests.items():
        place = f"{REGION}-docker.pkg.dev/{PROJECT}/{STEM}/{service}"
        assert f"{place}:{commit_of(code)}@{digest}" in ended.lines
        assert f"{place}@{digest}" in again.lines
        assert service in status.output
        assert digest[:19] in status.output
    assert f"an image is {REGION}-docker.pkg.dev/{PROJECT}/{STEM}/IMAGE@DIGEST" in status.output
    assert again.exit_code == 0, again.output
    assert f"the images of {commit_of(code)} are there, and latest names them" in again.output
    assert len(builds.builds()) == 1
    # what was created
    repository = builds.api(f"{REPOSITORIES}/{STEM}")
    assert (repository["format"], repository["labels"]) == ("DOCKER", LABELS)
    policies = repository["cleanupPolicies"]
    assert policies["keep-the-newest"]["mostRecentVersions"] == {"keepCount": KEEP_IMAGES}
    assert policies["keep-what-a-deployment-names"]["condition"]["tagPrefixes"] == ["latest"]
    assert policies["delete-the-old"]["condition"]["olderThan"].startswith(f"{KEEP_IMAGES_DAYS * 24 * 3600}")
    bucket = builds.bucket()
    assert (bucket["location"], bucket["labels"]) == (REGION.upper(), LABELS)
    assert bucket["lifecycle"]["rule"] == [{"action": {"type": "Delete"}, "condition": {"age": 7}}]
    assert bucket["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    assert bucket["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"] is True
    assert builds.roles() == {
        ("project", "roles/logging.logWriter"),
        ("repository", "roles/artifactregistry.writer"),
        ("bucket", "roles/storage.objectViewer"),
    }
    # and what was built
    submitted = builds.build()
    assert submitted["serviceAccount"] == f"projects/{PROJECT}/serviceAccounts/{ACCOUNT}"
    assert submitted["source"]["storageSource"]["bucket"] == f"{STEM}-build"
    assert submitted["tags"] == ["epymodelingsuite", "imagebuild"]
    assert [step["status"] for step in submitted["steps"]] == ["SUCCESS"] * 4


def test_a_call_that_was_stopped_at_any_step_is_repeated(builds):
    repository, bucket = f"/repositories/{STEM}", f"/b/{STEM}-build"
    steps = [  # what is done at the same time is refused at the same time
        [("POST", r"/repositories\?"), ("POST", "/serviceAccounts"), ("PATCH", bucket)],
        [("PATCH", repository)],
        [("POST", f"{repository}:setIamPolicy"), ("PUT", f"{bucket}/iam")],
        [("POST", "/global/builds")],
    ]
    stopped = []
    for step in steps:
        rules = [
            {"method": method, "path": path, "status": 403, "message": "not now"} for method, path in step
        ]
        order_faults(builds.cloud, *rules)
        stopped.append(builds.invoke("gpu-build"))
        request("DELETE", f"{builds.cloud.apis}/_emulator/faults")

    ended = builds.invoke("gpu-build")

    assert [(each.exit_code, "not now" in each.last_line) for each in stopped] == [(2, True)] * len(steps)
    assert ended.exit_code == 0, ended.output
    assert len(builds.roles()) == 3
    assert builds.api(f"{REPOSITORIES}/{STEM}")["cleanupPolicies"]
    assert builds.bucket()["labels"] == LABELS
    assert set(builds.digests("latest")) == set(SERVICES)


def test_images_that_are_there_get_the_tag_and_force_builds_them_again(builds, code):
    commit = commit_of(code)
    place = f"{REGION}-docker.pkg.dev/{PROJECT}/{STEM}"
    for number, service in enumerate(SERVICES):
        add_image(builds.cloud, f"{place}/{service}:{commit}", f"sha256:{str(number) * 64}")
    add_image(builds.cloud, f"{place}/inference:latest", f"sha256:{'f' * 64}")  # of another commit

    ended = builds.invoke("gpu-build")
    moved, number_of_builds = builds.digests("latest"), len(builds.builds())
    forced = builds.invoke("gpu-build", "--force")

    assert ended.exit_code == 0, ended.output
    assert number_of_builds == 0
    assert moved == {service: f"sha256:{str(number) * 64}" for number, service in enumerate(SERVICES)}
    assert forced.exit_code == 0, forced.output
    assert len(builds.builds()) == 1
    assert builds.digests("latest") == builds.digests(commit) != moved


def test_a_deployment_builds_images_that_are_missing_and_names_them_by_digest(builds):
    service = {"method": "POST", "path": "/namespaces/.*/services", "status": 403, "message": "not now"}
    order_faults(builds.cloud, service)

    ended = builds.invoke("gpu-deploy", "--yes", GPU_TYPE="none")

    assert (ended.exit_code, "not now" in ended.last_line) == (2, True)
    for name, digest in builds.digests("latest").items():
        assert f"--image {REGION}-docker.pkg.dev/{PROJECT}/{STEM}/{name}@{digest}" in ended.output


def test_a_removal_of_the_lane_deletes_what_builds_needed_too(builds):
    order_faults(builds.cloud, {"method": "POST", "path": "/global/builds", "status": 403, "times": 1})
    assert builds.invoke("gpu-build").exit_code == 2
    assert len(builds.roles()) == 3

    ended = builds.invoke("gpu-destroy", "--yes")

    assert ended.exit_code == 0, ended.output
    assert "repositories" not in builds.api(REPOSITORIES)
    assert "accounts" not in builds.api(f"/v1/projects/{PROJECT}/serviceAccounts")
    assert "name" not in builds.bucket()
    policy = builds.api(f"/v1/projects/{PROJECT}:getIamPolicy", "POST", json={})
    assert not [each for each in policy.get("bindings", []) if each["role"] == "roles/logging.logWriter"]


def test_files_that_differ_from_the_commit_are_built_although_images_are_there(builds, code):
    for service in SERVICES:
        place = f"{REGION}-docker.pkg.dev/{PROJECT}/{STEM}/{service}"
        add_image(builds.cloud, f"{place}:{commit_of(code)}-dirty", f"sha256:{'0' * 64}")
    new = code / "services" / "new.py"
    new.touch()
    try:
        ended = builds.invoke("gpu-build")
    finally:
        new.unlink()

    assert ended.exit_code == 0, ended.output
    assert "tagged -dirty" in ended.output
    assert f"sha256:{'0' * 64}" not in builds.digests(f"{commit_of(code)}-dirty").values()


def test_a_repository_that_somebody_else_has_made_keeps_its_rules(builds):
    create = f"{REPOSITORIES}?repositoryId=shared"
    builds.api(create, "POST", json={"format": "DOCKER", "labels": {"owner": "somebody"}})
    order_faults(builds.cloud, {"method": "POST", "path": "/global/builds", "status": 403})

    ended = builds.invoke("gpu-build", GPU_REPO_NAME="shared")

    shared = builds.api(f"{REPOSITORIES}/shared")
    assert ended.exit_code == 2
    assert f"_IMAGES={REGION}-docker.pkg.dev/{PROJECT}/shared," in ended.output
    assert (shared["labels"], shared.get("cleanupPolicies")) == ({"owner": "somebody"}, None)


def test_a_build_that_is_refused_its_source_while_its_rights_are_new_is_submitted_again(builds):
    source = {"method": "GET", "path": f"/b/{STEM}-build/o/.*alt=media", "status": 403}
    message = f"{ACCOUNT} does not have storage.objects.get access to the object."
    order_faults(builds.cloud, {**source, "message": message, "times": 2})
    cloud = Cloud.of(shell_of(builds.operator), settings_of(builds.operator), needs_bucket=False)

    ended = called(lambda: build(cloud, poll_seconds=0.1, pause_seconds=0.1))

    assert ended.exit_code == 0, ended.output
    assert ended.output.count("its rights are new") == 2
    assert [each["status"] for each in builds.builds()] == ["SUCCESS", "FAILURE", "FAILURE"]


def test_a_build_of_the_commit_that_is_under_way_is_followed(code, tmp_path):
    with running(tmp_path / "cloud", "--builds", "queue") as queue:
        builds = Builds(queue, tmp_path)
        builds.operator = operator_at(builds, code)
        first = builds.operator.start("gpu-build")
        said = next(line for line in first.stdout if "is submitted" in line)
        time.sleep(1)
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=60)

        second = builds.operator.start("gpu-build")
        followed = next(line for line in second.stdout if "under way" in line)
        time.sleep(1)
        second.send_signal(signal.SIGINT)
        output, _ = second.communicate(timeout=60)
        [waiting] = builds.builds()

    assert (first.returncode, second.returncode) == (130, 130)
    assert waiting["id"] in said
    assert waiting["id"] in followed
    assert f"build {waiting['id']} is still running" in output


def test_a_dry_run_creates_nothing_and_prints_commands_that_work(builds):
    ended = builds.invoke("gpu-build", "--dry-run")
    nothing_yet = not builds.builds() and not builds.bucket().get("name")
    commands = [line.removeprefix("+ ") for line in ended.lines if line.startswith("+ ")]
    changes = [each for each in commands if not re.search(r"describe|list|get-iam-policy", each)]

    pasted = [os.waitstatus_to_exitcode(_pasted(builds, each)) for each in changes]

    assert ended.exit_code == 0, ended.output
    assert nothing_yet
    assert len(changes) == 10
    assert pasted == [0] * 10, list(zip(changes, pasted, strict=True))
    assert len(builds.builds()) == 1
    assert builds.bucket()["labels"] == LABELS


def _pasted(builds: Builds, command: str) -> int:
    pid = os.fork()
    if not pid:
        os.chdir(builds.operator.folder)
        os.execvpe("bash", ["bash", "-c", command], builds.operator.environ)
    return os.waitpid(pid, 0)[1]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PROJECT_ID": ""}, "PROJECT_ID: not set"),
        ({"SERVICE_PREFIX": "x"}, "SERVICE_PREFIX"),
        ({"GPU_REPO_NAME": "A B"}, "GPU_REPO_NAME"),
        ({"REGISTRY_HOST": "europe-docker.pkg.dev"}, "leave REGISTRY_HOST empty"),
    ],
)
def test_a_wrong_setting_is_one_line(builds, variables, said):
    ended = builds.invoke("gpu-build", **variables)

    assert ended.exit_code == 2
    assert said in ended.last_line
    assert "Traceback" not in ended.output


def test_both_files_of_cloud_build_resolve_the_base_image_in_the_same_way():
    stages, services = (
        yaml.safe_load((REPOSITORY / name).read_text())
        for name in ("cloudbuild.yaml", "docker/cloudbuild.services.yaml")
    )

    assert services["steps"][0] == stages["steps"][0]
    assert {image.rpartition(":")[0] for image in services["images"]} == {
        f"${{_IMAGES}}/{service}" for service in SERVICES
    }
    assert len(set(services["images"])) == 2 * len(SERVICES)


def test_images_are_kept_as_long_as_those_of_the_stages():
    variables = (REPOSITORY / "terraform" / "variables.tf").read_text()

    for name, ours in (("keep_images", KEEP_IMAGES), ("keep_images_days", KEEP_IMAGES_DAYS)):
        declared = re.search(rf'variable "{name}" {{.*?default += (\d+)', variables, re.DOTALL)
        assert int(declared[1]) == ours
