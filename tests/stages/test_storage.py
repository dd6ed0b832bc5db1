"""What any storage keeps to, on a folder and on a bucket; then how each behaves when it fails."""

import json
import multiprocessing
import os
import random
import resource
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path

import pytest
import requests

from localcloud.process import running
from modeling.failures import TemporaryFault, UserError
from pipeline.bucket import UPLOAD_SESSIONS, BucketStorage
from pipeline.storage import THREADS, FolderStorage, MissingFile
from tests.experiments import REPOSITORY

LARGE = random.Random(1).randbytes(12 * 2**20)  # above 8 MiB the client uploads in another way
ODD_NAMES = (
    "a b/c  d.csv",
    "100%/2%2F.csv",
    "ä/Ωmega-é" + "é" * 110,
    "q?x=1&y=2#z",
    "plus+and*[1]'\"<>",
    ".hidden/.dots...",
    "-rf",
)
PATIENCE = 20  # seconds a bucket of these tests retries; the first wait is a hundredth of it
IMPATIENCE = 1

_numbers = count(1)


class Emulator:
    """An emulated Cloud Storage, and the faults a test orders from it."""

    def __init__(self, url: str):
        self.url = url

    def order(self, *rules: dict) -> None:
        answer = requests.post(f"{self.url}/_emulator/faults", json=list(rules), timeout=10)
        assert answer.status_code == 200, answer.text

    def clear(self) -> None:
        requests.delete(f"{self.url}/_emulator/faults", timeout=10)

    def hits(self) -> list[int]:
        rules = requests.get(f"{self.url}/_emulator/faults", timeout=10).json()
        return [rule["hits"] for rule in rules]

    def forget(self) -> None:
        """Forget buckets, faults and what was asked."""
        requests.post(f"{self.url}/_emulator/reset", timeout=10)

    def most_at_once(self) -> int:
        return requests.get(f"{self.url}/_emulator/requests", timeout=10).json()["max_concurrent"]

    def create_bucket(self) -> str:
        name = f"bucket-{next(_numbers)}"
        answer = requests.post(f"{self.url}/storage/v1/b?project=p", json={"name": name}, timeout=10)
        assert answer.status_code == 200, answer.text
        return name


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("cloud")) as cloud, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", cloud.storage)
        patch.setenv("GOOGLE_CLOUD_PROJECT", "p")
        yield Emulator(cloud.storage)


@pytest.fixture
def emulator(server):
    yield server
    server.clear()


@pytest.fixture
def bucket(emulator):
    """An empty bucket."""
    return BucketStorage(emulator.create_bucket(), retry_seconds=PATIENCE)


@pytest.fixture
def impatient(bucket):
    """The same bucket, with less time to get over a fault."""
    return BucketStorage(bucket.name, retry_seconds=IMPATIENCE)


@pytest.fixture
def folder(tmp_path):
    """An empty folder."""
    return FolderStorage(tmp_path / "store")


@pytest.fixture(params=["folder", "bucket"])
def storage(request):
    """An empty storage: first a folder, then a bucket."""
    return request.getfixturevalue(request.param)


def opened_again(storage):
    """Return the same storage as another process opens it."""
    if isinstance(storage, FolderStorage):
        return FolderStorage(storage.folder)
    return BucketStorage(storage.name, retry_seconds=PATIENCE)


