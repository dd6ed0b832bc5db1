"""Every benchmark still runs and prints its table; how fast anything is, no test says."""

import os
import subprocess
import sys

import pytest

from tests.experiments import REPOSITORY

TABLES = {
    "cold_start": [
        "runner, to the first day",
        "runner imports matplotlib    no",
        "runner imports jinja2        no",
    ],
    "engine": ["SEIRH: same law: yes", "Flu: same law: yes", "Flu on two threads", "numpy, arrays over"],
    "forecast": ["growth_regression, admissions alone", "FluSight-baseline", "again: nothing to compute"],
    "localcloud": ["started, and has answered", "a job of 1,000 null tasks", "100 clients", "2,000"],
    "parallel": ["invoke, 1 at once", "xargs, 1 at once", "invoke's efficiency / that of xargs"],
    "soak": [
        "failed: a task was killed",
        "answer lost",
        "results equal, byte by byte",
        "tasks killed and lost as ordered",
    ],
    "stage_b": ["same trajectories, number by number: yes", "same posteriors, number by number: yes"],
    "stage_c": [
        "result, checked twice",
        "one location alone",
        "2 large calibrations",
        "4 sets of 2 places",
        "2 calibrations",
    ],
    "storage": ["folder, save", "bucket, load"],
    "weekly": ["1 locations", "simulations"],
}


def test_every_benchmark_is_known_here():
    scripts = {path.stem for path in (REPOSITORY / "benchmarks").glob("*.py")}

    assert scripts - {"measuring", "experiments", "locations"} == set(TABLES)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_benchmark_runs_and_prints_its_table(name, tmp_path):
    environment = {n: v for n, v in os.environ.items() if n in ("PATH", "HOME", "LANG")}

    done = subprocess.run(
        [sys.executable, REPOSITORY / "benchmarks" / f"{name}.py", "--quick"],
        cwd=tmp_path,
        env=environment | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for line in TABLES[name]:
        assert line in done.stdout
