"""Draws of one law through the passes of the kernel, to compare them with the exact law."""

import math

import numpy as np

from modeling.engine.arrays import FLOATS, INTEGERS, REALS, TILE, UNSIGNED, Law
from modeling.engine.machine_code import Kernel

_SHIFT = 8
_fill_tile = Kernel(
    "modeling.engine.binomial",
    "fill_tile",
    *(REALS, UNSIGNED, Law, REALS, np.uint64, UNSIGNED, UNSIGNED),
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
    lanes, cells = 1 << _SHIFT, np.zeros(TILE >> _SHIFT, dtype=np.int64)
    law = Law(np.repeat([[float(n)], [smaller], [-math.log1p(-smaller)]], lanes, axis=1), cells, cells + 1, 1)
    floats, integers, found = np.zeros(FLOATS), np.zeros(INTEGERS, dtype=np.uint64), np.zeros(TILE)
    steps = np.zeros(lanes, dtype=np.uint64)
    counts = np.empty(-(-count // TILE) * TILE, dtype=np.int64)
    for first in range(0, count, TILE):
        particles = np.arange(first, first + lanes, dtype=np.uint64)
        _fill_tile(floats, integers, law, found, np.uint64(key), particles, steps)
        counts[first : first + TILE] = found
    return n - counts[:count] if is_flipped else counts[:count]
