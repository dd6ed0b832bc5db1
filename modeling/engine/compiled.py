"""Decorators that compile the engine's functions, and keep the machine code.

    @inlined      a helper of scalars; becomes part of each function that calls it
    @part         a function that compiled functions call
    @compiled     a function that Python calls, with annotated types; its code is kept in a folder

There is no fastmath and LLVM contracts nothing, so that code for any CPU gives the same bits.
"""

import contextlib
import functools
import logging
import threading
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numba
import numpy as np
from numba.core import caching, sigutils, types

from modeling.engine.code_folder import code_folder, open_for_writing
from modeling.engine.target import TARGET
from modeling.failures import UserError

log = logging.getLogger(__name__)

U64 = np.uint64
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}


def inlined(function: Callable) -> Callable:
    """Compile a helper into each function that calls it: a call would end a loop's vectorisation."""
    return numba.njit(forceinline=True, **_OPTIONS)(function)


def part(function: Callable) -> Callable:
    """Compile a function that compiled functions call; its code is kept with theirs."""
    return numba.njit(**_OPTIONS)(function)


def array(dtype: str, dimensions: int = 1) -> Any:
    """Return the annotation of a contiguous array that may be written: an argument of a compiled function."""
    return Annotated[np.ndarray, f"{dtype}[{':, ' * (dimensions - 1)}::1]"]


class Compiled:
    """A compiled function that Python calls, with the types of its annotations and no others.

    An argument is an array(), int, float, bool, np.uint64, or a NamedTuple of these. Other types would be
    compiled in the middle of a run, so they raise a TypeError.
    """

    def __init__(self, function: Callable):
        functools.update_wrapper(self, function)
        self.dispatcher = numba.njit(**_OPTIONS)(function)
        self.dispatcher._cache = _Cache(function)  # what numba's option `cache` does, with our folder
        self._lock = threading.Lock()
        self._is_ready = False

    def __call__(self, *arguments: Any) -> Any:
        if not self._is_ready:
            self.compile()
            if not TARGET.can_run:
                raise UserError(
                    f"this CPU cannot run code for ENGINE_TARGET={TARGET.name}; set a lower one, or none"
                )
            self._is_ready = True
        return self.dispatcher(*arguments)

    def compile(self) -> None:
        """Load the code, or compile it and keep it."""
        with self._lock:
            if not self.dispatcher.signatures:
                self.dispatcher.compile(_types_of(self.__wrapped__))
                self.dispatcher.disable_compile()


compiled = Compiled  # as a decorator


def _types_of(annotated: Callable) -> tuple[types.Type, ...]:
    """Return numba's types of the arguments of a function, or of the fields of a NamedTuple."""
    hints = get_type_hints(annotated, include_extras=True)
    hints.pop("return", None)
    return tuple(_type_of(hint) for hint in hints.values())


def _type_of(hint: Any) -> types.Type:
    if get_origin(hint) is Annotated:
        return sigutils.normalize_signature(f"void({get_args(hint)[1]})")[0][0]
    if hasattr(hint, "_fields"):
        fields = _types_of(hint)
        is_uniform = len(set(fields)) == 1  # numba has a type of its own for these
        return (
            types.NamedUniTuple(fields[0], len(fields), hint)
            if is_uniform
            else types.NamedTuple(fields, hint)
        )
    return {int: types.int64, float: types.float64, bool: types.boolean, np.uint64: types.uint64}[hint]


class _Locator(caching._CacheLocator):
    """The engine's folder: its name has the digest of all sources, so a file needs no stamp."""

    @classmethod
    def from_function(cls, py_func: Callable, py_file: str) -> "_Locator":
        return cls()

    def get_cache_path(self) -> str:
        return str(code_folder(TARGET.name))

    def get_source_stamp(self) -> str:
        return ""

    def get_disambiguator(self) -> str:
        return TARGET.name


class _Implementation(caching.CompileResultCacheImpl):
    _locator_classes = (_Locator,)


class _Cache(caching.FunctionCache):
    """numba's cache of a function in the engine's folder; a damaged or missing file is compiled again."""

    _impl_class = _Implementation

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # half a file raises what pickle makes of its bytes
            found = None
            with contextlib.suppress(OSError):
                self.flush()
        if found is None:
            _say_that_it_compiles()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(OSError):  # a full disk: the code is in memory
            super().save_overload(sig, data)


@functools.cache
def _say_that_it_compiles() -> None:
    """Write one line a process: that it takes a while, and whether it will again."""
    folder = code_folder(TARGET.name)
    if open_for_writing(folder):
        log.info("compiling the engine for this machine (%s), about 10 s; once per version", TARGET.name)
    else:
        log.warning(
            "compiling the engine for this process alone, about 10 s each time, because %s cannot be "
            "written; set NUMBA_CACHE_DIR to a folder that can",
            folder.parent,
        )
