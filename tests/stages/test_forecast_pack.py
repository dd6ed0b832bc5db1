"""The packed forecasting repository: the same bytes for the same files, and no archive from elsewhere."""

import gzip
import os
import subprocess
import sys
import tarfile
import time
from io import BytesIO

import pytest

from modeling.failures import UserError
from pipeline import forecast_pack
from pipeline.forecast_pack import unpack_forecast
from tests.archives import sparse_entry, stored_archive, tar_entry
from tests.experiments import REPOSITORY, sampled, write_repository


def test_packing_is_the_same_bytes_for_the_same_files_and_leaves_secrets_out(tmp_path):
    from pipeline.forecast_pack import pack

    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        write_repository(folder, sampled())
        (folder / ".env").write_text("GITHUB_PAT=x\n")
        (folder / ".git").mkdir()
        (folder / ".git" / "config").write_text(folder.name)
        time.sleep(0.01)
    os.utime(second / "data" / "observed.csv", (1, 1))

    pack(first, tmp_path / "1.tar.gz")
    pack(second, tmp_path / "2.tar.gz")

    assert (tmp_path / "1.tar.gz").read_bytes() == (tmp_path / "2.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "1.tar.gz") as tar:
        assert not [n for n in tar.getnames() if n.startswith((".env", ".git"))]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "packed.tar.gz"], "error: nowhere: no such folder"),
        (["nowhere"], "the following arguments are required: archive"),
    ],
)
def test_a_folder_that_is_not_there_is_not_packed_as_an_empty_one(tmp_path, words, said):
    command = [sys.executable, REPOSITORY / "scripts" / "pack_forecast.py", *words]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert ended.returncode == 2
    assert said in ended.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["outside", "absolute", "loop"])
def test_a_link_that_leads_nowhere_elsewhere_is_refused(tmp_path, kind):
    from pipeline.failures import UserError
    from pipeline.forecast_pack import pack

    folder = tmp_path / "with-link"
    write_repository(folder, sampled())
    target = {"outside": "../../x", "absolute": folder / "data", "loop": "link"}[kind]
    (folder / "data" / "link").symlink_to(target)

    with pytest.raises(UserError, match="leads out of the repository"):
        pack(folder, tmp_path / "x.tar.gz")


EVIL = {
    "a name that climbs": [tar_entry("../out")],
    "an absolute name": [tar_entry("/out")],
    "a link that climbs": [tar_entry("in", "../out")],
    "an absolute link": [tar_entry("in", "/out")],
    "a file behind a link": [tar_entry("in", "."), tar_entry("in/out")],
    "a file behind a link of a link": [
        tar_entry("a/b/l", "../.."),
        tar_entry("a/b/l/m", "../.."),
        tar_entry("m/out"),
    ],
    "a link through a link": [tar_entry("a/b/l", "../.."), tar_entry("m", "a/b/l/../..")],
    "a link and a file of one name": [tar_entry("in", "."), tar_entry("in")],
    "a circle of links": [tar_entry("a", "b"), tar_entry("b", "a")],
    "a device": [tar_entry("tape", type=tarfile.CHRTYPE, devmajor=1, devminor=5)],
    "a pipe": [tar_entry("pipe", type=tarfile.FIFOTYPE)],
    "a hard link": [tar_entry("hard", type=tarfile.LNKTYPE, linkname="../out")],
    "a name with a zero byte": [tar_entry("a", pax_headers={"path": "a\0b"})],
    "a file in a file": [tar_entry("a"), tar_entry("a/b")],
    "a name without end": [tar_entry("a" * 5000)],
    "a sparse file": [sparse_entry("sparse")],
    "a file without end": [tar_entry("large", size=1 << 50)],
    "a size below nothing": [tar_entry("small", size=-512)],
}


@pytest.mark.parametrize("name", EVIL)
def test_an_archive_that_pack_does_not_write_is_refused_in_one_line(tmp_path, name):
    folder = tmp_path / "a" / "b" / "c" / "folder"
    folder.mkdir(parents=True)
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for entry in EVIL[name]:
            tar.addfile(entry)

    with pytest.raises(UserError, match=r"forecast.tar.gz: ") as refused:
        unpack_forecast(stored_archive(tmp_path, packed.getvalue()), folder)

    assert "\n" not in str(refused.value)
    assert not [path for path in tmp_path.rglob("out") if folder not in path.parents]


