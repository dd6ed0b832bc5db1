"""Decorators that compile the engine's functions; what Python calls is a Kernel of machine_code.py.

    @inlined      a helper of scalars; becomes part of each function that calls it
    @part         a function that compiled functions call
    @compiled     a function that a Kernel names

There is no fastmath and LLVM contracts nothing, so that code for any CPU gives the same bits. A stage imports
none of these functions, only their machine code: numba takes half a second to load.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.core.registry import cpu_target

from modeling.engine.target import TARGET

U64 = np.uint64
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}

if "_toplevel_target_context" not in vars(cpu_target):  # numba has one target, chosen as it compiles first
    numba.config.CPU_NAME, numba.config.CPU_FEATURES = TARGET.cpu, TARGET.features


def inlined(function: Callable) -> Callable:
    """Compile a helper into each function that calls it: a call would end a loop's vectorisation."""
    return numba.njit(forceinline=True, **OPTIONS)(function)


def part(function: Callable) -> Callable:
    """Compile a function as a part of those that call it."""
    return numba.njit(**OPTIONS)(function)


def compiled(function: Callable) -> Callable:
    """Compile a function that a Kernel names; tests may call it as it is."""
    return numba.njit(**OPTIONS)(function)
