"""Quantiles of samples: one definition for samples with and without weights.

Type 7 of Hyndman and Fan (1996, doi 10.1080/00031305.1996.10473566): linear interpolation between the sorted
values, the default of numpy and R. With weights, the generalisation of Akinshin (2023, arXiv 2304.07265),
which gives the same for equal weights. And the central intervals that a forecast's quantiles bound.
"""

import numpy as np

from modeling.hubs import QUANTILES


def quantiles(values: np.ndarray, levels: list[float]) -> np.ndarray:
    """Return quantiles of samples without weights.

    Parameters
    ----------
    values : ndarray, shape (samples, ...)

    Returns
    -------
    ndarray, shape (levels, ...)
    """
    return np.quantile(values, levels, axis=0)


def weighted_quantiles(values: np.ndarray, weights: np.ndarray, levels: list[float]) -> np.ndarray:
    """Return quantiles of weighted samples.

    The number of samples of type 7 becomes the effective number, n = (sum w)^2 / sum w^2. A quantile is the
    mean of the sorted values over a share 1 / n of the total weight.

    Parameters
    ----------
    values : ndarray, shape (samples, columns)
    weights : ndarray, shape (samples,)
        Not negative, and not all 0; their scale does not matter.

    Returns
    -------
    ndarray, shape (levels, columns)
    """
    if np.ptp(weights) == 0:
        return quantiles(values, levels)
    weights = weights / weights.sum()
    effective = 1 / np.sum(weights**2)
    order = np.argsort(values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    reached = np.cumsum(np.take(weights, order), axis=0)
    reached = np.concatenate([np.zeros_like(reached[:1]), reached / reached[-1]])
    lowest, found = ordered[0], []
    for level in levels:
        share = np.diff(np.clip(reached * effective - level * (effective - 1), 0, 1), axis=0)
        # relative to the lowest value, so that equal values are returned to the last digit
        found.append(lowest + (share * (ordered - lowest)).sum(axis=0) / share.sum(axis=0))
    return np.clip(np.stack(found), lowest, ordered[-1])


def is_inside(quantiles: np.ndarray, observed: np.ndarray | float, share: float) -> np.ndarray:
    """Return whether each observation is in the central interval with a share of the probability.

    An observation on the bound is inside.

    Parameters
    ----------
    quantiles : ndarray, shape (..., 23)
        At the levels of modeling.hubs.QUANTILES.
    observed : ndarray, shape (...,), or one count for all
    """
    low, high = (QUANTILES.index(round(0.5 + side * share / 2, 3)) for side in (-1, 1))
    return (quantiles[..., low] <= observed) & (observed <= quantiles[..., high])
