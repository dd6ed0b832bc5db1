"""Shapes: which fields a resource has, and of what types.

A shape is a type, a list of one shape, or an object: a mapping of its fields to their shapes. The field "*"
of an object means any name; ANYTHING is not looked into.
"""

from collections.abc import Mapping
from typing import Any

from localcloud.messages import ApiError

ANYTHING = object
_NAMES = {str: "TYPE_STRING", int: "TYPE_INT32", bool: "TYPE_BOOL"}


def check_shape(value: Any, shape: Any, where: str) -> None:
    """Refuse a value that has an unknown field or one of the wrong type."""
    if shape is ANYTHING:
        return
    if isinstance(shape, Mapping):
        _check_object(value, shape, where)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise ApiError(400, f"Invalid JSON payload received. '{where}' is not a list.")
        for number, each in enumerate(value):
            check_shape(each, shape[0], f"{where}[{number}]")
    elif not isinstance(value, shape) or isinstance(value, bool) != (shape is bool):
        raise ApiError(400, f"Invalid value at '{where}' ({_NAMES[shape]}), {value!r}")


def _check_object(value: Any, shape: Mapping[str, Any], where: str) -> None:
    if not isinstance(value, Mapping):
        raise ApiError(400, f"Invalid JSON payload received. '{where}' is not an object.")
    for name, each in value.items():
        inner = shape.get(name, shape.get("*"))
        if inner is None:
            raise ApiError(
                400,
                f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field.",
            )
        if each is not None:  # null is the same as no field
            check_shape(each, inner, f"{where}.{name}")


def without_nulls(value: Any) -> Any:
    """Return a JSON value without the fields that are null, as a new value."""
    if isinstance(value, Mapping):
        return {name: without_nulls(each) for name, each in value.items() if each is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value
