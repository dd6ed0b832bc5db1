"""An emulated Cloud Storage for the tests of a module, and ways to speak to it."""

import itertools

import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from localcloud.process import running

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def connect():
    """Make a client of the server at a URL."""

    def client_of(url):
        return storage.Client(
            project="p", credentials=AnonymousCredentials(), client_options={"api_endpoint": url}
        )

    return client_of


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("state")) as url:
        yield url


@pytest.fixture(scope="module")
def client(server, connect):
    return connect(server)


@pytest.fixture
def bucket(client):
    """An empty bucket no other test uses."""
    return client.create_bucket(f"bucket-{next(_numbers)}")


@pytest.fixture
def http(server):
    """Plain HTTP to the server: http("GET", "/storage/v1/b")."""
    with requests.Session() as session:
        yield lambda method, path, **more: session.request(method, server + path, **more)
