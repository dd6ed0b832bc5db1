"""Whatever is changed in one place of an experiment, its data or an artifact: refused in few lines, or valid.

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
    spread,
    try_all,
)

COUNT = int(os.environ.get("FUZZ_COUNT", 2_000))
SEED = int(os.environ.get("FUZZ_SEED", 1))
SHARES = {"demo": 0.35, "scenarios": 0.3, "data": 0.15, "artifacts": 0.2}  # of all mutants
RUN_THROUGH = 52  # accepted mutants of experiments that all stages run
WRITE_OUTPUTS = 8  # accepted mutants of artifacts that the whole of stage C reads
BOTH = {"refused", "valid"}


@pytest.mark.parametrize("part", range(2))
@pytest.mark.parametrize("exp_id", ["demo", "scenarios"])
def test_a_mutant_of_an_experiment_is_refused_or_runs(tmp_path, exp_id, part):
    place, tally, ran = Workplace(tmp_path, exp_id), Tally(), 0
    wanted = round(COUNT * SHARES[exp_id] / 2)

    try_all(experiment_mutants(place)[part::2], wanted, SEED + part, lambda files: build(place, files, tally))
    for files in spread(tally.accepted, RUN_THROUGH):
        ran += run_through(place, files)
        if ran == RUN_THROUGH / 4:
            break

    print(f"{exp_id}, part {part}: {tally}; {ran} run through all stages")
    assert tally.ends.keys() == BOTH
    assert tally.count >= wanted
    assert ran == RUN_THROUGH / 4


def test_a_mutant_of_the_observed_data_is_refused_or_builds(tmp_path):
    place, tally, wanted = Workplace(tmp_path, "demo"), Tally(), round(COUNT * SHARES["data"])

    try_all(data_mutants(place), wanted, SEED, lambda files: build(place, files, tally))

    print(f"observed data: {tally}")
    assert tally.ends.keys() == BOTH
    assert tally.count >= wanted


@pytest.mark.parametrize("part", range(2))
def test_a_mutant_of_an_artifact_is_refused_or_read(tmp_path, part):
    run, tally, wanted = FinishedRun(tmp_path), Tally(), round(COUNT * SHARES["artifacts"] / 2)

    try_all(run.mutants()[part::2], wanted, SEED, lambda artifact: run.read(artifact, tally))
    for artifact in spread(tally.accepted, WRITE_OUTPUTS // 2):
        run.write_outputs(artifact)

    print(f"artifacts, part {part}: {tally}")
    assert tally.ends.keys() == BOTH
    assert tally.count >= wanted
