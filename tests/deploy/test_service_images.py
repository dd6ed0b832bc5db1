"""The images of the services of the GPU lane, as a real engine makes and starts them."""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from ops.images.image_checks import CONFIGS
from ops.images.images import check
from ops.shell import Shell
from tests.build_operators import copy_of_the_code, wait_until
from tests.experiments import REPOSITORY
from tests.needs import build_image, docker, need_engine
from tests.web_services import free_port

IMAGE = "epymodelingsuite:{}-test"
MOST_EXTRA_BYTES = 230_000_000  # of inference, over the image of the stages
TARGETS = ("service", "inference")
STOP_SECONDS = 10.0  # that Cloud Run leaves after SIGTERM


@pytest.fixture(scope="module")
def images() -> dict[str, str]:
    """The name of the image of each target, that of the stages included."""
    need_engine()
    names = {target: IMAGE.format(target) for target in ("cloud", *TARGETS)}
    for target, name in names.items():
        done = build_image(target, name, {})
        assert done.returncode == 0, done.stdout
    return names


@contextmanager
def served(image: str, **variables: str) -> Iterator[str]:
    """Start an image as Cloud Run does, and yield the address of its service."""
    port = free_port()
    options = [f"--env={name}={value}" for name, value in {**variables, "PORT": str(port)}.items()]
    container = docker("run", "--detach", "--network", "host", *options, image)
    try:
        yield f"http://127.0.0.1:{port}"
        begun = time.monotonic()
        docker("stop", "--time", "60", container)
        assert time.monotonic() - begun < STOP_SECONDS
        assert docker("inspect", "--format", "{{.State.ExitCode}}", container) == "0"
    finally:
        docker("rm", "--force", container)


def health(address: str) -> dict:
    def answers() -> bool:
        try:
            return requests.get(f"{address}/health", timeout=2).ok
        except requests.ConnectionError:
            return False

    wait_until(answers, seconds=60)
    return requests.get(f"{address}/health", timeout=2).json()


@pytest.mark.timeout(900)
def test_inference_passes_the_tests_of_every_kind_of_image_that_it_is(images, capfd):
    check(Shell(), images["inference"])

    said = capfd.readouterr()
    assert all(path.name in said.err for path in CONFIGS["inference"])
    assert "a CUDA kernel compiles without a GPU" in said.out


@pytest.mark.timeout(900)
def test_inference_adds_at_most_230_mb_to_the_image_of_the_stages(images):
    stages, inference = (
        int(docker("image", "inspect", "--format", "{{.Size}}", images[target]))
        for target in ("cloud", "inference")
    )

    assert 0 < inference - stages <= MOST_EXTRA_BYTES
    nvidia = "/opt/venv/lib/python3.11/site-packages/nvidia"
    listed = docker("run", "--rm", images["inference"], "find", nvidia, "-type", "f")
    assert "libnvvm.so" in listed
    assert not re.search(r"nvJitLink|\.h$|\.hpp$|\.a$", listed, re.MULTILINE | re.IGNORECASE)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("service", ["preprocess", "inference", "postprocess"])
def test_a_service_answers_on_the_port_that_it_is_given_and_ends_when_it_is_told_to(images, service):
    target = "inference" if service == "inference" else "service"

    with served(images[target], SERVICE=service) as address:
        found = health(address)

    assert (found["service"], found["device"]) == (service, "cpu")
    assert [model.partition("@")[0] for model in found["models"]] == ["forecast", "sentiment"]


def test_a_container_without_a_gpu_refuses_to_start_where_one_is_demanded(images):
    done = subprocess.run(
        ["docker", "run", "--rm", "--env=DEVICE=cuda", images["inference"]], capture_output=True, text=True
    )

    assert done.returncode == 2
    assert "DEVICE=cuda, but there is no GPU" in done.stdout


@pytest.fixture
def code(tmp_path):
    """A checkout with packages of a model."""
    folder = tmp_path / "code"
    copy_of_the_code(folder)
    return folder


def locked(package: str) -> str:
    """Return the lines of a package in the lock file of the development environment."""
    text = (REPOSITORY / "requirements-dev.txt").read_text()
    return re.search(rf"^{package}==(?:.*\\\n)+.*\n", text, re.MULTILINE)[0]


@pytest.mark.timeout(900)
def test_packages_of_a_model_are_in_both_images(images, code):
    (code / "docker" / "requirements-model.txt").write_text(locked("iniconfig"))

    for target in TARGETS:
        tag = IMAGE.format(f"model-{target}")
        built = build_image(target, tag, {}, context=code)

        assert built.returncode == 0, built.stdout
        assert docker("run", "--rm", tag, "python", "-c", "import iniconfig; print('there')") == "there"
        docker("rmi", tag)


@pytest.mark.timeout(900)
def test_packages_of_a_model_that_need_another_version_of_ours_end_the_build(images, code):
    numpy = re.sub(r"==[0-9.]+", "==2.3.1", locked("numpy"), count=1)
    (code / "docker" / "requirements-model.txt").write_text(numpy)

    built = build_image("service", IMAGE.format("conflict"), {}, context=code)

    assert built.returncode != 0
    assert "you require numpy==2.3.1 and numpy==" in built.stdout