class TestAnyStorage:
    """The contract."""

    @pytest.mark.parametrize("data", [b"", b"x", b"\0\r\n\xff" * 1000, LARGE], ids=["0", "1", "4k", "12M"])
    def test_what_was_saved_is_loaded(self, storage, data):
        saved = storage.save_bytes("a/b/c.bin", data)

        assert saved is True
        assert storage.load_bytes("a/b/c.bin") == data
        assert storage.exists("a/b/c.bin")

    @pytest.mark.parametrize(
        ("start", "length", "expected"),
        [
            (0, None, b"0123456789"),
            (3, None, b"3456789"),
            (0, 4, b"0123"),
            (3, 4, b"3456"),
            (8, 10, b"89"),
            (10, 1, b""),
            (50, 5, b""),
            (50, None, b""),
            (3, 0, b""),
        ],
    )
    def test_a_range_is_read_and_ends_with_the_file(self, storage, start, length, expected):
        storage.save_bytes("digits", b"0123456789")

        assert storage.load_bytes("digits", start, length) == expected

    def test_a_range_of_an_empty_file_is_empty(self, storage):
        storage.save_bytes("empty", b"")

        assert storage.load_bytes("empty", 0, 65) == b""

    def test_a_second_save_replaces_the_first(self, storage):
        storage.save_bytes("a", b"first, and longer")

        saved = storage.save_bytes("a", b"second")

        assert saved is True
        assert storage.load_bytes("a") == b"second"
        assert list(storage.list_files("")) == ["a"]

    def test_without_overwrite_the_first_is_kept(self, storage):
        first = storage.save_bytes("a", b"first", overwrite=False)

        second = storage.save_bytes("a", b"other", overwrite=False)

        assert (first, second) == (True, False)
        assert storage.load_bytes("a") == b"first"

    def test_without_overwrite_the_same_content_may_be_saved_again(self, storage):
        storage.save_bytes("a", b"first", overwrite=False)

        again = storage.save_bytes("a", b"first", overwrite=False)

        assert again is True

    @pytest.mark.parametrize(("start", "length"), [(0, None), (0, 65), (5, 0)])
    def test_a_missing_file_is_told_with_its_place(self, storage, start, length):
        storage.save_bytes("there/file", b"x")

        with pytest.raises(MissingFile) as raised:
            storage.load_bytes("there/not", start, length)

        assert str(raised.value).startswith(f"{storage.get_path('there/not')}: no such ")
        assert raised.value.exit_code == 2

    def test_only_files_exist(self, storage):
        storage.save_bytes("a/b", b"x")

        assert storage.exists("a/b")
        assert not storage.exists("a")
        assert not storage.exists("a/b/c")
        assert not storage.exists("A/b")
        with pytest.raises(MissingFile):
            storage.load_bytes("a")

    def test_a_listing_gives_what_begins_with_the_prefix_in_order(self, storage):
        names = ["run/r_10", "run/r_2", "run/r_1/deep/er", "run/r", "run-2/r_1", "other", "run/s", "run/R_1"]
        storage.save_many((name, b"x") for name in names)

        assert list(storage.list_files("")) == sorted(names)
        assert list(storage.list_files("run/r_")) == ["run/r_1/deep/er", "run/r_10", "run/r_2"]
        assert list(storage.list_files("run/")) == sorted(n for n in names if n.startswith("run/"))
        assert list(storage.list_files("run")) == sorted(n for n in names if n.startswith("run"))
        assert list(storage.list_files("run/r_1/deep")) == ["run/r_1/deep/er"]
        assert list(storage.list_files("other")) == ["other"]
        assert list(storage.list_files("other/")) == []
        assert list(storage.list_files("nothing/here/")) == []

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_an_odd_name_is_a_name(self, storage, name):
        storage.save_bytes(name, b"odd")

        assert list(storage.list_files("")) == [name]
        assert list(storage.list_files(name[:3])) == [name]
        assert storage.exists(name)
        assert storage.load_bytes(name) == b"odd"

    def test_odd_names_do_not_meet(self, storage):
        storage.save_many((name, name.encode()) for name in ODD_NAMES)

        listed = list(storage.list_files(""))

        assert listed == sorted(ODD_NAMES)
        assert [data for _, data in storage.load_many(listed)] == [name.encode() for name in listed]

    @pytest.mark.parametrize("name", ["../a", "a/../../b", "/a", "a//b", "a/./b", "..", ".", "", "a/"])
    def test_a_name_that_leads_elsewhere_is_refused(self, storage, name, tmp_path):
        for act in (
            lambda: storage.save_bytes(name, b"x"),
            lambda: storage.save_file(name, Path(__file__)),
            lambda: storage.load_bytes(name),
            lambda: storage.load_bytes(name, 0, 0),
            lambda: storage.exists(name),
        ):
            with pytest.raises(UserError, match="not a valid name in the storage"):
                act()

        assert list(storage.list_files("")) == []
        assert [p for p in tmp_path.rglob("*") if p.is_file()] == []

    @pytest.mark.parametrize("prefix", ["../", "a/../b", "/etc/", "a//", "./a"])
    def test_a_prefix_that_leads_elsewhere_is_refused(self, storage, prefix):
        with pytest.raises(UserError, match="not a valid name in the storage"):
            list(storage.list_files(prefix))
        with pytest.raises(UserError, match="not a valid name in the storage"):
            storage.get_path(prefix)

    def test_a_deleted_file_is_gone_and_may_be_deleted_again(self, storage):
        storage.save_bytes("a/b", b"x")
        storage.save_bytes("a/c", b"y")

        storage.delete_file("a/b")
        storage.delete_file("a/b")
        storage.delete_file("never/there")

        assert list(storage.list_files("")) == ["a/c"]
        with pytest.raises(MissingFile):
            storage.load_bytes("a/b")

    def test_a_path_shows_people_where_a_file_is(self, storage):
        root = str(storage.folder) if isinstance(storage, FolderStorage) else f"gs://{storage.name}"

        assert storage.get_path("a/b c.csv") == f"{root}/a/b c.csv"
        assert storage.get_path("a/b/").rstrip("/") == f"{root}/a/b"
        assert storage.get_path().rstrip("/") == root

    @pytest.mark.parametrize("data", [b"", b"table", LARGE], ids=["0", "5", "12M"])
    def test_a_file_from_disk_is_saved(self, storage, tmp_path, data):
        path = tmp_path / "table.csv.gz"
        path.write_bytes(data)

        storage.save_file("outputs/table.csv.gz", path)
        storage.save_file("outputs/table.csv.gz", path)

        assert storage.load_bytes("outputs/table.csv.gz") == data
        assert list(storage.list_files("")) == ["outputs/table.csv.gz"]

    def test_a_file_from_disk_replaces_what_is_there(self, storage, tmp_path):
        storage.save_bytes("a", b"before")
        path = tmp_path / "after"
        path.write_bytes(b"after")

        storage.save_file("a", path)

        assert storage.load_bytes("a") == b"after"

    def test_a_file_that_is_not_on_disk_leaves_nothing(self, storage, tmp_path):
        with pytest.raises(FileNotFoundError):
            storage.save_file("a", tmp_path / "nowhere")

        assert list(storage.list_files("")) == []

    def test_many_files_come_back_in_the_order_asked_for(self, storage):
        names = [f"many/{i:03d}" for i in range(100)]
        order = random.Random(2).sample(names, len(names))

        saved = storage.save_many((name, name.encode()) for name in names)
        loaded = list(storage.load_many(order))

        assert saved == 100
        assert loaded == [(name, name.encode()) for name in order]

    def test_a_missing_file_among_many_holds_its_place(self, storage):
        storage.save_many((name, b"x") for name in ("a", "c"))

        loaded = dict(storage.load_many(["a", "b", "c"]))

        assert list(loaded) == ["a", "b", "c"]
        assert (loaded["a"], loaded["c"]) == (b"x", b"x")
        assert isinstance(loaded["b"], MissingFile)

    def test_names_are_read_ahead_a_few_at_a_time(self, storage):
        storage.save_bytes("a", b"x")
        asked = []

        def names():
            for i in range(1000):
                asked.append(i)
                yield "a"

        loaded = storage.load_many(names())
        for _ in range(10):
            next(loaded)
        loaded.close()

        assert 10 <= len(asked) <= 10 + THREADS

    def test_files_to_save_are_made_a_few_at_a_time(self, storage):
        ahead = []

        def files():
            for i in range(200):
                ahead.append(i - sum(1 for _ in storage.list_files("")))
                yield f"{i:03d}", b"x"

        storage.save_many(files())

        assert len(ahead) == 200
        assert max(ahead) <= THREADS

    def test_a_source_that_fails_leaves_whole_files_only(self, storage):
        def files():
            yield "a", b"first"
            yield "b", b"second"
            raise ValueError("the third cannot be made")

        with pytest.raises(ValueError, match="third"):
            storage.save_many(files())

        assert set(storage.list_files("")) <= {"a", "b"}
        loaded = dict(storage.load_many(storage.list_files("")))
        assert loaded.items() <= {"a": b"first", "b": b"second"}.items()

    def test_of_sixteen_racing_writers_one_wins(self, storage):
        gate = threading.Barrier(16)

        def write(number):
            gate.wait()
            return storage.save_bytes("a", b"written by %d" % number, overwrite=False)

        with ThreadPoolExecutor(16) as pool:
            won = list(pool.map(write, range(16)))

        assert won.count(True) == 1
        assert storage.load_bytes("a") == b"written by %d" % won.index(True)

    def test_racing_writers_that_replace_leave_the_content_of_one(self, storage):
        contents = [bytes([65 + i]) * 100_000 for i in range(8)]

        with ThreadPoolExecutor(8) as pool:
            saved = list(pool.map(lambda data: storage.save_bytes("a", data), contents))

        assert saved == [True] * 8
        assert storage.load_bytes("a") in contents
        assert list(storage.list_files("")) == ["a"]

    def test_a_reader_never_sees_half_of_a_replacement(self, storage):
        contents = {bytes([65 + i]) * 300_000 for i in range(4)}
        storage.save_bytes("a", min(contents))
        is_over = threading.Event()

        def rewrite():
            while not is_over.is_set():
                for data in contents:
                    storage.save_bytes("a", data)

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(rewrite)
            seen = {storage.load_bytes("a") for _ in range(30)}
            is_over.set()
            writing.result()

        assert seen <= contents

    def test_a_writer_that_is_killed_leaves_the_whole_file_or_none(self, storage):
        begun = time.monotonic()
        assert kill_writer(storage, "unkilled", after_seconds=None) == 0
        seconds = time.monotonic() - begun
        rng = random.Random(3)

        ends = [kill_writer(storage, f"killed-{i}", rng.uniform(0, seconds)) for i in range(12)]

        assert ends.count(0) < len(ends)
        names = list(storage.list_files(""))
        assert {name.partition("-")[0] for name in names} <= {"killed", "unkilled"}
        assert {len(data) for _, data in storage.load_many(names)} == {len(LARGE)}

    def test_thousands_of_files_are_saved_listed_and_loaded(self, storage):
        files = [(f"runner-artifacts/result_{i:04d}.pkl", b"result %d" % i) for i in range(5000)]

        saved = storage.save_many(iter(files))
        listed = list(storage.list_files("runner-artifacts/result_"))
        loaded = list(storage.load_many(listed))

        assert saved == 5000
        assert listed == [name for name, _ in files]
        assert loaded == files


