"""The spread of a forecast: quantiles of its errors in other seasons where counts were similar."""

from statistics import NormalDist

import numpy as np

from modeling.forecast.settings import SpreadSettings
from modeling.hubs import MEDIAN, QUANTILES

LEVELS = np.array(QUANTILES)
NORMAL = np.array([NormalDist().inv_cdf(level) for level in QUANTILES])  # quantiles of the standard normal
_NEGLIGIBLE = 1e-6  # sum of similarities with which no row counts as similar


def error_quantiles(
    errors: np.ndarray,
    log_counts: np.ndarray,
    is_nation: np.ndarray,
    reliability: np.ndarray,
    own_log_counts: np.ndarray,
    own_is_nation: np.ndarray,
    settings: SpreadSettings,
) -> np.ndarray:
    """Return the quantiles of the errors that count for each location, shape (locations, 23).

    Parameters
    ----------
    errors, log_counts, is_nation, reliability : ndarray, shape (rows,)
        Of past forecasts: error, log(count + 1) at the origin, whether of the nation, and weight.
    own_log_counts, own_is_nation : ndarray, shape (locations,)
        Of the locations that are forecast.
    """
    order = np.argsort(errors, kind="stable")
    distance = log_counts[order] - own_log_counts[:, None]
    width = np.where(own_is_nation, settings.similar_log_nation, settings.similar_log)[:, None]
    kinds = np.where(
        own_is_nation[:, None],
        np.where(is_nation[order], 1.0, settings.state_for_nation),
        np.where(is_nation[order], settings.nation_for_state, 1.0),
    )
    similarity = np.exp(-0.5 * (distance / width) ** 2) * kinds * reliability[order]
    alone = similarity.sum(axis=1) < _NEGLIGIBLE
    if alone.any():
        nearest = np.abs(distance[alone]).min(axis=1, keepdims=True)
        similarity[alone] = np.exp(-0.5 * ((np.abs(distance[alone]) - nearest) / settings.wide_log) ** 2)
    return np.stack([weighted_quantiles(errors[order], each) for each in similarity])


def weighted_quantiles(ordered: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the 23 quantiles of increasing values with weights; a value is in the middle of its weight."""
    reached = np.cumsum(weights)
    return np.interp(LEVELS * reached[-1], reached - weights / 2, ordered)


def share_of_left_out(seasons: int) -> float:
    """Return how wide the errors of a new season are beside those of a season that was left out.

    A new season is forecast from all seasons, one that is left out from one season less. Where seasons differ
    from their mean by as much each, the variance of an error is proportional to 1 + 1 / seasons learned from.
    """
    return float(np.sqrt((1 + 1 / seasons) / (1 + 1 / (seasons - 1)))) if seasons > 1 else 1.0


def nearer_to_zero(quantiles: np.ndarray, share: float) -> np.ndarray:
    """Return quantiles, shape (locations, 23), less a share of their median.

    A median of the errors that is not 0 is partly a bias that comes back, partly chance.
    """
    return quantiles - share * quantiles[:, MEDIAN, None]
