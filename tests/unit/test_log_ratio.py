"""The exact test of the engine's draws knows the binomial law f to rounding.

Here log(f(k) / f(mode)) is summed term by term, in 80 bits.
"""

import numpy as np
import pytest

from modeling.engine.binomial import SMALL_MEAN, log_ratio, stirling_rest
from modeling.engine.compiled import compiled
from tests.engine_functions import WIDE, needs_80_bits, of_arrays

NUMBERS = (20, 21, 25, 40, 100, 999, 10**4, 10**5, 10**6, 2**24 + 1, 10**8)
MEANS = (SMALL_MEAN, 10.5, 12.3, 20.0, 50.0)  # below, draws are inverted
CHANCES = (0.01, 0.1, 0.25, 0.3, 0.4999, 0.5)  # never above 1/2
MOST_SUMMANDS = 200_000


@compiled
def fill(n, p, k, found):
    for i in range(k.size):
        found[i] = log_ratio(n, p, k[i])


def laws() -> list[tuple[int, float]]:
    found = [(n, mean / n) for n in NUMBERS for mean in MEANS] + [(n, p) for n in NUMBERS for p in CHANCES]
    return [(n, p) for n, p in dict.fromkeys(found) if p <= 0.5 and n * p >= SMALL_MEAN]


def log_ratios(n: int, p: float) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers on both sides of the mode, as far as summed, and log(f(k) / f(mode)) of each."""
    mode = int(n * p + p)
    above = np.arange(mode + 1, min(mode + MOST_SUMMANDS, n) + 1, dtype=WIDE)
    below = np.arange(mode, max(mode - MOST_SUMMANDS, 0), -1, dtype=WIDE)
    odds = WIDE(p) / (1 - WIDE(p))
    up = np.cumsum(np.log((n - above + 1) / above * odds))
    down = -np.cumsum(np.log((n - below + 1) / below * odds))
    chosen = [
        np.unique(np.append(np.geomspace(1, len(side), 400).astype(int), len(side))) - 1
        for side in (above, below)
    ]
    k = np.concatenate([[mode], above[chosen[0]], below[chosen[1]] - 1])
    return k.astype(float), np.concatenate([[0], up[chosen[0]], down[chosen[1]]])


@needs_80_bits
@pytest.mark.parametrize(("n", "p"), laws())
def test_a_logarithm_errs_by_a_few_roundings_of_the_distance_from_the_mode(n, p):
    k, right = log_ratios(n, p)
    found = np.empty_like(k)

    fill(float(n), p, k, found)

    distance = abs(k - np.floor(n * p + p)) + abs(right)
    assert (abs(found - right) <= 3e-14 + 4e-15 * distance).all()


@needs_80_bits
def test_the_rest_of_stirlings_formula_is_that_of_every_factorial():
    k = np.arange(1_000, dtype=WIDE)
    log_factorial = np.cumsum(np.log(np.maximum(k, 1)))
    rest = log_factorial - (k + WIDE(0.5)) * np.log(k + 1) + (k + 1) - np.log(8 * np.arctan(WIDE(1))) / 2
    small = 1 / np.geomspace(1_000, 1e9, 1_000)

    found = of_arrays(stirling_rest)((1 / (k + 1)).astype(float))

    assert abs(found - rest).max() < 8e-15
    assert abs(of_arrays(stirling_rest)(small) - (small / 12 - small**3 / 360)).max() < 1e-16