def kill_writer(storage, name: str, after_seconds: float | None) -> int:
    """Save in another process, which is killed after a while, and return its exit code."""
    writer = multiprocessing.get_context("fork").Process(target=write_large, args=(storage, name))
    writer.start()
    writer.join(after_seconds)
    writer.kill() if after_seconds is not None else writer.join()
    writer.join()
    return writer.exitcode


def write_large(storage, name: str) -> None:
    opened_again(storage).save_bytes(name, LARGE)
    os._exit(0)


# -- a bucket whose service has faults

ACTS = {
    "save": lambda s, path: s.save_bytes("new", b"data"),
    "save large": lambda s, path: s.save_bytes("new", LARGE),
    "save_file": lambda s, path: s.save_file("new", path),
    "load": lambda s, path: s.load_bytes("there"),
    "load range": lambda s, path: s.load_bytes("there", 2, 3),
    "list": lambda s, path: list(s.list_files("")),
    "exists": lambda s, path: s.exists("there"),
}
EXPECTED = {
    "save": True,
    "save large": True,
    "save_file": None,
    "load": b"content",
    "load range": b"nte",
    "list": ["there"],
    "exists": True,
}
FAULTS = [
    {"status": 429},
    {"status": 500},
    {"status": 502},
    {"status": 503},
    {"status": 504},
    {"action": "reset"},
]


