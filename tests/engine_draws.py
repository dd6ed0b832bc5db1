"""What the engine draws, compared with the exact laws of tests/exact_laws.py."""

import datetime
from collections.abc import Iterable

import numpy as np

from modeling.engine.draws import draws
from modeling.engine.plan import Keys, Observables, compile_plan
from modeling.workload import Flow, ModelPlan
from tests import exact_laws
from tests.small_models import START, plan

GROUPS = (6, 33, 10**7)
RATES = {
    2: [0.3, 0.1],
    3: [0.9, 0.02, 0.4],
    4: [0.05, 0.6, 1e-3, 0.2],
}


def p_values(
    points: Iterable[tuple[int, float]], count: int, seed: int, bias: float = 1.0
) -> list[dict[str, float]]:
    """Return p-values of the draws at points (n, p); `bias` multiplies the chance that is drawn."""
    found = []
    for number, (n, p) in enumerate(points):
        drawn = draws(n, min(1.0, p * bias), count, seed + number)
        assert drawn.shape == (count,)
        found.append(exact_laws.of_binomial(drawn, n, p))
    return found


def split(rates: list[float]) -> ModelPlan:
    """Return a plan in which everybody starts in S and may leave it for several targets."""
    targets = [f"T{number}" for number in range(len(rates))]
    groups = len(GROUPS)
    return plan(
        age_groups=[f"of {people}" for people in GROUPS],
        sizes=np.array(GROUPS),
        contacts={"all": np.zeros((groups, groups))},
        compartments=["S", *targets],
        flows=[Flow("S", target, rate) for target, rate in zip(targets, rates, strict=True)],
        parameters={},
        initial={"S": "default"} | dict.fromkeys(targets),
    )


def leaving_alone(people: int, rate: float) -> ModelPlan:
    """Return a plan with three compartments and two age groups, all alike, which people leave at one rate."""
    names = ["A", "B", "C"]
    return plan(
        age_groups=["young", "old"],
        sizes=np.array([3 * people, 3 * people]),
        contacts={"all": np.zeros((2, 2))},
        compartments=[*names, "gone"],
        flows=[Flow(name, "gone", rate) for name in names],
        parameters={},
        initial={name: [people, people] for name in names} | {"gone": None},
    )


def simulated_moves(of: ModelPlan, particles: int, days: int, stream: int) -> np.ndarray:
    """Return the people who move by transition, age group and day, shape (particles, moves, days)."""
    names = [[f"{flow.name}_{group}"] for flow in of.flows for group in of.age_groups]
    compiled = compile_plan(of, START, START + datetime.timedelta(days=days - 1))
    keys = Keys(stream, np.arange(particles, dtype=np.uint32))
    return compiled.simulate({}, keys, None, Observables([], names)).by_transition


def p_values_of_splits(particles: int, stream: int, bias: float = 1.0) -> list[dict[str, float]]:
    found = []
    for rates in RATES.values():
        people = simulated_moves(split(rates), particles, 1, stream)
        people = people.reshape(particles, len(rates), len(GROUPS)).astype(np.int64)
        expected = [rates[0] * bias, *rates[1:]]
        chances = -np.expm1(-sum(expected)) * np.array(expected) / sum(expected)
        found += [
            exact_laws.of_multinomial(people[:, :, group], n, chances) for group, n in enumerate(GROUPS)
        ]
    return found
