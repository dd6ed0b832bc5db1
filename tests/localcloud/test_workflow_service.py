"""The emulated Workflows as a service: what it keeps, how many executions it runs, and their steps."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from localcloud.logs import LogService
from localcloud.messages import ApiError
from localcloud.times import Clock
from localcloud.workflows import executions
from localcloud.workflows.deployments import Deployments

ROOT = Path(__file__).parents[2]
SLEEP = "main: {params: [s], steps: [{nap: {call: sys.sleep, args: {seconds: '${s}'}}}]}"


@pytest.fixture
def running():
    """Return executions without a server, and a workflow that sleeps as long as its argument says."""
    deployments = Deployments()
    workflow = deployments.create(("p", "l", "w"), {"sourceContents": SLEEP})
    found = executions.Executions(LogService(), {}, Clock(1000))
    yield lambda seconds, **more: found.create(workflow, {"argument": str(seconds), **more}), found
    found.forget_all()


def wait_until(holds):
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_an_execution_is_queued_and_starts_when_there_is_a_free_thread(running, monkeypatch):
    monkeypatch.setattr(executions, "MAX_RUNNING", 2)
    start, found = running

    started = [start(1e9) for _ in range(2)]
    queued = start(0)

    assert [each.state for each in started] == ["ACTIVE", "ACTIVE"]
    assert queued.state == "QUEUED"
    assert "startTime" not in queued.resource()
    with pytest.raises(ApiError, match="Quota"):
        start(0, disableConcurrencyQuotaOverflowBuffering=True)
    found.cancel(started[0])
    wait_until(lambda: queued.state == "SUCCEEDED")


def test_a_queued_execution_that_is_cancelled_never_starts(running, monkeypatch):
    monkeypatch.setattr(executions, "MAX_RUNNING", 1)
    start, found = running
    first, queued = start(1e9), start(0)

    found.cancel(queued)
    found.cancel(first)
    last = start(0)

    wait_until(lambda: last.state == "SUCCEEDED")
    assert queued.state == "CANCELLED"
    assert not queued.start_time


def test_only_the_newest_finished_executions_are_kept_and_fewer_histories(running, monkeypatch):
    monkeypatch.setattr(executions, "MAX_FINISHED", 5)
    monkeypatch.setattr(executions, "MAX_HISTORIES", 2)
    start, found = running
    sleeping = start(1e9)
    finished = []

    for _ in range(8):
        finished.append(start(0))
        wait_until(lambda: finished[-1].state == "SUCCEEDED")

    assert [found.find(each.execution_id) for each in finished] == [None] * 3 + finished[3:]
    assert [bool(each.history) for each in finished[3:]] == [False] * 3 + [True] * 2
    assert all(each.run is None for each in finished)
    assert found.find(sleeping.execution_id) is sleeping


def test_each_step_is_passed_to_the_callback():
    seen = []
    workflow = Deployments().create(("p", "l", "w"), {"sourceContents": SLEEP})
    found = executions.Executions(LogService(), {}, Clock(), lambda *step: seen.append(step))

    execution = found.create(workflow, {"argument": "0"})
    wait_until(lambda: execution.state == "SUCCEEDED")

    assert [(name, step.step) for name, step in seen] == [(execution.execution_id, "nap")]


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "1e9"])
def test_an_invalid_clock_speed_is_refused(tmp_path, speed):
    argv = [sys.executable, "-m", "localcloud", "--state", str(tmp_path), "--clock-speed", speed]

    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=20)

    assert ended.returncode == 2
    assert "--clock-speed" in ended.stderr