@pytest.fixture
def path(tmp_path):
    """A file to be saved from disk."""
    path = tmp_path / "file.csv"
    path.write_bytes(b"from disk")
    return path


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(*fault.values()))
@pytest.mark.parametrize("act", ACTS)
def test_a_passing_fault_is_got_over(bucket, emulator, path, act, fault):
    bucket.save_bytes("there", b"content")
    emulator.order({"path": f"/b/{bucket.name}/", "times": 2, **fault})

    done = ACTS[act](bucket, path)

    assert done == EXPECTED[act]
    assert emulator.hits() == [2]
    if act.startswith("save"):
        saved = {"save": b"data", "save large": LARGE, "save_file": b"from disk"}[act]
        assert bucket.load_bytes("new") == saved


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize(("data", "method"), [(b"data", "POST"), (LARGE, "PUT")], ids=["small", "large"])
def test_a_write_whose_answer_is_lost_has_succeeded(bucket, emulator, data, method, overwrite):
    emulator.order({"method": method, "action": "reset_after", "times": 1})

    saved = bucket.save_bytes("a", data, overwrite=overwrite)

    assert saved is True
    assert emulator.hits() == [1]
    assert bucket.load_bytes("a") == data


def test_a_replacement_whose_answer_is_lost_has_succeeded(bucket, emulator):
    bucket.save_bytes("a", b"before")
    emulator.order({"method": "POST", "action": "reset_after", "times": 2})

    bucket.save_bytes("a", b"after")

    assert bucket.load_bytes("a") == b"after"


