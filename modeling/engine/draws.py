"""Draws of one law through the passes of the kernel, to compare them with the exact law."""

import math

import numpy as np

from modeling.engine.arrays import FLOATS, INTEGERS, REALS, TILE, UNSIGNED
from modeling.engine.machine_code import Kernel

_SHIFT = 8
_fill_tile = Kernel(
    "modeling.engine.binomial",
    "fill_tile",
    REALS,
    UNSIGNED,
    REALS,
    float,
    float,
    float,
    np.uint64,
    UNSIGNED,
    UNSIGNED,
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
    floats, integers, found = np.zeros(FLOATS), np.zeros(INTEGERS, dtype=np.uint64), np.zeros(TILE)
    steps = np.zeros(1 << _SHIFT, dtype=np.uint64)
    counts = np.empty(-(-count // TILE) * TILE, dtype=np.int64)
    for first in range(0, count, TILE):
        particles = np.arange(first, first + (1 << _SHIFT), dtype=np.uint64)
        log_rest = -math.log1p(-smaller)
        _fill_tile(floats, integers, found, float(n), smaller, log_rest, np.uint64(key), particles, steps)
        counts[first : first + TILE] = found
    return n - counts[:count] if is_flipped else counts[:count]
