"""Measuring for the benchmarks: CPU time and memory of processes, cases in turn, medians, tables.

A round runs every case once, so that other load on the machine affects all of them alike; a ratio is the
median over the rounds of case / peer. CPU seconds include the children of a process.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]  # before this folder, which has another localcloud

SEED = 20261121
_CONSOLE = Console(width=130, highlight=False)


@dataclass(frozen=True)
class Used:
    """Time and memory of one measurement."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float = 0.0


def read_arguments(
    description: str,
    repeats: int,
    add_options: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
) -> argparse.Namespace:
    """Return --repeats and --quick, the options of every benchmark, and those that one adds."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=repeats, help=f"number of rounds (default: {repeats})")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and one round, to see that it runs")
    add_options(parser)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.repeats = 1
    return arguments


def environment(**variables: object) -> dict[str, str]:
    """Return the environment of a process: PATH and the like, then the variables; none of our settings."""
    kept = {n: os.environ[n] for n in ("PATH", "HOME", "LANG", "TMPDIR") if n in os.environ}
    return {**kept, "OMP_NUM_THREADS": "1", **{name: str(value) for name, value in variables.items()}}


def run_process(argv: Sequence[str | Path], variables: Mapping[str, str], cwd: Path = ROOT) -> Used:
    """Run a program to its end.

    Raises
    ------
    SystemExit
        It failed; with the end of its output.
    """
    # a child's peak memory is at least that of the process that starts it, so this process stays small
    started = time.perf_counter()
    child = subprocess.Popen(
        [str(a) for a in argv],
        env=dict(variables),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stdout.close()
    if child.returncode:
        sys.exit(f"{' '.join(map(str, argv))} ended with {child.returncode}:\n{output.decode()[-2000:]}")
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return Used(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 2**20)


def measured(work: Callable[[], object]) -> Used:
    """Call a function in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Used(time.perf_counter() - wall, time.process_time() - cpu)


def in_turn(cases: Mapping[str, Callable[[], Used]], rounds: int) -> dict[str, list[Used]]:
    """Run every case once a round, and return what each took, round by round."""
    taken: dict[str, list[Used]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, work in cases.items():
            taken[name].append(work())
    return taken


def wall(used: Sequence[Used]) -> list[float]:
    return [u.wall_seconds for u in used]


def cpu(used: Sequence[Used]) -> list[float]:
    return [u.cpu_seconds for u in used]


def ratio(case: Sequence[float], peer: Sequence[float]) -> float:
    """Return the median over the rounds of case / peer."""
    return statistics.median(a / b for a, b in zip(case, peer, strict=True))


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return "median (lowest–highest)"."""
    middle = f"{statistics.median(values):.{digits}f}"
    return f"{middle} ({min(values):.{digits}f}–{max(values):.{digits}f})" if len(values) > 1 else middle


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is text, the others are numbers."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for position, column in enumerate(columns):
        table.add_column(column, justify="right" if position else "left", no_wrap=not position)
    for row in rows:
        table.add_row(*row)
    _CONSOLE.print(table)


def print_machine(rounds: int) -> None:
    """Print what a reader needs to repeat the measurement: cores, load, versions."""
    packages = " ".join(f"{name} {version(name)}" for name in ("epydemix", "numpy", "numba", "pandas"))
    _CONSOLE.print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} over the last minute; "
        f"median of {rounds} rounds; Python {sys.version.split()[0]} {packages}",
        soft_wrap=True,
    )
