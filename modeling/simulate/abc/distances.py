"""Distances between observed and simulated values, of many particles at once, as epydemix defines them.

All of them only grow with each date that is compared, so that the engine may stop a particle that is already
too far. Shapes: observed (values,), simulated (particles, values), whose rows are whole in memory.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Metric(NamedTuple):
    """A distance that is sum(weights * |simulated - observed| ** power), then scaled.

    Attributes
    ----------
    distance : function of observed and simulated
        Returns the distances, shape (particles,).
    weights : function of observed
        Returns the weight of each value in the sum, shape (values,).
    most : function of observed and a distance
        Returns the sum at that distance.
    """

    power: int
    distance: Callable[[np.ndarray, np.ndarray], np.ndarray]
    weights: Callable[[np.ndarray], np.ndarray]
    most: Callable[[np.ndarray, float], float]


def _rmse(observed: np.ndarray, simulated: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean((observed - simulated) ** 2, axis=1))


def _mae(observed: np.ndarray, simulated: np.ndarray) -> np.ndarray:
    return np.mean(np.abs(observed - simulated), axis=1)


def _wmape(observed: np.ndarray, simulated: np.ndarray) -> np.ndarray:
    return np.sum(np.abs(observed - simulated), axis=1) / np.sum(np.abs(observed))


def _mape(observed: np.ndarray, simulated: np.ndarray) -> np.ndarray:
    """Return the distances over the observed values that are not 0; at 0 it is not defined."""
    judged = np.flatnonzero(observed)
    # take() keeps rows together in memory, so that numpy adds up a row alike whatever the number of rows
    return np.mean(np.abs((observed[judged] - simulated.take(judged, axis=1)) / observed[judged]), axis=1)


def _relative(observed: np.ndarray) -> np.ndarray:
    return np.divide(1.0, np.abs(observed), out=np.zeros(len(observed)), where=observed != 0)


METRICS = {
    "rmse": Metric(2, _rmse, np.ones_like, lambda observed, distance: distance**2 * len(observed)),
    "mae": Metric(1, _mae, np.ones_like, lambda observed, distance: distance * len(observed)),
    "wmape": Metric(1, _wmape, np.ones_like, lambda observed, distance: distance * np.abs(observed).sum()),
    "mape": Metric(
        1, _mape, _relative, lambda observed, distance: distance * int(np.count_nonzero(observed))
    ),
}