@pytest.mark.parametrize("status", [404, 410])
def test_an_upload_whose_session_is_lost_begins_again(bucket, emulator, status):
    emulator.order({"method": "PUT", "status": status, "times": 1})

    bucket.save_bytes("a", LARGE)

    assert emulator.hits() == [1]
    assert bucket.load_bytes("a") == LARGE


def test_an_upload_that_loses_every_session_is_given_up(bucket, emulator):
    emulator.order({"method": "PUT", "status": 410, "message": "gone"})

    with pytest.raises(UserError, match=r"refused the request \(410 gone\)"):
        bucket.save_bytes("a", LARGE)

    assert emulator.hits() == [1 + UPLOAD_SESSIONS]


@pytest.mark.parametrize(("start", "length"), [(0, None), (1000, 2_000_000)], ids=["whole", "range"])
def test_a_download_that_is_cut_short_is_finished(bucket, emulator, start, length):
    bucket.save_bytes("a", LARGE)
    emulator.order({"method": "GET", "path": "alt=media", "action": "truncate", "times": 2})

    loaded = bucket.load_bytes("a", start, length)

    assert loaded == LARGE[start:][:length]
    assert emulator.hits() == [2]


def test_a_listing_that_is_cut_short_is_asked_for_again(bucket, emulator):
    names = [f"{i:04d}" for i in range(1200)]  # two pages
    bucket.save_many((name, b"") for name in names)
    emulator.order(
        {"method": "GET", "action": "truncate", "times": 1},
        {"method": "GET", "status": 503, "times": 1, "skip": 1},
    )

    listed = list(bucket.list_files(""))

    assert listed == names
    assert emulator.hits() == [1, 1]


def test_a_download_that_does_not_match_its_checksum_is_not_believed(tmp_path):
    corrupt = answering(200, b"changed on the way", {"X-Goog-Hash": "crc32c=AAAAAA=="})

    with corrupt as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", url)
        with pytest.raises(TemporaryFault, match="checksum"):
            BucketStorage("any", retry_seconds=IMPATIENCE).load_bytes("a")


