"""Exact binomial draws, many at once, in passes without branches that LLVM turns into vector code.

All draws of a tile go through each pass together; between passes only lists of indices are compacted.

  first    for every entry: two uniforms, a candidate of BTRS and its quick test
  invert   entries with n p < 10: inversion, k = number of partial sums of the law that are <= u
  judge    undecided candidates: the exact test
  again    rejected ones: the next attempt and its quick test, then judge, until none is left

BTRS is Hörmann's transformed rejection (1993, doi 10.1080/00949659308811496). A draw's numbers follow from
its place (philox.py), so the order of a queue changes nothing. There is no squeeze between the quick and the
exact test: in vector code it costs as much as it saves.

What keeps the loops vectorised: inlined helpers; unsigned indices where a bound is not known to be positive;
one array of scratch with constant rows; no division checks. tests/long/test_vectorised_loops.py counts them.
"""

import numpy as np

from modeling.engine.arithmetic import exp, fabs, floor, fma, log_quotient, sqrt
from modeling.engine.arrays import INTEGERS
from modeling.engine.arrays import TILE_ROW as ROW
from modeling.engine.compiled import U64, compiled, inlined, part
from modeling.engine.lists import PICK, PICK_TWO
from modeling.engine.philox import first_uniforms, shared_words, uniforms

SMALL_MEAN = 10.0  # n p below which a draw is inverted
_CHUNK = 64  # inverted draws that are iterated together
MOST_TERMS = 64  # more has a chance below 1e-27; rounded sums that end below u give 64, once in 1e15 draws

# rows of floats: entries of the tile, then the queue of the undecided and that of the retried
(N, K, U, V, _QN, _QP, _QU, _QV, _QK, _TN, _TP, _TU, _TV, _TK) = [j * ROW for j in range(14)]
# the small: before anything is queued
(_SG, _SR, _SX, _SU, _SC, _SK) = [j * ROW for j in range(4, 10)]
# rows of integers: codes, lists of entries, their places, and words of Philox by lane
(_CODE, _SMALL, _UNDECIDED, _RETRY, _WHO, _WHEN, _WHERE, _A, _B, _C) = [j * ROW for j in range(10)]
_ACCEPTED, _IS_SMALL, _REJECTED = U64(0), U64(1), U64(2)  # codes


@inlined
def _hat(mean, p, u):
    """Return the standard deviation, the constants a and b of BTRS, and its us = 1/2 - |u - 1/2|."""
    sd = sqrt(fma(-mean, p, mean))
    b = fma(2.53, sd, 1.15)
    a = fma(0.01, p, fma(0.0248, b, -0.0873))
    return sd, a, b, 0.5 - fabs(u - 0.5)


@inlined
def candidate(n, p, u, v):
    """Return the candidate of an attempt, and whether the quick test accepts it."""
    mean = n * p
    _, a, b, us = _hat(mean, p, u)
    k = floor(fma((a + a) / us + b, u - 0.5, mean + 0.5))
    return k, (us >= 0.07) & (v * b <= fma(0.92, b, -4.2))


@inlined
def log_height(n, p, u, v):
    """Return the logarithm of a candidate's height, which is compared with log(f(k) / f(mode))."""
    sd, a, b, us = _hat(n * p, p, u)
    us2 = us * us
    return log_quotient(v * fma(2.83, b, 5.1) * (sd * us2), b * fma(b, us2, a))


@inlined
def stirling_rest(r):
    """Return what Stirling's formula leaves of log k!, given r = 1 / (k + 1).

    That is log k! - (k + 1/2) log(k + 1) + (k + 1) - log(2 pi) / 2. The coefficients are fitted to whole
    numbers k >= 0 with the smallest largest error, 7e-15.
    """
    r2 = r * r
    t = fma(r2, 0.0010859120410170763, -0.0020364688393011851)
    t = fma(r2, t, 0.0014582455872087818)
    t = fma(r2, t, -0.00081434722524145400)
    t = fma(r2, t, 0.00059438566578315995)
    t = fma(r2, t, -0.00079363840636456291)
    t = fma(r2, t, 0.0027777777149109556)
    return r * fma(-r2, t, 1 / 12.0)


@inlined
def log_ratio(n, p, k):
    """Return log(f(k) / f(mode)) of Binomial(n, p), for n p >= 10, n < 2**53, p <= 1/2 and 0 <= k <= n.

    With Stirling's formula it is a sum of logarithms of quotients of whole numbers, so that no digits cancel
    in large ones, and of the step at the mode, whose s is at most 1 / (2 mode + 1) but for rounding.
    """
    mode = floor(fma(n, p, p))
    m, k1 = mode + 1.0, k + 1.0
    nm, nk = n - mode + 1.0, n - k + 1.0
    x, y = p * nm, (1.0 - p) * m
    s = (x - y) / (x + y)
    z = s * s
    series = fma(z, fma(z, fma(z, fma(z, 1 / 9.0, 1 / 7.0), 1 / 5.0), 1 / 3.0), 1.0)
    a, b = 1.0 / (m * k1), 1.0 / (nm * nk)
    rests = stirling_rest(k1 * a) + stirling_rest(nk * b) - stirling_rest(m * a) - stirling_rest(nm * b)
    others = fma(k + 0.5, log_quotient(m, k1), rests)
    return fma(k - mode, (s + s) * series, fma(n - k + 0.5, log_quotient(nm, nk), others))


