"""Proposed particles: from the priors, or from the particles of a generation by its perturbation kernels.

The kernels are epydemix's, one a parameter: normal with twice the variance of the particles (Beaumont et al.
2009, doi 10.1093/biomet/asp052), or, for whole numbers, a jump to any other value with a chance of 0.3.
Proposals are made in blocks of one size, each with a random stream of its own, and are numbered; how many are
simulated together changes none of them.

Shapes: particles (particles, parameters), one column a prior, in their order.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from modeling.distributions import frozen_distribution, is_discrete
from modeling.simulate.progress import MOST_OUTSIDE_IN_A_ROW

BLOCK = 1024
JUMP = 0.3  # chance of another whole number
_PAIRS = 1 << 15  # of particles, whose densities are held at once: 256 KB an array stay near the processor
_LOG_2 = (6.93147180369123816490e-01, 1.90821492927058770002e-10)  # its high and low bits (FreeBSD's msun)


class Priors:
    """Independent prior distributions of the parameters.

    Parameters
    ----------
    priors : dict of str to (name, args, kwargs)
        By parameter, with the name of a distribution of scipy.stats.
    """

    def __init__(self, priors: dict[str, tuple[str, list, dict]]):
        self.names = list(priors)
        self._frozen = [frozen_distribution(*prior) for prior in priors.values()]
        self.is_discrete = [is_discrete(frozen.dist) for frozen in self._frozen]

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Return particles drawn from the priors."""
        columns = [frozen.rvs(size=count, random_state=rng) for frozen in self._frozen]
        return np.stack(columns, axis=1).astype(float)

    def density(self, particles: np.ndarray) -> np.ndarray:
        """Return the product of the densities, shape (particles,); 0 outside any prior."""
        density = np.ones(len(particles))
        for column, frozen, discrete in zip(particles.T, self._frozen, self.is_discrete, strict=True):
            density *= frozen.pmf(column) if discrete else frozen.pdf(column)
        return density

    def support(self, index: int) -> np.ndarray:
        """Return the values of a discrete prior, which are bounded, in order."""
        low, high = self._frozen[index].support()
        return np.arange(low, high + 1)


