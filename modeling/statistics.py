"""Statistics of weighted samples."""

import numpy as np


def weighted_quantiles(values: np.ndarray, weights: np.ndarray, levels: list[float]) -> np.ndarray:
    """Return quantiles of weighted samples.

    The smallest value whose cumulative weight reaches the level (type 1 of Hyndman and Fan 1996).

    Parameters
    ----------
    values : ndarray, shape (samples, columns)
    weights : ndarray, shape (samples,)

    Returns
    -------
    ndarray, shape (levels, columns)
    """
    order = np.argsort(values, axis=0, kind="stable")
    cumulative = np.cumsum(np.take(weights, order), axis=0)
    cumulative /= cumulative[-1]
    picks = np.stack([(cumulative < level - 1e-12).sum(axis=0) for level in levels])
    return np.take_along_axis(np.take_along_axis(values, order, axis=0), picks, axis=0)
