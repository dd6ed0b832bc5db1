"""Parameter sets of a sampling experiment: every grid point with every Latin hypercube sample."""

import itertools

import numpy as np

from modeling.bounds import LARGEST_NUMBER
from modeling.failures import UserError
from modeling.randomness import SAMPLING, stream
from modeling.vocabulary.priors import Distribution
from modeling.vocabulary.sampling import Sampling


def parameter_sets(sampling: Sampling, seed: int) -> list[dict[str, float]]:
    """Return the parameter sets in order: the points of the grid, and for each the hypercube's samples.

    Each grid point has the same samples, so that grid points are compared on equal terms. A sampled start
    date is a number of days after the reference date.

    The hypercube is that of McKay, Beckman and Conover (1979), as scipy.stats.qmc draws it.

    Raises
    ------
    UserError
        A drawn value is not finite, or too large.
    """
    grid = _grid_points(sampling)
    samples = _hypercube_samples(sampling, seed)
    return [{**point, **sample} for point in grid for sample in samples]


def _grid_points(sampling: Sampling) -> list[dict[str, float]]:
    if sampling.grid is None:
        return [{}]
    names = sampling.grid.parameters
    values = [sampling.parameters[name].values for name in names]
    return [dict(zip(names, point, strict=True)) for point in itertools.product(*values)]


def _hypercube_samples(sampling: Sampling, seed: int) -> list[dict[str, float]]:
    sampler = sampling.hypercube
    if sampler is None:
        return [{}]
    from scipy.stats import qmc

    names = [*sampler.parameters, *(sampler.compartments or [])]
    if not names:
        return [{}] * sampler.n_samples
    unit = qmc.LatinHypercube(d=len(names), rng=stream((seed,), SAMPLING)).random(sampler.n_samples)
    columns = [_scaled(sampling, name, unit[:, i]) for i, name in enumerate(names)]
    for name, values in zip(names, columns, strict=True):
        if not (np.abs(values) <= LARGEST_NUMBER).all():
            raise UserError(
                f'"{name}" is drawn beyond {LARGEST_NUMBER:g}; use a distribution with thinner tails'
            )
    return [dict(zip(names, map(float, row), strict=True)) for row in zip(*columns, strict=True)]


def _scaled(sampling: Sampling, name: str, unit: np.ndarray) -> np.ndarray:
    """Map numbers in (0, 1) to the range or the distribution of a name."""
    if name == "start_date":
        return np.floor(_frozen(sampling.start_date.distribution).ppf(unit))
    if name in sampling.parameters:
        return _frozen(sampling.parameters[name].distribution).ppf(unit)
    bounds = sampling.compartments[name]
    return bounds.min + unit * (bounds.max - bounds.min)


def _frozen(distribution: Distribution):
    return distribution.without_unknown_keywords().frozen()
