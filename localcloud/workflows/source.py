"""The source of a workflow as YAML nodes with line numbers.

Words are read as in YAML 1.2: only true and false are booleans; `on`, `off`, `yes`, `no` and dates are text.
How the service reads those could not be checked.
"""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from localcloud.workflows.limits import SOURCE_BYTES
from localcloud.workflows.values import fits

MAX_DEPTH = 100
MAX_NODES = SOURCE_BYTES
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TRUE, _FALSE, _NULL = (
    ("true", "True", "TRUE"),
    ("false", "False", "FALSE"),
    ("", "~", "null", "Null", "NULL"),
)
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OTHER_BASE = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_DOUBLE = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NUMBERS = ((_INTEGER, int), (_OTHER_BASE, lambda text: int(text, 0)), (_DOUBLE, float))


class SourceError(Exception):
    """A mistake in a source, with its position; the source cannot be deployed."""

    def __init__(self, message: str, at: yaml.Node | yaml.Mark | None = None):
        mark = at.start_mark if isinstance(at, yaml.Node) else at
        place = f"main.yaml:{mark.line + 1}:{mark.column + 1}: " if mark else ""
        super().__init__(f"{place}parse error: {message}")


def read_source(text: str) -> yaml.Node:
    """Return the root node of a source.

    Raises
    ------
    SourceError
    """
    if len(text.encode()) > SOURCE_BYTES:
        raise SourceError(f"the source has more than {SOURCE_BYTES} bytes")
    try:
        _check_depth(yaml.parse(text, Loader=_LOADER))
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        message = " ".join(filter(None, [error.context, error.problem]))
        raise SourceError(message, error.problem_mark or error.context_mark) from error
    except yaml.YAMLError as error:
        raise SourceError(str(error)) from error
    if root is None:
        raise SourceError("the source is empty")
    _check_size(root)
    return root


def line_of(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def is_text(node: yaml.Node) -> bool:
    """Return whether a node is text, quoted or not."""
    return isinstance(node, yaml.ScalarNode) and isinstance(scalar(node), str)


def pairs(node: yaml.Node, what: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    """Yield each key of a mapping as text, with the nodes of key and value; refuse duplicate keys."""
    if not isinstance(node, yaml.MappingNode):
        raise SourceError(f"{what} must be a map", node)
    seen = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise SourceError(f"a key of {what} must be text", key)
        if key.value in seen:
            raise SourceError(f'duplicate key "{key.value}" in {what}', key)
        seen.add(key.value)
        yield key.value, key, value


def items(node: yaml.Node, what: str) -> list[yaml.Node]:
    if not isinstance(node, yaml.SequenceNode):
        raise SourceError(f"{what} must be a list", node)
    return node.value


def single_pair(node: yaml.Node, what: str) -> tuple[str, yaml.Node, yaml.Node]:
    """Return the key and the nodes of a map with one key, such as a named step or an assignment."""
    found = list(pairs(node, what))
    if len(found) != 1:
        raise SourceError(f"{what} must be a map of one key, not of {len(found)}; is it indented?", node)
    return found[0]


def scalar(node: yaml.ScalarNode) -> Any:
    """Return the value of a scalar.

    Raises
    ------
    SourceError
        A number is too large.
    """
    text = node.value
    if node.style:
        return text  # quoted, or a block
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text in _NULL:
        return None
    for pattern, read in _NUMBERS:
        if pattern.fullmatch(text):
            return _number(read, node)
    return text


def _number(read: Callable[[str], int | float], node: yaml.ScalarNode) -> int | float:
    try:
        found = read(node.value)
    except ValueError:  # Python reads no more than 4300 digits
        found = math.inf
    if not fits(found):
        raise SourceError(f"a number has 64 bits, {node.value[:40]} has more", node)
    return found


def _check_depth(events: Iterator[yaml.Event]) -> None:
    """Refuse deep nesting before the source is composed: libyaml's recursion would crash the process."""
    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise SourceError("the source is nested too deeply", event.start_mark)


def _check_size(root: yaml.Node) -> None:
    """Refuse a source that is nested too deeply or too large once its aliases are followed."""
    left, count = [(root, 1)], 0
    while left:
        node, depth = left.pop()
        count += 1
        if depth > MAX_DEPTH or count > MAX_NODES:
            raise SourceError("the source is nested too deeply, or too large by its aliases", node)
        if isinstance(node, yaml.MappingNode):
            left += [(each, depth + 1) for pair in node.value for each in pair]
        elif isinstance(node, yaml.SequenceNode):
            left += [(each, depth + 1) for each in node.value]