class _Normal:
    """A normal kernel; if its variance is 0 in floating point, it proposes the same value again."""

    def __init__(self, values: np.ndarray):
        std = np.sqrt(2) * np.std(values)
        self._std = std if std**2 > 0 else 0.0

    def move(self, rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
        return values + self._std * rng.standard_normal(len(values))

    def add_density(self, exponent: np.ndarray, factor: np.ndarray, new: np.ndarray, old: np.ndarray) -> None:
        """Add to the exponents; the constant factor is left out, since weights are normalised."""
        if self._std:
            exponent -= 0.5 * ((new[:, None] - old) / self._std) ** 2
        else:
            factor *= new[:, None] == old


class _Jump:
    """A kernel of whole numbers: the same value, or with a chance of 0.3 any other of the support."""

    def __init__(self, support: np.ndarray):
        self._support = support

    def move(self, rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
        jumps = rng.random(len(values)) < JUMP
        others = rng.integers(0, len(self._support) - 1, len(values))
        others += others >= np.searchsorted(self._support, values)  # any but the value itself
        return np.where(jumps, self._support[others], values)

    def add_density(self, exponent: np.ndarray, factor: np.ndarray, new: np.ndarray, old: np.ndarray) -> None:
        factor *= np.where(new[:, None] == old, 1 - JUMP, JUMP / (len(self._support) - 1))


@dataclass(frozen=True)
class Perturbed:
    """Particles of a generation, chosen by weight and moved by a kernel.

    Attributes
    ----------
    weights : ndarray, shape (particles,)
        They add up to 1.
    """

    priors: Priors
    particles: np.ndarray
    weights: np.ndarray

    @cached_property
    def _kernels(self) -> list[_Normal | _Jump]:
        return [
            _Jump(self.priors.support(index)) if discrete else _Normal(self.particles[:, index])
            for index, discrete in enumerate(self.priors.is_discrete)
        ]

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Return proposed particles; some may be outside their prior."""
        ancestors = rng.choice(len(self.weights), size=count, p=self.weights / self.weights.sum())
        columns = self.particles[ancestors].T
        moved = [kernel.move(rng, column) for kernel, column in zip(self._kernels, columns, strict=True)]
        return np.stack(moved, axis=1)

    def weights_of(self, accepted: np.ndarray) -> np.ndarray:
        """Return the weights of accepted proposals, which add up to 1: prior density / density of proposal.

        Toni et al. 2009, doi 10.1098/rsif.2008.0172. They are not finite where a density is 0 or infinite.
        """
        proposed = np.empty(len(accepted))
        rows = max(1, _PAIRS // len(self.particles))
        for first in range(0, len(accepted), rows):
            some = accepted[first : first + rows]
            proposed[first : first + rows] = (self._densities(some) * self.weights).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):  # the caller refuses them
            weights = self.priors.density(accepted) / proposed
            return weights / weights.sum()

    def _densities(self, new: np.ndarray) -> np.ndarray:
        """Return the density of a move from each particle to each new one, shape (new, particles)."""
        exponent = np.zeros((len(new), len(self.particles)))
        factor = np.ones_like(exponent)
        for index, kernel in enumerate(self._kernels):
            kernel.add_density(exponent, factor, new[:, index], self.particles[:, index])
        return _exp(exponent) * factor


def _exp(x: np.ndarray) -> np.ndarray:
    """Return the exponential function of numbers up to 0, to a part in 4e15.

    It is the same to the bit on every processor: numpy's own depends on the vector instructions there are.
    """
    x = np.maximum(x, -800)  # from here on it is 0
    twos = np.rint(x * (1 / math.log(2)))
    rest = x - twos * _LOG_2[0] - twos * _LOG_2[1]
    series = np.full_like(rest, 1 / math.factorial(13))
    for power in range(12, -1, -1):
        series *= rest
        series += 1 / math.factorial(power)
    return np.ldexp(series, twos.astype(np.int32))


class Source(Protocol):
    """Where the proposals of a generation come from: Priors or Perturbed."""

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray: ...


class Proposals(NamedTuple):
    """Some proposals of a generation.

    Attributes
    ----------
    numbers : ndarray of int, shape (proposals,)
        Increasing; those that are missing are outside a prior.
    particles : ndarray, shape (proposals, parameters)
    """

    numbers: np.ndarray
    particles: np.ndarray


class Queue:
    """The proposals of one generation that are inside the priors, in order.

    Parameters
    ----------
    rng_of : function of int
        Returns the generator of a block.
    """

    def __init__(self, source: Source, priors: Priors, rng_of: Callable[[int], np.random.Generator]):
        self._source, self._priors, self._rng_of = source, priors, rng_of
        self._blocks = self._inside()
        self._waiting = Proposals(np.zeros(0, dtype=np.int64), np.zeros((0, len(priors.names))))

    def take(self, count: int) -> Proposals:
        """Return the next proposals; fewer once nearly all are outside a prior, and no more are made."""
        parts, held = [self._waiting], len(self._waiting.numbers)
        while held < count and (block := next(self._blocks, None)) is not None:
            parts.append(block)
            held += len(block.numbers)
        numbers, particles = (np.concatenate(part) for part in zip(*parts, strict=True))
        self._waiting = Proposals(numbers[count:], particles[count:])
        return Proposals(numbers[:count], particles[:count])

    def _inside(self) -> Iterator[Proposals]:
        """Yield the proposals of each block that are inside the priors."""
        block, empty = 0, 0
        while empty * BLOCK < MOST_OUTSIDE_IN_A_ROW:
            particles = self._source.sample(self._rng_of(block), BLOCK)
            numbers = block * BLOCK + np.arange(BLOCK)
            if self._source is not self._priors:
                inside = self._priors.density(particles) > 0
                numbers, particles = numbers[inside], particles[inside]
            yield Proposals(numbers, particles)
            block, empty = block + 1, 0 if len(numbers) else empty + 1
