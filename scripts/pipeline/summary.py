"""Summary of a task: when it ran, what it used, and with which versions. One JSON file a task."""

import datetime
import platform
import resource
import sys
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

# fields that are kept of an earlier attempt of a task
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
    """What a stage or an input has used since its start."""

    _begun = False

    def __init__(self) -> None:
        self.started_at = utc_now()
        self._wall = time.monotonic()
        # the first one of a process includes the imports before it; further inputs of a task start at 0
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
    """Return the summary of a task with what its earlier attempts used, oldest first."""
    if not previous:
        return summary
    last = {name: previous[name] for name in OF_EARLIER if name in previous}
    return summary | {"earlier": [*previous.get("earlier", []), last]}


def _cpu_seconds() -> float:
    """Return CPU seconds of the process since it started."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def cpu_name() -> str:
    """Return the kind of CPU, on which the last digits of results depend: "x86_64 AMD EPYC 9B45"."""
    model = ""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    return f"{platform.machine()} {model or platform.processor()}".strip()


def package_versions() -> dict[str, str]:
    """Return the versions of installed packages that results depend on."""
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
