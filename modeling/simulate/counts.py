"""Counts of many trajectories, and the draws that have none, whichever engine simulates."""

from collections.abc import Mapping

import numpy as np

from modeling.failures import listed

_MOST_32_BITS = 2**31 - 1


def put(counts: np.ndarray, at: int | slice | tuple, values: np.ndarray) -> np.ndarray:
    """Write counts into an array; return it, or one of 64 bits where 32 do not hold them.

    One person may move several times between two reported dates, so the population is no bound.

    Parameters
    ----------
    counts : ndarray of int32, int64 or float
    """
    if counts.dtype == np.int32 and values.max(initial=0) > _MOST_32_BITS:
        counts = counts.astype(np.int64)
    counts[at] = values
    return counts


def reason_of_draw(reason: str, draw: Mapping[str, float]) -> str:
    """Return why a draw cannot be simulated, with its values.

    Parameters
    ----------
    draw : mapping of str to float
        Drawn parameters and compartments; a start_date in days.
    """
    values = [f"{name} = {value:.6g}" for name, value in draw.items()]
    return f"{reason}, with {listed(values)}" if values else reason
