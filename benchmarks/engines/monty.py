"""SEIRH with monty's sampler: compiles monty_seirh.cpp against a checkout of monty, and runs it."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from engines.worker import numbers_of_seirh
from modeling.workload import Workload

SOURCE = Path(__file__).with_name("monty_seirh.cpp")
COMPILE = ("g++", "-std=c++17", "-O3", "-march=native")
RATES = ("E_to_I", "I_to_R", "I_to_H", "H_to_R")


class Monty:
    """The compiled program.

    Parameters
    ----------
    checkout : Path
        Of https://github.com/mrc-ide/monty.

    Raises
    ------
    SystemExit
        It does not compile.
    """

    def __init__(self, checkout: Path, workload: Workload, folder: Path):
        folder.mkdir()
        (folder / "numbers.h").write_text(_numbers(workload))
        self._program = folder / "monty_seirh"
        include = checkout.expanduser().resolve() / "inst" / "include"
        argv = [*COMPILE, f"-I{include}", f"-I{folder}", str(SOURCE), "-o", str(self._program)]
        done = subprocess.run(argv, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr[-2000:]}")

    def ask(self, particles: int, seed: int) -> dict:
        """Return the answer of a worker, without wall seconds."""
        argv = [str(self._program), str(particles), str(seed)]
        lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
        outcomes = np.array([[float(number) for number in line.split()] for line in lines[1:]])
        cpu = float(lines[0])
        return {"cpu": cpu, "wall": cpu, "final": outcomes[:, 0].tolist(), "peak": outcomes[:, 1].tolist()}


def _numbers(workload: Workload) -> str:
    """Return the header with the numbers of the model."""
    numbers = numbers_of_seirh(workload)
    groups = len(numbers["sizes"])
    days = (workload.end_date - workload.start_date).days + 1

    def array(name: str, values: np.ndarray) -> str:
        text = ", ".join(repr(float(value)) for value in np.ravel(values))
        return f"constexpr double {name}[{values.size}] = {{{text}}};"

    lines = [
        f"constexpr int GROUPS = {groups}, DAYS = {days};",
        array("SIZES", numbers["sizes"]),
        array("INFECTIOUS", numbers["infectious"]),
        array("TRANSMISSION", numbers["transmission"]),
        *(f"constexpr double {name.upper()} = {float(numbers['rates'][name])!r};" for name in RATES),
    ]
    return "\n".join(lines) + "\n"
