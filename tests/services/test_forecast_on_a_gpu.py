"""The forecast on a GPU (tests/gpu_driver.py): the bytes of the processor, and the device that is named."""

import logging

import pytest

from modeling.engine.cuda.code import PTX, gpu_code_folder
from modeling.engine.cuda.device import device_in_use
from modeling.failures import DeviceLost, UserError
from services.device import CPU, Device
from services.inference import Inference
from services.models import Prepared
from services.models.forecast import Forecast
from services.objects import Objects
from services.plugins import load_plugins
from services.settings import Settings
from tests.forecasts import five_places, own_table, packed, predicted, prepared, write_upload
from tests.gpu_driver import plug_in, unplug
from tests.web_services import FORECAST, SENTIMENT

GPU = Device("cuda", "cuda: NVIDIA L4")


@pytest.fixture
def small_gpu(monkeypatch, tmp_path):
    yield plug_in(monkeypatch, tmp_path / "code")
    unplug()


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Prepared:
    """A week's admissions of five places."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "experiment.tar.gz").write_bytes(packed(write_upload(folder / "default", five_places())))
    return prepared("week.csv", own_table(), folder)


def inference(models: str, folder, device: str = "auto") -> Inference:
    handler = Inference(Settings("inference", device=device), load_plugins(models), Objects(), folder, GPU)
    handler.load()
    return handler


def test_a_forecast_has_the_same_bytes_on_a_gpu_and_on_the_processor(given, small_gpu, tmp_path):
    expected = predicted(given)

    kind = Forecast().load(tmp_path, "cuda")
    small_gpu.launches.clear()
    found = predicted(given, 2)

    assert kind == device_in_use() == "cuda"
    assert small_gpu.launches
    assert found != expected  # two shards
    assert predicted(given) == expected


def test_the_service_is_on_the_gpu_where_a_model_uses_it(small_gpu, tmp_path):
    assert inference(f"{FORECAST},{SENTIMENT}", tmp_path).device == GPU
    assert inference(SENTIMENT, tmp_path).device == CPU


def test_with_auto_a_gpu_that_the_engine_cannot_use_costs_one_line(small_gpu, tmp_path, caplog):
    (gpu_code_folder() / PTX).unlink()

    with caplog.at_level(logging.WARNING):
        handler = inference(FORECAST, tmp_path)

    [line] = [record.getMessage() for record in caplog.records if record.name == "services.inference"]
    assert line.startswith("forecast runs on the processor: the engine's code for a GPU is not in ")
    assert "\n" not in line
    assert (handler.device, device_in_use()) == (CPU, "cpu")


def test_with_cuda_it_ends_the_service(small_gpu, tmp_path):
    (gpu_code_folder() / PTX).unlink()

    with pytest.raises(UserError, match=r"run python -m modeling\.engine\.cuda\.precompile"):
        inference(FORECAST, tmp_path, "cuda")


def test_a_gpu_that_fails_at_work_makes_no_unit_fail_for_good(given, small_gpu, tmp_path):
    Forecast().load(tmp_path, "cuda")
    small_gpu.refuses = {"cuStreamSynchronize": "CUDA_ERROR_LAUNCH_FAILED"}

    with pytest.raises(DeviceLost, match=r"NVIDIA L4 failed: .*LAUNCH_FAILED"):
        Forecast().predict(given.content, 0, len(given.units), 1)
