"""Builds as an operator submits them: the real gcloud against the emulated Cloud Build and its queue."""

import json
import re
import signal
import subprocess
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
import requests
import yaml

from localcloud.build.template import substituted
from localcloud.process import running
from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.images import build_log
from ops.images.build_log import follow
from ops.settings import Settings
from ops.shell import Shell
from tests.build_operators import (
    BUCKET,
    BUILDS,
    PROJECT,
    BuildOperator,
    commit,
    copy_of_the_code,
    operator_at,
    wait_until,
)
from tests.emulated import commit_all, object_of, order_faults, request
from tests.experiments import REPOSITORY
from tests.in_process import called, settings_of, shell_of
from tests.needs import need_engine
from tests.odd_gcloud import path_with_odd_gcloud

TOKEN = "ghp_marked0token0of0this0image0test0000"
SUITE = "my-lab/epymodelingsuite"


@pytest.fixture(scope="module")
def queue(tmp_path_factory):
    """A cloud that takes builds and leaves them in the queue."""
    with running(tmp_path_factory.mktemp("queue"), "--builds", "queue") as cloud:
        yield cloud


@pytest.fixture
def submitting(queue, tmp_path):
    yield BuildOperator(queue, tmp_path)
    requests.post(f"{queue.apis}/_emulator/reset", timeout=10)


def test_only_what_the_image_needs_is_uploaded(submitting, tmp_path):
    copy_of_the_code(tmp_path / "code")
    (tmp_path / "code" / "scripts" / ".env.prod").write_text("GITHUB_PAT=x\n")

    ended = operator_at(submitting, tmp_path / "code").invoke("build")

    assert ended.exit_code == 0, ended.output
    source = submitting.build()["source"]["storageSource"]
    assert source["bucket"] == BUCKET
    assert source["object"].startswith("cloudbuild/")
    archive = object_of(submitting.cloud, BUCKET, source["object"])
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        names = [entry.name.removeprefix("./") for entry in tar.getmembers() if entry.isfile()]
    folders = {name.split("/")[0] for name in names}
    assert folders == {"docker", "modeling", "scripts", "services", ".dockerignore"}
    assert "docker/Dockerfile" in names
    assert "docker/container-structure-test.cloud.yaml" in names
    assert not [name for name in names if name.endswith(".pyc") or "/.env" in name]


def test_the_image_is_tested_for_code_that_the_repository_has():
    tests = yaml.safe_load((REPOSITORY / "docker" / "container-structure-test.yaml").read_text())
    wanted = [each["path"] for each in tests["fileExistenceTests"] if each["shouldExist"]]

    ours = [REPOSITORY / path[1:] for path in wanted if path.startswith(("/scripts/", "/modeling/"))]

    assert len(ours) == 4
    assert [path for path in ours if not path.is_file()] == []


def test_a_build_names_its_account_its_logs_and_where_to_watch_it(submitting):
    ended = submitting.invoke("build")

    build = submitting.build()
    assert ended.exit_code == 0, ended.output
    assert build["id"] in ended.output
    assert build["logUrl"] in ended.output
    email = f"epymodelingsuite-build@{PROJECT}.iam.gserviceaccount.com"
    assert build["serviceAccount"] == f"projects/{PROJECT}/serviceAccounts/{email}"
    assert build["options"] == {"machineType": "E2_HIGHCPU_8", "logging": "CLOUD_LOGGING_ONLY"}
    assert build["tags"] == ["epymodelingsuite", "imagebuild"]
    path = f"us-central1-docker.pkg.dev/{PROJECT}/epymodelingsuite-repo/epymodelingsuite"
    assert build["images"] == [f"{path}:{commit()}", f"{path}:latest"]
    assert build["substitutions"]["_NO_CACHE"] == "false"


def test_the_builders_are_the_images_that_the_settings_name(submitting):
    docker_builder = f"gcr.io/cloud-builders/docker@sha256:{'d' * 64}"
    tester = f"europe-docker.pkg.dev/my-lab/tools/structure-test@sha256:{'e' * 64}"

    ended = submitting.invoke("build", DOCKER_BUILDER_IMAGE=docker_builder, STRUCTURE_TEST_IMAGE=tester)
    refused = submitting.invoke("build", DOCKER_BUILDER_IMAGE="docker@sha256:abc")

    assert ended.exit_code == 0, ended.output
    build = submitting.build()
    steps = substituted(build, build["id"], PROJECT, "global")["steps"]
    assert [step["name"] for step in steps] == [docker_builder, docker_builder, tester]
    assert refused.exit_code == 2
    assert 'DOCKER_BUILDER_IMAGE="docker@sha256:abc" (from environment)' in refused.last_line


