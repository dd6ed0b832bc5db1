"""Posteriors that are known on paper, and what they may not depend on: see tests/discrete_models.py."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from epydemix.calibration import mae, mape, rmse, wmape
from epydemix.utils.abc_smc_utils import DefaultPerturbationContinuous, DefaultPerturbationDiscrete
from scipy import stats

from modeling.distributions import frozen_distribution
from modeling.failures import UserError
from modeling.simulate import progress
from modeling.simulate.abc import strategies
from modeling.simulate.abc.calibrate import Comparison, calibrate
from modeling.simulate.abc.distances import METRICS
from modeling.simulate.abc.proposals import Perturbed, Priors, Proposals
from modeling.workload import Observed
from tests.discrete_models import BASES, PEOPLE, SLOPES, BinomialModel, exact_posterior, observing
from tests.experiments import REPOSITORY

REJECTION = ("rejection", {"epsilon": 0.1, "num_particles": 3000})
SCHEDULE = ("smc", {"num_particles": 3000, "num_generations": 4, "epsilon_schedule": [9, 1.5, 0.8, 0.1]})
QUANTILES = ("smc", {"num_particles": 3000, "num_generations": 3})  # to 0.71, which accepts only 0


def chi_square_of_weighted(cells: np.ndarray, weights: np.ndarray, chances: np.ndarray) -> float:
    """Return the p-value of weighted draws from a distribution, by Wald's statistic.

    Parameters
    ----------
    cells : ndarray of int, shape (particles,)
    chances : ndarray, shape (cells,)
    """
    rare = chances < 0.02  # taken together: the statistic needs some particles in every cell
    kinds = np.flatnonzero(~rare)
    kinds = kinds if rare.any() else kinds[:-1]  # the last follows from the others
    off = (cells[:, None] == kinds) - chances[kinds]
    mean, covariance = weights @ off, (off * weights[:, None] ** 2).T @ off
    return stats.chi2.sf(mean @ np.linalg.solve(covariance, mean), len(kinds))


def posterior_cells(generation) -> np.ndarray:
    base, slope = generation.particles.T.astype(int)
    return (base - BASES[0]) * len(SLOPES) + slope


@pytest.mark.parametrize("together", [(64, 16_384), (20_000, 20_000)], ids=["as needed", "far too many"])
@pytest.mark.parametrize(
    ("strategy", "options"), [REJECTION, SCHEDULE, QUANTILES], ids=["rejection", "schedule", "quantiles"]
)
def test_a_posterior_is_the_exact_one_where_only_exact_counts_are_accepted(
    monkeypatch, strategy, options, together
):
    monkeypatch.setattr(strategies, "LEAST_TOGETHER", together[0])
    monkeypatch.setattr(strategies, "MOST_TOGETHER", together[1])
    exact = exact_posterior().ravel()

    last = calibrate(observing(strategy, **options), BinomialModel()).generations[-1]

    assert set(last.distances) == {0}
    assert len(last.weights) == 3000
    assert chi_square_of_weighted(posterior_cells(last), last.weights, exact) > 0.001


@pytest.mark.parametrize(("a", "b"), [(1, 1), (3, 1)], ids=["flat prior", "prior far from the data"])
def test_a_posterior_of_a_real_number_is_the_exact_one(a, b):
    options = {"num_particles": 3000, "num_generations": 3, "epsilon_schedule": [9, 3.5, 0.5]}
    edges = np.linspace(0, 1, 11)
    observed = [1]
    chances = np.diff(stats.beta.cdf(edges, a + observed[0], b + PEOPLE - observed[0]))

    workload = observing("smc", observed, {"base": ("beta", [a, b], {"scale": 10})}, **options)
    last = calibrate(workload, BinomialModel(days=1)).generations[-1]

    cells = np.digitize(last.particles[:, 0] / 10, edges) - 1
    assert chi_square_of_weighted(cells, last.weights, chances) > 0.001


# ranks by weight, and of the same particles without weights, whose ranks are uniform only in rejection
FLAT = ("uniform", [0, 10], {})
NARROW = ("beta", [300, 300], {"scale": 10})  # much narrower than the proposals, so that weights matter
BY_RANK = {
    "rejection": ("rejection", {"epsilon": 0.1, "num_particles": 100}, FLAT),
    "smc": ("smc", {"num_particles": 100, "num_generations": 3, "epsilon_schedule": [9, 1.5, 0.1]}, FLAT),
    "smc of a narrow prior": (
        "smc",
        {"num_particles": 100, "num_generations": 3, "epsilon_schedule": [9, 0.1, 0.1]},
        NARROW,
    ),
}


@pytest.mark.parametrize("name", BY_RANK)
def test_the_true_value_has_any_rank_among_the_particles_equally_often(name):
    strategy, options, prior = BY_RANK[name]
    rng = np.random.default_rng(8)
    ranks, unweighted = [], []
    for seed in range(200):
        base = frozen_distribution(*prior).rvs(random_state=rng)
        observed = rng.binomial(PEOPLE, base / 10, size=1).tolist()
        workload = observing(strategy, observed, {"base": prior}, seed, **options)

        last = calibrate(workload, BinomialModel(days=1)).generations[-1]

        is_below = last.particles[:, 0] < base
        ranks.append(last.weights[is_below].sum())
        unweighted.append(is_below.mean())
    p_values = [
        stats.chisquare(np.histogram(r, bins=10, range=(0, 1))[0]).pvalue for r in (ranks, unweighted)
    ]
    assert p_values[0] > 0.001
    assert prior != NARROW or p_values[1] < 1e-6  # the test sees weights that are left out


# -- what a calibration may not depend on

MANY_OUTSIDE = {"base": ("uniform", [0, 1], {}), "slope": ("randint", [0, 2], {})}
OUTCOMES = {
    "rejection": ("rejection", {"epsilon": 0.1, "num_particles": 20}, None),
    "rejection within a budget": (
        "rejection",
        {"epsilon": 0.1, "num_particles": 200, "total_simulations_budget": 100},
        None,
    ),
    "rejection out of reach": ("rejection", {"epsilon": 1e-9, "num_particles": 3000}, None),
    "rejection below the smallest distance": ("rejection", {"epsilon": 1e-9, "num_particles": 2}, [0.5, 1]),
    "top fraction": ("top_fraction", {"Nsim": 150, "top_fraction": 0.2}, None),
    "smc": ("smc", {"num_particles": 30, "num_generations": 3}, None),
    "smc by schedule": (
        "smc",
        {"num_particles": 30, "num_generations": 3, "epsilon_schedule": [2.5, 1.5, 0.8]},
        None,
    ),
    "smc within a budget": (
        "smc",
        {"num_particles": 30, "num_generations": 3, "total_simulations_budget": 70},
        None,
    ),
    "smc with few rejections": (
        "smc",
        {"num_particles": 30, "num_generations": 3, "max_consecutive_rejections": 4},
        None,
    ),
    "smc that ends in generation 0": (
        "smc",
        {
            "num_particles": 30,
            "num_generations": 3,
            "epsilon_schedule": [0.1] * 3,
            "max_consecutive_rejections": 9,
        },
        None,
    ),
    "data out of reach": ("smc", {"num_particles": 30, "num_generations": 3}, [50, 60]),
}


def outcome(workload, checkpoints=None) -> bytes | str:
    """Return the bytes of what a calibration finds, or why it finds nothing."""
    try:
        return pickle.dumps(calibrate(workload, BinomialModel(), checkpoints))
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("name", OUTCOMES)
def test_what_is_found_does_not_depend_on_how_many_are_simulated_together(name, monkeypatch):
    strategy, options, observed = OUTCOMES[name]
    monkeypatch.setattr(progress, "MOST_ALIKE_IN_A_ROW", 12)
    monkeypatch.setattr(progress, "MOST_REFUSED_IN_A_ROW", 60)
    workload = observing(strategy, observed or [2, 3], MANY_OUTSIDE, **options)
    found = {}

    for together in (1, 7, 64, 1000):
        monkeypatch.setattr(strategies, "LEAST_TOGETHER", together)
        monkeypatch.setattr(strategies, "MOST_TOGETHER", together)
        found[together] = outcome(workload)

    assert len(set(found.values())) == 1, found


class Interruption(Exception):
    """The attempt ends."""


class Kept:
    """Checkpoints in memory; an attempt is interrupted after one of its generations."""

    def __init__(self, last: int):
        self.held, self.last = None, last

    def read(self):
        return pickle.loads(self.held) if self.held else None

    def write(self, checkpoint):
        self.held = pickle.dumps(checkpoint)
        if len(checkpoint.generations) - 1 == self.last:
            self.last = None
            raise Interruption


@pytest.mark.parametrize("generation", [0, 1, 2, 3])
@pytest.mark.parametrize("limits", [{}, {"total_simulations_budget": 300}, {"minimum_epsilon": 1.0}])
def test_an_interrupted_calibration_finds_the_same_as_a_whole_one(generation, limits):
    options = {"num_particles": 40, "num_generations": 4, "epsilon_schedule": [4, 2.5, 1.5, 0.8], **limits}
    workload = observing("smc", **options)
    whole = outcome(workload)
    checkpoints = Kept(generation)

    try:
        calibrate(workload, BinomialModel(), checkpoints)
    except Interruption:
        model = BinomialModel()
        found = pickle.dumps(calibrate(workload, model, checkpoints))
        assert sum(model.batches) < 2000
    else:  # a limit came before the interruption
        found = outcome(workload)

    assert found == whole


def test_a_checkpoint_that_does_not_fit_is_ignored(caplog):
    options = {"num_particles": 40, "num_generations": 3, "epsilon_schedule": [4, 2.5, 1.5]}
    workload = observing("smc", **options)
    checkpoints = Kept(1)
    with pytest.raises(Interruption):
        calibrate(workload, BinomialModel(), checkpoints)
    checkpoint = checkpoints.read()
    wrong = replace(checkpoint, values=checkpoint.values[:, :1])
    checkpoints.held = pickle.dumps(wrong)

    found = outcome(workload, checkpoints)

    assert found == outcome(workload)
    [line] = [r.getMessage() for r in caplog.records if "checkpoint" in r.getMessage()]
    assert line.endswith("simulated values of shape (40, 1); the calibration starts from the beginning")


# -- the pieces, beside epydemix's


@pytest.mark.parametrize("metric", [rmse, mae, wmape, mape])
def test_a_distance_is_bit_for_bit_the_one_of_epydemix_whatever_the_number_of_particles(metric):
    rng = np.random.default_rng(2)
    observed = rng.integers(1, 5000, 37).astype(float)
    simulated = rng.integers(0, 5000, (50, 37)).astype(float)
    calculate = METRICS[metric.__name__].distance

    found = calculate(observed, simulated)

    assert found.tolist() == [metric({"data": observed}, {"data": row}) for row in simulated]
    assert found.tolist() == [calculate(observed, row[None])[0] for row in simulated]


@pytest.mark.parametrize("metric", METRICS)
def test_a_particle_is_stopped_only_where_it_is_too_far(metric):
    observed = np.array([3.0, 0.0, 7.5, 12.25, 900.0])
    early = np.array([True, False, False, False, False])
    dates = np.arange("2025-01-04", "2025-01-09", dtype="datetime64[D]")
    workload = observing("smc")
    fitted = Observed("cases", ["S_to_I_total"], dates, observed, np.ones(5, dtype=bool))
    task = replace(workload.task, distance=metric, observed=[fitted])
    comparison = Comparison(replace(workload, task=task), BinomialModel(days=4))
    counts = np.random.default_rng(1).poisson([0, 1, 9, 11, 700], (500, 5)) * ~early
    distances = METRICS[metric].distance(observed, counts.astype(float))

    for within in distances[:50]:
        bound = comparison.bound(within)
        sums = (bound.weights * np.abs(counts[:, 1:] - bound.observed) ** bound.power).sum(axis=1)
        stopped = sums > bound.most * (1 + 1e-9)
        assert (distances[stopped] > within).all()
        assert stopped.sum() == (distances > within * (1 + 1e-6)).sum()


def test_weights_are_those_of_epydemix():
    priors = Priors({"a": ("norm", [0, 2], {}), "b": ("randint", [0, 6], {}), "c": ("uniform", [0, 3], {})})
    rng = np.random.default_rng(4)
    before, after = priors.sample(rng, 60), priors.sample(rng, 40)
    before[:, 2] = 1.5  # all equal, so that only the same value is proposed
    after[:, 2] = 1.5
    weights = rng.random(60) / 30
    weights /= weights.sum()
    kernels = [DefaultPerturbationContinuous("a"), DefaultPerturbationDiscrete("b", stats.randint(0, 6))]
    for kernel in kernels:
        kernel.update(before, weights, ["a", "b", "c"])

    found = Perturbed(priors, before, weights).weights_of(after)

    expected = [
        priors.density(new[None])[0]
        / sum(
            weight * np.prod([kernel.pdf(new[k], old[k]) for k, kernel in enumerate(kernels)])
            for weight, old in zip(weights, before, strict=True)
        )
        for new in after
    ]
    np.testing.assert_allclose(found, np.array(expected) / sum(expected), rtol=1e-12)


def test_proposals_have_the_law_by_which_they_are_weighed():
    """Real numbers follow normal laws of twice the variance, and whole ones jump with a chance of 0.3."""
    priors = Priors({"a": ("norm", [0, 2], {}), "b": ("randint", [2, 8], {})})
    rng = np.random.default_rng(6)
    particles = priors.sample(rng, 40)
    particles[:, 1] = 4
    weights = rng.random(40) ** 3
    weights /= weights.sum()

    a, b = Perturbed(priors, particles, weights).sample(rng, 100_000).T

    def law(x: np.ndarray, factor: float) -> np.ndarray:
        std = factor * np.sqrt(2) * np.std(particles[:, 0])
        return sum(w * stats.norm.cdf(x, at, std) for w, at in zip(weights, particles[:, 0], strict=True))

    counts = np.bincount(b.astype(int), minlength=8)[2:]
    for off, is_seen in ((1.0, False), (1.05, True)):
        jump = 0.3 * off
        expected = np.where(np.arange(2, 8) == 4, 1 - jump, jump / 5) * len(b)
        p_values = stats.kstest(a, law, args=(off,)).pvalue, stats.chisquare(counts, expected).pvalue
        assert max(p_values) < 1e-6 if is_seen else min(p_values) > 0.001


@pytest.mark.parametrize("level", [0.3, 0.5])
def test_a_generation_has_the_epsilon_and_the_weights_that_follow_from_the_one_before(level):
    prior = ("beta", [8, 8], {"scale": 10})
    workload = observing(
        "smc",
        [20, 30, 25],
        {"base": prior},
        num_particles=80,
        num_generations=3,
        epsilon_quantile_level=level,
    )

    generations = calibrate(workload, BinomialModel(days=3)).generations

    assert generations[0].epsilon is None
    assert (generations[0].weights == 1 / 80).all()
    for before, last in pairwise(generations):
        assert last.epsilon == np.quantile(before.distances, level)
        assert last.distances.max() < last.epsilon
        new, old = last.particles[:, 0], before.particles[:, 0]
        proposed = stats.norm.pdf(new[:, None], old, np.sqrt(2) * np.std(old)) @ before.weights
        weights = stats.beta.pdf(new, 8, 8, scale=10) / proposed
        np.testing.assert_allclose(last.weights, weights / weights.sum(), rtol=1e-10)


OTHER_CPU = {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"}
PRINT_WEIGHTS = """
import numpy as np
from modeling.simulate.abc.proposals import Perturbed, Priors, Queue
priors = Priors({"a": ("uniform", [0, 3], {}), "b": ("randint", [0, 9], {}), "c": ("beta", [2, 30], {})})
first = Queue(priors, priors, np.random.default_rng).take(500).particles
moved = Perturbed(priors, first, np.full(500, 1 / 500))
proposals = Queue(moved, priors, np.random.default_rng).take(700).particles
print(proposals.tobytes().hex(), moved.weights_of(proposals).tobytes().hex())
"""


def test_a_cpu_without_avx_512_proposes_and_weighs_to_the_bit_as_one_with_it():
    here, there = (
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PRINT_WEIGHTS],
            env=os.environ | cpu,
            cwd=REPOSITORY,
            capture_output=True,
            check=True,
        ).stdout
        for cpu in ({}, OTHER_CPU)
    )

    assert len(here) > 20_000
    assert there == here


def test_proposals_outside_a_prior_are_left_out_and_not_counted_as_simulations():
    workload = observing("smc", priors=MANY_OUTSIDE, num_particles=50, num_generations=2)
    comparison = Comparison(workload, BinomialModel())
    numbers = np.arange(1, 30, 3)
    particles = np.tile([[0.5, 1.0]], (len(numbers), 1))

    draws = comparison.simulated(Proposals(numbers, particles), 1, np.inf)
    alone = comparison.simulated(Proposals(numbers[4:5], particles[4:5]), 1, np.inf)
    found = calibrate(workload, BinomialModel())

    assert draws.values[4].tolist() == alone.values[0].tolist()
    assert found.simulations == sum(g.simulations for g in found.generations)
    assert (found.generations[1].particles[:, 0] > 0).all()
