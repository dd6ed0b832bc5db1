"""Exact binomial draws, many at once, in passes without branches that LLVM turns into vector code.

All draws of a tile go through each pass together; between passes only lists of indices are compacted.

  first    for every entry: two uniforms, a candidate of BTRS and its quick test
  invert   entries with n p < 10: inversion, k = number of partial sums of the law that are <= u
  squeeze  undecided candidates: a bound of the law near its mode accepts, rejects or leaves open
  full     open ones: the exact test
  again    rejected ones: the next attempt, then squeeze and full, until none is left

BTRS is Hörmann's transformed rejection (1993, doi 10.1080/00949659308811496); the squeeze is that of BTPE
(Kachitvichyanukul and Schmeiser 1988, doi 10.1145/42372.42381). A draw's numbers follow from its place
(philox.py), so the order of a queue changes nothing.

What keeps the loops vectorised: inlined helpers; unsigned indices where a bound is not known to be positive;
one array of scratch with constant rows; no division checks. tests/long/test_vectorised_loops.py counts them.
"""

import numpy as np

from modeling.engine.arithmetic import exp, fabs, floor, fma, log, sqrt
from modeling.engine.arrays import INTEGERS
from modeling.engine.arrays import TILE_ROW as ROW
from modeling.engine.compiled import U64, compiled, inlined, part
from modeling.engine.lists import PICK
from modeling.engine.philox import uniforms

SMALL_MEAN = 10.0  # n p below which a draw is inverted
_CHUNK = 64  # inverted draws that are iterated together
_MOST_TERMS = 64  # more has a chance below 1e-27; rounded sums that end below u give 64, once in 1e15 draws

# rows of floats: entries of the tile, then queues of the undecided, the open, the retried and the small
(N, K, U, V) = [j * ROW for j in range(4)]
(_QN, _QP, _QU, _QV, _QK, _ON, _OP, _OV, _OK, _OTAIL, _TN, _TP, _TU, _TV, _TK) = [
    j * ROW for j in range(6, 21)
]
(_SG, _SR, _SX, _SU, _SC, _SK) = [j * ROW for j in range(19, 25)]
# rows of integers: codes, then lists of indices
(_CODE, _SMALL, _UNDECIDED, _RETRY, _VERDICT, _OPEN, _WHO, _WHEN, _WHERE) = [j * ROW for j in range(9)]
_ACCEPTED, _IS_SMALL, _REJECTED = U64(0), U64(1), U64(2)  # codes; in a verdict 1 is open
_STIRLING = np.array(
    [
        0.08106146679532726, 0.04134069595540929, 0.02767792568499834, 0.02079067210376509,
        0.01664469118982119, 0.01387612882307075, 0.01189670994589177, 0.01041126526197209,
        0.009255462182712733, 0.008330563433362871, 0.00757367548795184, 0.00694284010720953,
        0.00640899418800421, 0.00595137011275885, 0.00555473355196280, 0.00520765591960964, 0.0,
    ]
)  # fmt: skip


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
    return log((v * fma(2.83, b, 5.1)) * (sd * us2) / (b * fma(b, us2, a)))


@inlined
def squeezed(n, p, k, height):
    """Return the verdict of the squeeze: 0 accepted, 1 open, 2 rejected (also outside 0 .. n)."""
    mean = n * p
    variance = fma(-mean, p, mean)
    d = fabs(k - floor(mean + p))
    inverse = 1.0 / variance
    t = -0.5 * inverse * (d * d)
    rho = (d * inverse) * fma(fma(fma(d, 1.0 / 3.0, 0.625), d, 1.0 / 6.0), inverse, 0.5)
    is_near = d < fma(0.5, variance, -1.0)
    accepted = is_near & (height < t - rho)
    rejected = (is_near & (height > t + rho)) | (k < 0.0) | (k > n)
    return U64(2) if rejected else (U64(0) if accepted else U64(1))


@inlined
def stirling(k):
    """Return the tail of Stirling's series of log k!, for k >= 16."""
    r = 1.0 / (k + 1.0)
    r2 = r * r
    return r * fma(-r2, fma(-r2, fma(-r2, 1 / 1680.0, 1 / 1260.0), 1 / 360.0), 1 / 12.0)


@inlined
def log_ratio(n, p, k):
    """Return log(f(k) / f(mode)) of Binomial(n, p), but for the corrections of tails of numbers below 16."""
    odds = p / (1.0 - p)
    mode = floor(fma(n, p, p))
    nm, nk = n - mode, n - k
    l1 = log((mode + 1.0) / (odds * (nm + 1.0)))
    l2 = log((nm + 1.0) / (nk + 1.0))
    l3 = log(odds * (nk + 1.0) / (k + 1.0))
    tails = (stirling(mode) + stirling(nm)) - (stirling(k) + stirling(nk))
    return fma(mode + 0.5, l1, fma(n + 1.0, l2, fma(k + 0.5, l3, tails)))


