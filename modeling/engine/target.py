"""The CPU that the engine's code is for: one of three fixed targets of x86-64; elsewhere this machine's.

numba compiles for the CPU it runs on. Code for a fixed target can be shipped, and is the same everywhere.
"""

import os
import platform
import re
from dataclasses import dataclass

import llvmlite.binding as llvm

from modeling.failures import UserError, listed

_NEEDED = {  # by target, best first: LLVM's names of what its CPU must have
    "x86-64-v4": "avx512f avx512bw avx512cd avx512dq avx512vl avx2 fma bmi bmi2 f16c lzcnt movbe popcnt",
    "x86-64-v3": "avx2 fma bmi bmi2 f16c lzcnt movbe popcnt",
    "x86-64": "",
}
# without it LLVM uses half of the width of AVX-512
_ADDED = {"x86-64-v4": "-prefer-256-bit"}


@dataclass(frozen=True)
class Target:
    """A CPU to compile for.

    Attributes
    ----------
    name : str
        "x86-64-v4", "x86-64-v3", "x86-64", or LLVM's name of this CPU.
    cpu, features : str or None
        As LLVM takes them; None for this CPU.
    has_avx512 : bool
        Whether the code may use 512-bit vectors and their compress instruction.
    can_run : bool
        Whether this machine can run the code; otherwise it is only compiled.
    """

    name: str
    cpu: str | None
    features: str | None
    has_avx512: bool
    can_run: bool


def shipped_targets() -> tuple[str, ...]:
    """Return the targets of an image: all of them, or that of this machine."""
    return tuple(_NEEDED) if TARGET.name in _NEEDED else (TARGET.name,)


def known_targets() -> tuple[str, ...]:
    """Return the targets that this machine can compile for."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        return tuple(_NEEDED)
    return (re.sub("[^a-z0-9-]", "-", llvm.get_host_cpu_name().lower()),)


def _choose_target() -> Target:
    """Return the best target of this CPU, or the one of ENGINE_TARGET."""
    has = {name for name, is_there in _host_features().items() if is_there}
    known = known_targets()
    runs = [name for name in known if set(_NEEDED.get(name, "").split()) <= has]
    name = os.environ.get("ENGINE_TARGET", "") or runs[0]
    if name not in known:
        raise UserError(f'ENGINE_TARGET="{name}": this machine can compile for {listed(known)}')
    if name not in _NEEDED:
        return Target(name, None, None, False, True)
    return Target(name, name, _ADDED.get(name, ""), name == "x86-64-v4", name in runs)


def _host_features() -> dict[str, bool]:
    try:
        return llvm.get_host_cpu_features()
    except RuntimeError:  # LLVM does not know them on every system
        return {}


TARGET = _choose_target()
