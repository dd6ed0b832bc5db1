"""Whatever is written in one place of an experiment, its data or an artifact: refused in few lines, or valid.

FUZZ_COUNT and FUZZ_SEED are set by `invoke fuzz`.
"""

import os

import pytest

from tests.fuzzing.finished_run import FinishedRun
from tests.fuzzing.trials import (
    Tally,
    Workplace,
    build,
    data_mutants,
    experiment_mutants,
    run_through,
    try_all,
)

COUNT = int(os.environ.get("FUZZ_COUNT", 2_000))
SEED = int(os.environ.get("FUZZ_SEED", 1))
RUN_THROUGH = 50  # of the accepted mutants of experiments
SHARES = {"demo": 0.4, "scenarios": 0.3, "data": 0.15, "artifacts": 0.15}  # of all mutants


def run_some(place: Workplace, tally: Tally, wanted: int) -> int:
    """Run as many accepted mutants as wanted through all stages, evenly from the first to the last."""
    ran = 0
    step = max(1, len(tally.accepted) // (2 * wanted))
    for files in tally.accepted[::step]:
        if ran < wanted:
            ran += run_through(place, files)
    return ran


@pytest.mark.parametrize("part", range(2))
@pytest.mark.parametrize("exp_id", ["demo", "scenarios"])
def test_a_mutant_of_an_experiment_is_refused_or_runs(tmp_path, exp_id, part):
    place, tally, wanted = Workplace(tmp_path, exp_id), Tally(), RUN_THROUGH // 4 + 1

    try_all(
        experiment_mutants(place)[part::2],
        round(COUNT * SHARES[exp_id] / 2),
        SEED + part,
        lambda files: build(place, files, tally),
    )
    ran = run_some(place, tally, wanted)

    print(f"{exp_id}, part {part}: {tally}; {ran} run through all stages")
    assert ran == wanted
    assert {"refused", "valid"} == set(tally.ends)


def test_a_mutant_of_the_observed_data_is_refused_or_builds(tmp_path):
    place, tally = Workplace(tmp_path, "demo"), Tally()

    try_all(
        data_mutants(place), round(COUNT * SHARES["data"]), SEED, lambda files: build(place, files, tally)
    )

    print(f"observed data: {tally}")
    assert {"refused", "valid"} == set(tally.ends)


def test_a_mutant_of_an_artifact_is_refused_or_read(tmp_path):
    run, tally = FinishedRun(tmp_path), Tally()

    try_all(
        run.mutants(), round(COUNT * SHARES["artifacts"]), SEED, lambda artifact: run.read(artifact, tally)
    )

    print(f"artifacts: {tally}")
    assert {"refused", "valid"} == set(tally.ends)
