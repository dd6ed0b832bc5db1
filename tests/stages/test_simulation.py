"""Trajectories mean what the model says: against truths on paper."""

import datetime
import math
from dataclasses import replace

import numpy as np
import pytest

from modeling.failures import UserError
from modeling.initial import InfeasibleDraw
from modeling.simulate.with_epydemix.simulator import Simulator
from modeling.workload import Flow
from tests.small_models import HOME, SCHOOL, START, STRAINS, days, plan, run, series


def test_nobody_is_infected_by_nobody():
    s = series(plan(), run(plan(initial={"S": "default", "I": None, "R": None})))

    assert (s["S_total"] == 1000).all()
    assert (s["S_to_I_total"] == 0).all()


def test_everybody_moves_at_once_where_the_rate_is_beyond_all_bounds():
    hasty = plan(flows=[Flow("I", "R", 1e9)])

    s = series(hasty, run(hasty))

    assert s["I_to_R_total"].tolist()[:3] == [20, 0, 0]
    assert (s["I_total"] == 0).all()


def test_a_spontaneous_transition_empties_its_compartment_exponentially():
    decay = plan(flows=[Flow("I", "R", "gamma")], initial={"S": "default", "I": [400, 600], "R": None})
    simulator = Simulator(decay)

    left = np.mean(
        [
            simulator.run(
                {}, START, START + datetime.timedelta(days=9), np.random.default_rng(i)
            ).in_compartments[5]
            for i in range(100)
        ],
        axis=0,
    )

    chance = np.exp(-0.25 * np.arange(1, 11))
    error = 4 * np.sqrt(1000 * chance * (1 - chance) / 100)
    assert decay.compartment_series[5] == "I_total"
    assert (np.abs(left - 1000 * chance) < error).all()


def test_the_first_infections_follow_the_hazard_on_paper():
    first_day = plan(flows=[Flow("S", "I", "beta", "I")], initial={"S": "default", "I": [40, 0], "R": None})

    infected = np.mean([series(first_day, run(first_day, 0, i))["S_to_I_18+"][0] for i in range(400)])

    hazard = (
        0.1 * (2 / 3 + 1 / 3) * 40 / 400
    )  # beta, contacts of an adult with children, infectious among them
    expected = 600 * (1 - math.exp(-hazard))
    assert abs(infected - expected) < 4 * math.sqrt(expected / 400)


def test_an_age_group_without_contacts_to_the_others_stays_healthy():
    apart = plan(contacts={"home": np.diag([6.0, 3.0])}, initial={"S": "default", "I": [20, 0], "R": None})

    s = series(apart, run(apart))

    assert s["S_to_I_0-17"].sum() > 100
    assert s["S_to_I_18+"].sum() == 0


def test_a_rate_by_age_moves_only_the_ages_that_have_it():
    by_age = plan(
        parameters={"beta": 0.1, "gamma": np.array([0.0, 0.5])},
        initial={"S": "default", "I": [30, 30], "R": None},
    )

    s = series(by_age, run(by_age))

    assert s["I_to_R_0-17"].sum() == 0
    assert s["I_to_R_18+"].sum() >= 30


def test_the_transmission_rate_follows_from_r0_and_the_contacts_of_all_layers():
    eigenvalue = max(np.linalg.eigvals(HOME + SCHOOL).real)

    values = Simulator(STRAINS).values({})

    assert values["beta"] == pytest.approx(2 * 0.4 / (eigenvalue * (0.7 + 0.3 * 0.5)), rel=1e-12)


def test_a_draw_replaces_what_is_sampled_and_what_follows_from_it():
    open_plan = replace(
        STRAINS,
        parameters={k: v for k, v in STRAINS.parameters.items() if k != "R0"},
        initial=STRAINS.initial | {"L": "sampled"},
    )

    path = run(open_plan, draw={"R0": 4.0, "L": 100})

    assert Simulator(open_plan).values({"R0": 4.0, "L": 100})["beta"] == pytest.approx(
        2 * Simulator(STRAINS).values({})["beta"]
    )
    assert path.initial[open_plan.compartment_series.index("L_total")] == 100


