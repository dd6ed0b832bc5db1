"""Batches of every model of engine_models.py, whose bytes must be the same on a GPU and on a processor.

tests/on_a_gpu.py compares them on a GPU; tests/stages/test_gpu_lanes.py, with the GPU's kernel compiled for
this processor.
"""

import datetime
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modeling.engine.observables import DistanceBound
from modeling.engine.plan import CompiledPlan, Keys, Observables, Simulated, compile_plan
from modeling.workload import ModelPlan
from tests.engine_models import CASES, case_of

PARTICLES = 150
STREAM = 2**63 + 11


@dataclass(frozen=True)
class Asked:
    """A plan, its days, and the arguments of simulate()."""

    name: str
    plan: ModelPlan
    first_day: datetime.date
    last_day: datetime.date
    arguments: dict[str, Any]

    def compiled(self) -> CompiledPlan:
        return compile_plan(self.plan, self.first_day, self.last_day)


def asked_of(name: str, particles: int = PARTICLES) -> Iterator[Asked]:
    """Yield batches of a model: exact, by means, and with a bound that stops some of the particles."""
    case = case_of(name)
    of, arguments = case.of, {}
    arguments["parameters"] = {each: np.full(particles, value) for each, value in case.draw.items()}
    if "R0" in of.parameters:  # by particle, and for two of them impossible
        of = replace(of, parameters={n: value for n, value in of.parameters.items() if n != "R0"})
        drawn = np.linspace(1.2, 2.2, particles)
        drawn[[0, particles // 2]] = np.nan, -1.0
        arguments["parameters"]["R0"] = drawn
    arguments["keys"] = Keys(STREAM, np.arange(particles, dtype=np.uint32)[::-1] * 7)
    arguments["starts"] = np.arange(particles) % 3 * 7
    arguments["observables"] = Observables(of.compartment_series, [[each] for each in of.transition_series])
    days = case.first_day, case.last_day
    yield Asked(name, of, *days, arguments)
    yield Asked(f"{name}, means", of, *days, arguments | {"deterministic": True})
    rows = Observables([], [[of.transition_series[0]], of.transition_series[1:3]])
    bound = _bound(compile_plan(of, *days), arguments | {"observables": rows})
    yield Asked(f"{name}, bound", of, *days, arguments | {"observables": rows, "bound": bound})


def _bound(plan: CompiledPlan, arguments: dict[str, Any]) -> DistanceBound:
    """Return a bound around the middle particle at which most particles stop."""
    done = plan.simulate(**arguments)
    counts = done.by_transition.astype(float)
    observed = counts[len(counts) // 2 + 1]
    distances = np.abs(counts - observed).sum(axis=(1, 2))
    return DistanceBound(observed, np.ones_like(observed), 1, float(np.quantile(distances, 0.3)))


def all_asked() -> Iterator[Asked]:
    for name in CASES:
        yield from asked_of(name)


def digest(done: Simulated) -> str:
    """Return a digest of all that a simulation returns, except for stopped particles' later counts."""
    arrays = b"".join(np.ascontiguousarray(each).tobytes() for each in done[:5])
    return hashlib.sha256(arrays + repr((done.infeasible, done.unused)).encode()).hexdigest()
