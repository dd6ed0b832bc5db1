"""Storages whose faults a test orders: an emulated bucket, how patient one is with it, and a full disk."""

import os
import random
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest
import requests

from pipeline.bucket import BucketStorage
from pipeline.storage import FolderStorage

LARGE = random.Random(1).randbytes(12 * 2**20)  # above 8 MiB the client uploads in another way
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


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Let this process write only small files, as under `ulimit -f` and on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)  # Python would leave half a file without a word
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


def opened_again(storage):
    """Return the same storage as another process opens it."""
    if isinstance(storage, FolderStorage):
        return FolderStorage(storage.folder)
    return BucketStorage(storage.name, retry_seconds=PATIENCE)


def write_large(storage, name: str) -> None:
    opened_again(storage).save_bytes(name, LARGE)
    os._exit(0)