@pytest.mark.parametrize("of", [plan(), STRAINS], ids=["two rates", "two strains"])
def test_people_only_move_along_transitions_and_nobody_is_lost(of):
    path = run(of)

    s = series(of, path)
    for group in of.age_groups:
        total = sum(s[f"{c}_{group}"] for c in of.compartments)
        assert (total == of.sizes[of.age_groups.index(group)]).all()
        for c in of.compartments:
            start = path.initial[of.compartment_series.index(f"{c}_{group}")]
            came = sum(s[f"{t}_{group}"] for t in of.transitions if t.endswith(f"_to_{c}"))
            went = sum(s[f"{t}_{group}"] for t in of.transitions if t.startswith(f"{c}_to_"))
            assert (s[f"{c}_{group}"] == start + np.cumsum(came - went)).all()
    for name in (*of.compartments, *of.transitions):
        assert (s[f"{name}_total"] == sum(s[f"{name}_{g}"] for g in of.age_groups)).all()


@pytest.mark.parametrize(
    ("parameters", "draw"),
    [({"beta": 0.1, "gamma": -0.25}, {}), ({"beta": 0.1}, {"gamma": -0.25})],
    ids=["fixed", "drawn"],
)
def test_a_negative_rate_is_never_simulated(parameters, draw):
    wrong = plan(parameters=parameters)

    with pytest.raises(InfeasibleDraw if draw else UserError, match=r'"gamma" is negative \(-0.25\)'):
        run(wrong, draw=draw)


def test_a_draw_without_a_finite_value_is_infeasible():
    odd = plan(parameters={"beta": 0.1}, calculated=[("gamma", "1 / (p - 0.5)")])

    with pytest.raises(InfeasibleDraw, match="division by zero"):
        run(odd, draw={"p": 0.5})


@pytest.mark.parametrize("delta_t", [1.0, 0.5, 0.2])
def test_weeks_end_on_saturday_and_hold_all_their_days(delta_t):
    weekly = replace(STRAINS, delta_t_days=delta_t, resample_frequency="W-SAT")
    steps = replace(STRAINS, delta_t_days=delta_t)

    by_week, by_step = run(weekly, 17), run(steps, 17)

    assert days(by_week) == ["2025-01-11T00", "2025-01-18T00", "2025-01-25T00"]
    week = ((by_step.dates - np.datetime64(START)) // np.timedelta64(7, "D")).astype(int)
    for number in range(3):
        in_week = by_step.by_transition[:, week == number]
        assert in_week.shape[1] == round((7 if number < 2 else 4) / delta_t)
        assert (by_week.by_transition[:, number] == in_week.sum(axis=1)).all()
        assert (by_week.in_compartments[:, number] == by_step.in_compartments[:, week == number][:, -1]).all()
    assert by_step.by_transition.sum() > 0


def test_half_days_are_reported_as_half_days_or_as_days():
    halves = run(plan(delta_t_days=0.5), 2)
    whole = run(plan(delta_t_days=0.5, resample_frequency="D"), 2)

    assert days(halves) == [
        "2025-01-05T00",
        "2025-01-05T12",
        "2025-01-06T00",
        "2025-01-06T12",
        "2025-01-07T00",
        "2025-01-07T12",
    ]
    assert days(whole) == ["2025-01-05T00", "2025-01-06T00", "2025-01-07T00"]
    for day in range(3):
        of_the_day = halves.by_transition[:, 2 * day : 2 * day + 2]
        assert (whole.by_transition[:, day] == of_the_day.sum(axis=1)).all()


@pytest.mark.parametrize("length", [0, 1, 2, 40])
@pytest.mark.parametrize("frequency", [None, "D", "W-SAT", "2W", "10D", "MS", "ME"])
@pytest.mark.parametrize("delta_t", [1.0, 0.5, 2.0, 7.0])
def test_the_calendar_is_that_of_every_trajectory(delta_t, frequency, length):
    of = plan(delta_t_days=delta_t, resample_frequency=frequency)

    path = run(of, length)

    calendar = Simulator(of).calendar(START, START + datetime.timedelta(days=length))
    assert path.dates.tolist() == calendar.tolist()
    assert path.in_compartments.shape[1] == path.by_transition.shape[1] == len(calendar)
