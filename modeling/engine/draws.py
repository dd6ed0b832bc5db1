"""Draws of one law through the passes of the kernel, to hold them against the exact law."""

import math

import numpy as np

from modeling.engine.arrays import REALS, UNSIGNED
from modeling.engine.binomial import FLOATS, INTEGERS, TILE, K, L, N, P, draw_tile
from modeling.engine.compiled import U64, compiled

_SHIFT = 8


def draws(n: int, p: float, count: int, key: int) -> np.ndarray:
    """Return draws of Binomial(n, p), integers of shape (count,).

    Parameters
    ----------
    key : int
        64 bits, of the random stream.
    """
    is_flipped = p > 0.5
    smaller = 1.0 - p if is_flipped else p
    padded = -(-count // TILE) * TILE
    found = np.zeros(padded)
    floats, integers = np.zeros(FLOATS), np.zeros(INTEGERS, dtype=np.uint64)
    _fill(floats, integers, found, float(n), smaller, -math.log1p(-smaller), np.uint64(key))
    counts = found[:count].astype(np.int64)
    return n - counts if is_flipped else counts


@compiled
def _fill(
    floats: REALS, integers: UNSIGNED, found: REALS, n: float, p: float, log_rest: float, key: np.uint64
):
    lanes = 1 << _SHIFT
    particles, steps = np.zeros(lanes, np.uint64), np.zeros(lanes, np.uint64)
    sites = np.zeros(TILE >> _SHIFT, np.uint64)
    for i in range(TILE):
        floats[N + i] = n
        floats[P + i] = p
        floats[L + i] = log_rest
    for first in range(0, found.size, TILE):
        for w in range(lanes):
            particles[w] = U64(first + w)
        for c in range(sites.size):
            sites[c] = U64(c)
        draw_tile(floats, integers, sites.size, _SHIFT, key, particles, steps, sites)
        for i in range(TILE):
            found[first + i] = floats[K + i]
