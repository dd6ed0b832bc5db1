"""Whatever is changed in one place of an experiment, its data or an artifact: refused in few lines, or valid.

FUZZ_COUNT and FUZZ_SEED are set by `invoke fuzz`.
"""

import os
from collections.abc import Sequence

import pytest
from hypothesis import strategies as st

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
EXAMPLES = {"demo": 0.25, "scenarios": 0.2}  # shares of all mutants
CONSTRUCTS = {"all changes": 0.08, "seasonality from a file": 0.02, "populations alone": 0.03}
CONSTRUCTS |= dict.fromkeys(["sampled start", "calibrated start", "own functions", "every table"], 0.03)
DATA = {
    ("demo", "data/demo_admissions.csv"): 0.06,
    ("coverage", "data/coverage.csv"): 0.02,
    ("daily doses", "data/doses.csv"): 0.02,
}
ARTIFACTS = 0.22
RUN_THROUGH = 52  # accepted mutants of examples that all stages run
RUN_THROUGH_CONSTRUCT = 4  # at most, of each construct
GROUPS = 8  # of places with few mutants
WRITE_OUTPUTS = 8  # accepted mutants of artifacts that the whole of stage C reads
BOTH = {"refused", "valid"}


@pytest.mark.parametrize("part", range(2))
@pytest.mark.parametrize("exp_id", EXAMPLES)
def test_a_mutant_of_an_experiment_is_refused_or_runs(tmp_path, exp_id, part):
    place, tally = Workplace(tmp_path, exp_id), Tally()
    wanted = round(COUNT * EXAMPLES[exp_id] / 2)

    try_all(experiment_mutants(place)[part::2], wanted, SEED + part, lambda files: build(place, files, tally))
    ran = run_some(place, spread(tally.accepted, RUN_THROUGH), RUN_THROUGH // 4)

    print(f"{exp_id}, part {part}: {tally}; {ran} run through all stages")
    assert tally.ends.keys() == BOTH
    assert tally.count >= wanted
    assert ran == RUN_THROUGH / 4


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_a_mutant_of_a_construct_is_refused_or_runs(tmp_path, name):
    place, tally, wanted = Workplace(tmp_path, name), Tally(), round(COUNT * CONSTRUCTS[name])
    mutants = gathered(experiment_mutants(place))
    try_all(mutants, wanted, SEED, lambda files: build(place, files, tally))
    ran = run_some(place, tally.accepted, RUN_THROUGH_CONSTRUCT)

    print(f"{name}: {tally}; {ran} run through all stages")
    assert tally.ends.keys() == BOTH
    assert tally.count >= wanted
    assert ran


@pytest.mark.parametrize(("name", "path"), DATA)
def test_a_mutant_of_the_data_is_refused_or_builds(tmp_path, name, path):
    place, tally, wanted = Workplace(tmp_path, name), Tally(), round(COUNT * DATA[name, path])
    mutants = data_mutants(place, path)
    if 2 * len(mutants) > wanted:
        mutants = gathered(mutants)

    try_all(mutants, wanted, SEED, lambda files: build(place, files, tally))

    print(f"{path}: {tally}")
    assert tally.ends.keys() == BOTH
    assert tally.count >= wanted


@pytest.mark.parametrize("part", range(2))
def test_a_mutant_of_an_artifact_is_refused_or_read(tmp_path, part):
    run, tally, wanted = FinishedRun(tmp_path), Tally(), round(COUNT * ARTIFACTS / 2)

    try_all(run.mutants()[part::2], wanted, SEED, lambda artifact: run.read(artifact, tally))
    for artifact in spread(tally.accepted, WRITE_OUTPUTS // 2):
        run.write_outputs(artifact)

    print(f"artifacts, part {part}: {tally}")
    assert tally.ends.keys() == BOTH
    assert tally.count >= wanted


def gathered(mutants: Sequence[st.SearchStrategy]) -> list[st.SearchStrategy]:
    """Return GROUPS strategies in place of many, whose first draws, the simplest, would vary little."""
    return [st.one_of(*mutants[start::GROUPS]) for start in range(GROUPS)]


def run_some(place: Workplace, accepted: Sequence[dict[str, bytes]], number: int) -> int:
    """Run accepted mutants through all stages, one after the other, until `number` of them ran."""
    ran = 0
    for files in accepted:
        ran += run_through(place, files)
        if ran == number:
            break
    return ran
