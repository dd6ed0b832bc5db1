"""A YAML file read with the line of every key, so that an error can say where it is.

What the keys mean is in experiment.py.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from modeling.failures import UserError

MOST_KEYS = 200_000


@dataclass(frozen=True)
class YamlSource:
    """One YAML file as plain data, and the line (from 1) on which each key or item starts."""

    path: Path
    data: Any
    lines: dict[tuple, int] = field(repr=False)

    def where(self, location: tuple = ()) -> str:
        """Return 'model.yaml:14' for the nearest enclosing key that the file really has."""
        for end in range(len(location), -1, -1):
            if location[:end] in self.lines:
                return f"{self.path.name}:{self.lines[location[:end]]}"
        return self.path.name


def read_yaml(path: Path) -> YamlSource:
    """Read one YAML file.

    Raises
    ------
    UserError
        The file is not readable, not YAML, has a key twice, or a number that is not finite.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text ({error})") from None
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        lines: dict[tuple, int] = {(): 1}
        data = None if root is None else _plain(loader, root, (), lines, path)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{path.name}{at}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path.name}: not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise UserError(f"{path.name}: nested too deeply, or an anchor holds itself") from None
    finally:
        if loader is not None:
            loader.dispose()
    return YamlSource(path, data, lines)


def _plain(loader: yaml.SafeLoader, node: yaml.Node, at: tuple, lines: dict, path: Path) -> Any:
    """Return the node as plain data and note the line of everything below it."""
    if len(lines) > MOST_KEYS:  # anchors within anchors grow without end
        raise UserError(f"{path.name}: more than {MOST_KEYS} keys and items")
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)  # merges `<<: *anchor` into the mapping
        mapping = {}
        for key_node, value_node in node.value:
            key = _scalar(loader, key_node, path)
            line = key_node.start_mark.line + 1
            if not isinstance(key, (str, int, float, bool)):
                raise UserError(f"{path.name}:{line}: a key must be a plain word")
            if key in mapping:
                raise UserError(f'{path.name}:{line}: "{key}" stands twice; keep one')
            lines[(*at, key)] = line
            mapping[key] = _plain(loader, value_node, (*at, key), lines, path)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, child in enumerate(node.value):
            lines[(*at, index)] = child.start_mark.line + 1
            items.append(_plain(loader, child, (*at, index), lines, path))
        return items
    return _scalar(loader, node, path)


def _scalar(loader: yaml.SafeLoader, node: yaml.Node, path: Path) -> Any:
    where = f"{path.name}:{node.start_mark.line + 1}"
    try:
        value = loader.construct_object(node, deep=True)
    except (ValueError, KeyError):  # 2025-02-30, !!int x
        kind = node.tag.rpartition(":")[2].replace("timestamp", "date")
        raise UserError(f'{where}: "{node.value[:60]}" is not a valid {kind}') from None
    if isinstance(value, (int, float)) and ":" in node.value and node.style is None:
        raise UserError(f'{where}: {node.value} would be read as {value:g}; for a share write "1/3", not 1:3')
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{where}: {node.value} is not a finite number")
    return value
