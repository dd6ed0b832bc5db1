"""Parameters and rates of many particles at once: those of each particle alone, and those known on paper."""

import datetime
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from modeling.engine.elementwise import largest_eigenvalue
from modeling.engine.values import parameter_values, rate_values
from modeling.expressions import FUNCTIONS
from modeling.failures import UserError
from modeling.simulate.with_epydemix.simulator import Simulator
from modeling.workload import Calibrate, Flow, ModelPlan, Wave, Workload
from tests.builds import workloads_in
from tests.constructs import CONSTRUCTS, write_construct
from tests.experiments import REPOSITORY
from tests.schedules import SIX_WEEKS, day, in_span, leaving, scheduled, wave
from tests.small_models import START, STRAINS, plan

MANY = 60
BY_AGE = np.array([0.2, 0.7, 1.5])


def values_of(text: str, draws: dict[str, np.ndarray], **parameters):
    return parameter_values(three_ages(text, **parameters), draws)


def three_ages(text: str, **parameters) -> ModelPlan:
    """Return a plan of three age groups with a calculated parameter x."""
    fixed = {"two": 2.0, "by_age": BY_AGE} | parameters
    groups = {"age_groups": ["0-17", "18-64", "65+"], "sizes": np.array([10, 30, 60])}
    contacts = {"all": np.array([[2.0, 1, 0.5], [1, 3, 1], [0.5, 1, 1]])}
    return plan(**groups, contacts=contacts, parameters=fixed, calculated=[("x", text)])


def draws_of(*names: str, count: int = MANY, seed: int = 1) -> dict[str, np.ndarray]:
    """Return draws with some special numbers among them."""
    rng = np.random.default_rng(seed)
    special = np.array([0.0, 1.0, 2.0, -1.0, 0.5, 1e8])
    found = {name: rng.uniform(-1, 3, count) for name in names}
    for values in found.values():
        at = rng.permutation(count)[: len(special)]
        values[at] = special[: len(at)]
    return found


def alone(of: ModelPlan, draws: dict[str, np.ndarray], particle: int) -> dict | str:
    """Return the values of one draw as epydemix's simulator has them, or why it has none."""
    try:
        return Simulator(of).values({name: float(values[particle]) for name, values in draws.items()})
    except UserError as error:
        return str(error)


# -- parameters

EXPRESSIONS = [
    "a * two / eigenvalue",
    "(a + by_age) * b - 1",
    "1 / a",
    "1 / (1 / a)",
    "1 / (by_age - a)",
    "by_age / a",
    "a ** b",
    "a ** 0.5 * by_age",
    "a ** 2 + a ** -1",
    "by_age ** a",
    "a % b",
    "by_age % b",
    "-a + (+b)",
    "[a, b, 1]",
    "[a, b]",
    "[a, b, 1] * by_age",
    "[a] * by_age",
    "[by_age, a * by_age]",
    "[by_age, a]",
    "np.array([a, 2, 3 * b])",
    "np.sum(by_age * a)",
    "np.mean([a, b])",
    "np.mean([by_age, a * by_age])",
    "by_age / np.sum(by_age) * a",
    "np.max([a, b, 1]) - np.min(by_age * b)",
    "np.prod([a, b])",
    "np.sum(a)",
    "np.where(np.greater(a, 0), a, by_age)",
    "np.clip(a, 0, 1) + np.minimum(by_age, b)",
    "np.log(a)",
    "1 / np.exp(-1000 * a)",
    "1 / np.floor(a)",
    "scipy.special.expit(a) * by_age",
    "np.pi * a ** np.e",
    "1e14 * a * a",
]


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_a_calculated_parameter_of_many_particles_is_that_of_each_alone(text):
    draws = draws_of("a", "b")
    of = three_ages(text)

    found = parameter_values(of, draws)

    for particle in range(MANY):
        expected = alone(of, draws, particle)
        if isinstance(expected, str):
            assert found.infeasible[particle] == expected
        else:
            assert particle not in found.infeasible
            row = found.values["x"][particle]
            assert row == pytest.approx(np.atleast_1d(expected["x"]), rel=1e-13, abs=1e-300)


@pytest.mark.parametrize(("name", "arguments"), FUNCTIONS.items())
def test_every_function_has_the_same_value_for_many_particles_as_alone(name, arguments):
    text = f"{name}({', '.join(['a', 'b * by_age', '1 + by_age'][:arguments])})"
    if name == "scipy.special.betainc":
        text = f"{name}(two, b + two, by_age / 2)"
    draws = {"a": np.linspace(0.05, 0.95, 7), "b": np.linspace(0.1, 3, 7)}
    if name == "np.arccosh":
        draws["a"] = draws["a"] + 1
    of = three_ages(text)

    found = parameter_values(of, draws)

    assert not found.infeasible
    for particle in range(7):
        expected = np.atleast_1d(alone(of, draws, particle)["x"])
        row = found.values["x"][particle if len(found.values["x"]) > 1 else 0]
        assert row == pytest.approx(expected, rel=1e-13)


