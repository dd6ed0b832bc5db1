"""NVIDIA's driver, through cuda.bindings: the first GPU, its code, memory and streams.

Each function of the driver returns an error code first; `checked` makes a sentence of it.
"""

import logging
from typing import Any

from modeling.engine.cuda.code import ENTRY, gpu_code
from modeling.failures import UserError

log = logging.getLogger(__name__)

THREADS = 32  # of a block: one warp, so that few particles are spread over all multiprocessors
_ALIGNMENT = 256  # bytes
_OTHERWISE = "or set DEVICE=cpu"


class OutOfMemory(UserError):
    """The GPU's memory is full."""


def driver() -> Any:
    """Return the module of the driver's functions.

    Raises
    ------
    UserError
        cuda-bindings or the driver is not installed.
    """
    try:
        from cuda.bindings import driver as found
    except ImportError:
        raise UserError(
            f"cuda-bindings is not installed; install docker/requirements-cuda.txt, {_OTHERWISE}"
        ) from None
    return found


def checked(result: tuple) -> Any:
    """Return what a function of the driver returns beside its error code: nothing, a value, or several.

    Raises
    ------
    UserError
        Names the error, and what to do about it.
    """
    error, *values = result
    if int(error):
        name = error.name
        if name == "CUDA_ERROR_OUT_OF_MEMORY":
            raise OutOfMemory(f"the GPU's memory is full; end other programs that use it, {_OTHERWISE}")
        if name in _TO_DO:
            raise UserError(f"the GPU cannot be used ({name}): {_TO_DO[name]}, {_OTHERWISE}")
        raise UserError(f"NVIDIA's driver answers {name}: start again, {_OTHERWISE}")
    return values[0] if len(values) == 1 else values


_TO_DO = {
    "CUDA_ERROR_NO_DEVICE": "give this machine a GPU",
    "CUDA_ERROR_INVALID_DEVICE": "give this machine a GPU",
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH": "install a driver that fits the kernel",
    "CUDA_ERROR_INSUFFICIENT_DRIVER": "install a newer driver, 535 or later",
    "CUDA_ERROR_UNSUPPORTED_PTX_VERSION": "install a newer driver, 535 or later",
    "CUDA_ERROR_DEVICES_UNAVAILABLE": "end other programs that use it",
    "CUDA_ERROR_ECC_UNCORRECTABLE": "its memory is damaged; take another",
}


class Gpu:
    """The first GPU, with the engine's code loaded.

    Attributes
    ----------
    name : str
        "NVIDIA L4".
    most_lanes : int
        Threads that it runs at the same time.

    Raises
    ------
    UserError
        The driver, a GPU or the code is missing.
    """

    def __init__(self):
        self._driver = cuda = driver()
        try:
            error = cuda.cuInit(0)
        except RuntimeError as problem:  # cuda-bindings has several for a library that is not there
            raise UserError(
                f"NVIDIA's driver is not installed ({str(problem).splitlines()[0]}); install it, {_OTHERWISE}"
            ) from None
        checked(error)
        device = checked(cuda.cuDeviceGet(0))
        self.name = checked(cuda.cuDeviceGetName(100, device)).split(b"\0")[0].decode("utf-8", "replace")
        attributes = cuda.CUdevice_attribute
        capability = tuple(
            checked(cuda.cuDeviceGetAttribute(each, device))
            for each in (
                attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
            )
        )
        code = gpu_code(capability)
        # a thread that waits sleeps: its core is needed for the host's part of other units
        checked(cuda.cuDevicePrimaryCtxSetFlags(device, cuda.CUctx_flags.CU_CTX_SCHED_BLOCKING_SYNC))
        self._context = checked(cuda.cuDevicePrimaryCtxRetain(device))
        self.enter()
        module = checked(cuda.cuModuleLoadData(code + b"\0"))
        self._function = checked(cuda.cuModuleGetFunction(module, ENTRY.encode()))
        self._module = module  # unloaded with it
        at_once = checked(cuda.cuOccupancyMaxActiveBlocksPerMultiprocessor(self._function, THREADS, 0))
        processors = checked(
            cuda.cuDeviceGetAttribute(attributes.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device)
        )
        self.most_lanes = processors * at_once * THREADS

    def enter(self) -> None:
        """Let the calling thread use the GPU."""
        checked(self._driver.cuCtxSetCurrent(self._context))

    def new_stream(self) -> "Stream":
        return Stream(self._driver, self._function)


class Stream:
    """A queue of work on the GPU, and memory for one batch, which grows and is used again."""

    def __init__(self, cuda: Any, function: Any):
        self._driver, self._function = cuda, function
        self._stream = checked(cuda.cuStreamCreate(cuda.CUstream_flags.CU_STREAM_NON_BLOCKING))
        self._begin, self._size, self._used = 0, 0, 0

    def reserve(self, sizes: list[int]) -> list[int]:
        """Return addresses of memory for arrays of some sizes [bytes]; earlier addresses end."""
        ends, total = [], 0
        for size in sizes:
            ends.append(total)
            total += -(-max(size, 1) // _ALIGNMENT) * _ALIGNMENT
        if total > self._size:
            self.release()
            self._begin, self._size = int(checked(self._driver.cuMemAlloc(total))), total
        return [self._begin + each for each in ends]

    def release(self) -> None:
        """Give the memory back."""
        if self._size:
            checked(self._driver.cuMemFree(self._begin))
            self._begin = self._size = 0

    def copy_in(self, address: int, source: int, size: int) -> None:
        if size:
            checked(self._driver.cuMemcpyHtoDAsync(address, source, size, self._stream))

    def copy_out(self, target: int, address: int, size: int) -> None:
        if size:
            checked(self._driver.cuMemcpyDtoHAsync(target, address, size, self._stream))

    def clear(self, address: int, size: int) -> None:
        """Fill memory with zeros."""
        if size:
            checked(self._driver.cuMemsetD8Async(address, 0, size, self._stream))

    def launch(self, threads: int, parameters: int) -> None:
        """Start the kernel, one thread a lane; `parameters` is the address of pointers to its arguments."""
        grid = -(-threads // THREADS), 1, 1
        checked(
            self._driver.cuLaunchKernel(self._function, *grid, THREADS, 1, 1, 0, self._stream, parameters, 0)
        )

    def wait(self) -> None:
        """Wait for all work that has been queued."""
        checked(self._driver.cuStreamSynchronize(self._stream))
