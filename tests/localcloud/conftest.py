"""An emulated Google Cloud for the tests of a module, and ways to speak to it."""

import itertools
import os
import subprocess

import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from localcloud.environment import client_environment
from localcloud.process import running
from tests.localcloud.jobs import Jobs
from tests.needs import need_program

PROJECT = "p"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def connect():
    """Make a client of the server at a URL."""

    def client_of(url):
        return storage.Client(
            project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": url}
        )

    return client_of


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with running(tmp_path_factory.mktemp("state")) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def server(cloud):
    """The address of storage."""
    return cloud.storage


@pytest.fixture(scope="module")
def client(server, connect):
    return connect(server)


@pytest.fixture
def bucket(client):
    """An empty bucket no other test uses."""
    return client.create_bucket(f"bucket-{next(_numbers)}")


@pytest.fixture
def http(server):
    """Plain HTTP to storage: http("GET", "/storage/v1/b")."""
    with requests.Session() as session:
        yield lambda method, path, **more: session.request(method, server + path, **more)


@pytest.fixture
def api(cloud):
    """Plain HTTP to all other services: api("GET", "/v1/projects/p")."""
    with requests.Session() as session:
        session.headers["Authorization"] = "Bearer any"
        yield lambda method, path, **more: session.request(method, cloud.apis + path, timeout=30, **more)


@pytest.fixture
def jobs(cloud):
    """Jobs of the emulated Batch; no fault that a test orders outlives it."""
    jobs = Jobs(cloud)
    yield jobs
    jobs.clear_faults()


@pytest.fixture(scope="module")
def run_gcloud(cloud, tmp_path_factory):
    """Run gcloud: what it prints, or its error; it knows no service but the emulator."""
    program = need_program("gcloud")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path_factory.mktemp("home")),
        "LANG": "C.UTF-8",
        **client_environment(cloud.storage, cloud.apis, cloud.state, PROJECT),
    }

    def run(*arguments, fails=False, stdin=""):
        done = subprocess.run(
            [program, *map(str, arguments)],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout

    return run
