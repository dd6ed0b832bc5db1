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
    "localcloud": ["started, and has answered", "a job of 1,000 null tasks", "100 clients", "2,000"],
    "parallel": ["invoke, 1 at once", "xargs, 1 at once", "invoke's efficiency / that of xargs"],
    "soak": [
        "failed, for a task was killed",
        "answer lost",
        "results equal, byte by byte",
        "wall / no faults",
    ],
    "stage_b": ["same trajectories, number by number: yes", "same posteriors, number by number: yes"],
    "stage_c": ["4 sets of 2 places", "2 calibrations"],
    "storage": ["folder, save", "bucket, load"],
}


def test_every_benchmark_is_known_here():
    scripts = {path.stem for path in (REPOSITORY / "benchmarks").glob("*.py")}

    assert scripts - {"measuring", "experiments"} == set(TABLES)


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


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda files: files.pop("runner-artifacts/result_0001.pkl"), "2 results, none lost, none too many"),
        (
            lambda files: files.update({"runner-artifacts/result_0001.pkl": "b"}),
            "results equal, byte by byte",
        ),
        (lambda files: files.update({"builder-artifacts/inputs.sha256": "b"}), "inputs equal, byte by byte"),
        (lambda files: files.pop("summaries/runner_0001.json"), "one summary a task"),
        (lambda files: files.update({"execution.json": "a"}), "no claim left"),
        (lambda files: files.update({"runner-artifacts.tmp": "a"}), "nothing else in the bucket"),
    ],
)
def test_a_soak_tells_what_is_lost_changed_or_left(spoil, what, monkeypatch):
    # last, for its localcloud.py is not the package of that name
    monkeypatch.setattr(sys, "path", [*sys.path, str(REPOSITORY / "benchmarks")])
    from soaking.outcome import Outcome, check

    def outcome() -> Outcome:
        tasks = [
            f"{name}_{i:04d}" for i in range(2) for name in ("runner-artifacts/result", "summaries/runner")
        ]
        files = {f"{task}.{'pkl' if 'result' in task else 'json'}": "a" for task in tasks}
        found = Outcome(
            files=files | {"builder-artifacts/inputs.sha256": "a"}, outputs=[{"table.csv.gz": "a"}]
        )
        found.executions["succeeded"] = 1
        return found

    peer, soak = outcome(), outcome()
    assert not any(check(peer, soak, 2).values())

    spoil(soak.files)

    assert check(peer, soak, 2)[what]
    soak.outputs.append({"table.csv.gz": "b"})  # of a task that was tried again
    assert check(peer, soak, 2)["outputs equal, byte by byte"]
