"""The CPU that the engine is compiled for: one of three fixed targets of x86-64, or the very CPU elsewhere.

numba compiles for the CPU it runs on. Code for a fixed target can be shipped, and is the same on each
machine. Importing this module sets the target of the process, so import it before numba compiles anything.
"""

import os
import platform
from dataclasses import dataclass

import llvmlite.binding as llvm
import numba
from numba.core.registry import cpu_target

from modeling.failures import UserError, listed

HOST = "host"
_NEEDED = {  # by target, best first: LLVM's names of what its CPU must have
    "x86-64-v4": "avx512f avx512bw avx512cd avx512dq avx512vl avx2 fma bmi bmi2 f16c lzcnt movbe popcnt",
    "x86-64-v3": "avx2 fma bmi bmi2 f16c lzcnt movbe popcnt",
    "x86-64": "",
}
TARGETS = tuple(_NEEDED)
# without it LLVM uses half of the width of AVX-512
_ADDED = {"x86-64-v4": "-prefer-256-bit"}


@dataclass(frozen=True)
class Target:
    """The CPU that this process compiles for.

    Attributes
    ----------
    name : str
        One of TARGETS, or "host" for exactly this CPU.
    has_avx512 : bool
        Whether the code may use 512-bit vectors and their compress instruction.
    can_run : bool
        Whether this machine can run the code; otherwise it is only compiled.
    """

    name: str
    has_avx512: bool
    can_run: bool


def _choose_target() -> Target:
    """Return the best target of this CPU, or the one of ENGINE_TARGET, and set it for numba."""
    if numba.config.DISABLE_JIT:
        raise UserError("NUMBA_DISABLE_JIT is set, and the engine is compiled by numba; unset it")
    has = {name for name, is_there in _host_features().items() if is_there}
    runs = [name for name in TARGETS if set(_NEEDED[name].split()) <= has]
    # numba has one target for a process. Another library has compiled before, for this very CPU
    is_late = "_toplevel_target_context" in vars(cpu_target)
    is_fixed = platform.machine().lower() in ("x86_64", "amd64") and not is_late
    name = os.environ.get("ENGINE_TARGET", "") or (runs[0] if is_fixed else HOST)
    known = TARGETS if is_fixed else (HOST,)
    if name not in known:
        raise UserError(f'ENGINE_TARGET="{name}": this process can compile for {listed(known)}')
    if name == HOST:
        return Target(HOST, "avx512f" in has, True)
    numba.config.CPU_NAME, numba.config.CPU_FEATURES = name, _ADDED.get(name, "")
    return Target(name, name == "x86-64-v4", name in runs)


def _host_features() -> dict[str, bool]:
    try:
        return llvm.get_host_cpu_features()
    except RuntimeError:  # LLVM does not know them on every system
        return {}


TARGET = _choose_target()
