"""Compiled functions that Python calls, without numba: loaded machine code, and the words it is called with.

    run = Kernel("modeling.engine.steps", "run_lanes", Model, array("float64", 2), float)

code_folder.py keeps the machine code; precompile.py makes it, and the function ENTRY that takes the words.
"""

import ctypes
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import llvmlite.binding as llvm
import numpy as np

from modeling.engine.code_folder import code_of
from modeling.engine.target import TARGET
from modeling.failures import UserError

ENTRY = "call_with_words"  # the function in each file: it takes a pointer to the words of all arguments


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
        words = words_of(self.types, arguments, self.function)
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
                self._entry = _load(code_of(self.file_name))
        return self._entry


def _address_of(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def words_of(
    types: Sequence[Any],
    arguments: Sequence[Any],
    function: str,
    address_of: Callable[[np.ndarray], int] = _address_of,
) -> list[int]:
    """Return the words that numba passes for the arguments of a function.

    Raises
    ------
    TypeError
        An argument has another type.
    """
    if len(arguments) != len(types):
        raise TypeError(f"{function} takes {len(types)} arguments, not {len(arguments)}")
    words: list[int] = []
    for kind, value in zip(types, arguments, strict=True):
        _append_words(words, kind, value, function, address_of)
    return words


def _append_words(
    words: list[int], kind: Any, value: Any, where: str, address_of: Callable[[np.ndarray], int]
) -> None:
    """Append a value as numba passes it: an array as owner, parent, sizes, address, shape and strides."""
    if get_origin(kind) is Annotated:
        _, dtype, dimensions = get_args(kind)
        _check_array(value, dtype, dimensions, where)
        words += (0, 0, value.size, value.itemsize, address_of(value), *value.shape, *value.strides)
    elif hasattr(kind, "_fields"):
        if type(value) is not kind:
            raise TypeError(f"{where}: {type(value).__name__} is not a {kind.__name__}")
        for field, each in zip(fields_of(kind), value, strict=True):
            _append_words(words, field, each, f"{where}: {kind.__name__}", address_of)
    elif kind is float:
        words.append(int(np.float64(value).view(np.int64)))
    else:
        words.append(int(np.uint64(value).view(np.int64)) if kind is np.uint64 else int(value))


def number_of_words(kind: Any) -> int:
    """Return how many words a value of a type is passed as."""
    if get_origin(kind) is Annotated:
        return 5 + 2 * get_args(kind)[2]
    return sum(map(number_of_words, fields_of(kind))) if hasattr(kind, "_fields") else 1


def _check_array(value: Any, dtype: np.dtype, dimensions: int, where: str) -> None:
    is_right = isinstance(value, np.ndarray) and (value.dtype, value.ndim) == (dtype, dimensions)
    if not (is_right and value.flags.carray):
        found = f"{value.dtype}, {value.ndim} dimensions" if isinstance(value, np.ndarray) else type(value)
        raise TypeError(f"{where}: {found} is not a contiguous array of {dtype}, {dimensions} dimensions")


_engines = []  # the code lives as long as they do


def _load(code: bytes) -> Any:
    """Return the function in an object file."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(engine.get_function_address(ENTRY))
