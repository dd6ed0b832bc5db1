"""The categories of FluSight's rate changes, and their probabilities from trajectories or from quantiles.

A change is the count of a forecast week minus the last known count of the week before the reference date.
"""

import numpy as np

from modeling.hubs import QUANTILES

RATE_CHANGE = "wk flu hosp rate change"
CATEGORIES = ["large_decrease", "decrease", "stable", "increase", "large_increase"]
# From which change on a week is not stable, and is a large change: tenths of a person per 100,000, by horizon
# (FluSight 2025-26). Whole numbers, so that a change that equals a threshold is classed exactly.
THRESHOLDS = {0: (3, 17), 1: (5, 30), 2: (7, 40), 3: (10, 50)}
FEWEST_PEOPLE = 10  # a smaller change is stable, whatever its rate
_TENTHS = 1_000_000  # of a person per 100,000 are one person per person
_MILLION = 1_000_000  # a probability is rounded to a millionth
_LOWEST, _HIGHEST = QUANTILES[0], QUANTILES[-1]
_DECAY = np.log(QUANTILES[1] / QUANTILES[0])  # of a tail from the second outermost level to the outermost


def category_probabilities(changes: np.ndarray, people: int, horizon: int) -> dict[str, float]:
    """Return the probability of each rate-change category: its share of the trajectories.

    A change is stable if it is below the threshold of its horizon, or below 10 people.

    Parameters
    ----------
    changes : ndarray, shape (trajectories,)
        Count of the forecast week minus the observed count of the week before the reference date.
    people : int
        In the place, as the hub counts them.
    """
    small, large = THRESHOLDS[horizon]
    size = np.abs(changes)
    tenths = size * _TENTHS  # of a person per 100,000, times people
    is_stable = (tenths < small * people) | (size < FEWEST_PEOPLE)
    is_large = ~is_stable & (tenths >= large * people)
    is_moderate = ~is_stable & ~is_large
    chosen = [
        is_large & (changes < 0),
        is_moderate & (changes < 0),
        is_stable,
        is_moderate & (changes > 0),
        is_large & (changes > 0),
    ]
    return {name: float(which.mean()) for name, which in zip(CATEGORIES, chosen, strict=True)}


def probabilities_from_quantiles(values: np.ndarray, before: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Return the probability of each rate-change category under a forecast that is known by its quantiles.

    Counts are whole: a count of k stands for the interval from k - 1/2 to k + 1/2 of a continuous
    distribution, whose cumulative_shares() these probabilities are.

    Parameters
    ----------
    values : ndarray of float, shape (horizons of THRESHOLDS, locations, levels)
        Whole counts at the levels of modeling.hubs.QUANTILES, not decreasing.
    before : ndarray of float, shape (locations,)
        Last known count of the week before the reference date.
    people : ndarray of int, shape (locations,)

    Returns
    -------
    ndarray of float, shape (horizons, locations, categories)
        In the order of CATEGORIES. Whole millionths that sum to 1.
    """
    limits = np.array(list(THRESHOLDS.values()))[:, None, :] * np.asarray(people, dtype=float)[:, None]
    limits = np.maximum(limits, FEWEST_PEOPLE * _TENTHS)  # whole numbers, exact below 2^53
    start = np.asarray(before, dtype=float)[:, None] * _TENTHS
    last_down = np.floor((start - limits) / _TENTHS)[..., ::-1]  # largest count of both decreases
    first_up = np.ceil((start + limits) / _TENTHS)
    bounds = np.concatenate([last_down + 0.5, first_up - 0.5], axis=-1)
    shares = np.rint(cumulative_shares(values, bounds) * _MILLION)
    whole = np.broadcast_to(float(_MILLION), (*shares.shape[:-1], 1))
    return np.diff(shares, axis=-1, prepend=0 * whole, append=whole) / _MILLION


def cumulative_shares(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the probability of less than a count, under a distribution that is known by its quantiles.

    It is linear between the quantiles. Beyond the outermost, the probability decays exponentially, as fast as
    from the second outermost quantile to the outermost; no count is below 0.

    Parameters
    ----------
    values : ndarray of float, shape (..., levels)
        Quantiles at the levels of modeling.hubs.QUANTILES, not decreasing.
    counts : ndarray of float, shape (..., counts)
        None may equal a quantile.
    """
    levels, last = np.array(QUANTILES), len(QUANTILES) - 1
    passed = (values[..., None, :] < counts[..., None]).sum(axis=-1)  # number of quantiles below
    below = np.clip(passed - 1, 0, last - 1)
    left = np.take_along_axis(values, below, axis=-1)
    right = np.take_along_axis(values, below + 1, axis=-1)
    # in the tails, the distance in steps between the two outermost quantiles; equal ones leave no tail
    with np.errstate(divide="ignore", invalid="ignore"):
        at = (counts - left) / (right - left)
    inside = levels[below] + at * (levels[below + 1] - levels[below])
    lower = _LOWEST * np.exp(_DECAY * np.minimum(at, 0))
    upper = 1 - (1 - _HIGHEST) * np.exp(-_DECAY * np.maximum(at - 1, 0))
    shares = np.where(passed == 0, lower, np.where(passed > last, upper, inside))
    return np.where(counts < 0, 0, shares)
