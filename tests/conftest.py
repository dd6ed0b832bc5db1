"""Fixtures that many tests share."""

import os
import signal
from pathlib import Path

import pytest

from localcloud.process import running
from tests import warm
from tests.cloud_operators import ready_cloud
from tests.emulated import request
from tests.experiments import REPOSITORY

# Lanes with the longest tests, which come first: the short ones are then shared out evenly at the end.
LONG_LANES = ("deploy", "long", "cloud")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests of LONG_LANES come first; within a lane the order stays."""
    place = {lane: number for number, lane in enumerate(LONG_LANES)}
    items.sort(key=lambda item: place.get(item.path.parent.name, len(place)))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name binary content by its argument: gzip's holds the time, and all workers need the same names."""
    return argname if isinstance(val, bytes) and not val.isascii() else None


@pytest.fixture(scope="session", autouse=True)
def ctrl_c():
    """Let what tests start follow Ctrl-C, which a shell has ignored by what it runs in the background."""
    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN:  # what is started would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def gcloud_on_path(ctrl_c):
    """Load the real gcloud once for all calls of the tests; the path of the program that is installed."""
    with warm.gcloud_on_path() as installed:
        yield installed


@pytest.fixture(scope="session", autouse=True)
def real_python(ctrl_c):
    """Load the stage scripts and invoke once for all calls; the path of the Python that is installed."""
    with warm.python() as installed:
        yield installed


@pytest.fixture
def impatient_gcloud(monkeypatch):
    """Have the loaded gcloud try again as often as ever, but at once: half a minute becomes a second."""
    monkeypatch.setenv("TEST_GCLOUD_SPEED", "50")


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """The folder of real populations and admissions; TEST_DATA_DIR names another."""
    folder = Path(os.environ.get("TEST_DATA_DIR") or REPOSITORY.parent / "shared" / "data")
    if not (folder / "flusight").is_dir():
        message = f"no reference data in {folder}; set TEST_DATA_DIR"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    """An emulated cloud for the tests of one module."""
    with running(tmp_path_factory.mktemp("state")) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def null_cloud(tmp_path_factory):
    """A cloud whose tasks are nothing and whose clock goes fast, for tests that bend it: see pipeline."""
    state = tmp_path_factory.mktemp("null")
    with running(state, "--clock-speed", "100", "--tasks", "null") as cloud:
        yield cloud


@pytest.fixture
def pipeline(null_cloud):
    """The workflow in that cloud, furnished anew: it is emptied after each test."""
    yield ready_cloud(null_cloud)
    request("POST", f"{null_cloud.apis}/_emulator/reset")
