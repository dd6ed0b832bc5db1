"""Functions of the engine applied to arrays, to compare them with the 80-bit ones of the C library."""

from collections.abc import Callable

import numpy as np
import pytest

from modeling.engine.compiled import compiled

WIDE = np.longdouble
needs_80_bits = pytest.mark.skipif(np.finfo(WIDE).nmant < 63, reason="long double has no more bits here")


def of_arrays(function: Callable) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of the engine for arrays."""

    @compiled
    def fill(x, found):
        for i in range(x.size):
            found[i] = function(x[i])

    def called(x: np.ndarray) -> np.ndarray:
        found = np.empty_like(x)
        fill(x, found)
        return found

    return called
