"""The engine on a GPU: the bytes of the processor, memory, several batches at once, what is refused.

The GPU is that of tests/gpu_driver.py. tests/on_a_gpu.py compares the same batches on a real one.
"""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from modeling.engine.cuda import device
from modeling.engine.cuda.code import PTX, gpu_code_folder
from modeling.engine.plan import Simulated
from modeling.failures import DeviceLost, UserError
from tests.engine_models import CASES
from tests.experiments import REPOSITORY
from tests.gpu_cases import Asked, asked_of, digest
from tests.gpu_driver import SmallGpu, plug_in, unplug

without_gpu = pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="this machine has a driver")


@pytest.fixture
def small_gpu(monkeypatch, tmp_path):
    yield plug_in(monkeypatch, tmp_path)
    unplug()


@pytest.fixture
def plugged(monkeypatch, tmp_path):
    """Return a function that gives this process a GPU."""
    yield lambda **options: plug_in(monkeypatch, tmp_path, SmallGpu(**options))
    unplug()


def simulated(asked: Asked, on: str) -> Simulated:
    return asked.compiled().simulate(**asked.arguments, device=on)


@pytest.mark.parametrize("name", CASES)
def test_every_model_has_the_same_bytes(name, small_gpu):
    for asked in asked_of(name):
        expected = simulated(asked, "cpu")

        assert digest(simulated(asked, "cuda")) == digest(expected), asked.name
        if "bound" in asked.arguments:
            assert 0.2 < expected.stopped.mean() < 0.9
    assert len(small_gpu.launches) > 3


@pytest.mark.parametrize("multiprocessors", [2, 100])
@pytest.mark.parametrize("first_steps", [1, 1_000])
def test_neither_threads_nor_the_steps_of_a_launch_change_a_byte(
    multiprocessors, first_steps, plugged, monkeypatch
):
    monkeypatch.setattr(device, "FIRST_STEPS", first_steps)
    plugged(multiprocessors=multiprocessors)
    asked = next(asked_of("vaccination", particles=70))

    assert digest(simulated(asked, "cuda")) == digest(simulated(asked, "cpu"))


def test_batches_of_several_threads_run_side_by_side(small_gpu):
    batches = [asked for name in ("SIR", "waning", "overrides") for asked in asked_of(name, particles=40)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda asked: digest(simulated(asked, "cuda")), batches))

    assert found == [digest(simulated(asked, "cpu")) for asked in batches]


def test_a_process_simulates_on_the_device_that_it_has_chosen(small_gpu):
    asked = next(asked_of("SIR", particles=3))

    simulated(asked, None)
    before = len(small_gpu.launches)
    device.use_device("cuda")
    simulated(asked, None)

    assert before == 0 < len(small_gpu.launches)
    with pytest.raises(ValueError, match='device "gpu" is neither cpu nor cuda'):
        simulated(asked, "gpu")


def test_a_batch_of_nobody_is_not_sent_to_the_gpu(small_gpu):
    asked = next(asked_of("SIR", particles=3))
    asked.arguments["parameters"]["R0"][:] = np.nan

    assert len(simulated(asked, "cuda").infeasible) == 3
    assert not small_gpu.launches


def test_ctrl_c_ends_a_batch_between_two_launches_and_the_next_one_is_right(small_gpu, monkeypatch):
    asked = next(asked_of("SEIRH", particles=40))
    expected = digest(simulated(asked, "cuda"))

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(small_gpu, "_cuLaunchKernel", interrupted)
        with pytest.raises(KeyboardInterrupt):
            simulated(asked, "cuda")

    assert digest(simulated(asked, "cuda")) == expected


def test_memory_is_used_again_and_taken_from_idle_streams_where_it_is_short(plugged):
    gpu = plugged(memory=3_000_000)
    small, large = (next(asked_of("reported by day", particles=each)) for each in (20, 100))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda asked: simulated(asked, "cuda"), [small] * 4))
    held = sum(map(len, gpu._allocated.values()))

    assert digest(simulated(large, "cuda")) == digest(simulated(large, "cpu"))
    assert held < 3_000_000 < held + 2_500_000


def test_a_small_batch_after_a_large_one_copies_no_more_than_its_own(small_gpu):
    small, large = (next(asked_of("interventions", particles=each)) for each in (10, 140))
    plan = small.compiled()

    copied = []
    for asked in (small, large, small):
        small_gpu.copied_in = 0
        plan.simulate(**asked.arguments, device="cuda")
        copied.append(small_gpu.copied_in)

    assert copied[0] == copied[2] < copied[1] / 4


@without_gpu
def test_the_script_for_a_real_gpu_builds_its_batches_and_needs_one(tmp_path):
    script, made = REPOSITORY / "tests" / "on_a_gpu.py", tmp_path / "cases.pkl"

    built = subprocess.run(
        [sys.executable, script, "--quick", "--save", made], capture_output=True, text=True
    )
    done = subprocess.run([sys.executable, script, "--cases", made], capture_output=True, text=True)

    assert built.returncode == 0, built.stderr
    assert done.returncode == 2
    assert re.fullmatch(r"NVIDIA's driver is not installed .*\n", done.stderr)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"refuses": {"cuInit": "CUDA_ERROR_NO_DEVICE"}}, "NO_DEVICE.: give this machine a GPU"),
        ({"refuses": {"cuModuleLoadData": "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"}}, "install a newer driver"),
        ({"refuses": {"cuInit": "CUDA_ERROR_UNKNOWN"}}, "NVIDIA's driver answers CUDA_ERROR_UNKNOWN: start"),
        ({"capability": (7, 5)}, "the GPU's compute capability is 7.5, below 8.0; take a newer GPU"),
        ({"memory": 100_000}, "the GPU's memory is full; end other programs"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_one_line_that_says_what_to_do(options, said, plugged):
    plugged(**options)
    asked = next(asked_of("SIR"))

    with pytest.raises(UserError, match=said) as refused:
        simulated(asked, "cuda")

    assert "or set DEVICE=cpu" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "function",
    [
        *("cuCtxSetCurrent", "cuStreamCreate", "cuMemcpyHtoDAsync", "cuMemsetD8Async", "cuLaunchKernel"),
        *("cuMemcpyDtoHAsync", "cuStreamSynchronize"),
    ],
)
def test_a_gpu_that_fails_at_work_is_a_fault_that_passes_and_no_fault_of_the_model(function, small_gpu):
    device.use_device("cuda")
    small_gpu.refuses = {function: "CUDA_ERROR_ECC_UNCORRECTABLE"}

    with pytest.raises(DeviceLost, match=r"NVIDIA L4 failed: .*ECC_UNCORRECTABLE"):
        simulated(next(asked_of("SIR", particles=3)), None)


def test_code_that_is_missing_or_damaged_is_named_with_the_command_that_makes_it(small_gpu):
    path = gpu_code_folder() / PTX
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(UserError, match=r"run python -m modeling\.engine\.cuda\.precompile"):
        device.use_device("cuda")

    assert device.device_in_use() == "cpu"


@without_gpu
def test_a_machine_without_the_driver_or_its_package_is_refused(monkeypatch):
    device.gpu_engine.cache_clear()
    with pytest.raises(
        UserError, match=r"NVIDIA's driver is not installed .*; install it, or set DEVICE=cpu"
    ):
        device.use_device("cuda")

    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(UserError, match="cuda-bindings is not installed; install docker/requirements-cuda"):
        device.use_device("cuda")