def test_values_have_a_row_a_particle_and_a_column_an_age_group_only_where_they_differ():
    of = three_ages("a * two", both=1.0)
    of = replace(of, calculated=[*of.calculated, ("y", "x * by_age"), ("z", "two + 1")])

    found = parameter_values(of, {"a": np.array([1.0, 2.0, 3.0, 4.0])})

    shapes = {name: value.shape for name, value in found.values.items()}
    assert shapes == {
        "two": (1, 1), "by_age": (1, 3), "both": (1, 1), "a": (4, 1), "x": (4, 1), "y": (4, 3), "z": (1, 1)
    }  # fmt: skip
    assert found.values["y"][2] == pytest.approx(6 * BY_AGE)


def test_a_drawn_value_replaces_a_fixed_one_and_people_and_the_start_are_none():
    draws = {"two": np.array([5.0, 6.0]), "I": np.array([1.0, 2.0]), "start_date": np.array([0.0, 3.0])}

    found = values_of("two + 1", draws)

    assert found.values["x"].tolist() == [[6], [7]]
    assert not {"I", "start_date"} & found.values.keys()


@pytest.mark.parametrize("draws", [{}, {"a": np.ones(3)}])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / (two - 2)", "has no value: float division by zero"),
        ("[two, 1]", re.escape("has values of shape (2,) where there are 3 age groups")),
        ("two * 1e15", r"is larger than 1e\+15"),
    ],
)
def test_what_is_wrong_without_a_draw_is_the_mistake_of_the_experiment(text, said, draws):
    with pytest.raises(UserError, match=said):
        values_of(text, draws)


@pytest.mark.parametrize(
    ("matrix", "eigenvalue"),
    [
        ([[6, 1.5], [1, 2.5]], (8.5 + np.sqrt(18.25)) / 2),
        ([[0, 2], [2, 0]], 2),  # the other eigenvalue is as large
        ([[3, 1], [0, 3]], 3),  # no second eigenvector
        ([[0, 1], [0, 0]], 0),
        ([[1e-3]], 1e-3),
        (np.ones((16, 16)) * 5, 80),
    ],
)
def test_the_largest_eigenvalue_is_that_known_on_paper(matrix, eigenvalue):
    assert largest_eigenvalue(np.array(matrix, dtype=float)) == pytest.approx(eigenvalue, rel=1e-14)


# -- rates


def num_points(of: ModelPlan, first_day: datetime.date, last_day: datetime.date) -> int:
    return ((last_day - first_day).days + 1) * max(1, round(1 / of.delta_t_days))


def drawn_by(workload: Workload, count: int = 8) -> dict[str, np.ndarray]:
    """Return draws of the priors of a workload, or its own draw, as often."""
    if not isinstance(workload.task, Calibrate):
        return {name: np.full(count, value) for name, value in workload.task.draw.items()}
    rng = np.random.default_rng(3)
    return {
        name: getattr(scipy.stats, of)(*args, **kwargs).rvs(count, random_state=rng).astype(float)
        for name, (of, args, kwargs) in workload.task.priors.items()
    }


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_the_rates_of_every_construct_are_those_of_each_particle_alone(tmp_path, name):
    workload = workloads_in(write_construct(tmp_path, name))[-1]
    of, first_day, last_day = workload.plan, workload.start_date, workload.end_date
    draws = drawn_by(workload)
    days_after = draws.get("start_date", np.arange(8)).astype(int)
    a_day = max(1, round(1 / of.delta_t_days))

    found = rate_values(of, draws, first_day, days_after * a_day, num_points(of, first_day, last_day))

    assert not found.infeasible
    simulator = Simulator(of)
    for particle, days in enumerate(days_after.tolist()):
        calendar = simulator._calendar(first_day + datetime.timedelta(days=days), last_day)
        values = simulator.values({name: float(each[particle]) for name, each in draws.items()})
        by_step = simulator._rates_by_step(values, calendar)
        for index, flow in enumerate(of.flows):
            if isinstance(flow.rate, str) and flow.eligible is None:
                rate = found.rates[flow.rate][particle if len(found.rates[flow.rate]) > 1 else 0]
                used = rate[days * a_day :: max(1, round(of.delta_t_days))] if len(rate) > 1 else rate
                expected = by_step[f"rate {index}"]
                assert np.broadcast_to(used, expected.shape) == pytest.approx(expected, rel=1e-13)