@part
def _first(f, q, law, cells, shift, key, particles, steps, sites):
    """Make the first attempt of every entry; each cell has 2**shift of them, one a lane."""
    lanes = 1 << shift
    for w in range(lanes):
        q[_A + w], q[_B + w], q[_C + w] = shared_words(key, particles[w])
    for c in range(cells):
        people, chance, site = law.reals[law.people[c]], law.reals[law.chance[c]], sites[c]
        o = U64(c << shift)  # unsigned: LLVM cannot know that the shift gives no negative index
        for ww in range(lanes):
            w = U64(ww)
            u, v = first_uniforms(key, q[U64(_A) + w], q[U64(_B) + w], q[U64(_C) + w], steps[w], site)
            i = o + w
            n = people[w]
            p = chance[w]
            k, is_accepted = candidate(n, p, u, v)
            mean = n * p
            f[U64(N) + i] = n
            f[U64(U) + i] = u
            f[U64(V) + i] = v
            f[U64(K) + i] = k if mean > 0.0 else 0.0
            code = _IS_SMALL if mean < SMALL_MEAN else (_ACCEPTED if is_accepted else _REJECTED)
            q[U64(_CODE) + i] = code if mean > 0.0 else _ACCEPTED


@part
def _invert(f, q, m, law, shift):
    """Draw the m small entries by inversion: k = number of partial sums of the law that are <= u."""
    lane_mask, cell_shift = U64((1 << shift) - 1), U64(shift)
    for j in range(m):
        i = q[_SMALL + j]
        row, w = law.chance[i >> cell_shift], i & lane_mask
        f[_SU + j] = f[U64(U) + i]
        f[_SG + j] = f[U64(N) + i]
        f[_SR + j] = law.reals[U64(row), w]
        f[_SX + j] = law.reals[U64(row + law.to_log_rest), w]
    padded = (m + 7) & ~7
    for j in range(m, padded):
        f[_SU + j] = 0.0
        f[_SG + j] = 0.0
        f[_SR + j] = 0.0
        f[_SX + j] = 0.0
    for j in range(padded):
        n = f[_SG + j]
        p = f[_SR + j]
        r = p / (1.0 - p)
        x = exp(-n * f[_SX + j])
        f[_SX + j] = x
        f[_SC + j] = x
        f[_SR + j] = r
        f[_SG + j] = (n + 1.0) * r
        f[_SK + j] = 0.0
    for low in range(0, padded, _CHUNK):
        count, term, still_open = min(_CHUNK, padded - low), 1, 1
        while still_open and term < MOST_TERMS:
            still_open = _sum_four(f, U64(low), count, term)
            term += 4
    for j in range(m):
        i = q[_SMALL + j]
        k = f[_SK + j]
        n = f[U64(N) + i]
        f[U64(K) + i] = k if k < n else n


@inlined
def add_term(k, x, c, u, g, r, one_over):
    """Count the sum c of the law's terms if it is <= u, and add the next term to it; return k, x and c."""
    k += 1.0 if u >= c else 0.0
    x *= fma(g, one_over, -r)
    return k, x, c + x


@inlined
def _sum_four(f, low, count, term):
    """Add four terms of the law to the partial sums of a chunk; return how many are still <= u.

    Partial sums only grow, so no entry needs a mask.
    """
    r1 = 1.0 / term
    r2 = 1.0 / (term + 1)
    r3 = 1.0 / (term + 2)
    r4 = 1.0 / (term + 3)
    still_open = 0
    for jj in range(count):
        j = low + U64(jj)  # unsigned: a test for negative indices would stop vectorisation
        u = f[U64(_SU) + j]
        x = f[U64(_SX) + j]
        c = f[U64(_SC) + j]
        k = f[U64(_SK) + j]
        g = f[U64(_SG) + j]
        r = f[U64(_SR) + j]
        k, x, c = add_term(k, x, c, u, g, r, r1)
        k, x, c = add_term(k, x, c, u, g, r, r2)
        k, x, c = add_term(k, x, c, u, g, r, r3)
        k, x, c = add_term(k, x, c, u, g, r, r4)
        f[U64(_SX) + j] = x
        f[U64(_SC) + j] = c
        f[U64(_SK) + j] = k
        still_open += 1 if u >= c else 0
    return still_open


