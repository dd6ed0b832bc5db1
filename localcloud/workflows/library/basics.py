"""Functions of values: types, conversions, sizes, default and if; list.*, map.* and math.*.

Each returns a new value; its arguments stay as they are.
"""

import math
import re
from typing import Any

from localcloud.workflows.errors import error
from localcloud.workflows.expressions import text_key
from localcloud.workflows.library.function import Library
from localcloud.workflows.values import checked, to_text, type_name

BASICS = Library()
# Stricter than Python, which also accepts spaces, underscores and infinity.
_INTEGER = re.compile(r"[-+]?[0-9]{1,40}")
_DOUBLE = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


@BASICS.function("default")
def default(value: Any, default_value: Any) -> Any:
    return default_value if value is None else value


@BASICS.function("if")
def choose(condition: bool, if_true: Any, if_false: Any) -> Any:
    """Return one of two values; inside an expression, only the chosen one is evaluated."""
    return if_true if condition else if_false


@BASICS.function("len")
def length(value: str | list | dict | bytes) -> int:
    return len(value)


@BASICS.function("keys")
def keys(map: dict) -> list:
    return list(map)


@BASICS.function("get_type")
def get_type(value: Any) -> str:
    return type_name(value)


@BASICS.function("string")
def string(value: Any) -> str:
    return to_text(value)


@BASICS.function("int")
def integer(value: str | int | float) -> int:
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        raise error("ValueError", f"{value!r} is not an integer")
    return checked(int(value))


@BASICS.function("double")
def double(value: str | int | float) -> float:
    if isinstance(value, str) and not _DOUBLE.fullmatch(value):
        raise error("ValueError", f"{value!r} is not a number")
    return checked(float(value))


@BASICS.function("list.concat")
def concat(objs: list, val: Any) -> list:
    return [*objs, val]


@BASICS.function("list.prepend")
def prepend(objs: list, val: Any) -> list:
    return [val, *objs]


@BASICS.function("map.get")
def get(map: dict | None, keys: str | list) -> Any:
    """Return the value of a map at a key, or at a path of keys; null if there is none."""
    found = map
    for key in keys if isinstance(keys, list) else [keys]:
        if not isinstance(found, dict):
            return None
        found = found.get(text_key(key))
    return found


@BASICS.function("map.delete")
def delete(map: dict, key: str) -> dict:
    if key not in map:
        raise error("KeyError", f"key not found: {key}")
    return {name: value for name, value in map.items() if name != key}


@BASICS.function("map.merge")
def merge(first: dict, second: dict) -> dict:
    return {**first, **second}


@BASICS.function("map.merge_nested")
def merge_nested(first: dict, second: dict) -> dict:
    merged = dict(first)
    for key, value in second.items():
        old = merged.get(key)
        both_are_maps = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = merge_nested(old, value) if both_are_maps else value
    return merged


@BASICS.function("math.abs")
def absolute(x: int | float) -> int | float:
    return checked(abs(x))


@BASICS.function("math.floor")
def floor(x: int | float) -> int:
    return checked(math.floor(x))


@BASICS.function("math.max")
def maximum(x: int | float, y: int | float) -> int | float:
    return max(_of_one_type(x, y))


@BASICS.function("math.min")
def minimum(x: int | float, y: int | float) -> int | float:
    return min(_of_one_type(x, y))


def _of_one_type(x: int | float, y: int | float) -> tuple[int | float, int | float]:
    """Return two numbers of one type; an integer and a double are refused, because that is undocumented."""
    if type(x) is not type(y):
        raise error("TypeError", f"{x} and {y} are an integer and a double; write both as one of them")
    return x, y
