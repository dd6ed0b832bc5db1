"""Draws compared with the exact law of a binomial or a multinomial, as p-values: uniform if the law is right.

The chi-square cells have about the same probability, also far into the tails, and 20 expected draws at least.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from scipy.stats import binom, chi2, kstest, multinomial, norm

MOST_CELLS = 128
LEAST_EXPECTED = 20
TAILS = 2.0 ** -np.arange(8, 22)
FALSE_ALARM = 1e-3  # of one run of a test with other draws

NUMBERS = (0, 1, 2, 3, 5, 10, 20, 21, 29, 30, 31, 100, 1000, 10**4, 10**6, 10**7, 2**24 + 1, 10**8)
CHANCES = (1e-9, 1e-6, 1e-4, 0.01, 0.09, 0.1, 0.3, 0.4999, 0.5, 0.5001, 0.7, 0.9, 0.99, 1 - 1e-6)


def points() -> Iterator[tuple[int, float]]:
    """Yield (n, p) over everything a model may ask for, and on both sides of a mean of 10, from 0 and n."""
    yield from itertools.product(NUMBERS, CHANCES)
    for n in NUMBERS:
        if n > 20:
            edges = [mean / n for mean in (9.5, 9.9999, 10.0, 10.0001, 10.5)]
            yield from ((n, p) for edge in edges for p in (edge, 1 - edge) if p not in CHANCES)


def hard_points() -> Iterator[tuple[int, float]]:
    """Yield the points where most candidates of a rejection sampler are in doubt: means a little above 10."""
    yield from ((n, p) for n, p in points() if n < 2_000 and 9.9 < n * min(p, 1 - p) < 40)


def of_binomial(draws: np.ndarray, n: int, p: float) -> dict[str, float]:
    """Return p-values of the sum, the cells and the neighbours of independent draws.

    Where all draws are in one cell, there is only the sum.

    Parameters
    ----------
    draws : ndarray of int, shape (draws,)
    """
    assert draws.min() >= 0
    assert draws.max() <= n
    values = {"sum": _of_sum(draws, n, p)}
    uppers, expected = _cells(n, p, len(draws))
    if len(expected) > 1:
        counts = np.bincount(np.searchsorted(uppers, draws), minlength=len(expected))
        values["cells"] = _chi_square(counts, expected)
        values["neighbours"] = _of_neighbours(draws)
    return values


def _cells(n: int, p: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the last value of each cell but the last one, and the expected draws of each cell."""
    levels = np.concatenate([np.arange(1, MOST_CELLS) / MOST_CELLS, TAILS, 1 - TAILS])
    uppers = np.unique(binom.ppf(levels, n, p))
    kept, below, chances = [], 0.0, []
    for upper, up_to in zip(uppers, binom.cdf(uppers, n, p), strict=True):
        if min(up_to - below, 1 - up_to) * count >= LEAST_EXPECTED:
            kept.append(upper)
            chances.append(up_to - below)
            below = up_to
    return np.array(kept), np.array([*chances, 1 - below]) * count


def _chi_square(counts: np.ndarray, expected: np.ndarray) -> float:
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), len(expected) - 1))


def _of_sum(draws: np.ndarray, n: int, p: float) -> float:
    """Return the two-sided p-value of the sum, itself binomial."""
    total, trials = int(draws.sum()), n * len(draws)
    if p in (0.0, 1.0) or n == 0:
        return float(total == trials * p)
    return min(1.0, 2 * min(binom.cdf(total, trials, p), binom.sf(total - 1, trials, p)))


def _of_neighbours(draws: np.ndarray) -> float:
    """Return the two-sided p-value of the correlation of a draw and the next one."""
    around = draws - draws.mean()
    if not around.any():
        return 0.0  # cells of 20 expected draws each, and all draws are one number
    correlation = (around[1:] * around[:-1]).mean() / (around**2).mean()
    return float(2 * norm.sf(abs(correlation) * np.sqrt(len(draws))))


def of_multinomial(outcomes: np.ndarray, n: int, chances: Sequence[float]) -> dict[str, float]:
    """Return p-values of the outcomes where n is small, else of all marginals and sums of two.

    Parameters
    ----------
    outcomes : ndarray of int, shape (draws, targets)
        People who moved to each target; the others stayed.
    chances : sequence of float
        Of each target; they sum to less than 1.
    """
    assert outcomes.min() >= 0
    assert outcomes.sum(axis=1).max() <= n
    if n <= 6:
        return {"outcomes": _of_outcomes(outcomes, n, [*chances, 1 - sum(chances)])}
    values = {}
    for size in (1, 2):
        for which in itertools.combinations(range(len(chances)), size):
            found = of_binomial(outcomes[:, list(which)].sum(axis=1), n, sum(chances[i] for i in which))
            values |= {f"{name} of targets {which}": value for name, value in found.items()}
    return values


def _of_outcomes(outcomes: np.ndarray, n: int, chances: Sequence[float]) -> float:
    """Return the p-value of a chi-square over all outcomes; rare ones are one cell."""
    possible = [each for each in itertools.product(range(n + 1), repeat=len(chances) - 1) if sum(each) <= n]
    expected = multinomial.pmf([[*each, n - sum(each)] for each in possible], n, chances) * len(outcomes)
    numbers = {each: number for number, each in enumerate(possible)}
    counts = np.bincount([numbers[tuple(each)] for each in outcomes.tolist()], minlength=len(possible))
    common = expected >= LEAST_EXPECTED
    cells = [(counts[common], expected[common])]
    if expected[~common].sum() >= LEAST_EXPECTED:
        cells.append(([counts[~common].sum()], [expected[~common].sum()]))
    assert len(expected[common]) > len(chances)
    return _chi_square(*(np.concatenate(each) for each in zip(*cells, strict=True)))


def doubt(tests: Iterable[dict[str, float]]) -> float:
    """Return one p-value of many: of the smallest (Bonferroni), and of those of cells as uniform (KS)."""
    every = [(name, value) for test in tests for name, value in test.items()]
    smallest = min(value for _, value in every) * len(every)
    of_cells = [value for name, value in every if name.startswith(("cells", "outcomes"))]
    return min(1.0, 2 * min(smallest, kstest(of_cells, "uniform").pvalue))
