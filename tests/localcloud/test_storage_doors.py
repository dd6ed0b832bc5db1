"""Clients of Cloud Storage as members: through a door without a token, and gcloud with one."""

import os
import subprocess

import pytest
import requests
from google.api_core.exceptions import Forbidden, NotFound
from google.cloud.storage import transfer_manager

from localcloud.environment import client_environment
from tests.localcloud.jobs import PROJECT
from tests.localcloud.storage_lab import ANN, BOB, READER, WRITER
from tests.needs import need_program

OF_A_BUCKET = "roles/storage.legacyBucketWriter"  # may create, delete and list objects, and not read them


def door_of(cloud, member) -> requests.Response:
    return requests.post(f"{cloud.apis}/_emulator/doors", json={"member": member}, timeout=10)


def test_a_client_that_sends_no_token_is_the_member_of_its_door(lab, connect):
    lab.grant(READER)
    bucket = connect(door_of(lab.cloud, ANN).json()["storage"]).bucket(lab.bucket)

    assert bucket.blob("a").download_as_bytes() == b"a"
    assert [blob.name for blob in bucket.list_blobs()] == ["a", "b"]
    with pytest.raises(NotFound):
        bucket.blob("none").download_as_bytes()
    for act in (
        lambda: bucket.blob("a").upload_from_string("new"),
        lambda: bucket.blob("c").upload_from_string("new"),
        lambda: bucket.blob("a").delete(),
        lambda: bucket.blob("a").compose([bucket.blob("b")]),
        lambda: bucket.copy_blob(bucket.blob("a"), bucket, "c"),
        lambda: bucket.reload(),
    ):
        with pytest.raises(Forbidden, match=r"ann@example\.com does not have storage\."):
            act()
    assert [blob.name for blob in bucket.list_blobs()] == ["a", "b"]
    assert bucket.blob("a").download_as_bytes() == b"a"


def test_large_files_go_through_a_door_in_chunks_and_in_parts_and_are_refused_there(lab, connect, tmp_path):
    data = os.urandom(2**20)
    (tmp_path / "file").write_bytes(data)
    bucket = connect(door_of(lab.cloud, ANN).json()["storage"]).bucket(lab.bucket)

    def write():
        bucket.blob("chunks", chunk_size=2**18).upload_from_filename(tmp_path / "file")
        transfer_manager.upload_chunks_concurrently(
            str(tmp_path / "file"), bucket.blob("parts"), chunk_size=5 * 2**17, worker_type="thread"
        )

    lab.grant(OF_A_BUCKET)
    write()
    lab.grant(READER)
    with pytest.raises(Forbidden):
        write()
    with pytest.raises(Exception, match="403"):
        transfer_manager.upload_chunks_concurrently(
            str(tmp_path / "file"), bucket.blob("parts"), chunk_size=5 * 2**17, worker_type="thread"
        )
    assert [bucket.blob(name).download_as_bytes() for name in ("chunks", "parts")] == [data, data]


@pytest.mark.parametrize("member", ["ann@example.com", "group:g@example.com", "user:", "", None, 1])
def test_a_door_is_for_a_person_or_an_account(enforcing, member):
    answer = door_of(enforcing, member)

    assert answer.status_code == 400
    assert "user:EMAIL or serviceAccount:EMAIL" in answer.json()["error"]["message"]


def test_all_members_have_the_main_door_where_nothing_is_enforced(emulator):
    assert door_of(emulator, ANN).json() == {"storage": emulator.storage, "apis": emulator.apis}


@pytest.fixture
def gcloud(lab):
    """Return a function that runs gcloud storage as a member."""
    program = need_program("gcloud")

    def run(*arguments, member=ANN, fails=False):
        variables = client_environment(lab.cloud.storage, lab.cloud.apis, lab.cloud.state, PROJECT, member)
        home = {"PATH": os.environ["PATH"], "HOME": str(lab.cloud.state), "LANG": "C.UTF-8"}
        command = [program, "storage", *map(str, arguments)]
        done = subprocess.run(command, env=home | variables, capture_output=True, text=True, timeout=60)
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout

    return run


def test_gcloud_does_what_its_member_may_and_says_what_it_may_not(lab, gcloud, tmp_path):
    lab.grant(READER)
    (tmp_path / "new").write_text("new")
    at = f"gs://{lab.bucket}"

    assert gcloud("cat", f"{at}/a") == "a"
    assert gcloud("ls", at).split() == [f"{at}/a", f"{at}/b"]
    assert "does not have storage.objects.create access" in gcloud(
        "cp", tmp_path / "new", f"{at}/c", fails=True
    )
    assert "storage.objects.delete" in gcloud("rm", f"{at}/a", fails=True)
    assert "storage.buckets.get" in gcloud("buckets", "describe", at, fails=True)
    assert gcloud("ls", at, member=BOB, fails=True)
    assert gcloud("ls", at).split() == [f"{at}/a", f"{at}/b"]


def test_gcloud_copies_and_removes_as_a_member_that_uses_objects(lab, gcloud, tmp_path):
    lab.grant(WRITER)
    (tmp_path / "new").write_text("new")
    at = f"gs://{lab.bucket}"

    gcloud("cp", tmp_path / "new", f"{at}/a")
    gcloud("cp", f"{at}/b", f"{at}/c")
    gcloud("rm", f"{at}/b")

    assert gcloud("cat", f"{at}/a") == "new"
    assert gcloud("ls", at).split() == [f"{at}/a", f"{at}/c"]
