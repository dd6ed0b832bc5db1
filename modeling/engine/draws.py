"""Draws of one law through the passes of the kernel, to hold them against the exact law."""

import math

import numpy as np

from modeling.engine.arrays import FLOATS, INTEGERS, REALS, TILE, UNSIGNED
from modeling.engine.binomial import K, L, N, P, draw_tile
from modeling.engine.compiled import U64, compiled
from modeling.engine.machine_code import Kernel

_SHIFT = 8
_LANES = 1 << _SHIFT

fill = Kernel(
    "modeling.engine.draws",
    "fill_tiles",
    *(REALS, UNSIGNED, REALS, float, float, float, np.uint64),
    *(UNSIGNED, UNSIGNED, UNSIGNED),
)


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
    law = float(n), smaller, -math.log1p(-smaller)
    numbers = (np.zeros(size, np.uint64) for size in (_LANES, _LANES, TILE >> _SHIFT))
    fill(floats, integers, found, *law, np.uint64(key), *numbers)
    counts = found[:count].astype(np.int64)
    return n - counts if is_flipped else counts


@compiled
def fill_tiles(floats, integers, found, n, p, log_rest, key, particles, steps, sites):
    for i in range(TILE):
        floats[N + i] = n
        floats[P + i] = p
        floats[L + i] = log_rest
    for first in range(0, found.size, TILE):
        for w in range(_LANES):
            particles[w] = U64(first + w)
        for c in range(sites.size):
            sites[c] = U64(c)
        draw_tile(floats, integers, sites.size, _SHIFT, key, particles, steps, sites)
        for i in range(TILE):
            found[first + i] = floats[K + i]
