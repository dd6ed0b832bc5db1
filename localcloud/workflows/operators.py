"""The operators of expressions, and the types they accept.

`//` and `%` round towards minus infinity, and an integer divided by an integer is a double. The documentation
reads that way; it could not be checked.
"""

import operator
from collections.abc import Callable
from typing import Any

from localcloud.workflows.errors import WorkflowError, error
from localcloud.workflows.values import checked, equal, is_integer, is_number, type_name


def add(left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        return checked(left + right)
    return _arithmetic("+", operator.add, left, right)


def subtract(left: Any, right: Any) -> Any:
    return _arithmetic("-", operator.sub, left, right)


def multiply(left: Any, right: Any) -> Any:
    return _arithmetic("*", operator.mul, left, right)


def divide(left: Any, right: Any) -> Any:
    return _arithmetic("/", operator.truediv, left, right)


def divide_whole(left: Any, right: Any) -> Any:
    return _arithmetic("//", operator.floordiv, left, right)


def modulo(left: Any, right: Any) -> Any:
    return _arithmetic("%", operator.mod, left, right)


def negate(value: Any) -> Any:
    if not is_number(value):
        raise error("TypeError", f"unary - does not take a {type_name(value)}")
    return checked(-value)


def is_in(left: Any, right: Any) -> bool:
    if isinstance(right, dict):
        return isinstance(left, str) and left in right
    if isinstance(right, list):
        return any(equal(left, each) for each in right)
    raise error("TypeError", f"in takes a list or a map on its right, not a {type_name(right)}")


def truth(value: Any) -> bool:
    """Return a boolean; no other type is true or false."""
    if value is True or value is False:
        return value
    raise error("TypeError", f"a boolean is needed here, not a {type_name(value)}")


def _comparison(sign: str, holds: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        if (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
            return holds(left, right)
        raise _wrong_types(sign, left, right)

    return compare


def _arithmetic(sign: str, compute: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    if not (is_number(left) and is_number(right)):
        raise _wrong_types(sign, left, right)
    if sign == "//" and not (is_integer(left) and is_integer(right)):
        raise _wrong_types(sign, left, right)
    try:
        return checked(compute(left, right))
    except ZeroDivisionError:
        raise error("ZeroDivisionError", "division by zero") from None
    except OverflowError:
        raise error("ValueError", "a number of 64 bits cannot be so large") from None


def _wrong_types(sign: str, left: Any, right: Any) -> WorkflowError:
    return error("TypeError", f"{sign} does not take a {type_name(left)} and a {type_name(right)}")


# By sign. `and` and `or` are not here because they may skip their right side.
COMPARISONS = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "<": _comparison("<", operator.lt),
    ">": _comparison(">", operator.gt),
    "<=": _comparison("<=", operator.le),
    ">=": _comparison(">=", operator.ge),
    "in": is_in,
}
SUMS = {"+": add, "-": subtract}
PRODUCTS = {"*": multiply, "/": divide, "//": divide_whole, "%": modulo}
