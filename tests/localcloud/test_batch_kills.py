"""No process of a task or a build is left after a cancel, a stop, or kill -9 of the emulator."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from localcloud.process import Cloud, running
from tests.localcloud.jobs import Jobs, job, shell
from tests.localcloud.processes import ROOT, started

# A child, one in the background of a shell that has ended, and one in a session of its own.
FAMILY = """
    sleep {0} &
    (sleep {0} & exit)
    setsid sleep {0} &
    echo ready
    wait
    sleep {0}
"""

PARENT = """
import sys, time
from localcloud.process import running
with running(sys.argv[1]) as cloud:
    print(cloud.apis, flush=True)
    time.sleep(600)
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are read from /proc")


def sleepers(seconds):
    """Return the processes that sleep for a number of seconds that no other test uses."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[:2] == [b"sleep", str(seconds).encode()]:
                found.append(int(entry.name))
    return found


def begin(jobs, seconds, count=1):
    """Start tasks with a family of processes each, and wait until all of them run."""
    made = jobs.create(job(shell(FAMILY.format(seconds)), count=count))
    until = time.monotonic() + 30
    while len(sleepers(seconds)) < 3 * count or len(jobs.lines(made)) < count:
        assert time.monotonic() < until, jobs.lines(made)
        time.sleep(0.05)
    return made


def are_gone(seconds, folder):
    """Return whether all processes and folders of the tasks are gone within 10 seconds."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if not sleepers(seconds) and not list((folder / "batch" / "tasks").glob("*")):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(("how", "seconds"), [("cancel", 7001), ("delete", 7002)])
def test_a_cancel_and_a_delete_kill_the_whole_family(jobs, how, seconds):
    made = begin(jobs, seconds)

    getattr(jobs, how)(made)

    assert are_gone(seconds, jobs.cloud.state)


def test_the_background_processes_of_a_task_end_with_it(jobs):
    ended = jobs.run(job(shell("setsid sleep 7003 & sleep 7003 & echo started")))

    assert ended["status"]["state"] == "SUCCEEDED"
    assert are_gone(7003, jobs.cloud.state)


def test_an_emulator_that_stops_kills_its_tasks_first(tmp_path):
    with running(tmp_path, "--slots", "2") as cloud:
        begin(Jobs(cloud), 7004, count=2)

    assert sleepers(7004) == []
    assert list((tmp_path / "batch" / "tasks").glob("*")) == []


@pytest.mark.parametrize(("number", "seconds"), [(signal.SIGKILL, 7005), (signal.SIGTERM, 7006)])
def test_nothing_outlives_an_emulator_that_is_killed(tmp_path, number, seconds):
    with started("-m", "localcloud", "--state", str(tmp_path)) as emulator:
        cloud = Cloud(**json.loads(emulator.stdout.readline()), state=tmp_path)
        begin(Jobs(cloud), seconds)

        emulator.send_signal(number)
        emulator.wait()

        assert are_gone(seconds, tmp_path)


def test_no_step_of_a_build_outlives_an_emulator_that_is_killed(tmp_path):
    step = {
        "name": "gcr.io/cloud-builders/docker",
        "entrypoint": "bash",
        "args": ["-c", FAMILY.format(7009)],
    }
    with started("-m", "localcloud", "--state", str(tmp_path)) as emulator:
        address = json.loads(emulator.stdout.readline())["apis"]
        headers = {"Authorization": "Bearer any"}
        requests.post(
            f"{address}/v1/projects/p/builds", json={"steps": [step]}, headers=headers, timeout=10
        ).raise_for_status()
        until = time.monotonic() + 30
        while len(sleepers(7009)) < 3:
            assert time.monotonic() < until
            time.sleep(0.05)

        emulator.kill()
        emulator.wait()

        assert are_gone(7009, tmp_path)
    with running(tmp_path):
        assert not (tmp_path / "builds").exists()


def test_nothing_outlives_the_parent_of_an_emulator(tmp_path):
    with started("-c", PARENT, str(tmp_path)) as parent:
        cloud = Cloud("", parent.stdout.readline().strip(), tmp_path)
        begin(Jobs(cloud), 7007)

        parent.kill()
        parent.wait()

        assert are_gone(7007, tmp_path)


def test_a_command_ends_with_a_supervisor_that_is_killed(tmp_path):
    supervisor = ROOT / "localcloud" / "supervisor.py"
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", supervisor, tmp_path, "0", "sleep", "7008"], stdin=subprocess.PIPE
    )
    until = time.monotonic() + 10
    while not sleepers(7008) and time.monotonic() < until:
        time.sleep(0.02)
    assert sleepers(7008)

    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdin.close()

    assert are_gone(7008, tmp_path)


def test_what_a_crash_left_on_disk_is_removed_by_the_next_start(tmp_path):
    left = tmp_path / "batch" / "tasks" / "job-1-0-0"
    left.mkdir(parents=True)

    with running(tmp_path):
        assert not left.exists()
