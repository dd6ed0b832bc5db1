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

    assert scripts - {"measuring", "experiments", "locations", "changes"} == set(TABLES)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_benchmark_runs_and_prints_its_table(name, tmp_path):
    done = quick(name, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    for line in TABLES[name]:
        assert line in done.stdout


def test_a_changed_constant_changes_the_scores_of_forecasts_and_the_same_value_does_not(tmp_path):
    plain, same, other, fewer = (
        scores(quick("forecast", tmp_path, *words))
        for words in (
            [],
            ["--change", "fit.ridge=0.03"],
            ["--change", "fit.ridge=0.3"],
            ["--change", "without=*Christmas +*"],
        )
    )

    assert len(plain) == 2  # without history and with it
    assert plain == same
    assert not set(plain) & set(other)
    assert not set(plain) & set(fewer)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--change", "fit.rigde=0.1"], "fit.ridge 0.03"),
        (["--change", "fit.ridge=0.1", "--season", "2025-26"], "trials are scored on 2024-25 only"),
    ],
)
def test_an_unknown_constant_and_a_trial_on_the_season_kept_for_the_end_are_refused(words, why, tmp_path):
    done = quick("forecast", tmp_path, *words)

    assert done.returncode
    assert why in done.stderr
    assert not done.stdout


def quick(name, folder, *words):
    environment = {n: v for n, v in os.environ.items() if n in ("PATH", "HOME", "LANG")}
    return subprocess.run(
        [sys.executable, REPOSITORY / "benchmarks" / f"{name}.py", "--quick", *words],
        cwd=folder,
        env=environment | {"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=240,
    )


def scores(done):
    """Return the rows of the method in the table of scores."""
    assert done.returncode == 0, done.stdout + done.stderr
    return [" ".join(line.split()) for line in done.stdout.splitlines() if "growth_regression" in line]
