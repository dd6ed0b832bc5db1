"""An emulated Google Cloud for the tests of a module, and clients of it."""

import json
import os
import subprocess
import time
import uuid

import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from localcloud.environment import client_environment
from localcloud.process import running
from tests.emulated import request
from tests.experiments import sampled
from tests.localcloud.jobs import PROJECT, Jobs, numbers
from tests.localcloud.storage_lab import storage_lab
from tests.localcloud.workflow_api import LOCATION
from tests.needs import need_program
from tests.stage_scripts import Stages


@pytest.fixture(scope="session")
def connect():
    """Return a function that makes a client of the server at a URL."""

    def client_of(url):
        return storage.Client(
            project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": url}
        )

    return client_of


@pytest.fixture(scope="session")
def emulator(tmp_path_factory):
    """One emulator with default settings for all modules: each start takes half a second."""
    with running(tmp_path_factory.mktemp("state")) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def enforcing(tmp_path_factory):
    """One emulator that enforces the policies of the project, for all modules."""
    with running(tmp_path_factory.mktemp("state"), "--rights-of", PROJECT) as cloud:
        yield cloud


@pytest.fixture
def lab(enforcing):
    return storage_lab(enforcing)


@pytest.fixture(scope="module")
def cloud(emulator):
    """The emulator, emptied before the first test of a module."""
    request("POST", f"{emulator.apis}/_emulator/reset").raise_for_status()
    return emulator


@pytest.fixture
def emptied(cloud):
    """Empty the cloud after a test, for modules whose tests use the same names."""
    yield
    request("POST", f"{cloud.apis}/_emulator/reset").raise_for_status()


@pytest.fixture(scope="module")
def server(cloud):
    """Return the address of storage."""
    return cloud.storage


@pytest.fixture(scope="module")
def client(server, connect):
    return connect(server)


@pytest.fixture
def bucket(client):
    """Return an empty bucket that no other test uses."""
    return client.create_bucket(f"bucket-{next(numbers)}")


@pytest.fixture
def http(server):
    """Return a function for plain HTTP to storage: http("GET", "/storage/v1/b")."""
    with requests.Session() as session:
        yield lambda method, path, **more: session.request(method, server + path, **more)


@pytest.fixture
def api(cloud):
    """Return a function for plain HTTP to all other services: api("GET", "/v1/projects/p")."""
    with requests.Session() as session:
        session.headers["Authorization"] = "Bearer any"
        yield lambda method, path, **more: session.request(method, cloud.apis + path, timeout=30, **more)


@pytest.fixture
def jobs(cloud):
    """Return a client of the emulated Batch; the faults that a test sets are cleared after it."""
    jobs = Jobs(cloud)
    yield jobs
    jobs.clear_faults()


@pytest.fixture(scope="session")
def local_tables(tmp_path_factory):
    """Return the output tables of the sampled experiment by name, from a local run of the three stages."""
    stages = Stages(tmp_path_factory.mktemp("local"), sampled(), WORKLOADS_PER_TASK="3", BATCH_TASK_INDEX="0")
    ended = [stages.run(stage) for stage in ("builder", "runner", "output")]
    assert [e.exit_code for e in ended] == [0, 0, 0], ended[-1].output
    tables = {path.name: path.read_bytes() for path in stages.outputs().glob("*.csv.gz")}
    assert len(tables) >= 4
    return tables


@pytest.fixture(scope="module")
def run_gcloud(cloud, tmp_path_factory):
    """Return a function that runs gcloud on the emulator only, and returns its output or its error."""
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
            env=environment
            | {name: os.environ[name] for name in ("TEST_GCLOUD_SPEED",) if name in os.environ},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout

    return run


@pytest.fixture
def deploy(api):
    """Return a function that deploys a workflow under a new name and returns its path."""

    def post(source, **settings):
        workflow_id = f"w-{uuid.uuid4().hex[:12]}"
        body = {"sourceContents": source, **settings}
        answer = api("POST", f"{LOCATION}/workflows?workflowId={workflow_id}", json=body)
        assert answer.status_code == 200, answer.text
        return f"{LOCATION}/workflows/{workflow_id}"

    return post


@pytest.fixture
def start(api):
    """Return a function that starts an execution and returns its path."""

    def post(workflow, **body):
        answer = api("POST", f"{workflow}/executions", json=body)
        assert answer.status_code == 200, answer.text
        return "/v1/" + answer.json()["name"]

    return post


@pytest.fixture
def ended(api, start):
    """Return a function that runs an execution to its end and returns it."""

    def run(workflow, argument=None, **body):
        path = start(workflow, argument=json.dumps(argument), **body)
        deadline = time.monotonic() + 20
        while (execution := api("GET", path).json())["state"] == "ACTIVE" and time.monotonic() < deadline:
            time.sleep(0.01)
        return execution

    return run