@part
def _judge(f, q, m):
    """Decide the m queued candidates by the exact test."""
    for j in range(m):
        n, p, k = f[_QN + j], f[_QP + j], f[_QK + j]
        height = log_height(n, p, f[_QU + j], f[_QV + j])
        is_accepted = (k >= 0.0) & (k <= n) & (height <= log_ratio(n, p, k))
        q[_CODE + j] = _ACCEPTED if is_accepted else _REJECTED


@part
def _again(f, q, m, key, attempt):
    """Make the next attempt of m retried entries."""
    for j in range(m):
        u, v = uniforms(key, q[_WHO + j], q[_WHEN + j], q[_WHERE + j], U64(attempt))
        k, is_accepted = candidate(f[_TN + j], f[_TP + j], u, v)
        f[_TU + j] = u
        f[_TV + j] = v
        f[_TK + j] = k
        q[_CODE + j] = _ACCEPTED if is_accepted else _REJECTED


@part
def draw_tile(f, q, law, cells, shift, key, particles, steps, sites):
    """Draw Binomial(n, p) for every entry of a tile into row K.

    Parameters
    ----------
    f, q : ndarray of float64, shape (FLOATS,), and of uint64, shape (INTEGERS,)
        Scratch. Rows N and K of `f` get n and the draw of entry cell * lanes + lane.
    law : Law
        Where n, p <= 1/2 and -log(1 - p) of each cell are.
    cells, shift : int
        Number of cells, and the logarithm to base 2 of the number of lanes.
    key : uint64
        Of the random stream.
    particles, steps : ndarray of uint64, shape (lanes,)
    sites : ndarray of uint64, shape (cells,)
    """
    _first(f, q, law, cells, shift, key, particles, steps, sites)
    m = cells << shift
    small, undecided = PICK_TWO(q, _CODE, _IS_SMALL, _REJECTED, m, _SMALL, _UNDECIDED)
    if small:
        _invert(f, q, small, law, shift)
    lane_mask, cell_shift = U64((1 << shift) - 1), U64(shift)
    for j in range(undecided):
        i = q[_UNDECIDED + j]
        f[_QN + j] = f[U64(N) + i]
        f[_QP + j] = law.reals[U64(law.chance[i >> cell_shift]), i & lane_mask]
        f[_QU + j] = f[U64(U) + i]
        f[_QV + j] = f[U64(V) + i]
        f[_QK + j] = f[U64(K) + i]
    attempt = np.int64(1)  # a literal 1 would make numba compile twice
    while undecided:
        padded = (undecided + 7) & ~7
        for j in range(undecided, padded):  # whole vectors, with a candidate that does no harm
            f[_QN + j], f[_QP + j], f[_QU + j], f[_QV + j], f[_QK + j] = 100.0, 0.3, 0.5, 0.5, 30.0
        _judge(f, q, padded)
        retried = PICK(q, _CODE, _REJECTED, undecided, _RETRY)
        if retried == 0:
            break
        undecided = _retry(f, q, retried, shift, key, particles, steps, sites, attempt)
        attempt += 1


@part
def _retry(f, q, retried, shift, key, particles, steps, sites, attempt):
    """Make the next attempt of the retried entries, and queue those that its quick test leaves undecided."""
    lane_mask, cell_shift = U64((1 << shift) - 1), U64(shift)
    for j in range(retried):
        h = q[_RETRY + j]
        i = q[U64(_UNDECIDED) + h]
        q[_RETRY + j] = i
        q[_WHO + j] = particles[i & lane_mask]
        q[_WHEN + j] = steps[i & lane_mask]
        q[_WHERE + j] = sites[i >> cell_shift]
        f[_TN + j] = f[U64(_QN) + h]
        f[_TP + j] = f[U64(_QP) + h]
    padded = (retried + 7) & ~7
    for j in range(retried, padded):
        f[_TN + j] = 100.0
        f[_TP + j] = 0.3
    _again(f, q, padded, key, attempt)
    for j in range(retried):  # a candidate is written before it is accepted: a later attempt overwrites it
        f[U64(K) + q[_RETRY + j]] = f[_TK + j]
    undecided = PICK(q, _CODE, _REJECTED, retried, _UNDECIDED)
    for h in range(undecided):
        j = q[_UNDECIDED + h]
        q[_UNDECIDED + h] = q[U64(_RETRY) + j]
        f[_QN + h] = f[U64(_TN) + j]
        f[_QP + h] = f[U64(_TP) + j]
        f[_QU + h] = f[U64(_TU) + j]
        f[_QV + h] = f[U64(_TV) + j]
        f[_QK + h] = f[U64(_TK) + j]
    return undecided


@compiled
def fill_tile(f, q, law, found, key, particles, steps):
    """Draw a whole tile of one law; for draws.py."""
    cells = found.size // particles.size
    shift = 0
    while (1 << shift) < particles.size:
        shift += 1
    sites = q[INTEGERS - cells :]
    for c in range(cells):
        sites[c] = U64(c)
    draw_tile(f, q, law, cells, shift, key, particles, steps, sites)
    for i in range(found.size):
        found[i] = f[K + i]