@pytest.mark.parametrize("act", ACTS)
def test_a_fault_that_stays_ends_in_a_temporary_fault_after_the_time_given(impatient, emulator, path, act):
    emulator.order({"path": f"/b/{impatient.name}/", "status": 503, "message": "busy today"})
    begun = time.monotonic()

    with pytest.raises(TemporaryFault) as raised:
        ACTS[act](impatient, path)

    assert time.monotonic() - begun < 20 * IMPATIENCE
    assert raised.value.exit_code == 75
    message = str(raised.value)
    assert message.startswith(f"gs://{impatient.name}/")
    assert message.endswith("storage does not answer (503 busy today); try again")


def test_a_connection_refused_is_a_temporary_fault(emulator):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
        nowhere = BucketStorage("any", retry_seconds=IMPATIENCE)

    with pytest.raises(TemporaryFault, match="storage does not answer") as raised:
        nowhere.load_bytes("a")

    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("act", ACTS)
def test_a_bucket_that_is_not_there_is_the_users_mistake(emulator, path, act):
    nowhere = BucketStorage("no-such-bucket", retry_seconds=PATIENCE)

    with pytest.raises(UserError) as raised:
        ACTS[act](nowhere, path)

    assert not isinstance(raised.value, MissingFile)
    assert str(raised.value) == "gs://no-such-bucket: no such bucket; check GCS_BUCKET, or create it"


def test_a_bucket_that_is_not_there_is_told_however_long_the_name_is(emulator):
    nowhere = BucketStorage("no-such-bucket", retry_seconds=PATIENCE)

    with pytest.raises(UserError, match="no such bucket; check GCS_BUCKET"):
        nowhere.load_bytes("long/" * 100 + "name")


@pytest.mark.parametrize("act", ACTS)
def test_a_denied_access_names_the_role_that_is_missing(bucket, emulator, path, act):
    emulator.order({"path": f"/b/{bucket.name}/", "status": 403, "message": "a@b.c does not have access"})

    with pytest.raises(UserError) as raised:
        ACTS[act](bucket, path)

    message = str(raised.value)
    assert message.startswith(f"gs://{bucket.name}/")
    assert "access denied (403 a@b.c does not have access)" in message
    assert message.endswith(f"the account needs roles/storage.objectUser on gs://{bucket.name}")
    assert "\n" not in message


@pytest.mark.parametrize("act", ACTS)
def test_the_role_on_objects_suffices(bucket, emulator, path, act):
    bucket.save_bytes("there", b"content")
    emulator.order({"path": f"/b/{bucket.name}(\\?|$)", "status": 403})  # of the bucket itself

    assert ACTS[act](bucket, path) == EXPECTED[act]


def test_a_request_that_is_refused_is_not_repeated(bucket, emulator):
    emulator.order({"method": "POST", "status": 400, "message": "this cannot be"})

    with pytest.raises(UserError, match=r"refused the request \(400 this cannot be\)"):
        bucket.save_bytes("a", b"x")

    assert emulator.hits() == [1]


def test_many_files_are_asked_for_at_once(emulator):
    emulator.forget()
    bucket = BucketStorage(emulator.create_bucket(), retry_seconds=PATIENCE)
    names = [f"{i:03d}" for i in range(300)]

    emulator.order({"path": "/o", "latency_seconds": 0.02})
    bucket.save_many((name, b"x") for name in names)
    at_once_saving = emulator.most_at_once()
    emulator.forget()
    bucket = BucketStorage(emulator.create_bucket(), retry_seconds=PATIENCE)
    emulator.order({"path": "/o", "latency_seconds": 0.02})
    loaded = list(bucket.load_many(names))

    assert at_once_saving > 8
    assert emulator.most_at_once() > 8
    assert all(isinstance(missing, MissingFile) for _, missing in loaded)


