"""The device that this process simulates on, and a batch on a GPU.

Batches of different threads run side by side, each on a stream of its own: one of a calibration is often too
small to fill a GPU. No result depends on the device, nor on what else runs there.
"""

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np

from modeling.engine.arrays import WHOLES, Batch, Look, Model, Out
from modeling.engine.cuda.arrays import GpuLanes, new_gpu_lanes
from modeling.engine.cuda.driver import Gpu, OutOfMemory, Stream
from modeling.engine.machine_code import words_of
from modeling.failures import DeviceLost, UserError

CPU, CUDA = "cpu", "cuda"
TYPES = (np.uint64, Model, Batch, Look, GpuLanes, Out, WHOLES, np.uint64, bool)
# of a launch, so that Ctrl-C is answered between two: a running kernel cannot be interrupted
LAUNCH_SECONDS = 0.1
FIRST_STEPS = 16  # of the first launch
MOST_GROWTH = 4  # of a launch over the one before

_chosen = CPU  # of this process


def use_device(kind: str) -> None:
    """Let all batches of this process be simulated on "cpu", or on "cuda", the first GPU.

    Raises
    ------
    UserError
        The driver, a GPU or the code for it is missing; the device stays what it was.
    """
    global _chosen
    gpu_for(kind)
    _chosen = kind


def device_in_use() -> str:
    """Return "cpu" or "cuda"."""
    return _chosen


def gpu_for(device: str | None) -> "GpuEngine | None":
    """Return the GPU for "cuda", None for "cpu"; for None, what use_device() has chosen.

    Raises
    ------
    UserError
        The driver, a GPU or the code for it is missing.
    """
    device = device or _chosen
    if device not in (CPU, CUDA):
        raise ValueError(f'device "{device}" is neither cpu nor cuda')
    return gpu_engine() if device == CUDA else None


@cache
def gpu_engine() -> "GpuEngine":
    return GpuEngine(Gpu())


class GpuEngine:
    """Simulates batches on a GPU."""

    def __init__(self, gpu: Gpu):
        self.gpu = gpu
        self._idle: list[Stream] = []
        self._lock = threading.Lock()

    def run(self, model: Model, batch: Batch, look: Look, out: Out, key: int, is_mean: bool) -> None:
        """Simulate a batch, as run_lanes() of steps.py does.

        Raises
        ------
        UserError
            The GPU has not enough memory.
        DeviceLost
            The GPU failed at work; what other batches of this process ask of it fails, too.
        """
        number = int(np.count_nonzero(batch.start >= 0))
        if not number:
            return
        try:
            self._run(number, model, batch, look, out, key, is_mean)
        except OutOfMemory:
            raise
        except UserError as error:
            raise DeviceLost(f"{self.gpu.name} failed: {error}") from error

    def _run(self, number, model, batch, look, out, key, is_mean) -> None:
        self.gpu.enter()
        lanes = new_gpu_lanes(min(number, self.gpu.most_lanes), model, batch, look)
        with self._stream() as stream:
            launch = _Launch(stream, model, batch, look, lanes, out, key, is_mean, self._release_idle)
            launch.run(number)
            launch.copy_out()

    @contextmanager
    def _stream(self) -> Iterator[Stream]:
        with self._lock:
            stream = self._idle.pop() if self._idle else None
        stream = stream or self.gpu.new_stream()
        try:
            yield stream
        finally:
            stream.wait()  # Ctrl-C may have come while the GPU works on the arrays of the batch
            with self._lock:
                self._idle.append(stream)

    def _release_idle(self) -> None:
        with self._lock:
            for stream in self._idle:
                stream.release()


class _Launch:
    """A batch in the memory of the GPU, and the arguments of the kernel."""

    def __init__(self, stream, model, batch, look, lanes, out, key, is_mean, release_idle):
        self._stream, self._out, self._lanes = stream, out, len(lanes.step)
        self._counters = np.zeros(2, dtype=np.int64)
        values = (0, model, batch, look, lanes, out, self._counters, np.uint64(key), is_mean)
        arrays = list(_arrays_in(values))
        sizes = [each.nbytes for each in arrays]
        try:
            addresses = stream.reserve(sizes)
        except OutOfMemory:
            release_idle()
            addresses = stream.reserve(sizes)
        self._address = {id(each): address for each, address in zip(arrays, addresses, strict=True)}
        zeros = {id(each) for each in (out.people, out.moved, out.unused)}
        unread = {id(each) for each in (lanes.reals, lanes.particle, lanes.step)}
        for each in arrays:
            if id(each) in zeros:
                stream.clear(self._address[id(each)], each.nbytes)
            elif id(each) not in unread:
                stream.copy_in(self._address[id(each)], each.ctypes.data, each.nbytes)
        words = words_of(TYPES, values, "simulate_lanes", lambda array: self._address[id(array)])
        self._words = (ctypes.c_int64 * len(words))(*words)
        begin = ctypes.addressof(self._words)
        self._pointers = (ctypes.c_void_p * len(words))(*range(begin, begin + 8 * len(words), 8))

    def run(self, number: int) -> None:
        """Launch the kernel until a number of particles have ended."""
        steps = FIRST_STEPS
        while True:
            begun = time.perf_counter()
            self._words[0] = steps
            self._stream.launch(self._lanes, ctypes.addressof(self._pointers))
            self._copy_out(self._counters)
            self._stream.wait()
            if self._counters[1] >= number:
                return
            growth = LAUNCH_SECONDS / max(time.perf_counter() - begun, 1e-6)
            steps = max(1, int(steps * min(growth, MOST_GROWTH)))

    def copy_out(self) -> None:
        """Copy the results to the arrays of the batch."""
        for each in self._out:
            self._copy_out(each)
        self._stream.wait()

    def _copy_out(self, array: np.ndarray) -> None:
        self._stream.copy_out(array.ctypes.data, self._address[id(array)], array.nbytes)


def _arrays_in(value: object) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from _arrays_in(each)
