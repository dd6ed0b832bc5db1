"""Small and large files through both backends of scripts/pipeline/storage.py: save, list, load.

Peers: one file after another with plain `open`, and with Google's client in its default configuration. The
bucket is the emulator of localcloud on 127.0.0.1, a Python process on the same cores, which limits the rates.
"""

import os
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import requests
from measuring import SEED, in_turn, measured, print_machine, print_table, ratio, read_arguments, spread, wall

from localcloud.process import running
from pipeline.bucket import BucketStorage
from pipeline.storage import FolderStorage, Storage

BUCKET = "benchmark"
FAR_SECONDS = 0.03  # added to every answer: about the latency of a bucket from outside its region
STEPS = ("save", "list", "load")


@dataclass(frozen=True)
class Files:
    """Some files of one size."""

    number: int
    size_bytes: int

    @property
    def content(self) -> bytes:
        return random.Random(SEED).randbytes(self.size_bytes)

    def names(self, prefix: str) -> list[str]:
        return [f"{prefix}file_{index:05d}" for index in range(self.number)]

    def rate(self, step: str, seconds: float) -> str:
        if step != "list" and self.size_bytes >= 2**20:
            return f"{self.number * self.size_bytes / 1e6 / seconds:,.0f} MB/s"
        return f"{self.number / seconds:,.0f} /s"


class Side:
    """One way to save, list and load files; every round uses a new folder."""

    def __init__(self, files: Files, name: str, save, list_names, load):
        self.files, self.name, self._content = files, name, files.content
        self._save, self._list, self._load = save, list_names, load
        self._rounds = count(1)
        self._prefix = ""

    def save(self) -> None:
        self._prefix = f"{self.name}-{self.files.size_bytes}-{next(self._rounds)}/"
        self._save((name, self._content) for name in self.files.names(self._prefix))

    def list(self) -> None:
        found = list(self._list(self._prefix))
        assert found == self.files.names(self._prefix), f"{len(found)} of {self.files.number} listed"

    def load(self) -> None:
        loaded = 0
        for data in self._load(self.files.names(self._prefix)):
            assert len(data) == self.files.size_bytes
            loaded += 1
        assert loaded == self.files.number


def of_storage(files: Files, storage: Storage) -> Side:
    def load(names: list[str]) -> Iterator[bytes]:
        return (data for _, data in storage.load_many(names))

    return Side(files, "storage", storage.save_many, storage.list_files, load)


def of_plain_files(files: Files, folder: Path) -> Side:
    def save(contents) -> None:
        for name, data in contents:
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)

    def names(prefix: str) -> list[str]:
        return sorted(prefix + entry.name for entry in os.scandir(folder / prefix))

    def load(names: list[str]) -> Iterator[bytes]:
        for name in names:
            with open(folder / name, "rb") as file:
                yield file.read()

    return Side(files, "plain", save, names, load)


def of_plain_client(files: Files, bucket) -> Side:
    def save(contents) -> None:
        for name, data in contents:
            bucket.blob(name).upload_from_string(data)

    def names(prefix: str) -> list[str]:
        return [blob.name for blob in bucket.list_blobs(prefix=prefix)]

    def load(names: list[str]) -> Iterator[bytes]:
        return (bucket.blob(name).download_as_bytes() for name in names)

    return Side(files, "plain", save, names, load)


def main() -> None:
    arguments = read_arguments(__doc__, repeats=3)
    if arguments.quick:
        small, far, large = Files(20, 2048), Files(5, 2048), Files(2, 2**20)
    else:
        small, far, large = Files(5000, 2048), Files(500, 2048), Files(10, 64 * 2**20)
    rows = []
    for files in (small, large):
        rows += folder_rows(files, arguments.repeats)
        rows += bucket_rows(files, arguments.repeats)
    rows += bucket_rows(far, arguments.repeats, latency_seconds=FAR_SECONDS)
    print_table(
        "Storage against one file after another",
        [
            "backend, step",
            "files",
            "faster",
            "storage",
            "one by one",
            "storage: seconds",
            "one by one: seconds",
        ],
        rows,
    )
    print_machine(arguments.repeats)


def folder_rows(files: Files, rounds: int) -> list[list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        plain, ours = Path(folder) / "plain", FolderStorage(Path(folder) / "storage")
        plain.mkdir()
        return _rows("folder", rounds, of_plain_files(files, plain), of_storage(files, ours))


def bucket_rows(files: Files, rounds: int, latency_seconds: float = 0.0) -> list[list[str]]:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as cloud:
        os.environ["STORAGE_EMULATOR_HOST"] = cloud.storage
        from google.cloud import storage

        bucket = storage.Client(project="p").create_bucket(BUCKET)
        if latency_seconds:
            rule = {"latency_seconds": latency_seconds}
            requests.post(f"{cloud.storage}/_emulator/faults", json=[rule], timeout=10).raise_for_status()
        name = f"bucket {1000 * latency_seconds:.0f} ms away" if latency_seconds else "bucket"
        return _rows(name, rounds, of_plain_client(files, bucket), of_storage(files, BucketStorage(BUCKET)))


def _rows(backend: str, rounds: int, plain: Side, ours: Side) -> list[list[str]]:
    cases: dict[tuple[str, str], Callable] = {
        (side.name, step): (lambda side=side, step=step: measured(getattr(side, step)))
        for step in STEPS
        for side in (plain, ours)
    }
    taken = in_turn(cases, rounds)
    files = ours.files
    size = (
        f"{files.size_bytes // 2**20} MiB"
        if files.size_bytes >= 2**20
        else f"{files.size_bytes // 2**10} KiB"
    )
    rows = []
    for step in STEPS:
        theirs, mine = wall(taken["plain", step]), wall(taken["storage", step])
        rates = [files.rate(step, statistics.median(seconds)) for seconds in (mine, theirs)]
        faster = f"{ratio(theirs, mine):.2f}x"
        label = f"{backend}, {step}"
        rows.append([label, f"{files.number:,} x {size}", faster, *rates, spread(mine), spread(theirs)])
    return rows


if __name__ == "__main__":
    main()
