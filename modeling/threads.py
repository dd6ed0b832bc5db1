"""How many threads a task may use: its share of the machine's cores. No result depends on it."""

import os

_share: int | None = None  # of this process


def usable_cores() -> int:
    """Return the number of cores that this process may use; on macOS, of all cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fair_share(cores: int, tasks: int) -> int:
    """Return the number of threads of each of some tasks at once, at least one."""
    return max(1, cores // max(1, tasks))


def set_usable_threads(threads: int) -> None:
    """Set the number of threads that this process may use."""
    global _share
    _share = threads


def usable_threads() -> int:
    """Return the number of threads that this process may use: as set, else one on each usable core."""
    return _share or usable_cores()
