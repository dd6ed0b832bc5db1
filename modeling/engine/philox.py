"""Uniform numbers from a counter: Philox4x32-10 of Salmon et al. 2011 (doi 10.1145/2063384.2063405).

Nothing is carried from draw to draw. A number depends on the key of its stream and on its place alone: the
particle, the time step, the draw site (a compartment and age group, or an edge) and the attempt. So results
do not depend on lanes, batches, threads or order, and two draws never share a counter.
"""

from modeling.engine.arithmetic import as_float
from modeling.engine.compiled import U64, inlined

_LOW = U64(0xFFFFFFFF)
_MULTIPLIERS = U64(0xD2511F53), U64(0xCD9E8D57)
_WEYL = U64(0x9E3779B9), U64(0xBB67AE85)
_32, _12 = U64(32), U64(12)
_ONE_BITS = U64(0x3FF0000000000000)
_HALF_ULP_BELOW_1 = 1.0 - 2.0**-53
_M0, _M1 = _MULTIPLIERS
_W0, _W1 = _WEYL


@inlined
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Return the four words of a counter under a key; words of 32 bits in uint64."""
    for _ in range(10):
        p0 = (c0 & _LOW) * _M0  # the mask shows LLVM a product of 32-bit numbers, which is one instruction
        p1 = (c2 & _LOW) * _M1
        c0 = (p1 >> _32) ^ c1 ^ k0
        c1 = p1 & _LOW
        c2 = (p0 >> _32) ^ c3 ^ k1
        c3 = p0 & _LOW
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@inlined
def uniforms(key, particle, step, site, attempt):
    """Return the two numbers of a draw's attempt, in (0, 1), with 52 bits each."""
    a, b, c, d = philox4x32(particle, step, site, attempt, key & _LOW, key >> _32)
    u = as_float((((a << _32) | b) >> _12) | _ONE_BITS) - _HALF_ULP_BELOW_1
    v = as_float((((c << _32) | d) >> _12) | _ONE_BITS) - _HALF_ULP_BELOW_1
    return u, v
