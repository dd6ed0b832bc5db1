"""The hat of the engine's draws covers the binomial law f, and the quick test accepts only what is below f.

A candidate k of u is accepted where v, in (0, 1), is at most T(u) = f(k) / f(mode) / h(u); h is the height of
v = 1. The law is exact where T is at most 1 and h(u) is proportional to 1 / (a / us**2 + b), the density of
candidates. The quick test is right where it accepts no v above T.
"""

import numpy as np
import pytest

from modeling.engine.binomial import candidate, log_height, log_ratio
from modeling.engine.compiled import compiled

LAWS = [(n, mean / n) for n in (20, 21, 33, 60, 100, 10**4, 10**8) for mean in (10.0, 10.1, 11.7, 16.4)]
LAWS = [(n, p) for n, p in LAWS if p <= 0.5] + [(n, p) for n in (50, 1_000, 2**40) for p in (0.25, 0.5)]
U = np.concatenate([np.geomspace(1e-9, 0.01, 20_000), np.linspace(0.01, 0.99, 60_000)])
U = np.concatenate([U, 1 - U[:20_000]])


@compiled
def fill(n, p, u, k, quick, height, ratio):
    for i in range(u.size):
        k[i], _ = candidate(n, p, u[i], 0.5)
        height[i] = log_height(n, p, u[i], 1.0)
        ratio[i] = log_ratio(n, p, k[i]) if 0 <= k[i] <= n else -np.inf
        low, high = 0.0, 1.0  # the quick test accepts v up to low
        for _ in range(50):
            middle = 0.5 * (low + high)
            _, accepts = candidate(n, p, u[i], middle)
            low, high = (middle, high) if accepts else (low, middle)
        quick[i] = low


def filled(n: int, p: float) -> list[np.ndarray]:
    """Return k, the largest v of the quick test, log h and log(f(k) / f(mode)) at each u."""
    arrays = [np.empty(len(U)) for _ in range(4)]
    fill(float(n), p, U, *arrays)
    return arrays


@pytest.mark.parametrize(("n", "p"), LAWS)
def test_the_hat_covers_the_law_and_the_quick_test_lies_below_it(n, p):
    _, quick, height, ratio = filled(n, p)

    threshold = np.exp(ratio - height)

    assert threshold.max() <= 1
    assert (quick > 0).mean() > 0.5
    assert (threshold >= quick)[quick > 1e-9].all()


@pytest.mark.parametrize(("n", "p"), LAWS)
def test_a_height_is_in_proportion_to_the_density_of_candidates(n, p):
    sd = (n * p * (1 - p)) ** 0.5
    b = 1.15 + 2.53 * sd
    a = -0.0873 + 0.0248 * b + 0.01 * p
    us = 0.5 - abs(U - 0.5)
    k, _, height, _ = filled(n, p)

    assert np.ptp(height + np.log(a / us**2 + b)) < 1e-9
    # the candidates are G(u) = (2 a / us + b) (u - 1/2) + n p + 1/2, rounded down; G'(u) = a / us**2 + b
    assert (abs(k + 0.5 - ((2 * a / us + b) * (U - 0.5) + n * p + 0.5)) <= 0.5 + 1e-6 * abs(k)).all()
