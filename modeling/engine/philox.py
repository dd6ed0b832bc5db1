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
_TWO, _SEVEN, _12, _32 = U64(2), U64(7), U64(12), U64(32)
_ONE_BITS = U64(0x3FF0000000000000)
_HALF_ULP_BELOW_1 = 1.0 - 2.0**-53
_M0, _M1 = _MULTIPLIERS
_W0, _W1 = _WEYL


@inlined
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Return the four words of a counter under a key; words of 32 bits in uint64."""
    return _rounds(10, c0, c1, c2, c3, k0, k1)


@inlined
def _rounds(number, c0, c1, c2, c3, k0, k1):
    for _ in range(number):
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
    return _uniform((a << _32) | b), _uniform((c << _32) | d)


@inlined
def _uniform(bits):
    return as_float((bits >> _12) | _ONE_BITS) - _HALF_ULP_BELOW_1


@inlined
def shared_words(key, particle):
    """Return what the first attempts of a particle have in common in the first two rounds: three words."""
    k1 = key >> _32
    p0 = (particle & _LOW) * _M0
    p1 = (((p0 >> _32) ^ k1) & _LOW) * _M1
    return (p0 & _LOW) ^ ((k1 + _W1) & _LOW), p1 >> _32, p1 & _LOW


@inlined
def first_uniforms(key, a, b, c, step, site):
    """Return uniforms(key, particle, step, site, 0), given the particle's shared_words()."""
    k0, k1 = key & _LOW, key >> _32
    p1 = (site & _LOW) * _M1
    p0 = ((step ^ (p1 >> _32) ^ k0) & _LOW) * _M0
    c0 = b ^ (p1 & _LOW) ^ ((k0 + _W0) & _LOW)
    k0 = (k0 + _TWO * _W0) & _LOW
    k1 = (k1 + _TWO * _W1) & _LOW
    c0, c1, c2, c3 = _rounds(7, c0, c, (p0 >> _32) ^ a, p0 & _LOW, k0, k1)
    p0 = (c0 & _LOW) * _M0  # the last round leaves the words where uniform numbers have them
    p1 = (c2 & _LOW) * _M1
    k0 = (k0 + _SEVEN * _W0) & _LOW
    k1 = (k1 + _SEVEN * _W1) & _LOW
    return _uniform(p1 ^ (c1 << _32) ^ (k0 << _32)), _uniform(p0 ^ (c3 << _32) ^ (k1 << _32))
