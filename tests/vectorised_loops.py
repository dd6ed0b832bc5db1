"""The loops of the engine's kernel that LLVM turns into vector code, by its own remarks.

    python tests/vectorised_loops.py

prints the table of tests/long/test_vectorised_loops.py, in about 40 seconds.
"""

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
KERNEL = "steps.run_lanes.o"
TARGETS = {"x86-64-v4": 8, "x86-64-v3": 4}  # numbers in a vector
# numba optimises function by function, so that a line with its name before the remarks says whose they are
COMPILED = """
import sys
import llvmlite.binding as llvm
llvm.set_option("", "--pass-remarks=loop-vectorize")
from numba.core.codegen import CPUCodeLibrary
optimise = CPUCodeLibrary._optimize_final_module
def named(self):
    print("function:", self.name, file=sys.stderr, flush=True)
    optimise(self)
CPUCodeLibrary._optimize_final_module = named
from modeling.engine.precompile import main
main(["--into", *sys.argv[1:]])
"""
_LINE = re.compile(
    r"function: (?P<function>\w+)|remark: .*vectorized loop \(vectorization width: (?P<width>\d+)"
)


def vectorised_loops(target: str) -> dict[str, int]:
    """Return the number of loops of whole vectors by function, where there is one."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", COMPILED, folder, KERNEL],
            env={n: v for n, v in os.environ.items() if not n.startswith("NUMBA_")}
            | {"ENGINE_TARGET": target},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    found, function = {}, ""
    for line in _LINE.finditer(done.stderr):
        if line["function"]:
            function = line["function"]
            found[function] = 0  # one that is compiled for two types counts once
        elif int(line["width"]) == TARGETS[target]:
            found[function] += 1
    return {name: count for name, count in found.items() if count}


def print_tables() -> None:
    with ThreadPoolExecutor(2) as pool:
        tables = list(pool.map(vectorised_loops, TARGETS))
    for name in dict.fromkeys(name for table in tables for name in table):
        print(f'    "{name}": {tuple(table.get(name, 0) for table in tables)},')


if __name__ == "__main__":
    print_tables()
