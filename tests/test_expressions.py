"""Arithmetic in YAML is arithmetic, and nothing else."""

import math
import time

import numpy as np
import pytest

from modeling.expressions import check_names, evaluate, evaluate_text, names_in, parse_expression
from modeling.failures import UserError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1/3.5", 1 / 3.5),
        ("2 + 3 * 4 ** 2", 50),
        ("-2 ** 2", -4),
        ("2 ** -1", 0.5),
        ("7 % 4", 3),
        ("(1 + 2) * 3", 9),
        ("  1\n  + 2 ", 3),
        ("1e-3", 0.001),
        ("np.exp(-2) + 3 * np.sqrt(4)", math.exp(-2) + 6),
        ("np.log(np.e) * np.pi", math.pi),
        ("np.minimum(2, 3)", 2),
        ("np.sum([1, 2, 3])", 6),
        ("scipy.special.expit(0)", 0.5),
        (0.25, 0.25),
    ],
)
def test_arithmetic_has_the_value_it_has_on_paper(text, value):
    assert evaluate_text(text) == pytest.approx(value, rel=1e-15)


def test_names_stand_for_numbers_and_for_values_by_age_group():
    tree = parse_expression("Rt * mu / eigenvalue * (1 - VE)")

    value = evaluate(tree, {"Rt": 2.0, "mu": 0.5, "eigenvalue": 4.0, "VE": np.array([0.0, 0.5])})

    assert names_in(tree) == ["Rt", "mu", "eigenvalue", "VE"]
    assert value.tolist() == [0.25, 0.125]


def test_modules_are_no_names_of_parameters():
    assert names_in(parse_expression("np.exp(k) * scipy.special.expit(np.pi * q)")) == ["k", "q"]


def test_a_number_stays_a_float_however_large():
    assert evaluate_text("10 ** 20 * 10 ** 20") == 1e40


CODE = [
    "__import__('os').system('x')",
    "open('x')",
    "beta.__class__",
    "().__class__.__bases__",
    "np.__loader__",
    "np.load('x')",
    "np.lib.npyio.load('x')",
    "np.random.seed(1)",
    "np.testing.runstring('x', {})",
    "np.frompyfunc(1, 1, 1)",
    "np.exp.__call__(1)",
    "np.exp(x=1)",
    "np.exp(*[1])",
    "scipy.special",
    "scipy.io.loadmat('x')",
    "lambda: 1",
    "(lambda: 1)()",
    "[x for x in [1]]",
    "{1: 2}",
    "{1}",
    "(1, 2)",
    "beta[0]",
    "beta if beta else 1",
    "beta and 1",
    "beta < 1",
    "beta // 2",
    "beta @ beta",
    "beta | 1",
    "~beta",
    "not beta",
    "beta := 1",
    "f'{beta}'",
    "'beta'",
    "b'beta'",
    "True",
    "None",
    "...",
    "1j",
    "_private",
    "await beta",
    "*beta",
    "beta;beta",
    "beta\x00",
    "",
    "beta +",
    "(" * 500 + "1" + ")" * 500,
    "-" * 1000 + "1",
    "np.exp(" * 100 + "1" + ")" * 100,
    "1" * 3000,
]


@pytest.mark.parametrize("calls", [True, False])
@pytest.mark.parametrize("text", CODE)
def test_whatever_is_not_arithmetic_is_refused_in_one_line(text, calls):
    with pytest.raises(UserError) as caught:
        parse_expression(text, calls=calls)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["np.exp(gamma)", "np.pi", "[1, 2]", "+gamma"])
def test_a_rate_knows_plain_arithmetic_only_as_epydemix_does(text):
    parse_expression(text)

    with pytest.raises(UserError, match="is not allowed"):
        parse_expression(text, calls=False)


@pytest.mark.parametrize(
    "text",
    [
        "1/0",
        "1 % 0",
        "0 ** -1",
        "1e308 * 10",
        "9 ** 9 ** 9 ** 9",
        "2 ** 10 ** 10",
        "(-8) ** 0.5",
        "np.log(0)",
        "np.sqrt(-1)",
        "[1, 2] / [1, 0]",
        "[1, 2] + [1, 2, 3]",
        "np.exp()",
        "np.max([])",
        "np.array([1, 2], [3])",
        "[[1, 2], [3]]",
    ],
)
def test_what_has_no_finite_value_is_told_and_takes_no_time(text):
    started = time.monotonic()

    with pytest.raises(UserError, match=r"has no value|is not a finite number") as caught:
        evaluate_text(text)

    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 1


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(UserError, match=r'"gama \* 2" uses "gama", .* \(did you mean "gamma"\?\)'):
        check_names(parse_expression("gama * 2"), {"gamma", "beta"}, "gama * 2")
    with pytest.raises(UserError, match=r"\(the model defines beta, gamma\)"):
        check_names(parse_expression("omega_x"), {"gamma", "beta"}, "omega_x")
