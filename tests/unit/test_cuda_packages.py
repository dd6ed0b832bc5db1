"""The packages that compile CUDA code are those that the driver of Cloud Run's L4 understands."""

import re
import subprocess
import sys

from tests.experiments import REPOSITORY

LOCKED = REPOSITORY / "docker" / "requirements-cuda.txt"
NEWEST_PTX = (8, 2)  # of CUDA 12.2, the newest of driver 535
KERNEL = """
from numba import cuda, types

def add_one(values):
    number = cuda.grid(1)
    if number < values.size:
        values[number] += 1.0

print(cuda.compile_ptx(add_one, (types.float64[:],), cc=(8, 9))[0])
"""


def test_compilers_are_locked_at_cuda_12_2_and_nvjitlink_is_absent():
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", LOCKED.read_text(), re.MULTILINE))

    ours = {name: version for name, version in locked.items() if name.startswith("nvidia-")}

    assert ours == {f"nvidia-cuda-{part}-cu12": "12.2.140" for part in ("nvcc", "nvrtc", "runtime")}
    assert not [name for name in locked if "nvjitlink" in name]


def test_a_kernel_compiles_without_a_gpu_to_code_that_the_driver_takes():
    done = subprocess.run([sys.executable, "-c", KERNEL], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    [(major, minor)] = re.findall(r"^\.version (\d+)\.(\d+)$", done.stdout, re.MULTILINE)
    assert (int(major), int(minor)) <= NEWEST_PTX
    assert re.search(r"^\.target sm_89$", done.stdout, re.MULTILINE)
