"""A folder whose disk has faults says so in one line and keeps what was there."""

import multiprocessing
import os
import subprocess
from pathlib import Path

import pytest

from modeling.failures import UserError
from pipeline.storage import FolderStorage
from tests.storages import LARGE, files_of_at_most, write_large


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if done.returncode:
        message = f"a small file system cannot be mounted ({done.stderr.strip()}); run the tests as root"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("save", ["save_bytes", "save_file"])
def test_a_full_disk_is_told_in_one_line_and_keeps_what_was_there(small_disk, tmp_path, save):
    folder = FolderStorage(small_disk)
    folder.save_bytes("a/b", b"before")
    path = tmp_path / "large"
    path.write_bytes(LARGE)

    with pytest.raises(UserError) as raised:
        folder.save_bytes("a/b", LARGE) if save == "save_bytes" else folder.save_file("a/b", path)

    assert raised.value.exit_code == 2
    assert str(raised.value) == f"no space left on the disk ({small_disk}/a/b); free some and run again"
    assert folder.load_bytes("a/b") == b"before"
    assert [p.name for p in small_disk.rglob("*") if p.is_file()] == ["b"]


@pytest.mark.parametrize("name", ["old/new", "new/new"])
def test_a_read_only_folder_is_told_in_one_line(small_disk, name):
    folder = FolderStorage(small_disk)
    folder.save_bytes("old/file", b"before")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    with pytest.raises(UserError) as raised:
        folder.save_bytes(name, b"x")

    assert raised.value.exit_code == 2
    assert "cannot be written (Read-only file system); check its owner and permissions" in str(raised.value)
    assert ".partial-" not in str(raised.value)
    assert list(folder.list_files("")) == ["old/file"]


def test_a_file_in_place_of_a_folder_is_told(folder):
    folder.save_bytes("a", b"file")

    with pytest.raises(UserError, match="a: a file is where a folder is needed; move it away"):
        folder.save_bytes("a/b", b"x")

    assert folder.load_bytes("a") == b"file"


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_folder_in_place_of_a_file_is_told(folder, overwrite):
    folder.save_bytes("a/b", b"file")

    with pytest.raises(UserError, match="a: a folder is where a file is needed; move it away"):
        folder.save_bytes("a", b"x", overwrite=overwrite)

    assert list(folder.list_files("")) == ["a/b"]


def test_what_a_killed_writer_left_behind_is_never_listed(folder):
    folder.save_bytes("a/b", b"x")

    left = kill_while_writing(folder, "a/c")

    assert left.is_file()
    assert list(folder.list_files("")) == ["a/b"]
    assert list(folder.list_files(f"a/{left.name[:5]}")) == []


def kill_while_writing(folder: FolderStorage, name: str) -> Path:
    """Kill a writer as soon as it has begun, and return the part it left."""
    for _ in range(50):  # it may be faster than we are
        writer = multiprocessing.get_context("fork").Process(target=write_large, args=(folder, name))
        writer.start()
        while writer.is_alive() and not any(folder.folder.rglob(".partial-*")):
            pass
        writer.kill()
        writer.join()
        for left in folder.folder.rglob(".partial-*"):
            return left
        Path(folder.get_path(name)).unlink()
    pytest.fail("no writer was killed before it had finished")


def test_a_listing_that_cannot_be_read_is_told(folder, monkeypatch):
    folder.save_bytes("a/b", b"x")

    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", denied)

    with pytest.raises(UserError, match="a: cannot be read"):
        list(folder.list_files("a/"))


def test_a_file_that_the_system_takes_for_too_large_is_told_in_one_line(tmp_path):
    folder = FolderStorage(tmp_path)
    folder.save_bytes("a/b", b"before")

    told = r"/a/b: the disk cannot read or write it \(File too large\)"
    with files_of_at_most(1024), pytest.raises(UserError, match=told):
        folder.save_bytes("a/b", LARGE)

    assert folder.load_bytes("a/b") == b"before"
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["b"]
