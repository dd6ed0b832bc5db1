"""The common commands of the real gcloud storage against the emulated service."""

import functools
import os

import pytest


@pytest.fixture(scope="module")
def gcloud(run_gcloud):
    """Return a function that runs gcloud storage."""
    return functools.partial(run_gcloud, "storage")


@pytest.fixture
def at(bucket):
    """Return a function that gives the gs:// address of a name in this test's bucket."""
    return lambda name="": f"gs://{bucket.name}/{name}"


@pytest.fixture
def folder(tmp_path):
    """Return a folder with two files, one of them in a subfolder."""
    made = tmp_path / "folder"
    (made / "sub").mkdir(parents=True)
    (made / "1.txt").write_text("one")
    (made / "sub" / "t wo#é.txt").write_text("two")
    return made


def texts(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def test_gcloud_makes_and_describes_a_bucket(gcloud):
    gcloud("buckets", "create", "gs://made-by-gcloud", "--location=us-central1")

    described = gcloud("buckets", "describe", "gs://made-by-gcloud")

    assert "location: US-CENTRAL1" in described
    assert "gs://made-by-gcloud/" in gcloud("ls")


def test_gcloud_lists_prints_and_describes_objects(gcloud, bucket, at):
    bucket.blob("x/a.json").upload_from_string('{"a": 1}', content_type="application/json")
    bucket.blob("top").upload_from_string("t")

    assert gcloud("ls", at()).split() == [at("top"), at("x/")]
    assert gcloud("ls", at("**")).split() == [at("top"), at("x/a.json")]
    assert "TOTAL: 1 objects, 8 bytes" in gcloud("ls", "-l", at("x/"))
    assert gcloud("cat", at("x/a.json")) == '{"a": 1}'
    assert "content_type: application/json" in gcloud("objects", "describe", at("x/a.json"))
    assert gcloud("du", "-s", at()).split() == ["9", at().rstrip("/")]


def test_gcloud_copies_20_mb_up_and_down(gcloud, bucket, at, tmp_path):
    data = os.urandom(20_000_000)
    (tmp_path / "up").write_bytes(data)

    gcloud("cp", tmp_path / "up", at("big"))
    gcloud("cp", at("big"), tmp_path / "down")

    assert (tmp_path / "down").read_bytes() == data
    assert bucket.get_blob("big").crc32c in gcloud("hash", at("big"))


def test_gcloud_copies_folders_up_and_down(gcloud, at, folder, tmp_path):
    (tmp_path / "down").mkdir()

    gcloud("cp", "-r", folder, at("up"))
    gcloud("cp", "-r", at("up"), tmp_path / "down")

    assert texts(tmp_path / "down" / "up") == texts(folder)


def test_gcloud_synchronises_folders_up_and_down(gcloud, at, folder, tmp_path):
    gcloud("rsync", "-r", folder, at("sync"))
    (folder / "1.txt").write_text("changed")
    gcloud("rsync", "-r", folder, at("sync"))
    gcloud("rsync", "-r", at("sync"), tmp_path / "back")

    assert texts(tmp_path / "back") == {"1.txt": "changed", "sub/t wo#é.txt": "two"}


def test_gcloud_moves_and_removes(gcloud, bucket, at):
    for name in ("a", "d/1", "d/2"):
        bucket.blob(name).upload_from_string("x")

    gcloud("mv", at("a"), at("b"))
    gcloud("rm", "-r", at("d"))

    assert [blob.name for blob in bucket.list_blobs()] == ["b"]
    gcloud("rm", at("b"))
    assert not list(bucket.list_blobs())


def test_gcloud_removes_a_bucket_with_all_that_is_in_it(gcloud, bucket, at):
    bucket.blob("d/1").upload_from_string("x")

    gcloud("rm", "-r", at())

    assert not bucket.exists()


def test_gcloud_respects_a_precondition(gcloud, bucket, at, folder):
    bucket.blob("there").upload_from_string("x")

    error = gcloud("cp", "--if-generation-match=0", folder / "1.txt", at("there"), fails=True)

    assert "precondition" in error
    assert bucket.blob("there").download_as_bytes() == b"x"


def test_gcloud_reports_a_missing_bucket(gcloud):
    assert "gs://missing-bucket not found: 404" in gcloud("ls", "gs://missing-bucket", fails=True)
