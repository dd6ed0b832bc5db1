"""The engine's elementary functions, beside 80-bit ones of the C library and exact fractions."""

import math
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from modeling.engine import arithmetic
from modeling.engine.compiled import compiled
from tests.engine_functions import WIDE, needs_80_bits, of_arrays
from tests.experiments import REPOSITORY

COUNT = 100_000
WITHOUT_FMA = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX2_Usable,-FMA_Usable"}
PRINT_EIGENVALUES = """
import numpy as np
from modeling.engine.elementwise import largest_eigenvalue
matrices = np.random.default_rng(1).gamma(0.3, size=(300, 5, 5))
print(*(largest_eigenvalue(matrix).hex() for matrix in matrices))
"""


def sizes(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """Return numbers of all sizes from 2**low to 2**high, and their negatives."""
    positive = 2.0 ** rng.uniform(low, high, COUNT)
    return np.concatenate([positive, -positive])


def around(*points: float) -> np.ndarray:
    """Return points, their neighbours, and 40 numbers close to each."""
    at = np.array(points)
    near = at * (1 + np.linspace(-1e-12, 1e-12, 40)[:, None])
    return np.concatenate([at, np.nextafter(at, -np.inf), np.nextafter(at, np.inf), near.ravel()])


def exponents(rng: np.random.Generator) -> np.ndarray:
    """Return numbers from -700 to 700; the series begins anew at odd multiples of log(2) / 2."""
    begins = math.log(2) / 2 * np.arange(-2019, 2020)
    last = np.nextafter(700, 0)
    return np.concatenate(
        [
            rng.uniform(-last, last, COUNT),
            rng.uniform(-2, 2, COUNT),
            sizes(rng, -60, 9),
            around(*begins[abs(begins) < 699]),
            [0.0, last, -last],
        ]
    )


def positive_numbers(rng: np.random.Generator) -> np.ndarray:
    """Return normal numbers; the series begins anew at the square root of 2 times powers of 2."""
    limits = np.finfo(float)
    return np.concatenate(
        [
            2.0 ** rng.uniform(-1022, 1023, COUNT),
            rng.uniform(0.3, 3, COUNT),
            rng.uniform(0.70, 0.71, COUNT),
            rng.uniform(1.39, 1.42, COUNT),
            1 + sizes(rng, -53, -1.01),
            around(0.5, math.sqrt(0.5), 1.0, math.sqrt(2), 2.0),
            [limits.tiny, limits.max],
        ]
    )


def numbers_above_minus_1(rng: np.random.Generator) -> np.ndarray:
    return np.concatenate(
        [
            sizes(rng, -1022, -0.001),
            rng.uniform(-0.999, 3, COUNT),
            2.0 ** rng.uniform(0, 1023, COUNT),
            -1 + 2.0 ** -rng.uniform(1, 52, COUNT),
            [0.0, -1 + 2**-53, np.finfo(float).max],
        ]
    )


@needs_80_bits
@pytest.mark.parametrize(
    ("name", "points", "most"),
    [
        ("exp", exponents, 1.0),
        ("expm1", exponents, 2.0),
        ("log", positive_numbers, 1.0),
        ("log1p", numbers_above_minus_1, 2.5),
    ],
)
def test_a_function_errs_by_at_most_a_few_units_in_the_last_place(name, points, most):
    x = points(np.random.default_rng(5))
    right = getattr(np, name)(x.astype(WIDE))

    found = of_arrays(getattr(arithmetic, name))(x)

    errors = np.abs(found - right) / np.spacing(np.abs(right.astype(float)))
    worst = errors.argmax()
    assert np.isfinite(found).all()
    assert errors[worst] < most, f"{name}({float(x[worst])!r}): {float(errors[worst]):.3f} ulp"


@needs_80_bits
def test_the_logarithm_of_a_quotient_errs_as_little_where_the_quotient_is_near_1():
    rng = np.random.default_rng(8)
    a = 2.0 ** rng.uniform(-500, 500, COUNT)
    whole = rng.integers(1, 10**8, COUNT).astype(float)
    near = a * around(1.0, 0.75, 1.0, math.sqrt(0.5), math.sqrt(2), 1.5)[rng.integers(0, 200, COUNT)]
    far = 2.0 ** rng.uniform(-500, 500, COUNT)
    a = np.concatenate([a, a, whole, whole, 1 + whole[:9] / 2**52])
    b = np.concatenate([near, far, whole + rng.integers(0, 99, COUNT), rng.permutation(whole), np.ones(9)])
    found = np.empty_like(a)

    @compiled
    def fill(a, b, found):
        for i in range(a.size):
            found[i] = arithmetic.log_quotient(a[i], b[i])

    fill(a, b, found)

    right = np.log(a.astype(WIDE) / b)
    is_near = abs(a - b) < b / 2
    right[is_near] = np.log1p((a[is_near].astype(WIDE) - b[is_near]) / b[is_near])
    errors = np.abs(found - right) / np.spacing(np.abs(right.astype(float)))
    assert (found[a == b] == 0).all()
    assert errors.max() < 2.5


@pytest.mark.parametrize(
    ("name", "x", "right"),
    [("exp", 0.0, 1.0), ("expm1", 0.0, 0.0), ("log", 1.0, 0.0), ("log1p", 0.0, 0.0)]
    + [(name, x, x) for name in ("expm1", "log1p") for x in (1e-17, -1e-17, 1e-300, -1e-300)],
)
def test_a_value_that_is_a_float_is_exact(name, x, right):
    assert of_arrays(getattr(arithmetic, name))(np.array([x])) == [right]


def test_a_product_and_a_sum_are_rounded_once():
    @compiled
    def fill(a, b, c, found):
        for i in range(a.size):
            found[i] = arithmetic.fma(a[i], b[i], c[i])

    rng = np.random.default_rng(6)
    a, b, c = (rng.choice([-1, 1], 9_000) * 2.0 ** rng.uniform(-30, 30, 9_000) for _ in range(3))
    c[:3_000] = -a[:3_000] * b[:3_000]  # what is left is the rounding of the product
    c[3_000:6_000] *= 2.0**-55  # decides ties
    found = np.empty(9_000)

    fill(a, b, c, found)

    right = [float(Fraction(x) * Fraction(y) + Fraction(z)) for x, y, z in zip(a, b, c, strict=True)]
    assert found.tolist() == right
    assert (found[:3_000] != 0).sum() > 2_900
    assert (found != a * b + c).mean() > 0.3


@pytest.mark.parametrize("name", ["floor", "sqrt", "fabs"])
def test_a_function_that_is_one_operation_is_rounded_once(name):
    x = np.concatenate([sizes(np.random.default_rng(7), -1022, 1023), around(0.5, 1.0, 2.0**52), [0.0]])
    x = np.abs(x) if name == "sqrt" else x

    assert np.array_equal(of_arrays(getattr(arithmetic, name))(x), getattr(np, name)(x))


def test_a_cpu_without_fma_finds_the_same_eigenvalues():
    here, there = (
        subprocess.run(
            [sys.executable, "-c", PRINT_EIGENVALUES],
            env=os.environ | cpu,
            cwd=REPOSITORY,
            capture_output=True,
            check=True,
        ).stdout
        for cpu in ({}, WITHOUT_FMA)
    )

    assert len(set(here.split())) == 300
    assert there == here
