"""Arithmetic in YAML: `1/3.5`, `Rt*mu/eigenvalue`, `np.exp(-k)`. Never Python's eval.

The syntax tree is walked by hand, so only what is written below can happen. Rates of
transitions go to epydemix, whose own evaluator knows plain arithmetic only.
"""

import ast
import operator
from collections.abc import Callable, Mapping

import numpy as np

from modeling.failures import UserError, did_you_mean, listed

MAX_LENGTH = 2_000
MAX_DEPTH = 60

_BINARY: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.Mod: operator.mod,
}
_UNARY: dict[type, Callable] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_CONSTANTS = {"np.pi": np.pi, "np.e": np.e}
_ARRAY_FUNCTIONS = {"sum", "mean", "max", "min", "prod", "clip", "array", "where"}


def parse_expression(text: str, *, calls: bool = True) -> ast.expr:
    """Return the checked syntax tree of an arithmetic expression.

    Parameters
    ----------
    text : str
        Numbers, names, lists, ``+ - * / ** %`` and parentheses; with `calls` also numpy's
        element-wise functions (``np.exp``) and those of ``scipy.special``.
    calls : bool
        False for rates of transitions.

    Raises
    ------
    UserError
        A syntax error, or anything that is not arithmetic.
    """
    if len(text) > MAX_LENGTH:
        raise UserError(f"expression of {len(text)} characters is longer than {MAX_LENGTH}")
    text = " ".join(text.split())  # YAML may spread it over lines
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
    """Raise a UserError for the first name that is not known, with the nearest one that is."""
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
        The result is not a finite number (division by zero, overflow).
    """
    try:
        with np.errstate(all="ignore"):
            result = _value(tree, values)
            array = np.asarray(result, dtype=float)
    except (ArithmeticError, ValueError, TypeError) as error:
        raise UserError(f'"{ast.unparse(tree)}" has no value: {error}') from None
    if not np.all(np.isfinite(array)):
        raise UserError(f'"{ast.unparse(tree)}" is not a finite number')
    return float(array) if array.ndim == 0 else array


def check_shape(value: float | np.ndarray, groups: int, what: str) -> None:
    """Raise a UserError unless the value is one number, or one an age group."""
    if np.shape(value) not in ((), (groups,)):
        raise UserError(f"{what} has values of shape {np.shape(value)} where there are {groups} age groups")


def evaluate_text(text: str | float, values: Mapping[str, float | np.ndarray] | None = None):
    """Return the value of a number, or of an expression over `values`."""
    if not isinstance(text, str):
        return float(text)
    tree = parse_expression(text)
    check_names(tree, set(values or {}), text)
    return evaluate(tree, values or {})


def _check(node: ast.expr, text: str, calls: bool, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UserError(f'"{text[:60]}..." is nested too deeply')
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
            raise UserError(f'"{text}": only numbers and parameter names can be used')
        return
    if isinstance(node, ast.Name):
        if node.id.startswith("_"):
            raise UserError(f'"{text}": "{node.id}" cannot be used; name a parameter')
        return
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        children = [node.left, node.right]
    elif isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY and (calls or type(node.op) is ast.USub):
        children = [node.operand]  # epydemix knows no unary plus
    elif calls and isinstance(node, ast.List):
        children = node.elts
    elif calls and isinstance(node, ast.Call) and not node.keywords and _function(node.func):
        children = node.args
    elif calls and isinstance(node, ast.Attribute) and ast.unparse(node) in _CONSTANTS:
        return
    else:
        allowed = "+ - * / ** %, parentheses" + (", np.* and scipy.special.*" if calls else "")
        raise UserError(
            f'"{text}": "{ast.unparse(node)[:60]}" is not allowed; use numbers, parameters, {allowed}'
        )
    for child in children:
        _check(child, text, calls, depth + 1)


def _function(node: ast.expr) -> Callable | None:
    """Return the element-wise function that `np.name` or `scipy.special.name` stands for."""
    module, _, name = ast.unparse(node).rpartition(".")
    if module == "np":
        if name in _ARRAY_FUNCTIONS:
            return getattr(np, name)
        candidate = getattr(np, name, None)
    elif module == "scipy.special":
        import scipy.special  # half a second: only for an expression that uses it

        candidate = getattr(scipy.special, name, None)
    else:
        return None
    return candidate if isinstance(candidate, np.ufunc) else None


def _value(node: ast.expr, values: Mapping[str, float | np.ndarray]):
    if isinstance(node, ast.Constant):
        return float(node.value)  # floats overflow to inf where integers would grow for ever
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.UnaryOp):
        return _UNARY[type(node.op)](_value(node.operand, values))
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, values), _value(node.right, values)
        return _BINARY[type(node.op)](left, right)
    if isinstance(node, ast.List):
        return np.array([_value(item, values) for item in node.elts], dtype=float)
    if isinstance(node, ast.Attribute):
        return _CONSTANTS[ast.unparse(node)]
    return _function(node.func)(*[_value(argument, values) for argument in node.args])
