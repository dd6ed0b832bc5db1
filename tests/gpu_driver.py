"""NVIDIA's driver with a small GPU, as far as the engine asks it: memory, and the kernel on this processor.

The kernel is the function that precompile.py compiles for a GPU, and it sees nothing but the words and the
memory that the engine has given to the driver.
"""

import ctypes
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import numpy as np
import pytest

from modeling.engine.code_folder import write_code
from modeling.engine.compiled import compiled
from modeling.engine.cuda import code, device
from modeling.engine.cuda.device import TYPES
from modeling.engine.cuda.driver import THREADS
from modeling.engine.cuda.lane import run_lane
from modeling.engine.machine_code import fields_of


@compiled
def launch(most_steps, model, batch, look, lanes, out, counters, key, is_mean):
    """Do one launch: what the threads of a GPU do at the same time."""
    for w in range(np.uint64(lanes.step.size)):
        run_lane(w, most_steps, model, batch, look, lanes, out, counters, key, is_mean)


class SmallGpu:
    """A module like cuda.bindings.driver.

    Parameters
    ----------
    refuses : dict of str to str
        Names of errors by function.
    """

    def __init__(
        self,
        capability: tuple[int, int] = (8, 9),
        multiprocessors: int = 1,
        memory: int = 1 << 30,
        refuses: dict[str, str] | None = None,
    ):
        self._real = pytest.importorskip("cuda.bindings.driver")
        self._attributes = dict(zip(("MAJOR", "MINOR", "COUNT"), (*capability, multiprocessors), strict=True))
        self.memory, self.refuses = memory, refuses or {}
        self.launches: list[int] = []  # steps of each
        self.copied_in = 0  # bytes
        self._allocated: dict[int, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name.startswith("CU"):
            return getattr(self._real, name)

        def call(*arguments: Any) -> tuple:
            if error := self.refuses.get(name):
                return (getattr(self._real.CUresult, error),)
            own = getattr(self, f"_{name}", None)
            answer = own(*arguments) if own else name
            if isinstance(answer, tuple):
                return answer
            return (
                (self._real.CUresult.CUDA_SUCCESS,)
                if answer is None
                else (self._real.CUresult.CUDA_SUCCESS, answer)
            )

        return call

    def _cuDeviceGetName(self, length: int, gpu: object) -> bytes:  # noqa: N802 - of NVIDIA
        return b"NVIDIA L4".ljust(length, b"\0")

    def _cuDeviceGetAttribute(self, attribute: Any, gpu: object) -> int:  # noqa: N802
        return self._attributes[attribute.name.rpartition("_")[2]]

    def _cuOccupancyMaxActiveBlocksPerMultiprocessor(self, *arguments: object) -> int:  # noqa: N802
        return 1

    def _cuMemAlloc(self, size: int) -> Any:  # noqa: N802
        if size > self.memory - sum(map(len, self._allocated.values())):
            return (self._real.CUresult.CUDA_ERROR_OUT_OF_MEMORY,)
        held = ctypes.create_string_buffer(b"\xa5" * size, size)
        self._allocated[ctypes.addressof(held)] = held
        return ctypes.addressof(held)

    def _cuMemFree(self, address: int) -> None:  # noqa: N802
        del self._allocated[address]

    def _cuMemcpyHtoDAsync(self, target: int, source: int, size: int, stream: object) -> None:  # noqa: N802
        self._check(target, size)
        self.copied_in += size
        ctypes.memmove(target, source, size)

    def _cuMemcpyDtoHAsync(self, target: int, source: int, size: int, stream: object) -> None:  # noqa: N802
        self._check(source, size)
        ctypes.memmove(target, source, size)

    def _cuMemsetD8Async(self, address: int, value: int, size: int, stream: object) -> None:  # noqa: N802
        self._check(address, size)
        ctypes.memset(address, value, size)

    def _cuLaunchKernel(self, function: object, *arguments: Any) -> None:  # noqa: N802
        blocks, threads, pointers = arguments[0], arguments[3], arguments[8]
        words = _words(pointers)
        values = [self._value(kind, words) for kind in TYPES]
        assert threads == THREADS
        assert blocks * threads >= len(values[4].step) > (blocks - 1) * threads
        self.launches.append(int(values[0]))
        launch(*values)

    def _value(self, kind: Any, words: Iterator[int]) -> Any:
        """Return an argument of the kernel, whose arrays are in the GPU's memory."""
        if hasattr(kind, "_fields"):
            return kind(*(self._value(each, words) for each in fields_of(kind)))
        if get_origin(kind) is not Annotated:
            return kind(next(words) % 2**64) if kind is np.uint64 else _float_or(kind, next(words))
        _, dtype, dimensions = get_args(kind)
        _, _, size, itemsize, address, *rest = (next(words) for _ in range(5 + 2 * dimensions))
        self._check(address, size * itemsize)
        held = (ctypes.c_char * (size * itemsize)).from_address(address)
        array = np.frombuffer(held, dtype).reshape(rest[:dimensions])
        assert not size or array.strides == tuple(rest[dimensions:])
        return array

    def _check(self, address: int, size: int) -> None:
        """Refuse what is not inside of allocated memory."""
        assert any(
            begin <= address and address + size <= begin + len(held)
            for begin, held in list(self._allocated.items())
        )


def _float_or(kind: type, word: int) -> Any:
    return float(np.int64(word).view(np.float64)) if kind is float else kind(word)


def _words(pointers: int) -> Iterator[int]:
    while True:
        address = ctypes.c_void_p.from_address(pointers).value
        yield ctypes.c_int64.from_address(address).value
        pointers += 8


def plug_in(monkeypatch: pytest.MonkeyPatch, folder, gpu: SmallGpu | None = None) -> SmallGpu:
    """Give this process a GPU, with code for it in a folder, until the end of a test."""
    gpu = gpu or SmallGpu()
    monkeypatch.setattr(pytest.importorskip("cuda.bindings"), "driver", gpu, raising=False)
    monkeypatch.setattr(code, "base_folder", lambda: folder)
    code.gpu_code_folder.cache_clear()
    code.gpu_code_folder().mkdir(parents=True)
    write_code(code.gpu_code_folder() / code.PTX, b"// the kernel of this processor")
    monkeypatch.setattr(device, "_chosen", "cpu")
    device.gpu_engine.cache_clear()
    return gpu


def unplug() -> None:
    """Forget the GPU."""
    code.gpu_code_folder.cache_clear()
    device.gpu_engine.cache_clear()
