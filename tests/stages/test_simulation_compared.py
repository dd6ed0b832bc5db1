"""Trajectories are those of bare epydemix and of a naive simulator."""

import datetime
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from epydemix import EpiModel
from epydemix.model import simulate
from epydemix.population import Population
from scipy.stats import ks_2samp

from modeling.simulate.with_epydemix.simulator import Simulator
from tests.small_models import HOME, SCHOOL, SIZES, START, STRAINS, run, series

# -- epydemix itself


def bare_epydemix(resample_frequency, dt, seed):
    """Return one trajectory of STRAINS, written down for epydemix."""
    population = Population(name="small")
    population.add_population(SIZES, ["0-17", "18+"])
    population.add_contact_matrix(SCHOOL, layer_name="school")
    population.add_contact_matrix(HOME, layer_name="home")
    model = EpiModel(name="small", compartments=["S", "L", "I", "A", "H", "R"])
    model.set_population(population)
    eigenvalue = max(np.linalg.eigvals(SCHOOL + HOME).real)
    model.add_parameter(
        parameters_dict={
            "beta": 2.0 * 0.4 / (eigenvalue * 0.85),
            "mu": 0.4,
            "eps": 0.5,
            "p": 0.3,
            "r": 0.5,
            "severe": np.array([[0.05, 0.4]]),
        }
    )
    model.add_transition("S", "L", kind="mediated", params=("beta", "I"))
    model.add_transition("S", "L", kind="mediated", params=("beta*r", "A"))
    model.add_transition("L", "I", kind="spontaneous", params="eps*(1-p)")
    model.add_transition("L", "A", kind="spontaneous", params="eps*p")
    model.add_transition("I", "H", kind="spontaneous", params="mu*severe")
    model.add_transition("I", "R", kind="spontaneous", params="mu*(1-severe)")
    model.add_transition("A", "R", kind="spontaneous", params="mu")
    model.add_transition("H", "R", kind="spontaneous", params=0.2)
    nobody = np.zeros(2, dtype=int)
    people = {"S": [385, 550], "L": nobody, "I": [15, 0], "A": nobody, "H": nobody, "R": [0, 50]}
    return simulate(
        model,
        start_date=pd.Timestamp("2025-01-05"),
        end_date=pd.Timestamp("2025-03-06") + pd.Timedelta(days=1 - dt),  # the last day has all its steps
        initial_conditions_dict={c: np.array(n) for c, n in people.items()},
        dt=dt,
        resample_frequency=resample_frequency,
        rng=np.random.default_rng(seed),
    )


@pytest.mark.parametrize(("frequency", "dt"), [("D", 1.0), ("W-SAT", 1.0), ("W-SAT", 0.5), (None, 0.5)])
def test_a_trajectory_is_that_of_bare_epydemix_for_the_same_generator(frequency, dt):
    of = replace(STRAINS, resample_frequency=frequency, delta_t_days=dt)
    for seed in (3, 4):
        reference = bare_epydemix(frequency, dt, seed)

        path = run(of, 60, seed)

        s = series(of, path)
        assert path.dates.tolist() == np.array(reference.dates, dtype="datetime64[s]").tolist()
        assert all((s[name] == values).all() for name, values in reference.compartments.items())
        assert all((s[name] == values).all() for name, values in reference.transitions.items())
        assert s["S_to_L_total"].sum() > 100


# -- a naive second implementation


def naive_final_size_peak_and_hospital(steps: int, dt: float, rng: np.random.Generator) -> tuple:
    """Simulate STRAINS age by age and step by step, with everything written out."""
    contacts = [[6.0, 1.5], [1.0, 2.5]]
    growth = max(np.linalg.eigvals(np.array(contacts)).real)
    beta = 2.0 * 0.4 / (growth * (1 - 0.3 + 0.3 * 0.5))
    severe = [0.05, 0.4]
    people = [
        {"S": 385, "L": 0, "I": 15, "A": 0, "H": 0, "R": 0},
        {"S": 550, "L": 0, "I": 0, "A": 0, "H": 0, "R": 50},
    ]
    infections, peak, hospital = 0, 0, [0, 0]
    for _ in range(steps):
        now = [dict(group) for group in people]
        for age in (0, 1):
            hazard = sum(
                contacts[age][other] * beta * (now[other]["I"] + 0.5 * now[other]["A"]) / SIZES[other]
                for other in (0, 1)
            )
            moves = {
                "S": {"L": hazard},
                "L": {"I": 0.5 * 0.7, "A": 0.5 * 0.3},
                "I": {"H": 0.4 * severe[age], "R": 0.4 * (1 - severe[age])},
                "A": {"R": 0.4},
                "H": {"R": 0.2},
            }
            for source, rates in moves.items():
                total = sum(rates.values())
                leaving = rng.binomial(now[age][source], 1 - math.exp(-total * dt))
                for target, rate in rates.items():
                    moving = rng.binomial(leaving, rate / total) if total > 0 else 0
                    leaving, total = leaving - moving, total - rate
                    people[age][source] -= moving
                    people[age][target] += moving
                    infections += moving if target == "L" else 0
                    hospital[age] += moving if target == "H" else 0
        peak = max(peak, sum(group["I"] for group in people))
    return infections, peak, *hospital


@pytest.mark.parametrize("dt", [1.0, 0.5])
def test_trajectories_have_the_distribution_of_a_naive_simulator(dt):
    of, count, length = replace(STRAINS, delta_t_days=dt), 250, 60
    simulator = Simulator(of)
    end = START + datetime.timedelta(days=length)

    ours = []
    for seed in range(count):
        s = series(of, simulator.run({}, START, end, np.random.default_rng((7, seed))))
        ours.append(
            (s["S_to_L_total"].sum(), s["I_total"].max(), s["I_to_H_0-17"].sum(), s["I_to_H_18+"].sum())
        )
    steps = int(length / dt) + 1
    naive = [
        naive_final_size_peak_and_hospital(steps, dt, np.random.default_rng((8, i))) for i in range(count)
    ]

    for name, a, b in zip(
        ("infections", "peak", "H 0-17", "H 18+"), np.transpose(ours), np.transpose(naive), strict=True
    ):
        assert ks_2samp(a, b).pvalue > 0.01, name
        assert np.std(a) > 1


def test_the_naive_comparison_would_notice_a_small_mistake():
    """The same test tells half a day a step from a day a step: it has the power to fail."""
    day = [naive_final_size_peak_and_hospital(61, 1.0, np.random.default_rng((8, i))) for i in range(250)]
    half = [naive_final_size_peak_and_hospital(121, 0.5, np.random.default_rng((9, i))) for i in range(250)]

    assert (
        min(ks_2samp(a, b).pvalue for a, b in zip(np.transpose(day), np.transpose(half), strict=True)) < 0.01
    )
