"""Compile the engine for GPUs ahead, without one: for the image of the inference service.

    python -m modeling.engine.cuda.precompile

Needs docker/requirements-cuda.txt. PTX serves every GPU from an A100 on, whose driver compiles it in
seconds; ptxas makes machine code for the L4. Nothing is contracted: NVVM is told not to, and then every
operation names its rounding, which ptxas and the driver keep.
"""

import logging
import re
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from modeling.engine.code_folder import open_for_writing, write_code
from modeling.engine.cuda.code import (
    ENTRY,
    LEAST_GPU,
    MACHINE_CODE,
    MOST_PTX_VERSION,
    PTX,
    gpu_code_folder,
    ptx_version,
)
from modeling.engine.cuda.device import TYPES
from modeling.engine.precompile import numba_type
from modeling.failures import UserError

# the same operations of LLVM, by the names that NVVM knows: one instruction each
_OF_NVVM = {"llvm.floor.f64": "__nv_floor", "llvm.fabs.f64": "__nv_fabs"}


def main() -> int:
    folder, started = gpu_code_folder(), time.perf_counter()
    if not open_for_writing(folder):
        print(
            f"{folder} cannot be written, or is another user's; set NUMBA_CACHE_DIR to a folder of your own",
            file=sys.stderr,
        )
        return 2
    try:
        made = compiled_for_gpus()
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for name, code in made.items():
        write_code(folder / name, code)
    megabytes = sum(map(len, made.values())) / 1e6
    version = ".".join(map(str, ptx_version(made[PTX])))
    names = " ".join(made)
    seconds = time.perf_counter() - started
    print(f"{folder}: {names}, PTX {version}, {megabytes:.1f} MB, {seconds:.1f} s")
    return 0


def compiled_for_gpus() -> dict[str, bytes]:
    """Return the files of the code by name.

    Raises
    ------
    UserError
        The compilers are missing, or are too new for the driver.
    """
    ptx = _ptx()
    if ptx_version(ptx) > MOST_PTX_VERSION:
        found, most = (".".join(map(str, version)) for version in (ptx_version(ptx), MOST_PTX_VERSION))
        raise UserError(
            f"the installed NVVM writes PTX {found}, and the L4's driver reads {most} at most; install the "
            "versions of docker/requirements-cuda.txt"
        )
    files = {name: _machine_code(ptx, capability) for capability, name in MACHINE_CODE.items()}
    return {PTX: ptx} | files


def _ptx() -> bytes:
    """Return the kernel as PTX, whose entry is ENTRY."""
    if find_spec("numba_cuda") is None or not _nvcc_folder():
        raise UserError(
            "numba-cuda or NVIDIA's compiler is not installed; install docker/requirements-cuda.txt"
        )
    import numba.cuda.dispatcher
    from numba import cuda, types
    from numba.cuda.compiler import _compile_pyfunc_with_fixup
    from numba.cuda.cudadrv import nvvm

    from modeling.engine.cuda.lane import run_lane

    def simulate_lanes(most_steps, model, batch, look, lanes, out, counters, key, is_mean):
        w = cuda.grid(1)
        if w < lanes.step.size:
            run_lane(np.uint64(w), most_steps, model, batch, look, lanes, out, counters, key, is_mean)

    # numba asks the device what it can run; here there is none
    numba.cuda.dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=LEAST_GPU)
    logging.getLogger("numba.cuda").setLevel(logging.ERROR)
    signature = types.void(*map(numba_type, TYPES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library, _ = _compile_pyfunc_with_fixup(
            simulate_lanes, signature, device=False, abi="numba", cc=LEAST_GPU
        )
        major, minor = LEAST_GPU
        unit = nvvm.CompilationUnit({"opt": 3, "arch": f"compute_{major}{minor}", "fma": False})
        for text in library.llvm_strs:
            unit.add_module(_for_nvvm(nvvm.llvm_replace(text)).encode())
        unit.verify()
        unit.lazy_add_module(nvvm.LibDevice().get())  # not verified: NVIDIA's own
        ptx = unit.compile().decode().strip("\0\n ") + "\n"
    (mangled,) = re.findall(r"\.visible \.entry (\w+)\(", ptx)
    return ptx.replace(mangled, ENTRY).encode()


def _for_nvvm(text: str) -> str:
    for ours, theirs in _OF_NVVM.items():
        text = text.replace(f'@"{ours}"', f'@"{theirs}"')
    return text


def _machine_code(ptx: bytes, capability: tuple[int, int]) -> bytes:
    """Return the machine code for one GPU, by ptxas."""
    with tempfile.TemporaryDirectory() as work:
        source, made = Path(work) / "lanes.ptx", Path(work) / "lanes.cubin"
        source.write_bytes(ptx)
        major, minor = capability
        subprocess.run(
            [_nvcc_folder() / "bin" / "ptxas", f"-arch=sm_{major}{minor}", "-fmad=false", "-o", made, source],
            check=True,
        )
        return made.read_bytes()


def _nvcc_folder() -> Path | None:
    """Return the folder of NVIDIA's compiler, as its wheel installs it."""
    spec: Any = find_spec("nvidia")
    for folder in spec.submodule_search_locations if spec else []:
        if (path := Path(folder) / "cuda_nvcc").is_dir():
            return path
    return None


if __name__ == "__main__":
    sys.exit(main())
