"""Two ensembles of one model compared: means and quantiles of what a forecast is made of."""

from collections.abc import Callable, Mapping
from statistics import NormalDist

import numpy as np

QUANTILES = (0.05, 0.5, 0.95)
MOST_SIGMAS = 4.5  # of a few hundred numbers; a bias of 2 % is far beyond

Series = Mapping[str, np.ndarray]  # of one trajectory, shape (steps,)


def numbers_of(series: Series, steps_a_week: int) -> dict[str, float]:
    """Return weekly counts of each transition, its final size, and the peak of each compartment."""
    numbers = {}
    for name, values in series.items():
        if "_to_" in name:
            weeks = np.add.reduceat(values, np.arange(0, len(values), steps_a_week))
            numbers |= {f"{name} in week {week}": count for week, count in enumerate(weeks)}
            numbers[f"{name} in all"] = values.sum()
        elif name.endswith("_total"):
            numbers[f"peak of {name}"] = values.max()
    return numbers


def ensemble(simulate: Callable[[np.random.Generator], Series], steps_a_week: int, seed: int, size: int):
    """Return the numbers of each trajectory by name, ndarrays of shape (trajectories,)."""
    found = [numbers_of(simulate(np.random.default_rng((seed, i))), steps_a_week) for i in range(size)]
    return {name: np.array([each[name] for each in found], dtype=float) for name in found[0]}


def difference(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> tuple[float, str]:
    """Return the largest difference of a mean or quantile in standard errors, and what differs.

    The counts are large, so nearly normal: the error of a quantile is that of a normal distribution.
    """
    assert ours.keys() == theirs.keys()
    return max(
        (abs(of(ours[name]) - of(theirs[name])) / error, f"{what} of {name}")
        for name in ours
        for what, of, error in _compared(ours[name], theirs[name])
    )


def _compared(ours: np.ndarray, theirs: np.ndarray):
    error = np.sqrt(ours.var(ddof=1) / len(ours) + theirs.var(ddof=1) / len(theirs))
    error = max(error, 1e-9)
    yield "mean", np.mean, error
    for level in QUANTILES:
        normal = NormalDist()
        density = normal.pdf(normal.inv_cdf(level))
        widened = np.sqrt(level * (1 - level)) / density * error
        yield f"{level:.0%} quantile", lambda values, at=level: np.quantile(values, at), widened
