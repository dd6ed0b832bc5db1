"""Compiled functions that Python calls: machine code from the engine's folder, loaded without numba.

    run = Kernel("modeling.engine.steps", "run_lanes", Model, array("float64", 2), float)

What is not in the folder is compiled once, by a separate process (precompile.py).
"""

import contextlib
import ctypes
import fcntl
import functools
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import llvmlite.binding as llvm
import numpy as np

from modeling.engine.code_folder import code_folder, open_for_writing
from modeling.engine.target import TARGET
from modeling.failures import UserError

log = logging.getLogger(__name__)

ENTRY = "call_with_words"  # the function in each file: it takes a pointer to the words of all arguments
# numba leaves calls of these in the code; they free arrays that were allocated, so they never happen
NEVER_CALLED = ("NRT_MemInfo_call_dtor",)


def array(dtype: str, dimensions: int = 1) -> Any:
    """Return the type of a contiguous array that may be written: an argument, or a field of a NamedTuple."""
    return Annotated[np.ndarray, np.dtype(dtype), dimensions]


@functools.cache
def fields_of(kind: Any) -> list[Any]:
    """Return the types of the fields of a NamedTuple, in their order."""
    hints = get_type_hints(kind, include_extras=True)
    return [hints[name] for name in kind._fields]


class Kernel:
    """A compiled function.

    Parameters
    ----------
    module, function : str
        Where it is; it is decorated with @compiled.
    types : type
        Of its arguments: array(), int, float, bool, np.uint64, or a NamedTuple of these.
    """

    def __init__(self, module: str, function: str, *types: Any):
        self.module, self.function, self.types = module, function, types
        self._lock = threading.Lock()
        self._entry: Any = None

    @property
    def file_name(self) -> str:
        return f"{self.module.rpartition('.')[2]}.{self.function}.o"

    def __call__(self, *arguments: Any) -> None:
        """Call the function without the interpreter's lock, so that threads run side by side.

        Raises
        ------
        TypeError
            An argument has another type.
        """
        if len(arguments) != len(self.types):
            raise TypeError(f"{self.function} takes {len(self.types)} arguments, not {len(arguments)}")
        words: list[int] = []
        for kind, value in zip(self.types, arguments, strict=True):
            _append_words(words, kind, value, self.function)
        passed = (ctypes.c_int64 * len(words))(*words)
        if status := self.load()(ctypes.addressof(passed)):
            raise RuntimeError(f"{self.function} ended with status {status}")

    def load(self) -> Any:
        """Return the machine code. The main thread loads it first: compiling it can then be interrupted."""
        with self._lock:
            if self._entry is None:
                if not TARGET.can_run:
                    raise UserError(
                        f"this CPU cannot run code for ENGINE_TARGET={TARGET.name}; set a lower one, or none"
                    )
                with machine_code(self.file_name) as path:
                    self._entry = _load(path)
        return self._entry


def _append_words(words: list[int], kind: Any, value: Any, where: str) -> None:
    """Append a value as numba passes it: an array as owner, parent, sizes, address, shape and strides."""
    if get_origin(kind) is Annotated:
        _, dtype, dimensions = get_args(kind)
        _check_array(value, dtype, dimensions, where)
        address = value.__array_interface__["data"][0]
        words += (0, 0, value.size, value.itemsize, address, *value.shape, *value.strides)
    elif hasattr(kind, "_fields"):
        if type(value) is not kind:
            raise TypeError(f"{where}: {type(value).__name__} is not a {kind.__name__}")
        for field, each in zip(fields_of(kind), value, strict=True):
            _append_words(words, field, each, f"{where}: {kind.__name__}")
    elif kind is float:
        words.append(int(np.float64(value).view(np.int64)))
    else:
        words.append(int(np.uint64(value).view(np.int64)) if kind is np.uint64 else int(value))


def _check_array(value: Any, dtype: np.dtype, dimensions: int, where: str) -> None:
    is_right = isinstance(value, np.ndarray) and (value.dtype, value.ndim) == (dtype, dimensions)
    if not (is_right and value.flags.carray):
        found = f"{value.dtype}, {value.ndim} dimensions" if isinstance(value, np.ndarray) else type(value)
        raise TypeError(f"{where}: {found} is not a contiguous array of {dtype}, {dimensions} dimensions")


# -- files


@contextlib.contextmanager
def machine_code(name: str) -> Iterator[Path]:
    """Yield a file of the engine's folder; one that is missing is compiled."""
    folder = code_folder(TARGET.name)
    if (folder / name).is_file():
        yield folder / name
    elif open_for_writing(folder):
        with _alone(folder):
            if not (folder / name).is_file():
                log.info("compiling the engine for this machine, about half a minute; once per version")
                compile_into(folder, name)
        yield folder / name
    else:
        log.warning(
            "compiling the engine for this process alone, about half a minute each time, because %s cannot "
            "be written; set NUMBA_CACHE_DIR to a folder that can",
            folder.parent,
        )
        with tempfile.TemporaryDirectory() as work:
            compile_into(Path(work), name)
            yield Path(work, name)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that of tasks that start together one compiles and the others wait."""
    with open(folder / ".lock", "ab") as file:
        with contextlib.suppress(OSError):  # a network drive without locks: each task compiles
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def compile_into(folder: Path, name: str = "", target: str = TARGET.name) -> None:
    """Compile a kernel, or all, into a folder, by a process whose numba has compiled for no other CPU."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    known = {"ENGINE_TARGET": target, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-m", "modeling.engine.precompile", "--into", str(folder), name],
        env={**{n: v for n, v in os.environ.items() if not n.startswith("NUMBA_")}, **known},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"the engine cannot be compiled:\n{done.stderr}")


_engines = []  # the code lives as long as they do


def _load(path: Path) -> Any:
    """Return the function in a file of machine code."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    never = ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value
    for name in NEVER_CALLED:
        llvm.add_symbol(name, never)
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(path.read_bytes()))
    engine.finalize_object()
    _engines.append(engine)
    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(engine.get_function_address(ENTRY))
