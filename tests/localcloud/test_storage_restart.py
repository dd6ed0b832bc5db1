"""A state folder survives its server: everything that was confirmed is there after a kill."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import requests

from localcloud.process import running

ROOT = Path(__file__).parents[2]
MIB = 2**20


def test_all_objects_are_there_after_a_restart(tmp_path, connect):
    large = os.urandom(3 * MIB)
    with running(tmp_path) as cloud:
        url = cloud.storage
        bucket = connect(url).create_bucket("kept")
        bucket.labels = {"a": "b"}
        bucket.patch()
        bucket.blob("small").upload_from_string("1")
        bucket.blob("large").upload_from_string(large)
        before = {blob.name: blob._properties["generation"] for blob in bucket.list_blobs()}

    with running(tmp_path) as cloud:
        url = cloud.storage
        bucket = connect(url).get_bucket("kept")
        after = {blob.name: blob._properties["generation"] for blob in bucket.list_blobs()}
        assert after == before
        assert bucket.labels == {"a": "b"}
        assert bucket.blob("small").download_as_bytes() == b"1"
        assert bucket.blob("large").download_as_bytes() == large


def test_an_upload_started_before_a_kill_is_finished_after_it(tmp_path, connect):
    data = os.urandom(MIB)
    with killed_server(tmp_path) as url:
        connect(url).create_bucket("kept")
        upload = f"{url}/upload/storage/v1/b/kept/o?uploadType=resumable"
        location = requests.post(upload, json={"name": "r"}, timeout=5).headers["Location"]
        half = {"Content-Range": f"bytes 0-{MIB // 2 - 1}/{MIB}"}
        requests.put(location, data=data[: MIB // 2], headers=half, timeout=5)

    with running(tmp_path) as cloud:
        other_url = cloud.storage
        location = location.replace(url, other_url)
        rest = {"Content-Range": f"bytes {MIB // 2}-{MIB - 1}/{MIB}"}
        requests.put(location, data=data[MIB // 2 :], headers=rest, timeout=5)
        assert connect(other_url).bucket("kept").blob("r").download_as_bytes() == data


def test_a_kill_leaves_no_partial_object(tmp_path, connect):
    """Kill it while eight threads write: listed objects are complete, and no file is left over."""
    with killed_server(tmp_path) as url:
        connect(url).create_bucket("kept")
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, url],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(40):
            writer.stdout.readline()
    writer.kill()
    writer.communicate()

    with running(tmp_path) as cloud:
        url = cloud.storage
        found = list(connect(url).list_blobs("kept"))
        assert len(found) >= 40
        for blob in found:
            data = blob.download_as_bytes()  # the client compares checksums
            assert set(data) == {data[0]}
    assert len(list((tmp_path / "storage" / "contents").iterdir())) == len(found)
    assert not list((tmp_path / "storage" / "incoming").iterdir())


WRITER = """
import sys, itertools, requests
from concurrent.futures import ThreadPoolExecutor
url = sys.argv[1]
def write(thread):
    session = requests.Session()
    for number in itertools.count():
        path = f"/upload/storage/v1/b/kept/o?uploadType=media&name={thread}/{number}"
        session.post(url + path, data=bytes([65 + number % 26]) * 300_000)
        print(thread, number, flush=True)
list(ThreadPoolExecutor(8).map(write, range(8)))
"""


@contextmanager
def killed_server(state_dir):
    """Yield the address of a server that is killed at the end of the block."""
    child = subprocess.Popen(
        [sys.executable, "-m", "localcloud", "--state", str(state_dir)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield json.loads(child.stdout.readline())["storage"]
    finally:
        child.kill()
        child.communicate()