def test_the_wave_of_each_particle_has_its_own_minimum_then_factors_and_an_override():
    of = leaving(
        parameters={}, flows=[Flow("S", "R", "r"), Flow("I", "R", "0.5 * r * q"), Flow("R", "S", "q")]
    )
    overrides = in_span(of, 12, 13, 0.03, otherwise=np.nan)
    of = scheduled(of, wave=wave(of), factors={"r": in_span(of, 8, 10, 0.4)}, overrides={"r": overrides})
    draws = {"r": np.array([0.02, 0.04]), "low": np.array([0.5, 0.25]), "q": np.array([1.0, 3.0])}

    rates = rate_values(of, draws, START, np.zeros(2, dtype=int), SIX_WEEKS).rates

    assert rates["r"].shape == rates["0.5 * r * q"].shape == (2, SIX_WEEKS, 1)
    assert rates["q"].shape == (2, 1, 1)
    assert rates["r"][:, 30, 0] == pytest.approx([0.02 * 0.5, 0.04 * 0.25])
    assert rates["r"][:, 10, 0] == pytest.approx([0.02 * 1.25 * 0.4, 0.04 * 1.25 * 0.4])
    assert rates["r"][:, 12, 0].tolist() == [0.03, 0.03]
    assert rates["0.5 * r * q"][:, 30, 0] == pytest.approx([0.005, 0.015])
    assert all(rate.flags.c_contiguous and rate.dtype == float for rate in rates.values())


def test_a_rate_that_nothing_changes_has_one_number():
    flows = [Flow("S", "I", "r"), Flow("I", "R", "by_age * r"), Flow("R", "S", 0.5)]
    flows.append(Flow("S", "R", "", eligible=["S"]))
    of = leaving(parameters={"r": 0.02, "by_age": np.array([0.1, 0.2])}, flows=flows)

    rates = rate_values(of, {"q": np.ones(9)}, START, np.zeros(9, dtype=int), SIX_WEEKS).rates

    assert {text: rate.shape for text, rate in rates.items()} == {"r": (1, 1, 1), "by_age * r": (1, 1, 2)}


@pytest.mark.parametrize(("delta_t", "a_day"), [(1.0, 1), (0.5, 2), (7.0, 1)])
def test_time_points_are_counted_from_the_first_day_of_the_plan(delta_t, a_day):
    of = leaving(delta_t_days=delta_t)
    of = scheduled(of, factors={"r": in_span(of, 10, 12, 0.0)})

    rate = rate_values(of, {}, day(7), np.zeros(1, dtype=int), (SIX_WEEKS - 7) * a_day).rates["r"]

    assert rate.shape == (1, (SIX_WEEKS - 7) * a_day, 1)
    assert np.flatnonzero(rate == 0).tolist() == list(range(3 * a_day, 6 * a_day))


@pytest.mark.parametrize("block", [1, 200, 2**20])
def test_particles_do_not_change_each_other_by_a_bit(monkeypatch, block):
    of = scheduled(STRAINS, wave=Wave("beta", wave(STRAINS).shape, "low", 3.0))
    of = replace(of, calculated=[("beta", "R0 ** p * np.exp(-mu) / (eigenvalue * np.sum([p, r]))")])
    of = replace(of, flows=[*of.flows, Flow("R", "S", "(beta * severe) ** mu % 0.3")])
    draws = draws_of("R0", "p", "low", count=150, seed=7)
    draws["p"], draws["low"] = np.abs(draws["p"]) / 4, np.abs(draws["low"])
    starts = np.arange(150) % 20
    whole = rate_values(of, draws, START, starts, SIX_WEEKS)
    assert 10 < len(whole.infeasible) < 100

    monkeypatch.setattr("modeling.engine.values._BLOCK", block)
    for part in (slice(0, 1), slice(1, 150), *(slice(k, k + 1) for k in range(0, 150, 7))):
        few = {name: each[part] for name, each in draws.items()}
        found = rate_values(of, few, START, starts[part], SIX_WEEKS)

        for text, rate in found.rates.items():
            rows = whole.rates[text][part] if len(whole.rates[text]) > 1 else whole.rates[text]
            assert rate.tobytes() == rows.tobytes()
        of_part = enumerate(range(150)[part])
        assert found.infeasible == {k: whole.infeasible[p] for k, p in of_part if p in whole.infeasible}


OTHER_CPU = {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR", "OPENBLAS_CORETYPE": "Haswell"}
PRINT_BYTES = """
import pickle, sys
from modeling.engine.values import rate_values
found = rate_values(*pickle.load(sys.stdin.buffer))
sys.stdout.buffer.write(b"".join(rate.tobytes() for rate in found.rates.values()))
"""


def test_a_cpu_without_avx_512_gives_the_same_bytes():
    contacts = {"all": np.random.default_rng(3).uniform(0, 9, (2, 2))}
    of = scheduled(STRAINS, wave=Wave("beta", wave(STRAINS).shape, "low", 3.0))
    of = replace(
        of, contacts=contacts, calculated=[("beta", "R0 ** p / eigenvalue * np.exp(-mu) + np.log1p(p)")]
    )
    of = replace(of, flows=[*of.flows, Flow("R", "S", "(beta * severe) ** mu")])
    draws = {name: np.random.default_rng(1).uniform(0.1, 0.9, 500) for name in ("R0", "p", "low")}
    arguments = (of, draws, START, np.zeros(500, dtype=int), SIX_WEEKS)
    here = b"".join(rate.tobytes() for rate in rate_values(*arguments).rates.values())

    there = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PRINT_BYTES],
        input=pickle.dumps(arguments),
        env=os.environ | OTHER_CPU,
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )

    assert there.stdout == here
