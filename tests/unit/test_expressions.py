"""Arithmetic in YAML is arithmetic, and nothing else."""

import math
import re
import time

import numpy as np
import pytest

from modeling.expressions import FUNCTIONS, check_names, evaluate, evaluate_text, names_in, parse_expression
from modeling.failures import UserError
from tests.experiments import REPOSITORY


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
        ("np.greater(2, 1) + np.greater(2, 1)", 2),
        ("np.where(np.less([1, 2, 3], 3), [4, 5, 6], 0) * [1, 1, 1] / 2 + np.max([1, 2]) - 2", [2, 2.5, 0]),
        ("10 ** 20 / 10 ** 19", 10),
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


@pytest.mark.parametrize("text", ["10 ** 16", "-(10 ** 16)", "[1, 10 ** 15 + 10 ** 10]", "1/1e-300"])
def test_a_result_that_no_parameter_can_have_is_refused(text):
    with pytest.raises(UserError, match=r"is larger than 1e\+15"):
        evaluate_text(text)


@pytest.mark.parametrize("text", ["(k - 1) ** 0.5", "(k - 1) ** 0.5 * by_age", "[(k - 1) ** 0.5, 1]"])
def test_a_root_of_a_negative_number_is_refused_also_beside_values_by_age_group(text):
    values = {"k": 0.5, "by_age": np.array([1.0, 2.0])}

    with pytest.raises(UserError, match=r"has no value: -0\.5 to the power of 0.5 is not a real number"):
        evaluate(parse_expression(text), values)


@pytest.mark.parametrize("text", ["1_5 * k", "k / 1_0.5", "1.5_0", "2e1_0", "1234_567", "(0.1_5)"])
def test_an_underscore_in_a_number_separates_thousands_or_is_refused(text):
    for calls in (True, False):
        with pytest.raises(UserError, match="is not a number; underscores may only separate thousands"):
            parse_expression(text, calls=calls)

    tree = parse_expression("1_000 * k_1 + 12_345.5")
    assert evaluate(tree, {"k_1": 2.0}) == 14345.5


@pytest.mark.parametrize("text", ["np.mean([])", "np.mean([[]])", "[]"])
def test_an_empty_list_is_refused_without_a_warning_of_numpy(text):
    with pytest.raises(UserError, match="an empty list has no value"):
        parse_expression(text)


def test_an_expression_changes_no_parameter_and_shares_no_memory_with_one():
    shares = np.array([0.25, 0.5])
    values = {"shares": shares, "mu": 2.0}

    same = evaluate(parse_expression("shares"), values)
    evaluate(parse_expression("np.minimum(shares * mu, 0.01)"), values)
    same[0] = 9

    assert shares.tolist() == [0.25, 0.5]


@pytest.mark.parametrize(("name", "arguments"), FUNCTIONS.items())
def test_every_listed_function_takes_its_number_of_arguments_and_no_other(name, arguments):
    given = ["1" if name == "np.arccosh" else "0.5", "0.25", "0.75"]  # where it is defined

    assert np.isfinite(evaluate_text(f"{name}({', '.join(given[:arguments])})"))
    for wrong in {0, 1, 2, 3, 4} - {arguments}:
        with pytest.raises(UserError, match=f"{name} takes {arguments} argument"):
            parse_expression(f"{name}({', '.join(['0.5'] * wrong)})")


def test_the_documentation_lists_every_function():
    page = (REPOSITORY / "docs" / "experiments.md").read_text()
    listed = {
        row.split("|")[1].strip(" `"): row
        for row in page.splitlines()
        if row.startswith(("| `np`", "| `sci"))
    }

    named = {
        f"{module}.{name}" for module, row in listed.items() for name in re.findall(r"`([a-z]\w*)`", row)
    }

    assert named - {"np.np"} == set(FUNCTIONS)  # the module stands in backticks too


def test_a_number_sign_starts_no_comment():
    for text in ("R0 * mu # chance a contact\n/ 4", "#", "R0#"):
        for calls in (True, False):
            with pytest.raises(UserError, match='"#" does not start a comment here'):
                parse_expression(text, calls=calls)


def test_an_unknown_function_is_told_with_the_nearest():
    with pytest.raises(UserError, match=r'"np.expp" is not allowed \(did you mean "np.exp"\?\)'):
        parse_expression("np.expp(1)")


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
    "np.minimum(1, 2, [3])",
    "np.exp(1, [2])",
    "np.sum([1], 0)",
    "np.bitwise_and(1, 2)",
    "np.modf(1)",
    "np.matmul([1], [1])",
    "scipy.special.pro_cv(1, 1, 1)",
    "scipy.special.airy(1)",
    "exp(1)",
    "beta(1)",
    "math.exp(1)",
    "numpy.exp(1)",
    "1 # one",
    "0x10",
    "0b1 + 0o7",
    "1e16",
    "1e400",
    "9" * 30,
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
        "1e15 ** 15 * 1e15 ** 15",
        "9 ** 9 ** 9 ** 9",
        "2 ** 10 ** 10",
        "(-8) ** 0.5",
        "np.log(0)",
        "np.sqrt(-1)",
        "[1, 2] / [1, 0]",
        "[1, 2] + [1, 2, 3]",
        "np.max([])",
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
