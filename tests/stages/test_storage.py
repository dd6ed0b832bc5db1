"""What any storage keeps to, on a folder and on a bucket."""

import multiprocessing
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modeling.failures import UserError
from pipeline.storage import THREADS, FolderStorage, MissingFile
from tests.storages import LARGE, write_large

ODD_NAMES = (
    "a b/c  d.csv",
    "100%/2%2F.csv",
    "ä/Ωmega-é" + "é" * 110,
    "q?x=1&y=2#z",
    "plus+and*[1]'\"<>",
    ".hidden/.dots...",
    "-rf",
)


@pytest.fixture(params=["folder", "bucket"])
def storage(request):
    """An empty storage: first a folder, then a bucket."""
    return request.getfixturevalue(request.param)


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

    def test_without_overwrite_a_file_from_disk_keeps_what_is_there(self, storage, tmp_path):
        path = tmp_path / "second"
        path.write_bytes(b"second")

        first, again = [storage.save_file("a", path, overwrite=False) for _ in range(2)]
        path.write_bytes(b"other")
        other = storage.save_file("a", path, overwrite=False)

        assert (first, again, other) == (True, True, False)
        assert storage.load_bytes("a") == b"second"

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

    @pytest.mark.parametrize(("mib", "most"), [(0, THREADS), (16, 4)], ids=["small files", "large files"])
    def test_names_are_read_ahead_a_few_at_a_time(self, storage, mib, most):
        storage.save_bytes("a", bytes(mib << 20) + b"x")
        asked = []

        def names():
            for i in range(1000):
                asked.append(i)
                yield "a"

        loaded = storage.load_many(names())
        for _ in range(10):
            next(loaded)
        loaded.close()

        assert 10 <= len(asked) <= 10 + most

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
