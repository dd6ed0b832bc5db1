"""Particles that cannot be simulated, and rates that no particle can have: what is wrong, and when."""

import numpy as np
import pytest

from modeling.engine.values import rate_values
from modeling.failures import UserError
from modeling.simulate.with_epydemix.simulator import Simulator
from modeling.workload import Flow
from tests.schedules import SIX_WEEKS, day, in_span, leaving, scheduled, wave
from tests.small_models import START


def test_infeasible_particles_are_named_with_the_rate_the_value_and_the_date():
    of = leaving(parameters={}, flows=[Flow("S", "R", "r - s"), Flow("R", "S", "1 / s")])
    of = scheduled(of, wave=wave(of), overrides={"s": in_span(of, 20, 22, 0.125, otherwise=np.nan)})
    draws = {
        "r": np.array([0.3, 0.01, 0.3, 0.3, np.nan, 0.3]),
        "s": np.array([0.1, 0.001, 0.0, 0.1, 0.1, -0.1]),
        "low": np.array([0.5, 0.5, 0.5, 1.5, 0.5, 1.0]),
    }

    infeasible = rate_values(of, draws, START, np.zeros(6, dtype=int), SIX_WEEKS).infeasible

    assert infeasible == {
        1: 'the rate "r - s" is negative (-0.11625) on 2025-01-25',  # 0.01 * 0.875 - 0.125
        2: 'the rate "1 / s" is not a finite number (inf) on 2025-01-05',
        3: "low replaces min_value of the seasonality and must be one number from 0 to max_value 1.25, "
        "not 1.5",
        4: 'the rate "r - s" is not a finite number (nan) on 2025-01-05',
        5: 'the rate "1 / s" is negative (-10) on 2025-01-05',
    }


@pytest.mark.parametrize("name", ["negative", "minimum above the maximum", "negative on some days"])
def test_the_reasons_are_those_of_a_draw_alone(name):
    of = leaving(parameters={}, flows=[Flow("S", "R", "r - 0.001")])
    changes = {
        "negative": {},
        "minimum above the maximum": {"wave": wave(of)},
        "negative on some days": {"overrides": {"r": in_span(of, 9, 10, -0.5, otherwise=np.nan)}},
    }[name]
    of = scheduled(of, **changes)
    draw = {"r": -0.02 if name == "negative" else 0.02, "low": 1.5}

    found = rate_values(of, {n: np.array([v]) for n, v in draw.items()}, START, np.zeros(1, int), SIX_WEEKS)

    simulator = Simulator(of)
    with pytest.raises(UserError) as refused:
        simulator._rates_by_step(simulator.values(draw), simulator._calendar(START, day(SIX_WEEKS - 1)))
    assert found.infeasible == {0: str(refused.value)}


@pytest.mark.parametrize(("delta_t", "bad_days"), [(1.0, (8, 9)), (7.0, (9, 12))])
def test_a_particle_is_refused_only_for_the_time_steps_that_it_has(delta_t, bad_days):
    of = leaving(parameters={}, delta_t_days=delta_t)
    of = scheduled(of, overrides={"r": in_span(of, *bad_days, -0.5, otherwise=np.nan)})
    starts = np.array([0, 3, 10, 35])

    found = rate_values(of, {"r": np.full(4, 0.02)}, START, starts, SIX_WEEKS)

    assert sorted(found.infeasible) == {1.0: [0, 1], 7.0: [1, 2]}[delta_t]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parameters": {"r": -0.02}}, r'the rate "r" is negative \(-0.02\)$'),
        ({"parameters": {"r": 1e20}}, r'the rate "r" is larger than 1e\+15'),
    ],
)
def test_a_rate_that_is_wrong_without_a_draw_is_the_mistake_of_the_experiment(changes, said):
    of = leaving(**changes)

    for draws in ({}, {"q": np.ones(1)}):
        with pytest.raises(UserError, match=said):
            rate_values(of, draws, START, np.zeros(1, dtype=int), SIX_WEEKS)


def test_a_fixed_wave_with_an_impossible_minimum_is_the_mistake_of_the_experiment():
    of = leaving()

    with pytest.raises(UserError, match=r"must be one number from 0 to max_value 1\.25, not 2\.0"):
        rate_values(scheduled(of, wave=wave(of, lowest=2.0)), {}, START, np.zeros(1, dtype=int), SIX_WEEKS)
