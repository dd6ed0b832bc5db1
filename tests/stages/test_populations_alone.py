"""A modelset without sampling and calibration runs the model once in each population."""

import json

import numpy as np
import pytest

from modeling.simulate.run import run_workload
from tests.bending import DELETED, check_mistake, problems_of, put
from tests.builds import build
from tests.experiments import CALIBRATION, calibrated, sampled, simulated
from tests.in_process import ended
from tests.stage_scripts import Stages

TWO = ["US-VT", "US-MA"]


def in_populations(names=TWO, **modelset) -> dict:
    experiment = simulated() | {"modelset": {"population_names": names, **modelset}}
    del experiment["model"]["population"]["name"]
    return experiment


def in_one(name: str) -> dict:
    experiment = simulated()
    experiment["model"]["population"]["name"] = name
    return experiment


@pytest.mark.parametrize("modelset", [{}, {"sampling": "populations"}, {"sampling": None}], ids=str)
def test_each_population_has_the_ensemble_that_it_has_without_a_modelset(tmp_path, modelset):
    together = [run_workload(w) for w in build(tmp_path / "both", in_populations(**modelset))]

    apart = [run_workload(build(tmp_path / name, in_one(name))[0]) for name in TWO]
    assert [(r.index, r.primary_id, r.population) for r in together] == [(0, 0, "US-VT"), (1, 1, "US-MA")]
    for one, other in zip(together, apart, strict=True):
        assert (one.ensemble_total, one.trajectories.count, one.set_count) == (6, 6, 1)
        assert np.array_equal(one.trajectories.in_compartments, other.trajectories.in_compartments)


def test_every_stage_and_table_has_both_populations(tmp_path):
    stages = Stages(tmp_path, in_populations())

    codes = [ended(stages, "builder"), *(ended(stages, "runner", TASK_INDEX=i) for i in (0, 1))]
    codes.append(ended(stages, "output"))

    assert codes == [(0, [])] * 4
    assert (stages.manifest()["workflow"], stages.manifest()["num_workloads"]) == ("simulation", 2)
    assert [p.stem for p in sorted((stages.outputs() / "charts").iterdir())] == ["US-MA", "US-VT"]
    forecast = json.loads((stages.outputs() / "headline.json").read_text())
    assert list(dict.fromkeys(row["population"] for row in forecast["headline"])) == TWO


def test_count_splits_one_population_and_is_refused_for_several(tmp_path):
    parts = build(tmp_path, in_populations(["US-VT"]), count=3)

    assert [(part.index, part.primary_id, part.task.count) for part in parts] == [
        (0, 0, 2),
        (1, 0, 2),
        (2, 0, 2),
    ]
    [problem] = problems_of(tmp_path, in_populations(), [], count=3)
    assert problem.startswith("modelset.yaml:2: COUNT=3 splits the trajectories of one population; ")
    assert "this experiment has 2, one workload each: leave COUNT out" in problem


def test_all_with_a_model_that_names_its_population_is_that_population(tmp_path):
    [workload] = build(tmp_path, in_one("US-VT") | {"modelset": {"population_names": ["all"]}})

    assert workload.population == "US-VT"


MISTAKES = {
    "sampled without sampling": (
        sampled,
        [put("modelset", "sampling", DELETED)],
        ["modelset.yaml:", 'R0: sampled values need the section "sampling"'],
    ),
    "sampled in populations alone": (
        sampled,
        [put("modelset", "sampling", "populations")],
        ['R0: sampled values need the section "sampling"'],
    ),
    "calibrated without calibration": (
        calibrated,
        [put("modelset", "calibration", DELETED)],
        ['R0: calibrated values need the section "calibration"'],
    ),
    "a mistyped word": (
        in_populations,
        [put("modelset", "sampling", "population")],
        ["modelset.yaml:", '"population" is neither a mapping nor the word populations (did you mean'],
    ),
    "an empty calibration": (
        in_populations,
        [put("modelset", "calibration", None)],
        ["modelset.yaml:", "calibration is empty; fill it in, or leave it out"],
    ),
    "both": (
        sampled,
        [put("modelset", "calibration", CALIBRATION["calibration"])],
        ['give either "sampling" or "calibration"'],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_populations_alone_are_refused_where_something_is_missing(tmp_path, name):
    make, bends, fragments = MISTAKES[name]

    check_mistake(tmp_path, make, bends, fragments)
