"""Clouds whose tasks are nothing, by how fast their clock goes, and the workflow of uploads on one."""

import pytest

from localcloud.process import running
from tests.emulated import request
from tests.gpu_operators import LaneOperator
from tests.null_clouds import cloud_of_null_tasks
from tests.upload_lane import SmallServices, UploadLane, numbers


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """A cloud on which an hour takes two seconds, and whose tasks are nothing."""
    with cloud_of_null_tasks(tmp_path_factory, 2000) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def fast_cloud(tmp_path_factory):
    """A day takes four seconds."""
    with cloud_of_null_tasks(tmp_path_factory, 20_000) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def calm_cloud(tmp_path_factory):
    """Ten minutes take three seconds, so that a test that is held up for a moment does not miss them."""
    with cloud_of_null_tasks(tmp_path_factory, 200) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def slow_cloud(tmp_path_factory):
    """A minute takes two seconds, so that what programs take of it does not count."""
    with cloud_of_null_tasks(tmp_path_factory, 30) as cloud:
        yield cloud


@pytest.fixture
def services():
    """The three services of uploads, which a test steers."""
    services = SmallServices()
    yield services
    services.close()


@pytest.fixture
def lane(cloud, services):
    """The workflow of uploads with its buckets and trigger; the cloud is emptied after a test."""
    yield UploadLane(cloud, services, next(numbers))
    request("POST", f"{cloud.apis}/_emulator/reset")


@pytest.fixture(scope="module")
def lane_operator(tmp_path_factory):
    """An operator with a cloud of their own, for all tests of a file."""
    with running(tmp_path_factory.mktemp("state"), "--clock-speed", "60") as emulator:
        yield LaneOperator(emulator, tmp_path_factory.mktemp("operator"))


@pytest.fixture
def operator(lane_operator):
    """The same, without the faults that an earlier test ordered."""
    yield lane_operator
    request("DELETE", f"{lane_operator.emulator.apis}/_emulator/faults")