@part
def _first(f, q, law, cells, shift, key, particles, steps, sites):
    """Make the first attempt of every entry; each cell has 2**shift of them, one a lane."""
    lanes = 1 << shift
    for c in range(cells):
        people, chance, site = law.reals[law.people[c]], law.reals[law.chance[c]], sites[c]
        o = U64(c << shift)  # unsigned: LLVM cannot know that the shift gives no negative index
        for w in range(lanes):
            u, v = uniforms(key, particles[w], steps[w], site, U64(0))
            i = o + U64(w)
            n = people[w]
            p = chance[w]
            k, is_accepted = candidate(n, p, u, v)
            mean = n * p
            f[U64(N) + i] = n
            f[U64(U) + i] = u
            f[U64(V) + i] = v
            f[U64(K) + i] = k if mean > 0.0 else 0.0
            code = _ACCEPTED if is_accepted | (mean == 0.0) else _REJECTED
            q[U64(_CODE) + i] = _IS_SMALL if (mean > 0.0) & (mean < SMALL_MEAN) else code


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
        while still_open and term < _MOST_TERMS:
            still_open = _sum_four(f, U64(low), count, term)
            term += 4
    for j in range(m):
        i = q[_SMALL + j]
        k = f[_SK + j]
        n = f[U64(N) + i]
        f[U64(K) + i] = k if k < n else n


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
        k += 1.0 if u >= c else 0.0
        x *= fma(g, r1, -r)
        c += x
        k += 1.0 if u >= c else 0.0
        x *= fma(g, r2, -r)
        c += x
        k += 1.0 if u >= c else 0.0
        x *= fma(g, r3, -r)
        c += x
        k += 1.0 if u >= c else 0.0
        x *= fma(g, r4, -r)
        c += x
        f[U64(_SX) + j] = x
        f[U64(_SC) + j] = c
        f[U64(_SK) + j] = k
        still_open += 1 if u >= c else 0
    return still_open


@part
def _squeeze(f, q, m):
    """Judge the m queued candidates by the squeeze; verdicts as in squeezed()."""
    for j in range(m):
        n = f[_QN + j]
        p = f[_QP + j]
        height = log_height(n, p, f[_QU + j], f[_QV + j])
        f[_SX + j] = height
        q[_VERDICT + j] = squeezed(n, p, f[_QK + j], height)


@part
def _full(f, q, m):
    """Decide the m open candidates by the exact test: verdict 0 accepted, 1 rejected."""
    for j in range(m):
        n = f[_ON + j]
        k = f[_OK + j]
        mode = floor(fma(n, f[_OP + j], f[_OP + j]))
        tail = 0.0
        for x, sign in ((mode, 1.0), (n - mode, 1.0), (k, -1.0), (n - k, -1.0)):
            if x < 15.5:
                tail += sign * (_STIRLING[int(x)] - stirling(x))
        f[_OTAIL + j] = tail
    for j in range(m):
        most = log_ratio(f[_ON + j], f[_OP + j], f[_OK + j]) + f[_OTAIL + j]
        q[_VERDICT + j] = U64(0) if f[_OV + j] <= most else U64(1)


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


@inlined
def _pad_queue(f, m, padded):
    """Fill the queue up to whole vectors with a law that does no harm."""
    for j in range(m, padded):
        f[_QN + j] = 100.0
        f[_QP + j] = 0.3
        f[_QU + j] = 0.5
        f[_QV + j] = 0.5
        f[_QK + j] = 30.0


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
    small = PICK(q, _CODE, _IS_SMALL, m, _SMALL, 0)
    undecided = PICK(q, _CODE, _REJECTED, m, _UNDECIDED, 0)
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
        _pad_queue(f, undecided, padded)
        _squeeze(f, q, padded)
        retried = PICK(q, _VERDICT, U64(2), undecided, _RETRY, 0)
        still_open = PICK(q, _VERDICT, U64(1), undecided, _OPEN, 0)
        for h in range(still_open):
            j = q[_OPEN + h]
            f[_ON + h] = f[U64(_QN) + j]
            f[_OP + h] = f[U64(_QP) + j]
            f[_OK + h] = f[U64(_QK) + j]
            f[_OV + h] = f[U64(_SX) + j]
        padded = (still_open + 7) & ~7
        for h in range(still_open, padded):
            f[_ON + h] = 100.0
            f[_OP + h] = 0.3
            f[_OK + h] = 30.0
            f[_OV + h] = 0.0
        _full(f, q, padded)
        end = U64(_RETRY + retried)
        for h in range(still_open):
            q[end] = q[_OPEN + h]
            end += q[_VERDICT + h]
        retried = np.int64(end) - _RETRY
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
    end = U64(0)
    for j in range(retried):  # a candidate is written before it is accepted: a later attempt overwrites it
        i = q[_RETRY + j]
        k = f[_TK + j]
        f[U64(K) + i] = k
        q[U64(_UNDECIDED) + end] = i
        f[U64(_QN) + end] = f[_TN + j]
        f[U64(_QP) + end] = f[_TP + j]
        f[U64(_QU) + end] = f[_TU + j]
        f[U64(_QV) + end] = f[_TV + j]
        f[U64(_QK) + end] = k
        end += U64(q[_CODE + j] == _REJECTED)
    return np.int64(end)


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
