"""The flu model with all constructs, for particles with parameters and first days of their own: its bits."""

import hashlib
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from modeling.engine.plan import Keys, Observables, compile_plan
from tests.engine_models import case_of
from tests.experiments import REPOSITORY

PARTICLES = 300
STREAM = 77
SIMULATED_ELSEWHERE = """
import hashlib, pickle, sys
from modeling.engine.plan import compile_plan
from modeling.engine.compiled import TARGET
plan, days, arguments = pickle.loads(sys.stdin.buffer.read())
done = compile_plan(plan, *days).simulate(*arguments)
arrays = done.in_compartments, done.by_transition, done.initial
print(TARGET.name, hashlib.sha256(b"".join(each.tobytes() for each in arrays)).hexdigest())
"""


@dataclass(frozen=True)
class Ensemble:
    """Particles with parameters and first days of their own, and what they become."""

    in_compartments: np.ndarray
    by_transition: np.ndarray
    initial: np.ndarray

    @property
    def digest(self) -> str:
        arrays = self.in_compartments, self.by_transition, self.initial
        return hashlib.sha256(b"".join(each.tobytes() for each in arrays)).hexdigest()


@cache
def asked(particles: int = PARTICLES) -> tuple:
    """Return a plan, its days, and the arguments of simulate: the flu model with all constructs together."""
    case = case_of("flu in three ages")
    of = replace(case.of, parameters={n: v for n, v in case.of.parameters.items() if n != "R0"})
    rng = np.random.default_rng(3)
    parameters = {"R0": rng.uniform(1.2, 2.2, particles)}
    keys = Keys(STREAM, np.arange(particles, dtype=np.uint32) * 3)
    starts = rng.integers(0, 30, particles)
    observables = Observables(of.compartment_series, [[name] for name in of.transition_series])
    return of, (case.first_day, case.last_day), (parameters, keys, starts, observables)


def simulated(which: slice = slice(None), **options) -> Ensemble:
    of, days, (parameters, keys, starts, observables) = asked()
    done = compile_plan(of, *days).simulate(
        {name: values[which] for name, values in parameters.items()},
        Keys(keys.stream, keys.particles[which]),
        starts[which],
        observables,
        **options,
    )
    return Ensemble(done.in_compartments, done.by_transition, done.initial)


def digest_elsewhere(target: str) -> tuple[str, str]:
    """Return the CPU target of another process, and the digest of what it simulates."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", SIMULATED_ELSEWHERE],
        input=pickle.dumps(asked()),
        cwd=REPOSITORY,
        env=environment | {"ENGINE_TARGET": target},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    found, digest = done.stdout.decode().split()
    return found, digest
