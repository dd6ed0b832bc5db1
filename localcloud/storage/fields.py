"""Partial answers: the `fields` parameter, such as items(name,size),nextPageToken or items/name."""

import re
from typing import Any

Mask = dict[str, "Mask"]  # names to keep, each with the names to keep inside; empty: everything


def select_fields(value: Any, fields: str) -> Any:
    """Return the parts of a JSON value that `fields` names; all of it if `fields` is invalid."""
    tokens = re.findall(r"[,()/]|[^,()/]+", fields)
    try:
        mask = _parse_list(tokens)
    except (IndexError, ValueError):
        return value
    return value if tokens else _keep(value, mask)


def _parse_list(tokens: list[str]) -> Mask:
    """Parse path, path, ... up to the end or a closing bracket; remove what was read from `tokens`."""
    mask: Mask = {}
    while True:
        _parse_path(tokens, mask)
        if not tokens or tokens[0] != ",":
            return mask
        tokens.pop(0)


def _parse_path(tokens: list[str], mask: Mask) -> None:
    """Parse name, name/path or name(list), and add it to `mask`."""
    name = tokens.pop(0)
    if name in ",()/":
        raise ValueError(f"a name was expected, not {name}")
    inner = mask.setdefault(name.strip(), {})
    if tokens and tokens[0] == "/":
        tokens.pop(0)
        _parse_path(tokens, inner)
    elif tokens and tokens[0] == "(":
        tokens.pop(0)
        inner.update(_parse_list(tokens))
        if tokens.pop(0) != ")":
            raise ValueError("a closing bracket was expected")


def _keep(value: Any, mask: Mask) -> Any:
    if not mask or ("*" in mask and not mask["*"]):
        return value
    if isinstance(value, list):
        return [_keep(each, mask) for each in value]
    if not isinstance(value, dict):
        return value
    if "*" in mask:
        return {name: _keep(inner, mask["*"]) for name, inner in value.items()}
    return {name: _keep(value[name], inner) for name, inner in mask.items() if name in value}
