"""The three services over an emulated Cloud Storage, started once for all tests that do not end them."""

from contextlib import ExitStack

import pytest

from localcloud.process import running
from tests.web_services import PATHS, Lane, started


@pytest.fixture(scope="session")
def cloud(tmp_path_factory):
    with running(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def services(cloud, tmp_path_factory):
    folder = tmp_path_factory.mktemp("services")
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(started(name, cloud.storage, folder, MOST_UPLOAD_MIB="1"))
            for name in PATHS
        }


@pytest.fixture
def lane(cloud, services):
    """Empty buckets, and the services."""
    return Lane(cloud, services)
