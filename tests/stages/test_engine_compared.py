"""The engine simulates what epydemix simulates, step by step by its law, and on average as a plain recursion.

tests/long/test_engine_compared.py compares larger ensembles.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.stats import binom, kstest, norm

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
    now = {c: n.astype(float) for c, n in initial_people(of.initial, of.sizes, {}).items()}
    plan_values = unchanged_values(of, case)
    people, moved = {c: [] for c in of.compartments}, {t: [] for t in of.transitions}
    for step in range(step_count(case.first_day, case.last_day, of.delta_t_days)):
        leaving = hazards(of, case, plan_values, step, now)
        before = {c: n.copy() for c, n in now.items()}
        for source, by_target in leaving.items():
            total = sum(by_target.values())
            for target, hazard in by_target.items():
                share = np.divide(hazard, total, out=np.zeros_like(total), where=total > 0)
                moving = before[source] * -np.expm1(-total) * share
                moved[f"{source}_to_{target}"].append(moving)
                now[source], now[target] = now[source] - moving, now[target] + moving
        for compartment, each in now.items():
            people[compartment].append(each)
    return {c: np.array(n) for c, n in people.items()}, {t: np.array(n) for t, n in moved.items()}


def unchanged_values(of: ModelPlan, case: Case) -> dict:
    """Return the values of parameters before they change over time."""
    values = of.parameters | case.draw
    growth = np.linalg.eigvals(sum(of.contacts.values())).real.max()
    for name, text in of.calculated:
        values = values | {name: eval(text, {"eigenvalue": growth}, values)}
    return values


def hazards(
    of: ModelPlan, case: Case, unchanged: dict, step: int, now: Mapping[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    """Return the hazards of a step by source and target, of the shape of the people `now`: (..., groups)."""
    values, contacts, doses = at_step(of, case, unchanged, step)
    leaving: dict[str, dict[str, np.ndarray]] = {}
    for flow in of.flows:
        if flow.eligible is not None:
            share = np.minimum(doses / sum(now[c] for c in flow.eligible), 1 - np.finfo(float).eps)
            hazard = -np.log1p(-share)
        else:
            rate = eval(str(flow.rate), {}, values) * np.ones_like(now[flow.source])
            hazard = rate * of.delta_t_days
        if flow.mediator is not None:
            hazard = hazard * ((now[flow.mediator] / of.sizes) @ contacts.T)
        by_target = leaving.setdefault(flow.source, {})
        by_target[flow.target] = by_target.get(flow.target, 0) + hazard
    return leaving


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


# -- the law of every draw

FEW = 30  # particles; on 8 lanes, so that some lanes are used again


def draws_of_all_steps(
    case: Case, factor: float = 1.0
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield a name, the people who move, those who may, and their chance, of each draw of each step.

    `factor` multiplies the first rate of the model in what is expected. Shapes (particles, groups).
    """
    of, values = replace(case.of, resample_frequency=None), unchanged_values(case.of, case)
    people, moves = (
        {name: np.stack([found[f"{name}_{group}"] for group in of.age_groups], axis=-1) for name in names}
        for found, names in zip(
            simulated(of, case, FEW, lanes=8), (of.compartments, of.transitions), strict=True
        )
    )
    first = initial_people(of.initial, of.sizes, {})
    for step in range(next(iter(people.values())).shape[1]):
        now = {c: n[:, step - 1] if step else np.tile(first[c], (FEW, 1)) for c, n in people.items()}
        leaving = hazards(of, case, values, step, now)
        leaving[of.flows[0].source][of.flows[0].target] *= factor
        for source, by_target in leaving.items():
            moved = {target: moves[f"{source}_to_{target}"][:, step] for target in by_target}
            rest, hazard = sum(moved.values()), sum(by_target.values())
            yield source, rest, now[source], -np.expm1(-hazard)
            for target in list(by_target)[:-1]:
                share = np.divide(by_target[target], hazard, out=np.zeros_like(hazard), where=hazard > 0)
                yield f"{source} to {target}", moved[target], rest, share
                rest, hazard = rest - moved[target], hazard - by_target[target]


def doubt_of_laws(case: Case, factor: float = 1.0) -> float:
    """Return one p-value of all draws of an ensemble, each by its binomial law given the step before.

    A draw's place in its law, at random within a jump, is uniform. Compared are all places, and of each kind
    of draw the sum of people who move and the variance of the places.
    """
    rng = np.random.default_rng(4)
    kinds: dict[str, list[np.ndarray]] = {}
    for name, moved, people, chance in draws_of_all_steps(case, factor):
        assert not moved[(people == 0) | (chance == 0)].any()
        drawn = (people > 0) & (chance > 0)
        k, n, p = moved[drawn], people[drawn], chance[drawn]
        place = binom.cdf(k - 1, n, p) + rng.random(len(k)) * binom.pmf(k, n, p)
        kinds.setdefault(name, []).append(np.array([place, k - n * p, n * p * (1 - p)]))
    draws = [np.concatenate(each, axis=1) for each in kinds.values()]
    values = [kstest(np.concatenate([place for place, _, _ in draws]), "uniform").pvalue]
    for place, off, variance in draws:
        squares = norm.ppf(np.clip(place, 1e-15, 1 - 1e-15)) ** 2
        assert variance.sum() > 1_000  # enough for a sum to be normal
        values.append(2 * norm.sf(abs(off.sum()) / np.sqrt(variance.sum())))
        values.append(2 * norm.sf(abs((squares - 1).sum()) / np.sqrt(2 * len(place))))
    return min(1.0, min(values) * len(values))


@pytest.mark.parametrize("name", CASES)
def test_each_draw_of_each_step_has_its_binomial_law_and_0_1_percent_in_a_rate_is_seen(name):
    case = case_of(name)

    assert doubt_of_laws(case) > FALSE_ALARM
    assert doubt_of_laws(case, factor=1.001) < PLANTED
