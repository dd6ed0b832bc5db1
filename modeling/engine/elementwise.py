"""The arithmetic of expressions over many particles at once, with the same bytes for any batch.

Values are arrays with a leading axis of particles, (particles or 1, *shape), where `shape` is that of one
particle's value. Functions that numpy computes by vector code of the CPU come from the C library, one value
at a time, and sums over age groups are taken in order. So the bytes do not depend on the CPU either, except
that glibc's exp, log and the like have other last bits on one without FMA (before 2013).
"""

import ast
import functools
import math
from collections.abc import Callable

import numpy as np

from modeling.expressions import BINARY, FUNCTIONS, function

_C_FUNCTIONS: dict[str, Callable] = {
    **{f"np.{f.__name__}": f for f in (math.exp, math.exp2, math.expm1, math.cbrt)},
    **{f"np.{f.__name__}": f for f in (math.log, math.log2, math.log10, math.log1p)},
    **{f"np.{f.__name__}": f for f in (math.sin, math.cos, math.tan, math.sinh, math.cosh, math.tanh)},
    **{f"np.arc{f.__name__[1:]}": f for f in (math.asin, math.acos, math.atan, math.atan2)},
    **{f"np.arc{f.__name__[1:]}": f for f in (math.asinh, math.acosh, math.atanh)},
    "np.power": math.pow,
    "np.float_power": math.pow,
}
_OVER_GROUPS = {
    "np.sum": np.add,
    "np.mean": np.add,
    "np.prod": np.multiply,
    "np.max": np.maximum,
    "np.min": np.minimum,
}


class Elementwise:
    """The arithmetic of many particles, for expressions.walk.

    Attributes
    ----------
    suspect : ndarray of bool, shape (particles or 1,)
        Whether an operation on single numbers is not finite: there, the arithmetic of one draw may refuse.
    """

    def __init__(self):
        self.suspect = np.zeros(1, dtype=bool)

    def number(self, value: float) -> np.ndarray:
        return np.float64(value)

    def named(self, value: np.ndarray) -> np.ndarray:
        return value

    def binary(self, operation: type, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        left, right = _aligned(left, right)
        result = _power(left, right) if operation is ast.Pow else BINARY[operation](left, right)
        if result.ndim <= 1:
            self.suspect = self.suspect | ~np.isfinite(result)
        return result

    def listed(self, items: list[np.ndarray]) -> np.ndarray:
        items = [np.atleast_1d(item) for item in items]
        rows = max(len(item) for item in items)
        return np.stack([np.broadcast_to(item, (rows, *item.shape[1:])) for item in items], axis=1)

    def called(self, name: str, arguments: list[np.ndarray]) -> np.ndarray:
        if name == "np.array":
            return arguments[0]
        if name in _OVER_GROUPS:
            return _over_groups(name, arguments[0])
        found = _by_c(name) if name in _C_FUNCTIONS else function(name)
        return np.asarray(found(*_aligned(*arguments)), dtype=float)


def largest_eigenvalue(matrix: np.ndarray) -> float:
    """Return the largest eigenvalue of a matrix without negative entries, which is its spectral radius.

    By Gelfand's formula, the limit of |M**n| ** (1/n) for n = 2**k: unlike LAPACK's, its last bits do not
    depend on the CPU.

    Parameters
    ----------
    matrix : ndarray, shape (groups, groups)
    """
    return _spectral_radius(np.ascontiguousarray(matrix, dtype=float).tobytes(), len(matrix))


@functools.lru_cache
def _spectral_radius(entries: bytes, groups: int) -> float:
    matrix, scales = np.frombuffer(entries).reshape(groups, groups), []
    for _ in range(60):
        scale = float(matrix.max())
        if scale == 0:
            return 0.0
        scales.append(scale)
        scaled = matrix / scale
        matrix = functools.reduce(np.add, scaled.T[:, :, None] * scaled[:, None, :])
    radius = 1.0
    for scale in reversed(scales):  # the k-th scale to the power of 1 / 2**k
        radius = scale * math.sqrt(radius)
    return radius


def _aligned(*values: np.ndarray) -> list[np.ndarray]:
    """Return the values in shapes that broadcast for each particle as they would without the leading axis."""
    most = max(value.ndim for value in values)
    return [
        value.reshape(len(value), *(1,) * (most - value.ndim), *value.shape[1:])
        if 0 < value.ndim < most
        else value
        for value in values
    ]


def _over_groups(name: str, value: np.ndarray) -> np.ndarray:
    if value.ndim <= 1:
        return value
    each = value.reshape(len(value), -1).T
    total = functools.reduce(_OVER_GROUPS[name], each)
    return total / len(each) if name == "np.mean" else total


def _power(base: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    if exponent.ndim == 0 and exponent == 2:  # a literal, so the same for all particles
        return base * base
    if exponent.ndim == 0 and exponent == 0.5:
        return np.sqrt(base)
    return _by_c("np.power")(base, exponent)


@functools.cache
def _by_c(name: str) -> Callable[..., np.ndarray]:
    """Return a function of the C library for arrays; where it refuses a number, its value is numpy's."""
    of_c, of_numpy = _C_FUNCTIONS[name], function(name)

    def of_one(*arguments: float) -> float:
        try:
            return of_c(*arguments)
        except (ValueError, OverflowError):
            return float(of_numpy(*arguments))

    fast, careful = (np.frompyfunc(each, FUNCTIONS[name], 1) for each in (of_c, of_one))

    def of_all(*arguments: np.ndarray) -> np.ndarray:
        try:
            return np.asarray(fast(*arguments), dtype=float)
        except (ValueError, OverflowError):
            return np.asarray(careful(*arguments), dtype=float)

    return of_all
