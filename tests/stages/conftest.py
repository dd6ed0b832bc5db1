"""What several files of this lane start from: a storage, a finished run, data that a calibration can find."""

import shutil
from pathlib import Path

import pytest

from localcloud.process import running
from modeling.run_names import ENGINES
from pipeline.bucket import BucketStorage
from pipeline.storage import FolderStorage
from tests.calibrations import truth
from tests.experiments import calibrated, sampled_twice
from tests.in_process import ended
from tests.stage_scripts import Stages
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


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory) -> Path:
    """A run of two parameter sets, built and simulated; tests work on copies."""
    return _finished(tmp_path_factory.mktemp("finished"), sampled_twice(), 2)


@pytest.fixture(scope="module")
def finished_calibration(tmp_path_factory) -> Path:
    return _finished(tmp_path_factory.mktemp("calibrated"), calibrated(), 1)


def _finished(folder: Path, experiment: dict, inputs: int) -> Path:
    stages = Stages(folder, experiment)
    assert ended(stages, "builder")[0] == 0
    for index in range(inputs):
        code, said = ended(stages, "runner", TASK_INDEX=index)
        assert code == 0, said
    return folder


@pytest.fixture
def run(finished_run, tmp_path) -> Stages:
    shutil.copytree(finished_run / "bucket", tmp_path / "bucket")
    return Stages(tmp_path, sampled_twice())


@pytest.fixture
def calibration(finished_calibration, tmp_path) -> Stages:
    shutil.copytree(finished_calibration / "bucket", tmp_path / "bucket")
    return Stages(tmp_path, calibrated())


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return truth(tmp_path_factory.mktemp("data"))


@pytest.fixture(params=ENGINES)
def engine(request) -> str:
    """Each engine, for what holds for both."""
    return request.param
