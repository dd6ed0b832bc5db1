"""Both engines find the same posterior: ours in batches, and epydemix's sampler one draw at a time."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from modeling.engine.plan import CompiledPlan
from modeling.simulate.run import run_workload
from tests.builds import build
from tests.calibrations import calibrating_people, calibrating_start, fitting

SEED = 5
OURS = 2000  # particles and projections of the engine, which are cheap, beside 100 and 120 of epydemix


def hospitalized(experiment: dict) -> dict:
    """Return the experiment with a latent and a hospital compartment, compared with admissions."""
    model = experiment["model"]
    model["compartments"][1:1] = [{"id": "E", "init": 300}]
    model["compartments"] += [{"id": "H"}]
    model["transitions"] = [
        {"type": "mediated", "source": "S", "target": "E", "mediator": "I", "rate": "beta"},
        {"type": "spontaneous", "source": "E", "target": "I", "rate": "1/2"},
        {"type": "spontaneous", "source": "I", "target": "H", "rate": "gamma * severe"},
        {"type": "spontaneous", "source": "I", "target": "R", "rate": "gamma * (1 - severe)"},
        {"type": "spontaneous", "source": "H", "target": "R", "rate": "1/5"},
    ]
    model["parameters"]["severe"] = {"type": "calibrated"}
    del experiment["output"]
    calibration = experiment["modelset"]["calibration"]
    calibration["comparison"][0]["simulation"] = ["I_to_H_total"]
    calibration["parameters"]["R0"]["prior"]["args"] = [1.2, 1.2]
    calibration["parameters"]["severe"] = {"prior": {"name": "beta", "args": [2, 2]}}
    return experiment


def start_and_people(strategy: str, **options) -> dict:
    """Return a calibration of R0, the infectious people and the start."""
    experiment = fitting(strategy, **options)
    return calibrating_start(calibrating_people(experiment, {"name": "randint", "args": [100, 2000]}), 21)


def weighted_ks(one: np.ndarray, its_weights: np.ndarray, other: np.ndarray, others: np.ndarray) -> float:
    """Return the p-value of the two-sample Kolmogorov-Smirnov test of weighted draws."""
    at = np.concatenate([one, other])
    shares = [
        np.array([weights[values <= x].sum() for x in at])
        for values, weights in ((one, its_weights), (other, others))
    ]
    sizes = [1 / (weights**2).sum() for weights in (its_weights, others)]
    size = sizes[0] * sizes[1] / (sizes[0] + sizes[1])
    return stats.kstwobign.sf(np.sqrt(size) * np.abs(shares[0] - shares[1]).max())


def same_mean(one: np.ndarray, its_weights: np.ndarray, other: np.ndarray, others: np.ndarray) -> float:
    """Return the two-sided p-value of the difference of two weighted means."""
    off, squares = 0.0, 0.0
    for sign, values, weights in ((1, one, its_weights), (-1, other, others)):
        mean = weights @ values
        off += sign * mean
        squares += weights**2 @ (values - mean) ** 2
    return 2 * stats.norm.sf(abs(off) / np.sqrt(squares))


@pytest.mark.parametrize(
    "experiment",
    [
        start_and_people("rejection", num_particles=100, epsilon=20000),
        hospitalized(
            fitting("SMC", num_particles=100, num_generations=3, epsilon_schedule=[9e9, 35000, 27000])
        ),
    ],
    ids=["rejection of a start and people", "smc of a hospital model"],
)
def test_the_posterior_is_that_of_epydemix(tmp_path, data, experiment):
    experiment["modelset"]["calibration"]["projection"]["n_trajectories"] = 120
    workload = build(tmp_path, experiment, data, SEED)[0]
    task = replace(workload.task, options=workload.task.options | {"num_particles": OURS}, projections=OURS)

    ours, theirs = run_workload(replace(workload, task=task), "cpu"), run_workload(workload, "epydemix")

    last, its = ours.generations[-1], theirs.generations[-1]
    assert (len(last.weights), len(its.weights)) == (OURS, 100)
    columns = [*zip(ours.parameter_names, last.particles.T, its.particles.T, strict=True)]
    columns += [("distance", last.distances, its.distances)]
    p_values = {
        (name, test.__name__): test(a, last.weights, b, its.weights)
        for name, a, b in columns
        for test in (weighted_ks, same_mean)
    }
    assert min(p_values.values()) > 0.001, p_values
    left = [result.trajectories.series("S_total")[:, -1] for result in (ours, theirs)]
    assert stats.ks_2samp(*left).pvalue > 0.001
    acceptance = [len(each.generations[-1].weights) / each.simulations for each in (ours, theirs)]
    assert 0.6 < acceptance[0] / acceptance[1] < 1.6, acceptance


@pytest.mark.parametrize("distance", ["rmse", "mae", "wmape", "mape"])
def test_stopping_what_is_too_far_changes_no_byte_of_the_result(tmp_path, data, distance, monkeypatch):
    experiment = start_and_people("SMC", num_particles=60, num_generations=4)
    experiment["modelset"]["calibration"]["distance_function"] = distance
    workload = build(tmp_path, experiment, data, SEED)[0]
    simulate, stopped = CompiledPlan.simulate, []

    def to_the_end(self, *arguments, bound=None):
        done = simulate(self, *arguments, bound=bound)
        stopped.append(int(done.stopped.sum()))
        return simulate(self, *arguments)

    early = run_workload(workload, "cpu")
    monkeypatch.setattr(CompiledPlan, "simulate", to_the_end)
    late = run_workload(workload, "cpu")

    assert sum(stopped) > 50
    assert pickle.dumps(early) == pickle.dumps(late)
