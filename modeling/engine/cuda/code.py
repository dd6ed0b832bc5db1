"""The GPU's code in files, beside the engine's machine code: PTX for all GPUs, and machine code for the L4.

The folder's name has a digest of the sources of the engine and of this package. What compiles them does not
count: the image has it locked, and another machine may load the files without it.
"""

import hashlib
import re
from functools import cache
from pathlib import Path

from modeling.engine.code_folder import ENGINE, base_folder, is_trusted, read_code
from modeling.failures import UserError

PTX, ENTRY = "lanes.ptx", "simulate_lanes"
LEAST_GPU = (8, 0)  # compute capability: A100
MACHINE_CODE = {(8, 9): "lanes.sm_89.cubin"}  # by compute capability: L4
MOST_PTX_VERSION = (8, 2)  # what the driver of Cloud Run's L4 reads: 535, of CUDA 12.2
_VERSION = re.compile(rb"^\.version (\d+)\.(\d+)$", re.MULTILINE)


@cache
def gpu_code_folder() -> Path:
    """Return the folder of the GPU's code."""
    digest = hashlib.sha256()
    for path in sorted([*ENGINE.glob("*.py"), *(ENGINE / "cuda").glob("*.py")]):
        text = path.read_bytes()
        digest.update(f"{path.name} {len(text)}\n".encode() + text)
    return base_folder() / f"cuda-{digest.hexdigest()[:16]}"


def gpu_code(capability: tuple[int, int]) -> bytes:
    """Return the code for a GPU: machine code if there is some, else PTX, which its driver compiles.

    Raises
    ------
    UserError
        The GPU is too old, or the code has not been compiled.
    """
    if capability < LEAST_GPU:
        raise UserError(
            f"the GPU's compute capability is {capability[0]}.{capability[1]}, below 8.0; take a newer GPU "
            "(A100, L4), or set DEVICE=cpu"
        )
    folder = gpu_code_folder()
    for name in filter(None, [MACHINE_CODE.get(capability), PTX]):
        if is_trusted() and (code := read_code(folder / name)):
            return code
    raise UserError(
        f"the engine's code for a GPU is not in {folder}; run python -m modeling.engine.cuda.precompile "
        "(it needs docker/requirements-cuda.txt), or set DEVICE=cpu"
    )


def ptx_version(ptx: bytes) -> tuple[int, int]:
    """Return the version of PTX code."""
    major, minor = _VERSION.search(ptx).groups()
    return int(major), int(minor)
