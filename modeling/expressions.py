"""Arithmetic in YAML: `1/3.5`, `Rt*mu/eigenvalue`, `np.exp(-k)`. Never Python's eval.

The syntax tree is evaluated here, so that only what is listed below can happen, on read-only arrays. Each
function takes a fixed number of arguments, because numpy writes its result into an extra argument, and some
functions of scipy.special corrupt memory. Rates of transitions go to epydemix, whose evaluator knows
only plain arithmetic.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from modeling.bounds import LARGEST_NUMBER
from modeling.failures import UserError, did_you_mean, listed

MAX_LENGTH = 2_000
MAX_DEPTH = 60

BINARY: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.Mod: operator.mod,
}
UNARY: dict[type, Callable] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_CONSTANTS = {"np.pi": np.pi, "np.e": np.e}
_NOT_DECIMAL = re.compile(r"(?<![\w.])0[xob]", re.IGNORECASE)
_UNDERSCORED = re.compile(r"(?<![\w.])[0-9.]+(?:e[+-]?[0-9]+)?_[\w.]*", re.IGNORECASE)
_THOUSANDS = re.compile(r"[0-9]{1,3}(_[0-9]{3})+(\.[0-9]*)?")


def _named(module: str, arguments: int, names: str) -> dict[str, int]:
    return {f"{module}.{name}": arguments for name in names.split()}


# number of arguments by name
FUNCTIONS: dict[str, int] = {
    **_named("np", 1, "exp exp2 expm1 log log2 log10 log1p sqrt cbrt square reciprocal negative positive"),
    **_named("np", 1, "abs absolute fabs sign floor ceil trunc rint"),
    **_named("np", 1, "sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh"),
    **_named("np", 1, "deg2rad rad2deg degrees radians"),
    **_named("np", 1, "array sum mean max min prod"),
    **_named("np", 2, "add subtract multiply divide true_divide power float_power mod remainder fmod"),
    **_named("np", 2, "minimum maximum fmin fmax hypot arctan2 heaviside logaddexp copysign"),
    **_named("np", 2, "greater greater_equal less less_equal equal not_equal"),
    **_named("np", 3, "clip where"),
    **_named("scipy.special", 1, "expit logit log_expit erf erfc erfinv erfcinv ndtr ndtri log_ndtr"),
    **_named("scipy.special", 1, "gamma gammaln digamma psi entr exp2 exp10 expm1 log1p cbrt exprel"),
    **_named("scipy.special", 2, "beta betaln binom gammainc gammaincc xlogy xlog1py boxcox inv_boxcox"),
    **_named("scipy.special", 3, "betainc"),
}


class Arithmetic(Protocol):
    """What numbers, names, operations, lists and functions of FUNCTIONS make of the values of names."""

    def number(self, value: float) -> Any: ...
    def named(self, value: Any) -> Any: ...
    def binary(self, operation: type, left: Any, right: Any) -> Any: ...
    def listed(self, items: list) -> Any: ...
    def called(self, name: str, arguments: list) -> Any: ...


def parse_expression(text: str, *, calls: bool = True) -> ast.expr:
    """Return the checked syntax tree of an arithmetic expression.

    Parameters
    ----------
    text : str
        Numbers, names, lists, ``+ - * / ** %`` and parentheses; with `calls` also FUNCTIONS.
    calls : bool
        False for rates of transitions: no functions and lists.

    Raises
    ------
    UserError
        A syntax error, or anything that is not arithmetic.
    """
    if len(text) > MAX_LENGTH:
        raise UserError(f"expression of {len(text)} characters is longer than {MAX_LENGTH}")
    text = " ".join(text.split())  # in YAML it may span lines
    if "#" in text:  # Python would ignore the rest as a comment, also that of following lines
        raise UserError(f'"{text[:60]}": "#" does not start a comment here; remove it and the text after it')
    if _NOT_DECIMAL.search(text):
        raise UserError(f'"{text[:60]}": write numbers in decimal, not as 0x10, 0o10 or 0b10')
    for number in _UNDERSCORED.findall(text):
        if not _THOUSANDS.fullmatch(number):  # Python reads 1_5 as 15
            raise UserError(
                f'"{text[:60]}": {number[:60]} is not a number; '
                "underscores may only separate thousands, as 1_000"
            )
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UserError(f'"{text}" is not an arithmetic expression') from None
    _check(tree, text, calls, 0)
    return tree


def names_in(tree: ast.expr) -> list[str]:
    """Return the parameter names an expression uses, in order of appearance."""
    called = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in called]
    return list(dict.fromkeys(n.id for n in sorted(found, key=lambda n: (n.lineno, n.col_offset))))


def check_names(tree: ast.expr, known: set[str], text: str) -> None:
    """Refuse an expression with an unknown name.

    Raises
    ------
    UserError
        Names the first unknown name, and the most similar known one.
    """
    for name in names_in(tree):
        if name not in known:
            known_names = listed(sorted(known)) or "no parameter"
            shown = " ".join(text.split())
            raise UserError(
                f'"{shown}" uses "{name}", which is not a parameter'
                f"{did_you_mean(name, known) or f' (the model defines {known_names})'}"
            )


def evaluate(tree: ast.expr, values: Mapping[str, float | np.ndarray]) -> float | np.ndarray:
    """Return the value of a checked expression.

    Parameters
    ----------
    values : mapping
        Value of each name: a float, or an array of shape (groups,).

    Raises
    ------
    UserError
        The result is not a finite number (division by zero, overflow), or above 1e15.
    """
    try:
        with np.errstate(all="ignore"):
            array = np.array(walk(tree, values, _OfOne()), dtype=float)  # a copy: no alias of a parameter
    except (ArithmeticError, ValueError, TypeError) as error:
        raise UserError(f'"{ast.unparse(tree)}" has no value: {error}') from None
    if not np.all(np.isfinite(array)):
        raise UserError(f'"{ast.unparse(tree)}" is not a finite number')
    if array.size and np.abs(array).max() > LARGEST_NUMBER:
        raise UserError(f'"{ast.unparse(tree)}" is larger than {LARGEST_NUMBER:g}')
    return float(array) if array.ndim == 0 else array


def check_shape(value: float | np.ndarray, groups: int, what: str) -> None:
    """Refuse a value that is neither one number nor one an age group.

    Parameters
    ----------
    groups : int
        Number of age groups.
    what : str
        Name of the value, for the message.
    """
    if np.shape(value) not in ((), (groups,)):
        raise UserError(f"{what} has values of shape {np.shape(value)} where there are {groups} age groups")


def evaluate_text(text: str | float, values: Mapping[str, float | np.ndarray] | None = None):
    """Return the value of a number, or of an expression over `values`.

    Raises
    ------
    UserError
        As parse_expression, check_names and evaluate.
    """
    if not isinstance(text, str):
        return float(text)
    tree = parse_expression(text)
    check_names(tree, set(values or {}), text)
    return evaluate(tree, values or {})


def _check(node: ast.expr, text: str, calls: bool, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UserError(f'"{text[:60]}..." is nested too deeply')
    if isinstance(node, (ast.Constant, ast.Name)):
        _check_leaf(node, text)
        return
    if isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        children = [node.left, node.right]
    elif isinstance(node, ast.UnaryOp) and type(node.op) in UNARY and (calls or type(node.op) is ast.USub):
        children = [node.operand]  # epydemix has no unary plus
    elif calls and isinstance(node, ast.List):
        if not node.elts:  # numpy would warn of an empty mean
            raise UserError(f'"{text}": an empty list has no value')
        children = node.elts
    elif calls and isinstance(node, ast.Call) and not node.keywords:
        _check_call(node, text)
        children = node.args
    elif calls and isinstance(node, ast.Attribute) and ast.unparse(node) in _CONSTANTS:
        return
    else:
        allowed = "+ - * / ** %, parentheses" + (" and functions such as np.exp" if calls else "")
        raise UserError(
            f'"{text}": "{ast.unparse(node)[:60]}" is not allowed; use numbers, parameters, {allowed}'
        )
    for child in children:
        _check(child, text, calls, depth + 1)


def _check_leaf(node: ast.Constant | ast.Name, text: str) -> None:
    if isinstance(node, ast.Name):
        if node.id.startswith("_"):
            raise UserError(f'"{text}": "{node.id}" cannot be used; name a parameter')
        return
    if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
        raise UserError(f'"{text}": only numbers and parameter names can be used')
    if node.value > LARGEST_NUMBER:
        raise UserError(f'"{text[:60]}": {node.value:.3g} is larger than {LARGEST_NUMBER:g}')


def _check_call(node: ast.Call, text: str) -> None:
    name = ast.unparse(node.func)
    if name not in FUNCTIONS:
        near = did_you_mean(name, FUNCTIONS)
        raise UserError(
            f'"{text}": "{name[:60]}" is not allowed{near}; docs/experiments.md lists the functions'
        )
    if len(node.args) != FUNCTIONS[name]:
        plural = "s" * (FUNCTIONS[name] > 1)
        raise UserError(f'"{text}": {name} takes {FUNCTIONS[name]} argument{plural}, not {len(node.args)}')


def function(name: str) -> Callable:
    """Return the function behind a name of FUNCTIONS."""
    module, _, name = name.rpartition(".")
    if module == "np":
        return getattr(np, name)
    import scipy.special  # takes half a second, so only for an expression that uses it

    return getattr(scipy.special, name)


def walk(node: ast.expr, values: Mapping[str, Any], arithmetic: Arithmetic) -> Any:
    """Return what a checked expression is worth in an arithmetic."""
    if isinstance(node, ast.Constant):
        return arithmetic.number(float(node.value))  # integers would grow without limit
    if isinstance(node, ast.Attribute):
        return arithmetic.number(_CONSTANTS[ast.unparse(node)])
    if isinstance(node, ast.Name):
        return arithmetic.named(values[node.id])
    if isinstance(node, ast.UnaryOp):
        return UNARY[type(node.op)](walk(node.operand, values, arithmetic))
    if isinstance(node, ast.BinOp):
        left, right = walk(node.left, values, arithmetic), walk(node.right, values, arithmetic)
        return arithmetic.binary(type(node.op), left, right)
    if isinstance(node, ast.List):
        return arithmetic.listed([walk(item, values, arithmetic) for item in node.elts])
    arguments = [walk(argument, values, arithmetic) for argument in node.args]
    return arithmetic.called(ast.unparse(node.func), arguments)


class _OfOne:
    """The arithmetic of one draw: floats, and arrays of shape (groups,)."""

    def number(self, value: float) -> float:
        return value

    def named(self, value: float | np.ndarray) -> float | np.ndarray:
        if not isinstance(value, np.ndarray):
            return value
        view = value.view()
        view.flags.writeable = False
        return view

    def binary(self, operation: type, left, right):
        result = BINARY[operation](left, right)
        if isinstance(result, complex):  # in an array, only its real part would stay
            raise ValueError(f"{left:g} to the power of {right:g} is not a real number")
        return result

    def listed(self, items: list) -> np.ndarray:
        return np.array(items, dtype=float)

    def called(self, name: str, arguments: list) -> np.ndarray:
        # a comparison becomes 1 or 0, because True + True is True in numpy
        return np.asarray(function(name)(*arguments), dtype=float)