@pytest.mark.parametrize("kind", ["files", "bytes", "a header"])
def test_an_archive_that_unpacks_to_more_than_a_repository_has_is_not_unpacked(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(forecast_pack, "REPOSITORY", forecast_pack.Limits("a repository", 50, 1 << 20))
    folder, packed = tmp_path / "folder", BytesIO()
    folder.mkdir()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        if kind == "files":
            for number in range(60):
                tar.addfile(tar_entry(f"{number}"))
        if kind == "bytes":
            tar.addfile(tar_entry("zeros", size=2 << 20), BytesIO(bytes(2 << 20)))
        if kind == "a header":
            tar.addfile(tar_entry("a", pax_headers={"comment": "0" * (8 << 20)}))

    with pytest.raises(UserError, match=r"has more; keep|unpacks to more than"):
        unpack_forecast(stored_archive(tmp_path, packed.getvalue()), folder)

    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("place", [-8, -4], ids=["checksum", "length"])
def test_an_archive_that_differs_from_its_checksum_is_not_unpacked(tmp_path, place):
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.addfile(tar_entry("zeros", size=1 << 20), BytesIO(bytes(1 << 20)))
    data = bytearray(packed.getvalue())
    data[place] ^= 1
    folder = tmp_path / "folder"
    folder.mkdir()

    with pytest.raises(UserError, match=r"forecast.tar.gz: cannot be unpacked \((CRC|Incorrect length)"):
        unpack_forecast(stored_archive(tmp_path, bytes(data)), folder)

    assert list(folder.iterdir()) == []


PARTS = {
    "a damaged entry": lambda tar: tar[:512] + b"?" + tar[513:],
    "two archives": lambda tar: tar + tar,
    "cut off": lambda tar: tar[:512],
    "a file twice": lambda tar: tar[:512] + tar,
}


@pytest.mark.parametrize("kind", PARTS)
def test_an_archive_of_which_only_a_part_could_be_read_is_not_unpacked(tmp_path, kind):
    made, folder = BytesIO(), tmp_path / "folder"
    folder.mkdir()
    with tarfile.open(fileobj=made, mode="w") as tar:
        tar.addfile(tar_entry("a"))
        tar.addfile(tar_entry("b"))

    with pytest.raises(
        UserError, match=r"an entry is damaged, or something follows|it is cut off|a is in the archive twice"
    ):
        unpack_forecast(stored_archive(tmp_path, gzip.compress(PARTS[kind](made.getvalue()))), folder)

    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "data", [b"", b"no archive", gzip.compress(b"no tar", mtime=0), b"\x1f\x8b\x08\x00" + bytes(99)]
)
def test_what_is_no_archive_is_refused_in_one_line(tmp_path, data):
    with pytest.raises(UserError, match=r"forecast.tar.gz: cannot be unpacked \("):
        unpack_forecast(stored_archive(tmp_path, data), tmp_path)


def test_a_repository_that_is_too_large_to_be_unpacked_is_not_packed(tmp_path, monkeypatch):
    monkeypatch.setattr(
        forecast_pack, "REPOSITORY", forecast_pack.Limits("a forecasting repository", 50, 100)
    )
    write_repository(tmp_path / "large", sampled())

    with pytest.raises(UserError, match="large: a forecasting repository has at most"):
        forecast_pack.pack(tmp_path / "large", tmp_path / "x.tar.gz")


def test_what_was_packed_is_unpacked_with_its_links(tmp_path):
    write_repository(tmp_path / "origin", sampled())
    (tmp_path / "origin" / "data" / "newest.csv").symlink_to("observed.csv")
    (tmp_path / "origin" / "also").symlink_to("experiments/trial")
    forecast_pack.pack(tmp_path / "origin", tmp_path / "x.tar.gz")
    (tmp_path / "unpacked").mkdir()

    unpack_forecast(stored_archive(tmp_path, (tmp_path / "x.tar.gz").read_bytes()), tmp_path / "unpacked")

    for name in ("data/newest.csv", "also/config/model.yaml"):
        assert (tmp_path / "unpacked" / name).read_bytes() == (tmp_path / "origin" / name).read_bytes()
