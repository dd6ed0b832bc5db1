"""What several files of this lane start from: a storage, a finished run, data that a calibration can find."""

import pytest

from localcloud.process import running
from pipeline.bucket import BucketStorage
from pipeline.storage import FolderStorage
from tests.storages import IMPATIENCE, PATIENCE, Emulator


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


@pytest.fixture
def path(tmp_path):
    """A file to be saved from disk."""
    path = tmp_path / "file.csv"
    path.write_bytes(b"from disk")
    return path
