"""The squeeze of the engine's draws decides only what the exact test would decide alike.

An accepted candidate k has a height up to L = log(f(k) / f(mode)), where f is the binomial law. The squeeze
compares the height with t - rho and t + rho, so it is right where |L - t| <= rho. No proof is known to us; in
a study before this code 346,688 triples (n, p, k) had no exception. Here L is summed in 80 bits.
"""

import numpy as np
import pytest

from modeling.engine.binomial import squeezed
from modeling.engine.compiled import compiled

NUMBERS = (20, 21, 25, 40, 100, 999, 10**4, 10**5, 10**6, 2**24 + 1, 10**8)
MEANS = (10.0, 10.5, 12.3, 20.0, 50.0)  # below 10, draws are inverted
CHANCES = (0.01, 0.1, 0.25, 0.3, 0.4999, 0.5)  # never above 1/2
MOST_SUMMANDS = 200_000
ACCEPTED, OPEN, REJECTED = 0, 1, 2


@compiled
def fill(n, p, k, height, verdicts):
    for i in range(k.size):
        verdicts[i] = squeezed(n[i], p[i], k[i], height[i])


def verdicts(n: np.ndarray, p: np.ndarray, k: np.ndarray, height: np.ndarray) -> np.ndarray:
    found = np.empty(len(k), dtype=np.uint64)
    fill(n, p, k, height.astype(float), found)
    return found


def laws() -> list[tuple[int, float]]:
    found = [(n, mean / n) for n in NUMBERS for mean in MEANS] + [(n, p) for n in NUMBERS for p in CHANCES]
    return [(n, p) for n, p in dict.fromkeys(found) if p <= 0.5 and n * p >= 10]


def log_ratios(n: int, p: float) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers on both sides of the mode, and log(f(k) / f(mode)) of each."""
    variance, mode = n * p * (1 - p), int(n * p + p)
    most = int(min(variance / 2, MOST_SUMMANDS))
    above = np.arange(mode + 1, min(mode + most, n) + 1, dtype=np.longdouble)
    below = np.arange(mode, max(mode - most, 0), -1, dtype=np.longdouble)
    odds = np.longdouble(p) / (1 - np.longdouble(p))
    up = np.cumsum(np.log((n - above + 1) / above * odds))
    down = -np.cumsum(np.log((n - below + 1) / below * odds))
    chosen = np.unique(np.geomspace(1, max(most, 1), 400).astype(int)) - 1
    sides = [(side[chosen[chosen < len(side)]], sums) for side, sums in ((above, up), (below - 1, down))]
    k = np.concatenate([[mode], *(numbers for numbers, _ in sides)])
    return k.astype(float), np.concatenate([[0], *(sums[chosen[chosen < len(sums)]] for _, sums in sides)])


@pytest.fixture(scope="module")
def triples() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return n, p, k and log(f(k) / f(mode)), each of shape (triples,)."""
    columns = []
    for n, p in laws():
        k, ratio = log_ratios(n, p)
        columns.append((np.full(len(k), float(n)), np.full(len(k), p), k, ratio))
    return tuple(np.concatenate(each) for each in zip(*columns, strict=True))


def bound(n: np.ndarray, p: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return t and rho of BTPE, step 5.2."""
    variance, d = n * p * (1 - p), abs(k - np.floor(n * p + p))
    rho = d / variance * ((d * (d / 3 + 0.625) + 1 / 6) / variance + 0.5)
    return -d * d / (2 * variance), rho


def test_no_candidate_is_accepted_above_the_law_or_rejected_below_it(triples):
    n, p, k, ratio = triples
    rounding = 1e-12 * (1 + abs(ratio))

    above, below = (verdicts(n, p, k, ratio + sign * rounding) for sign in (1, -1))

    assert len(k) > 10_000
    assert not (above == ACCEPTED).any()
    assert not (below == REJECTED).any()


def test_the_bound_is_that_of_btpe_and_half_of_it_would_be_wrong(triples):
    n, p, k, ratio = (column[triples[3] < 0] for column in triples)  # at the mode nothing is open
    t, rho = bound(n, p, k)
    is_near = abs(k - np.floor(n * p + p)) < n * p * (1 - p) / 2 - 1
    rounding = 1e-12 * (1 + abs(t) + rho)

    for height, verdict in ((t - rho, ACCEPTED), (t + rho, REJECTED)):
        outwards = -1 if verdict == ACCEPTED else 1
        assert (verdicts(n, p, k, height + outwards * rounding) == np.where(is_near, verdict, OPEN)).all()
        assert (verdicts(n, p, k, height - outwards * rounding) == OPEN).all()
    assert (abs(ratio - t) > rho / 2).sum() > 1_000


@pytest.mark.parametrize("k", [-1.0, 101.0])
def test_nobody_beyond_the_people_is_accepted(k):
    assert verdicts(np.array([100.0]), np.array([0.3]), np.array([k]), np.array([-1e9])) == [REJECTED]
