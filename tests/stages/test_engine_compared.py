"""The engine simulates what epydemix simulates, and in deterministic mode what a plain recursion gives.

tests/long/test_engine_compared.py compares larger ensembles.
"""

from functools import cache

import numpy as np
import pytest

from modeling.calendars import step_count
from modeling.initial import initial_people
from modeling.over_time import doses_from
from modeling.workload import ModelPlan
from tests.engine_compared import FALSE_ALARM, PLANTED, Ensemble, by_engine, by_epydemix, doubt, simulated
from tests.engine_models import CASES, Case, case_of

PARTICLES = 2_000


@cache
def reference(name: str) -> Ensemble:
    return by_epydemix(case_of(name), case_of(name).trajectories)


@pytest.mark.parametrize("name", CASES)
def test_final_sizes_peaks_and_weekly_counts_have_the_distributions_of_epydemix(name):
    value, where = doubt(by_engine(case_of(name), PARTICLES), reference(name))

    assert value > FALSE_ALARM, where


@pytest.mark.parametrize("name", CASES)
def test_the_comparison_sees_1_percent_in_a_rate_or_a_change(name):
    case = case_of(name)

    missed = {
        what: value
        for what, of in case.biased.items()
        if (value := doubt(by_engine(case, PARTICLES, of), reference(name))[0]) > PLANTED
    }

    assert len(case.biased) > 0
    assert not missed


# -- the mean of every draw


def recursion(of: ModelPlan, case: Case) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return people and moves of each step, shape (steps, groups), where all move as on average."""
    dt, plan_values = of.delta_t_days, of.parameters | case.draw
    growth = np.linalg.eigvals(sum(of.contacts.values())).real.max()
    for name, text in of.calculated:
        plan_values = plan_values | {name: eval(text, {"eigenvalue": growth}, plan_values)}
    now = {c: n.astype(float) for c, n in initial_people(of.initial, of.sizes, {}).items()}
    steps = step_count(case.first_day, case.last_day, dt)
    people, moved = {c: [] for c in of.compartments}, {t: [] for t in of.transitions}
    for step in range(steps):
        values, contacts, doses = at_step(of, case, plan_values, step)
        leaving = {}
        for flow in of.flows:
            if flow.eligible is not None:
                share = np.minimum(doses / sum(now[c] for c in flow.eligible), 1 - np.finfo(float).eps)
                rate = -np.log1p(-share) / dt
            else:
                rate = eval(str(flow.rate), {}, values) * np.ones(len(of.sizes))
            if flow.mediator is not None:
                rate = rate * (contacts @ (now[flow.mediator] / of.sizes))
            rates = leaving.setdefault(flow.source, {})
            rates[flow.target] = rates.get(flow.target, 0) + rate
        before = {c: n.copy() for c, n in now.items()}
        for source, rates in leaving.items():
            total = sum(rates.values())
            for target, rate in rates.items():
                share = np.divide(rate, total, out=np.zeros_like(total), where=total > 0)
                moving = before[source] * -np.expm1(-dt * total) * share
                moved[f"{source}_to_{target}"].append(moving)
                now[source], now[target] = now[source] - moving, now[target] + moving
        for compartment, each in now.items():
            people[compartment].append(each)
    return {c: np.array(n) for c, n in people.items()}, {t: np.array(n) for t, n in moved.items()}


def at_step(of: ModelPlan, case: Case, values: dict, step: int) -> tuple[dict, np.ndarray, np.ndarray | None]:
    """Return parameters, contacts and doses at a step."""
    schedule, dt = of.schedule, of.delta_t_days
    if schedule is None:
        return values, sum(of.contacts.values()), None
    days_after = (case.first_day - schedule.first_day).days
    point = days_after * schedule.points_per_day + step * max(1, round(dt))
    values = dict(values)
    if schedule.wave:
        wave = schedule.wave
        lowest = values[wave.minimum] if isinstance(wave.minimum, str) else wave.minimum
        values[wave.parameter] = values[wave.parameter] * (
            lowest + (wave.maximum - lowest) * wave.shape[point]
        )
    for name, factors in schedule.factors.items():
        values[name] = values[name] * factors[point]
    for name, each in schedule.overrides.items():
        values[name] = values[name] if np.isnan(each[point]) else each[point]
    layers = of.contacts.items()
    contacts = sum(schedule.contact_factors.get(layer, np.ones(point + 1))[point] * m for layer, m in layers)
    if schedule.doses is None:
        return values, contacts, None
    last = max(step + 1, round((step + 1) * dt))
    by_day = doses_from(schedule, case.first_day, last)
    first = int(step * dt)
    doses = by_day[first] * dt if dt < 1 else by_day[first : first + round(dt)].sum(axis=0)
    return values, contacts, doses


@pytest.mark.parametrize("name", CASES)
def test_where_all_move_as_on_average_the_engine_is_a_plain_recursion(name):
    case = case_of(name)
    people, moved = recursion(case.of, case)

    ours_people, ours_moved = simulated(case.of, case, 1, deterministic=True)

    starts = first_steps(case.of, len(next(iter(people.values()))))
    for name, values in people.items():
        assert_close(by_group(case.of, ours_people, name), values[[*(starts[1:] - 1), -1]], name)
    for name, values in moved.items():
        assert_close(by_group(case.of, ours_moved, name), np.add.reduceat(values, starts), name)


def first_steps(of: ModelPlan, steps: int) -> np.ndarray:
    """Return the first step of each reported date; the cases start with a week."""
    by_date = 1 if of.resample_frequency is None else max(1, round(7 / of.delta_t_days))
    return np.arange(0, steps, by_date)


def by_group(of: ModelPlan, found: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Return the series of all age groups of one particle, shape (dates, groups)."""
    return np.stack([found[f"{name}_{group}"][0] for group in of.age_groups], axis=1)


def assert_close(ours: np.ndarray, theirs: np.ndarray, name: str) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-9, err_msg=name)