def test_without_a_secret_nothing_of_the_build_speaks_of_one(submitting):
    assert submitting.invoke("build", GITHUB_MODELING_SUITE_REPO=SUITE).exit_code == 0

    build = submitting.build()
    assert "availableSecrets" not in build
    assert not [step for step in build["steps"] if "secretEnv" in step]
    assert "_GITHUB_PAT_SECRET" not in build["substitutions"]


def test_with_a_secret_the_build_step_alone_is_given_it(submitting):
    settings = {"GITHUB_MODELING_SUITE_REPO": SUITE, "GITHUB_PAT_SECRET": "github-pat"}

    ended = submitting.invoke("build", "--no-cache", GITHUB_PAT=TOKEN, **settings)

    build = submitting.build()
    assert ended.exit_code == 0, ended.output
    assert build["substitutions"]["_NO_CACHE"] == "true"
    assert build["substitutions"]["_GITHUB_PAT_SECRET"] == "github-pat"
    assert [step.get("secretEnv") for step in build["steps"]] == [None, ["GITHUB_PAT"], None]
    assert TOKEN not in json.dumps(build)
    assert TOKEN not in ended.output


def test_a_suite_on_a_branch_is_cloned_anew_and_one_at_a_commit_is_not(submitting):
    for ref in ("main", "0" * 40):
        settings = {"GITHUB_MODELING_SUITE_REPO": SUITE, "GITHUB_MODELING_SUITE_REF": ref}
        assert submitting.invoke("build", **settings).exit_code == 0
        at = submitting.build()["substitutions"].get("_GITHUB_MODELING_SUITE_AT", "")

        assert bool(at) == (ref == "main")


def test_ongoing_builds_are_listed_and_ctrl_c_leaves_one_alone(submitting):
    process = submitting.operator.start("build", "--wait")
    said = next(line for line in process.stdout if "is submitted" in line)
    time.sleep(1)

    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    listed = submitting.invoke("build-status", "--ongoing")
    strange = submitting.build() | {"status": "SUSPENDED"}
    path = path_with_odd_gcloud(submitting.operator.folder, {"builds list": [strange]})
    unknown = submitting.invoke("build-status", "--ongoing", PATH=path)

    build = submitting.build()
    assert f"{build['id']}  SUSPENDED" in unknown.output
    assert process.returncode == 130, output
    assert build["id"] in said
    assert f"build {build['id']} is still running" in output
    assert "Traceback" not in output
    assert build["status"] == "QUEUED"
    assert build["id"] in listed.output


@pytest.mark.parametrize(
    ("words", "variables", "said"),
    [
        (["build"], {"PROJECT_ID": "", "BUCKET_NAME": ""}, "PROJECT_ID and BUCKET_NAME: not set"),
        (["build"], {"PROJECT_ID": "My Lab"}, "a project's id, such as my-lab-forecasts"),
        (["build"], {"REGION": "us-central1-a"}, "a region such as us-central1, not a zone"),
        (["build"], {"IMAGE_TAG": "a,b"}, "letters, digits, . _ and -"),
        (["build"], {"GITHUB_MODELING_SUITE_REF": "a,b"}, "a branch, a tag or a whole commit"),
        (["build"], {"GITHUB_MODELING_SUITE_REPO": "suite"}, "owner/name of a repository"),
        (["build"], {"GITHUB_PAT_SECRET": TOKEN}, "never the token itself"),
        (["build"], {"GITHUB_URL": f"https://me:{TOKEN}@github.com"}, 'GITHUB_URL="https://***@github.com"'),
        (["build"], {"BASE_IMAGE": "x,_NO_CACHE=true"}, "an image such as python:3.11-slim"),
        (["build"], {"REGISTRY_HOST": "a b"}, "a host such as"),
        (["build"], {"BUILD_SERVICE_ACCOUNT": "a,b"}, "a service account of the project"),
        (["build"], {"BUCKET_NAME": "my-typo-bucket"}, "BUCKET_NAME=my-typo-bucket: no such bucket"),
        (["build-status"], {"PROJECT_ID": ""}, "PROJECT_ID: not set"),
        (["build-local"], {"PROJECT_ID": ""}, "PROJECT_ID: not set"),
        (["build-local"], {"DOCKER_HOST": "unix:///nowhere.sock"}, "no Docker engine answers"),
        (["image-test"], {"DOCKER_HOST": "unix:///nowhere.sock"}, "no Docker engine answers"),
        (["image-test", "--image", "no-such:1"], {}, "image no-such:1 not found"),
    ],
)
def test_a_wrong_setting_is_one_line(submitting, words, variables, said):
    need_engine()

    ended = submitting.invoke(*words, **variables)

    assert ended.exit_code == 2, ended.output
    assert said in ended.last_line
    assert "Traceback" not in ended.output
    assert TOKEN not in ended.output


