"""The images as builds in a real engine make, test and push them to a real registry."""

import re
import socket
import subprocess

import pytest
import requests
import yaml

from localcloud.process import running
from ops.gpu.names import SERVICES, Names
from ops.laptop.local_cloud import STRUCTURE_TEST, structure_test
from tests.build_operators import PROJECT, BuildOperator, commit, copy_of_the_code, operator_at, wait_until
from tests.in_process import settings_of
from tests.needs import docker, need_engine, need_program, one_build_at_a_time


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """The address of a registry on this machine, with the images' base in it."""
    need_engine()
    program = need_program("docker-registry")
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": address},
    }
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    process = subprocess.Popen([program, "serve", str(folder / "config.yml")], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(f"http://{address}/v2/"), seconds=20)
        docker("tag", "python:3.11-slim", f"{address}/python:3.11-slim")
        docker("push", "--quiet", f"{address}/python:3.11-slim")
        yield address
        ours = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
        docker("rmi", *(n for n in ours if n.startswith(f"{address}/") and "<none>" not in n))
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def building(registry, tmp_path_factory):
    """A cloud whose builds run in the engine, with the structure tests in place of their tool's image."""
    builder = ("--builder", STRUCTURE_TEST, structure_test())
    with running(tmp_path_factory.mktemp("building"), *builder) as cloud:
        yield BuildOperator(
            cloud,
            tmp_path_factory.mktemp("operator"),
            REGISTRY_HOST=registry,
            BASE_IMAGE=f"{registry}/python:3.11-slim",
        )


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.ConnectionError:
        return False


def manifest(registry: str, tag: str, image: str = "epymodelingsuite-repo/epymodelingsuite") -> dict:
    """Return what a registry has of an image: the digest, and its configuration."""
    repository = f"http://{registry}/v2/{PROJECT}/{image}"
    accept = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    answer = requests.get(f"{repository}/manifests/{tag}", headers=accept, timeout=10)
    assert answer.status_code == 200, answer.text
    config = requests.get(f"{repository}/blobs/{answer.json()['config']['digest']}", timeout=10).json()
    return {"digest": answer.headers["Docker-Content-Digest"], "config": config["config"]}


@pytest.mark.timeout(900)
def test_a_build_is_made_tested_and_pushed_under_commit_and_tag(building, registry):
    with one_build_at_a_time():
        ended = building.invoke("build", "--wait")

    assert ended.exit_code == 0, ended.output
    build = building.build()
    assert [step["status"] for step in build["steps"]] == ["SUCCESS"] * 3
    newest, by_commit = manifest(registry, "latest"), manifest(registry, commit())
    assert newest["digest"] == by_commit["digest"]
    assert f"@{newest['digest']}" in ended.lines[-1]
    labels = newest["config"]["Labels"]
    assert labels["org.opencontainers.image.revision"] == commit()
    assert re.fullmatch(
        rf"{registry}/python@sha256:[0-9a-f]{{64}}", labels["org.opencontainers.image.base.name"]
    )
    assert (labels["component"], labels["stage"]) == ("epymodelingsuite", "imagebuild")
    assert (labels["managed-by"], labels["build_id"]) == ("cloudbuild", build["id"])
    assert "EXECUTION_MODE=cloud" in newest["config"]["Env"]
    assert re.search(r"[0-9]{2} tests passed", ended.output)


@pytest.mark.timeout(900)
def test_a_build_begins_with_the_layers_of_the_newest_image_and_build_status_shows_its_digest(
    building, registry
):
    with one_build_at_a_time():
        assert building.invoke("build", "--wait").exit_code == 0
        again = building.invoke("build", "--wait")

    assert again.exit_code == 0, again.output
    assert f"importing cache manifest from {name_of(registry, 'latest')}" in again.output

    status = building.invoke("build-status")
    ongoing = building.invoke("build-status", "--ongoing")

    assert building.build()["id"] in status.output
    assert "SUCCESS" in status.output
    assert manifest(registry, "latest")["digest"] in status.output
    assert "no build is running" in ongoing.output


@pytest.mark.timeout(900)
def test_the_images_of_the_services_are_made_tested_and_pushed_under_commit_and_tag(building, registry):
    with one_build_at_a_time():
        ended = building.invoke("gpu-build")

    assert ended.exit_code == 0, ended.output
    build = building.build()
    assert [step["status"] for step in build["steps"]] == ["SUCCESS"] * 4
    assert len(re.findall(r"[0-9]{2} tests passed", ended.output)) == 2
    repository = Names.of(settings_of(building.operator)).repository
    digests = {}
    for service in SERVICES:
        newest, by_commit = (
            manifest(registry, tag, f"{repository}/{service}") for tag in ("latest", commit())
        )
        digests[service] = newest["digest"]
        assert newest["digest"] == by_commit["digest"]
        assert f"@{newest['digest']}" in ended.output
        labels = newest["config"]["Labels"]
        assert labels["org.opencontainers.image.revision"] == commit()
        assert (labels["component"], labels["stage"]) == ("epymodelingsuite", "imagebuild")
        assert (labels["managed-by"], labels["build_id"]) == ("cloudbuild", build["id"])
    assert digests["preprocess"] == digests["postprocess"] != digests["inference"]


@pytest.mark.timeout(900)
def test_an_image_that_lacks_something_is_not_pushed(building, registry, tmp_path):
    source = tmp_path / "code"
    copy_of_the_code(source)
    (source / "scripts" / "main_output.py").unlink()
    with one_build_at_a_time():
        ended = operator_at(building, source).invoke("build", "--wait", IMAGE_TAG="broken")

    assert ended.exit_code == 1
    assert "ended as FAILURE: build step 2" in ended.last_line
    assert "/scripts/main_output.py is missing" in ended.output
    tags = f"http://{registry}/v2/{PROJECT}/epymodelingsuite-repo/epymodelingsuite/tags/list"
    assert "broken" not in (requests.get(tags, timeout=10).json().get("tags") or [])


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("target", "tag"), [("cloud", "from-here"), ("local", "local")])
def test_build_local_pushes_the_same_image_from_this_machine(building, registry, target, tag):
    with one_build_at_a_time():
        ended = building.invoke("build-local", "--target", target, IMAGE_TAG="from-here")

    assert ended.exit_code == 0, ended.output
    assert manifest(registry, tag)["config"]["Labels"]["managed-by"] == "manual"
    assert f"EXECUTION_MODE={target}" in manifest(registry, tag)["config"]["Env"]
    assert building.invoke("image-test", "--image", name_of(registry, tag)).exit_code == 0


def name_of(registry: str, tag: str) -> str:
    return f"{registry}/{PROJECT}/epymodelingsuite-repo/epymodelingsuite:{tag}"