def test_random_faults_do_not_show(bucket, emulator):
    emulator.order(
        {"path": "/o", "status": 503, "probability": 0.1, "seed": 1},
        {"path": "/o", "action": "reset", "probability": 0.05, "seed": 2},
        {"path": "/o", "action": "reset_after", "probability": 0.05, "seed": 3},
        {"path": "/o", "action": "truncate", "probability": 0.05, "seed": 4},
    )
    files = [(f"f/{i:03d}", b"content %d" % i) for i in range(150)]

    bucket.save_many(files)
    loaded = list(bucket.load_many(bucket.list_files("f/")))

    assert loaded == files
    assert min(emulator.hits()) > 3


# -- a bucket without credentials

OPEN_BUCKET = """
import sys, time
from pipeline.failures import TemporaryFault, UserError
from pipeline.bucket import BucketStorage

begun = time.monotonic()
try:
    BucketStorage("any", retry_seconds=1).load_bytes("a")
except (UserError, TemporaryFault) as error:
    print(time.monotonic() - begun, error.exit_code, error)
"""


def open_bucket_in_process(home: Path, **variables: str) -> tuple[float, int, str]:
    """Open a bucket as somebody else and return the seconds, the exit code and the message."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(REPOSITORY / "scripts")}
    nobody = {"GCE_METADATA_HOST": "127.0.0.1:9", "GCE_METADATA_IP": "127.0.0.1:9"}  # nothing listens there
    done = subprocess.run(
        [sys.executable, "-c", OPEN_BUCKET],
        env={**environ, **nobody, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stdout + done.stderr
    seconds, exit_code, message = lines[0].split(" ", 2)
    return float(seconds), int(exit_code), message


@pytest.mark.parametrize("project", ["p", ""])
def test_without_credentials_the_login_is_asked_for_before_long(tmp_path, project):
    seconds, exit_code, message = open_bucket_in_process(tmp_path, GOOGLE_CLOUD_PROJECT=project)

    assert exit_code == 2
    assert message.startswith("gs://any: no Google Cloud credentials (")
    assert message.endswith("; run `gcloud auth application-default login`")
    assert seconds < 15


@pytest.mark.parametrize("content", [None, "not json", "{}"])
def test_credentials_that_cannot_be_read_ask_for_the_login(tmp_path, content):
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)

    _, exit_code, message = open_bucket_in_process(tmp_path, GOOGLE_APPLICATION_CREDENTIALS=str(path))

    assert exit_code == 2
    assert "no Google Cloud credentials" in message
    assert "key.json" in message


def test_credentials_that_have_expired_ask_for_the_login(tmp_path):
    answer = json.dumps({"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
    with answering(400, answer.encode(), {"Content-Type": "application/json"}) as url:
        key = write_service_account_key(tmp_path / "key.json", token_uri=f"{url}/token")

        _, exit_code, message = open_bucket_in_process(tmp_path, GOOGLE_APPLICATION_CREDENTIALS=str(key))

    assert exit_code == 2
    assert "no valid Google Cloud credentials (" in message
    assert "run `gcloud auth application-default login`" in message


def write_service_account_key(path: Path, token_uri: str) -> Path:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "1",
        "private_key": private_key.decode(),
        "client_email": "a@p.iam.gserviceaccount.com",
        "token_uri": token_uri,
    }
    path.write_text(json.dumps(key))
    return path


@contextmanager
def answering(status: int, body: bytes, headers: dict[str, str]):
    """Run a server that has one answer to everything, and yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 (http.server's names)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


# -- a folder whose disk has faults


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
    """As under `ulimit -f`, and on a file system that holds no larger ones."""
    folder = FolderStorage(tmp_path)
    folder.save_bytes("a/b", b"before")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))

    try:
        with pytest.raises(UserError, match=r"/a/b: the disk cannot read or write it \(File too large\)"):
            folder.save_bytes("a/b", LARGE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert folder.load_bytes("a/b") == b"before"
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["b"]
