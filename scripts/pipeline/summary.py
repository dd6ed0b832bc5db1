"""What a task used and when: seconds, peak memory, versions. One JSON file a task."""

import datetime
import platform
import resource
import sys
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

# what is kept of an earlier try of a task
OF_EARLIER = (
    "started_at",
    "wall_seconds",
    "cpu_seconds",
    "peak_memory_mib",
    "retry_attempt",
    "batch_task_index",
    "status",
    "setup",
)
PACKAGES = ("epydemix", "numpy", "scipy", "numba", "pandas", "matplotlib", "epymodelingsuite")


class Stopwatch:
    """Started with the stage, or with an input; tells what was used since."""

    _begun = False

    def __init__(self) -> None:
        self.started_at = utc_now()
        self._wall = time.monotonic()
        # the process's first pays for the imports before it; one for each input of a slice follows
        self._cpu = _cpu_seconds() if Stopwatch._begun else 0.0
        Stopwatch._begun = True

    def summary(self, **contents: Any) -> dict[str, Any]:
        """Return the contents with wall and CPU seconds, peak memory [MiB] and versions."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
        return {
            "started_at": self.started_at,
            "wall_seconds": round(time.monotonic() - self._wall, 3),
            "cpu_seconds": round(_cpu_seconds() - self._cpu, 3),
            "peak_memory_mib": round(usage.ru_maxrss * unit / 2**20, 1),
            "host": platform.node(),
            "cpu": cpu_name(),
            "python": platform.python_version(),
            "packages": package_versions(),
            **contents,
        }


def with_earlier(summary: dict[str, Any], previous: dict[str, Any]) -> dict[str, Any]:
    """Return the summary of a task with what its earlier tries used, the first one first."""
    if not previous:
        return summary
    last = {name: previous[name] for name in OF_EARLIER if name in previous}
    return summary | {"earlier": [*previous.get("earlier", []), last]}


def _cpu_seconds() -> float:
    """Return what the process has used since it started."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def cpu_name() -> str:
    """Return the kind of CPU, which decides the last digits of results: "x86_64 AMD EPYC 9B45"."""
    told = ""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        told = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    return f"{platform.machine()} {told or platform.processor()}".strip()


def package_versions() -> dict[str, str]:
    """Return the versions that decide what a result is; packages that are not there are left out."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def utc_now() -> str:
    """Return the time as 2026-01-31T12:00:00Z."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def file_time() -> str:
    """Return the time in UTC as 20260131-120000, for names."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
