"""The emulated Cloud Workflows runs the language as documented: 126 small workflows."""

import io
import json
import threading
import time
from pathlib import Path

import pytest

from localcloud.messages import Headers, Request
from localcloud.workflows.errors import WorkflowError
from localcloud.workflows.source import SourceError
from localcloud.workflows.strand import run_main
from tests.conformance.workflow_server import workflow_server
from tests.localcloud.workflow_runs import result_of, run_of

CASES = json.loads((Path(__file__).parents[1] / "conformance" / "workflows.json").read_text())


@pytest.fixture(scope="module")
def base():
    with workflow_server() as url:
        yield url


def call_back_when_awaited(run):
    """Call the only callback of a run, once it exists."""
    deadline = time.monotonic() + 5
    while not (made := run.callbacks.resources("e")) and time.monotonic() < deadline:
        time.sleep(0.005)
    headers = Headers([("Content-Type", "application/json")])
    request = Request("POST", "/callbacks/1", headers, io.BytesIO(b'{"ok": 1}'))
    run.callbacks.receive(made[0]["name"].rpartition("/")[2], request)
    run.wake_all()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_workflow(case, base):
    argument = json.loads(json.dumps(case["args"]).replace("@BASE@", base))
    if "raises" in case:
        with pytest.raises((WorkflowError, SourceError)) as raised:
            result_of(case["workflow"], argument, address=base)
        assert case["raises"] in str(raised.value)
        return
    run = run_of(case["workflow"], base, clock_speed=100)
    if "await_callback" in case["workflow"]:
        threading.Thread(target=call_back_when_awaited, args=(run,), daemon=True).start()

    returned = run_main(run, argument)

    assert returned == case["returns"]
    assert type(returned) is type(case["returns"])
