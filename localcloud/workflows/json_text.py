"""JSON as a workflow reads and writes it: in bodies, arguments and results, and with json.*."""

import json
import math
import re
from typing import Any

from localcloud.workflows.errors import error
from localcloud.workflows.values import INTEGERS, type_name, whole_characters

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # half of a character that JSON writes as two
_MAX_DIGITS = 20  # of a 64-bit integer, with its sign


def from_json(text: str | bytes) -> Any:
    """Return the value of JSON text.

    Raises
    ------
    ValueError
        The text is not JSON; NaN and Infinity are not.
    """
    content = text if isinstance(text, str) else text.decode()
    try:
        found = json.loads(content, parse_int=_integer, parse_float=_double, parse_constant=_double)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return _with_whole_characters(found) if _SURROGATE.search(content) else found


def json_bytes(value: Any, indent: str | int | None = None) -> bytes:
    """Return a value as JSON, or raise an error of the workflow if it cannot be encoded."""
    separators = (",", ":") if indent is None else None
    try:
        text = json.dumps(
            value,
            ensure_ascii=False,
            separators=separators,
            default=_not_json,
            allow_nan=False,
            indent=indent,
        )
    except ValueError as wrong:
        raise error("ValueError", f"cannot be encoded as JSON: {wrong}") from None
    return text.encode()


def _integer(text: str) -> int | float:
    """Return an integer, or a double if it has more than 64 bits."""
    if len(text) <= _MAX_DIGITS and (number := int(text)) in INTEGERS:
        return number
    return _double(text)


def _double(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is not a number of 64 bits")
    return number


def _with_whole_characters(value: Any) -> Any:
    if isinstance(value, str):
        return whole_characters(value)
    if isinstance(value, list):
        return [_with_whole_characters(each) for each in value]
    if isinstance(value, dict):
        return {whole_characters(key): _with_whole_characters(each) for key, each in value.items()}
    return value


def _not_json(value: Any) -> Any:
    raise error("TypeError", f"a {type_name(value)} cannot be encoded as JSON")
