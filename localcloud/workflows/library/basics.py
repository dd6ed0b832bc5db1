"""The functions without a module: types and their conversion, sizes, keys, default and if."""

import re
from typing import Any

from localcloud.workflows.errors import error
from localcloud.workflows.library.function import Library
from localcloud.workflows.values import checked, to_text, type_name

BASICS = Library()
# Python's own reading takes spaces, underscores and infinity besides.
_INTEGER = re.compile(r"[-+]?[0-9]{1,40}")
_DOUBLE = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


@BASICS.function("default")
def default(value: Any, default_value: Any) -> Any:
    return default_value if value is None else value


@BASICS.function("if")
def choose(condition: bool, if_true: Any, if_false: Any) -> Any:
    """Choose between two values; inside of an expression only the chosen one is evaluated."""
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
        raise error("ValueError", f"{value!r} is no integer")
    return checked(int(value))


@BASICS.function("double")
def double(value: str | int | float) -> float:
    if isinstance(value, str) and not _DOUBLE.fullmatch(value):
        raise error("ValueError", f"{value!r} is no number")
    return checked(float(value))