def test_a_refusal_of_cloud_build_is_one_line(submitting):
    rule = {"method": "POST", "path": "/builds", "status": 403, "message": "no right to build"}
    order_faults(submitting.cloud, rule)

    ended = submitting.invoke("build")

    assert ended.exit_code == 2
    assert "no right to build" in ended.last_line
    assert "Traceback" not in ended.output


def test_a_new_file_that_no_commit_has_makes_the_image_dirty(submitting, tmp_path):
    code = tmp_path / "code"
    copy_of_the_code(code)
    commit_all(code, "all of it")
    operator = operator_at(submitting, code)

    assert operator.invoke("build").exit_code == 0
    clean = submitting.build()["substitutions"]["_COMMIT"]
    (code / "scripts" / "new.py").write_text("")
    dirty = operator.invoke("build")

    assert re.fullmatch("[0-9a-f]{40}", clean)
    assert submitting.build()["substitutions"]["_COMMIT"] == f"{clean}-dirty"
    assert "tagged -dirty" in dirty.output


def test_following_a_build_survives_lost_answers_and_tells_of_a_log_that_may_not_be_read(submitting):
    order_faults(
        submitting.cloud,
        {"method": "GET", "path": "/builds/", "status": 400, "message": "lost", "times": 2},
        {"path": "entries:list", "status": 403, "message": "PERMISSION_DENIED"},
    )
    build = submitted(submitting)

    with ThreadPoolExecutor() as pool:
        following = pool.submit(called, lambda: follow_often(submitting, build))
        wait_until(lambda: hits(submitting.cloud) == [2, 1], 60)
        request("POST", f"{submitting.cloud.apis}{BUILDS}/{build['id']}:cancel", json={})
        ended = following.result(timeout=60)

    assert ended.exit_code == 130
    assert ended.output.count("you need roles/logging.viewer") == 1
    assert ended.last_line.endswith("ended as CANCELLED")


def submitted(submitting: BuildOperator) -> dict:
    """Return a build that waits in the queue."""
    submit = request("POST", submitting.cloud.apis + BUILDS, json={"steps": [{"name": "ubuntu"}]})
    assert submit.status_code == 200, submit.text
    return submitting.build()


def follow_often(submitting: BuildOperator, build: dict) -> None:
    """Follow a build as `invoke build --wait` does, without its pauses."""
    operator = submitting.operator
    follow(Cloud.of(shell_of(operator), settings_of(operator)), build, poll_seconds=0.1)


def hits(cloud) -> list[int]:
    """Return how many requests each of the faults has struck."""
    return [fault["hits"] for fault in request("GET", f"{cloud.apis}/_emulator/faults").json()]


def test_a_build_whose_state_cannot_be_asked_goes_on(submitting):
    build = submitted(submitting)
    order_faults(submitting.cloud, {"method": "GET", "path": "/builds/", "status": 400, "message": "lost"})

    ended = called(lambda: follow_often(submitting, build))

    assert ended.exit_code == 1
    assert "is still running; `invoke build-status` shows it" in ended.last_line


def test_a_dry_run_submits_nothing_and_prints_a_command_that_works(submitting):
    ended = submitting.invoke("build", "--dry-run")
    nothing_yet = not submitting.builds()
    [_, command] = [line.removeprefix("+ ") for line in ended.lines if line.startswith("+ ")]

    pasted = subprocess.run(
        ["bash", "-c", command], cwd=submitting.operator.folder, env=submitting.operator.environ, timeout=60
    )

    assert ended.exit_code == 0
    assert nothing_yet
    assert pasted.returncode == 0
    assert submitting.build()["status"] == "QUEUED"


@pytest.mark.parametrize(
    ("status", "exit_code"), [("CANCELLED", 130), ("INTERNAL_ERROR", 75), ("EXPIRED", 75), ("TIMEOUT", 1)]
)
def test_a_followed_build_ends_with_a_code_that_says_what_to_do(tmp_path, status, exit_code):
    build = {"id": "b-1", "status": "QUEUED", "createTime": "2026-01-31T12:00:00Z"}
    answers = {
        "builds describe": build | {"status": status},
        "logging read": {"refusal": "PERMISSION_DENIED"},
    }
    shell = Shell(environment={"PATH": path_with_odd_gcloud(tmp_path, answers)})
    cloud = Cloud.of(shell, Settings(project_id=PROJECT), needs_bucket=False)

    with pytest.raises(UserError, match=f"build b-1 ended as {status}") as ended:
        build_log.follow(cloud, build, poll_seconds=0.0)

    assert ended.value.exit_code == exit_code
