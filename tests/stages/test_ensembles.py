"""Ensembles as stage A builds them: seeds, splits, rates in other words, and sets that cannot be."""

from dataclasses import replace

import numpy as np
import pytest

from modeling.failures import UserError
from modeling.simulate.run import run_workload
from modeling.workload import Simulate
from tests.builds import build
from tests.experiments import simulated


def test_the_same_seed_gives_the_same_trajectories_and_another_seed_others(tmp_path):
    seeds = (5, 5, 6)
    first, again, other = (build(tmp_path / str(i), simulated(), seed=s)[0] for i, s in enumerate(seeds))

    results = [run_workload(workload).trajectories for workload in (first, again, other)]

    assert results[0].in_compartments.tobytes() == results[1].in_compartments.tobytes()
    assert results[0].by_transition.tobytes() == results[1].by_transition.tobytes()
    assert results[0].in_compartments.tobytes() != results[2].in_compartments.tobytes()
    assert len({trajectory.tobytes() for trajectory in results[0].by_transition}) == 6


def test_a_trajectory_does_not_depend_on_how_the_ensemble_is_split(tmp_path):
    whole = run_workload(build(tmp_path, simulated())[0])

    parts = [run_workload(workload) for workload in build(tmp_path, simulated(), count=4)]

    assert [part.trajectories.count for part in parts] == [1, 2, 1, 2]
    joined = np.concatenate([part.trajectories.in_compartments for part in parts])
    assert (joined == whole.trajectories.in_compartments).all()
    assert {part.ensemble_total for part in parts} == {6}
    assert {part.primary_id for part in parts} == {0}


def test_a_transition_by_several_mediators_is_the_sum_of_its_rates(tmp_path):
    several, written_out = simulated(), simulated()
    several["model"]["transitions"][0] = {
        "type": "multi_mediated",
        "source": "S",
        "target": "I",
        "mediators": [{"rate": "beta * 0.5", "source": ["I", "R"]}, {"rate": 0.001, "source": ["I"]}],
    }
    first = {"type": "mediated", "source": "S", "target": "I"}
    written_out["model"]["transitions"][0:1] = [
        first | {"mediator": "I", "rate": "beta * 0.5"},
        first | {"mediator": "R", "rate": "beta * 0.5"},
        first | {"mediator": "I", "rate": 0.001},
    ]

    results = [run_workload(build(tmp_path / n, e)[0]) for n, e in (("a", several), ("b", written_out))]

    assert (results[0].trajectories.by_transition == results[1].trajectories.by_transition).all()
    assert results[0].trajectories.transitions[3::4] == ["S_to_I_total", "I_to_R_total"]


@pytest.mark.parametrize(
    "text", ["gamma*2", " gamma * 2 ", "gamma *\n2", "2*gamma", "-(-gamma)*2", "gamma*2**1"]
)
def test_a_rate_means_the_same_however_it_is_written(tmp_path, text):
    plain, written = simulated(), simulated()
    plain["model"]["parameters"]["twice"] = {"type": "scalar", "value": 0.5}
    plain["model"]["transitions"][1]["rate"] = "twice"
    written["model"]["transitions"][1]["rate"] = text

    results = [run_workload(build(tmp_path / n, e)[0]) for n, e in (("a", plain), ("b", written))]

    assert (results[0].trajectories.by_transition == results[1].trajectories.by_transition).all()


def test_without_initial_conditions_epydemix_chooses_them_and_nobody_is_lost(tmp_path):
    experiment = simulated()
    for compartment in experiment["model"]["compartments"]:
        compartment.pop("init", None)

    result = run_workload(build(tmp_path, experiment)[0])

    assert result.initial["S_total"] + result.initial["I_total"] == result.expected.people
    assert result.initial["I_total"] == pytest.approx(0.0005 * result.expected.people, rel=0.01)


def test_an_infeasible_parameter_set_ends_with_its_name(tmp_path):
    workload = build(tmp_path, simulated())[0]
    plan_without = replace(
        workload.plan, initial=workload.plan.initial | {"I": "sampled"}, resample_frequency="D"
    )
    drawn = replace(workload, plan=plan_without, task=Simulate(0, 2, 2, {"I": 10_000_000}), set_index=3)

    with pytest.raises(UserError, match="US-VT, parameter set 3: initial conditions place"):
        run_workload(drawn)
