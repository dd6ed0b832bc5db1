"""A particle has the same numbers in every bit, whatever simulates it beside which others."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from modeling.engine.plan import Keys, compile_plan
from tests.engine_bits import PARTICLES, STREAM, Ensemble, asked, digest_elsewhere, simulated

TARGETS = {"x86-64-v4": "avx512vl", "x86-64-v3": "avx2"}


@cache
def reference() -> Ensemble:
    return simulated()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("lanes", [8, 64, 512])
def test_threads_and_lanes_change_no_bit(threads, lanes):
    assert simulated(threads=threads, lanes=lanes).digest == reference().digest


@pytest.mark.parametrize("cuts", [[1], [299], [7, 8, 150], [64, 128, 192, 256], [100, 101]])
def test_batches_may_be_cut_anywhere(cuts):
    parts = [simulated(slice(*each)) for each in zip([0, *cuts], [*cuts, PARTICLES], strict=True)]

    for name in ("in_compartments", "by_transition", "initial"):
        together = np.concatenate([getattr(part, name) for part in parts])
        assert together.tobytes() == getattr(reference(), name).tobytes()


def test_the_order_of_particles_changes_only_the_order_of_what_they_become():
    backwards = simulated(slice(None, None, -1))

    assert np.array_equal(backwards.by_transition[::-1], reference().by_transition)


def test_another_stream_or_particle_is_another_epidemic():
    of, days, (_, keys, _, observables) = asked()
    alike = {"R0": np.full(PARTICLES, 1.6)}
    compiled = compile_plan(of, *days)

    one = compiled.simulate(alike, keys, None, observables).by_transition
    other = compiled.simulate(alike, Keys(STREAM + 1, keys.particles), None, observables).by_transition

    infections = of.transition_series.index("S_to_L_total")
    assert len(np.unique(one[:, infections].sum(axis=1))) > 0.9 * PARTICLES
    assert (one[:, infections] == other[:, infections]).mean() < 0.1


@pytest.mark.parametrize("target", TARGETS)
def test_code_for_any_cpu_gives_the_same_bits(target):
    """tests/long/test_engine_compared.py compares with code for the oldest CPU."""
    flags = Path("/proc/cpuinfo")  # of Linux
    if not flags.exists() or TARGETS[target] not in flags.read_text():
        pytest.skip(f"this CPU has no {TARGETS[target]}")

    assert digest_elsewhere(target) == (target, reference().digest)
