"""list.*, map.* and math.*: functions of values that make new ones; what they are given stays as it is."""

import math
from typing import Any

from localcloud.workflows.errors import error
from localcloud.workflows.expressions import text_key
from localcloud.workflows.library.function import Library
from localcloud.workflows.values import checked

COLLECTIONS = Library()


@COLLECTIONS.function("list.concat")
def concat(objs: list, val: Any) -> list:
    return [*objs, val]


@COLLECTIONS.function("list.prepend")
def prepend(objs: list, val: Any) -> list:
    return [val, *objs]


@COLLECTIONS.function("map.get")
def get(map: dict | None, keys: str | list) -> Any:
    """Return what a map holds at a key, or at keys inside of each other; null where there is none."""
    found = map
    for key in keys if isinstance(keys, list) else [keys]:
        if not isinstance(found, dict):
            return None
        found = found.get(text_key(key))
    return found


@COLLECTIONS.function("map.delete")
def delete(map: dict, key: str) -> dict:
    if key not in map:
        raise error("KeyError", f"key not found: {key}")
    return {name: value for name, value in map.items() if name != key}


@COLLECTIONS.function("map.merge")
def merge(first: dict, second: dict) -> dict:
    return {**first, **second}


@COLLECTIONS.function("map.merge_nested")
def merge_nested(first: dict, second: dict) -> dict:
    merged = dict(first)
    for key, value in second.items():
        old = merged.get(key)
        both_are_maps = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = merge_nested(old, value) if both_are_maps else value
    return merged


@COLLECTIONS.function("math.abs")
def absolute(x: int | float) -> int | float:
    return checked(abs(x))


@COLLECTIONS.function("math.floor")
def floor(x: int | float) -> int:
    return checked(math.floor(x))


@COLLECTIONS.function("math.max")
def maximum(x: int | float, y: int | float) -> int | float:
    return max(_of_one_type(x, y))


@COLLECTIONS.function("math.min")
def minimum(x: int | float, y: int | float) -> int | float:
    return min(_of_one_type(x, y))


def _of_one_type(x: int | float, y: int | float) -> tuple[int | float, int | float]:
    """Return two numbers of one type; an integer and a double are refused, as undocumented."""
    if type(x) is not type(y):
        raise error("TypeError", f"{x} and {y} are an integer and a double; write both as one of them")
    return x, y
