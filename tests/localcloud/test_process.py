"""The emulator as a process: its start and end, its memory, and the lock on its state folder."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from localcloud.process import running
from tests.localcloud.processes import ROOT, peak_mib, started

MIB = 2**20

PARENT = """
import sys, time
from localcloud.process import running
with running(sys.argv[1]) as cloud:
    print(cloud.storage, flush=True)
    time.sleep(60)
"""

# Ready, it sends itself a signal before each further line that its main thread runs.
SIGNALLED = """
import os, signal, sys
from localcloud import __main__

seen, is_ready = set(), False

def trace(frame, event, argument):
    global is_ready
    line = (frame.f_code.co_filename, frame.f_lineno)
    if is_ready and line not in seen:
        seen.add(line)
        os.kill(os.getpid(), signal.SIGTERM)
    is_ready = is_ready or (frame.f_code.co_name, event) == ("_print_addresses", "return")
    return trace

sys.argv[0] = "localcloud"
sys.settrace(trace)
sys.exit(__main__.main())
"""


def is_up(url):
    try:
        return requests.get(f"{url}/_emulator/requests", timeout=5).ok
    except requests.ConnectionError:
        return False


def wait_until_down(url, seconds):
    deadline = time.monotonic() + seconds
    while is_up(url) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_up(url)


def test_both_ports_answer_once_it_reports_ready(tmp_path):
    with running(tmp_path) as cloud:
        assert is_up(cloud.storage)
        assert is_up(cloud.apis)


def test_it_is_gone_after_its_block(tmp_path):
    with running(tmp_path) as cloud:
        assert cloud.storage.startswith("http://127.0.0.1:")

    assert not is_up(cloud.storage)
    assert not is_up(cloud.apis)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(tmp_path, number):
    with started("-m", "localcloud", "--state", str(tmp_path)) as child:
        child.stdout.readline()

        child.send_signal(number)

        assert child.wait(5) == 0
        assert child.stderr.read() == ""


def test_a_signal_at_any_line_stops_it_cleanly(tmp_path):
    with started("-c", SIGNALLED, "--state", str(tmp_path)) as child:
        assert child.wait(60) == 0
        assert child.stderr.read() == ""


def test_it_does_not_outlive_a_parent_that_was_killed(tmp_path):
    with started("-c", PARENT, str(tmp_path)) as parent:
        url = parent.stdout.readline().strip()
        assert is_up(url)

        parent.kill()
        parent.wait()

        assert wait_until_down(url, seconds=5)


def test_two_do_not_share_a_state_folder(tmp_path):
    with running(tmp_path):
        other = subprocess.run(
            [sys.executable, "-m", "localcloud", "--state", str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=20,
        )

    assert other.returncode == 2
    assert "in use" in other.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--state", "file"], "file: File exists"),
        (["--state", "file/below"], "file/below: Not a directory"),
        (["--state", "new", "--apis-port", "65536"], "65536 is not from 0 to 65535"),
        (["--state", "new", "--tasks", "docker"], "docker is not installed"),
        *(
            (["--state", "new", "--exports", "p", "--exports-as", name], f"{name}: use user:EMAIL or")
            for name in ("ann@my-lab.example", "USER:ann@my-lab.example", "user:a:b@my-lab.example")
        ),
    ],
)
def test_a_start_that_fails_is_explained_in_one_line(tmp_path, words, said):
    (tmp_path / "file").touch()

    ended = subprocess.run(
        [sys.executable, "-m", "localcloud", *words],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=20,
    )

    assert ended.returncode == 2
    assert said in ended.stderr.splitlines()[-1]


def test_it_listens_on_this_machine_only(tmp_path):
    with running(tmp_path) as cloud:
        ports = [f":{int(url.rsplit(':', 1)[1]):04X}" for url in (cloud.storage, cloud.apis)]
        listening = Path("/proc/net/tcp")
        if not listening.exists():
            pytest.skip("listening sockets are read from /proc")
        addresses = {
            line.split()[1].partition(":")[0]
            for line in listening.read_text().splitlines()[1:]
            if line.split()[1].endswith(tuple(ports)) and line.split()[3] == "0A"
        }

    assert addresses == {"0100007F"}


def test_a_large_object_takes_little_memory(tmp_path):
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc")
    size = 128 * MIB
    with started("-m", "localcloud", "--state", str(tmp_path)) as child:
        url = json.loads(child.stdout.readline())["storage"]
        requests.post(f"{url}/storage/v1/b?project=p", json={"name": "bkt"}, timeout=5)

        upload = f"{url}/upload/storage/v1/b/bkt/o?uploadType=resumable"
        location = requests.post(upload, json={"name": "big"}, timeout=5).headers["Location"]
        with open(tmp_path / "zeros", "w+b") as zeros:
            zeros.truncate(size)
            requests.put(location, data=zeros, timeout=60).raise_for_status()
        with requests.get(f"{url}/storage/v1/b/bkt/o/big?alt=media", stream=True, timeout=60) as answer:
            read = sum(len(piece) for piece in answer.iter_content(MIB))

        assert read == size
        assert peak_mib(child.pid) < 100
