"""What tests call `gcloud` does what the program does that is installed: see tests/warm."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from localcloud.environment import client_environment
from localcloud.process import running
from tests.emulated import create_bucket, order_faults, request
from tests.needs import need_program

HERE = ("--project", "p")
REGION = ("--location", "us-central1", *HERE)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    need_program("gcloud")
    with running(tmp_path_factory.mktemp("state")) as cloud:
        create_bucket(cloud, "forecasts")
        yield cloud


@pytest.fixture
def environment(cloud, tmp_path):
    kept = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    return {**kept, **client_environment(cloud.storage, cloud.apis, cloud.state, "p")}


def call(program: str, words: tuple[str, ...], environment: dict[str, str], **more) -> tuple[int, str, str]:
    done = subprocess.run([program, *words], env=environment, capture_output=True, text=True, **more)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (("config", "list"), {}),
        (("info", "--format", "value(config.paths.global_config_dir,basic.python_location)"), {}),
        (("workflows", "describe", "nowhere", *REGION, "--format", "json"), {}),
        (("storage", "buckets", "describe", "gs://forecasts", "--format", "value(name)"), {}),
        (("secrets", "describe"), {}),
        (("no-such-command",), {}),
        (("storage", "cat", "gs://forecasts/ä ö"), {}),
        (("secrets", "create", "named", "--data-file=-", *HERE, "--format", "value(name)"), {"input": "ü"}),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_it_prints_and_ends_as_the_installed_program(
    words, more, environment, cloud, tmp_path, gcloud_on_path
):
    answers = []
    for program in ("gcloud", gcloud_on_path):
        answers.append(call(program, words, environment, cwd=tmp_path, **more))
        request("DELETE", f"{cloud.apis}/v1/projects/p/secrets/named")

    assert answers[0] == answers[1]


def test_it_is_loaded_at_the_first_call_alone(environment, gcloud_on_path):
    if shutil.which("gcloud") == gcloud_on_path:
        pytest.skip("this gcloud does not come with a Python of its own")
    call("gcloud", ("version",), environment)

    begun = time.monotonic()
    loaded = call("gcloud", ("version",), environment)
    loaded_seconds, begun = time.monotonic() - begun, time.monotonic()
    anew = call(gcloud_on_path, ("version",), environment)

    assert loaded == anew
    assert loaded_seconds < time.monotonic() - begun


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it_and_what_it_was_doing(number, environment, cloud):
    order_faults(cloud, {"path": "/workflows/slow", "latency_seconds": 1, "status": 503})
    process = subprocess.Popen(
        ["gcloud", "workflows", "describe", "slow", *REGION],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not hits(cloud):
        time.sleep(0.05)

    process.send_signal(number)

    assert process.wait(10) != 0
    time.sleep(4)  # one second of an answer, and two until it would ask again
    assert hits(cloud) == 1
    request("DELETE", f"{cloud.apis}/_emulator/faults")


def hits(cloud) -> int:
    return sum(rule["hits"] for rule in request("GET", f"{cloud.apis}/_emulator/faults").json())
