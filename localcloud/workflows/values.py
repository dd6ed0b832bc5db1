"""The values of the language: their types, equality and size.

A value is a Python value and is never changed in place: an assignment to a part builds a new value around it.
So passing a value on copies nothing, although the language has copy semantics.
"""

import math
from typing import Any

from localcloud.workflows.errors import error, limit_error
from localcloud.workflows.limits import MEMORY_BYTES, STRING_BYTES

_TYPE_NAMES = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
}
_NUMBER_BYTES = 8
_MARKS_BYTES = 3  # two quotes or brackets and a comma, or the quotes of a key and a colon
INTEGERS = range(-(2**63), 2**63)


def type_name(value: Any) -> str:
    return _TYPE_NAMES.get(type(value), "function")


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def fits(number: int | float) -> bool:
    """Return whether a number fits in 64 bits."""
    return number in INTEGERS if is_integer(number) else math.isfinite(number)


def checked(value: Any) -> Any:
    """Return the value, or raise if it is a number or text that is too large."""
    if isinstance(value, str) and len(value) > STRING_BYTES // 4 and text_bytes(value) > STRING_BYTES:
        raise limit_error(f"a string may have {STRING_BYTES} bytes at most")
    if is_number(value) and not fits(value):
        raise error("ValueError", "a number of 64 bits cannot be so large")
    return value


def equal(left: Any, right: Any) -> bool:
    """Return whether two values are equal: numbers by value, all others only within one type."""
    if is_number(left) and is_number(right):
        return left == right
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    return left == right


def text_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def size_of(value: Any) -> int:
    """Return the size of a value in bytes, about that of its JSON; how the service counts is not documented.

    It raises as soon as the limit is exceeded, so that no value takes long.
    """
    total, left = 0, [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            total += text_bytes(checked(each)) + _MARKS_BYTES
        elif isinstance(each, bytes):
            total += len(each) + _MARKS_BYTES
        elif isinstance(each, list):
            total += _MARKS_BYTES
            left += each
        elif isinstance(each, dict):
            total += sum(map(len, each)) + _MARKS_BYTES * (len(each) + 1)
            left += each.values()
        else:
            total += _NUMBER_BYTES
        if total > MEMORY_BYTES:
            raise limit_error(f"the variables take more than {MEMORY_BYTES} bytes")
    return total


def whole_characters(text: str) -> str:
    """Return text with surrogate pairs joined; a lone surrogate becomes the replacement character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def to_text(value: Any) -> str:
    """Return a scalar as text, for string() and for ${} inside text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_number(value):
        return str(value)
    raise error("TypeError", f"a {type_name(value)} cannot be made a string; json.encode_to_string can")
