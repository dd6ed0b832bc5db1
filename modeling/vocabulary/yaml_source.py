"""A YAML file as plain data, with the line of every key, so that an error can say where it is.

Holds mappings, lists, text, decimal numbers and dates. A value that YAML would read differently from how it
looks (0150 as 104, 1:30 as 90) is refused. What the keys mean is in the other modules of vocabulary/.
"""

import datetime
import gc
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from modeling.bounds import LARGEST_SEED  # the vocabulary has narrower bounds for all other numbers
from modeling.failures import UserError
from modeling.plain_text import excerpt, other_encoding

MOST_BYTES = 5_000_000
MOST_KEYS = 400_000
MOST_LEVELS = 100
MOST_SHOWN = 60  # characters of a value in a message

# the parser in C reads ten times as fast; it is in every wheel of PyYAML
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_OTHER_BASE = re.compile(r"[-+]?0[xob][0-9a-f_]+", re.IGNORECASE)
_THOUSANDS = re.compile(r"[-+]?[0-9]{1,3}(_[0-9]{3})+")  # 1_000 is a thousand, 1_0 a slip
# control characters but tab and line break, line separators, halves of a surrogate pair
_NO_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_INDENTATION = "check the indentation and the quotes of this line and the one before"
# what to do, by the words of the parser, which do not say it
_HINTS = {
    "did not find expected key": _INDENTATION,
    "did not find expected '-' indicator": _INDENTATION,
    "mapping values are not allowed in this context": (
        'check the indentation, and the ":" of the line before; text that contains ": " needs quotes'
    ),
}


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
        The file is not readable, not UTF-8, larger than 5 MB or not YAML; it has a duplicate key, or a
        value that is not plain text, a number or a date.
    """
    text = _text_of(path)
    loader, collects_garbage = None, gc.isenabled()
    gc.disable()  # there is none, and each search goes through all nodes again: a third of the time
    try:
        loader = _Loader(text)
        return YamlSource(path, *_Reader(path.name, loader).document())
    except yaml.MarkedYAMLError as error:
        raise UserError(f"{path.name}{_problem(error, text)}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path.name}{_unreadable(error, text)}") from None
    finally:
        if collects_garbage:
            gc.enable()
        if loader is not None:
            loader.dispose()


def _problem(error: yaml.MarkedYAMLError, text: str) -> str:
    """Return ":line: what is wrong" of the parser's own error."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return f": not valid YAML: {error.problem}"
    problem = error.problem or error.context
    if "cannot start any token" in problem:
        line = text.split("\n")[mark.line]
        found = repr(line[mark.column : mark.column + 1])
        hint = "; indent with spaces" if "\\t" in found else "; put the text in quotes"
        problem = f"{found} is not allowed here{hint}"
    elif problem in _HINTS:
        problem = f"{problem}; {_HINTS[problem]}"
    return f":{mark.line + 1}: not valid YAML: {problem}"


def _unreadable(error: yaml.YAMLError, text: str) -> str:
    """Return ":line: what is wrong" of a character that YAML does not allow."""
    found = _NO_TEXT.search(text.replace("\r\n", "\n"))
    if found is None:
        return f": not valid YAML: {' '.join(str(error).split())}"
    line = found.string.count("\n", 0, found.start()) + 1
    return f":{line}: not valid YAML: control character U+{ord(found[0]):04X}; remove it"


def _text_of(path: Path) -> str:
    if path.is_fifo():  # reading it would wait for a writer
        raise UserError(f"{path}: not a file; put the file itself there")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > MOST_BYTES:
        raise UserError(f"{path.name}: larger than {MOST_BYTES // 10**6} MB; put data into CSV files")
    if encoding := other_encoding(content):
        raise UserError(f"{path.name}: the text is {encoding}; save the file as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path.name}:{line}: not valid UTF-8 (byte 0x{content[error.start]:02x}); save the file as UTF-8"
        ) from None


@dataclass(slots=True)
class _Scalar:
    line: int
    value: Any
    is_merge: bool = False  # a bare <<


@dataclass(slots=True)
class _List:
    line: int
    items: list


@dataclass(slots=True)
class _Mapping:
    line: int
    pairs: list
    merged: dict | None = None  # key: (line, node), with the keys of `<<`


class _Reader:
    """Turns the parser's events into nodes, and nodes into plain data with line numbers."""

    def __init__(self, name: str, loader: Any):
        self.name, self.loader = name, loader
        self.anchors: dict[str, Any] = {}
        self.keys = 0
        self.lines: dict[tuple, int] = {(): 1}

    def document(self) -> tuple[Any, dict[tuple, int]]:
        """Return the file's only document as plain data, and the line of each key."""
        self.loader.get_event()  # the start of the stream
        if self.loader.check_event(yaml.StreamEndEvent):
            return None, self.lines
        self.loader.get_event()  # the start of the document
        root = self._node(self.loader.get_event(), 0)
        self.loader.get_event()
        event = self.loader.get_event()
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._error(event.start_mark.line + 1, "another document begins here (---); keep one")
        return self._plain(root, ()), self.lines

    def _error(self, line: int, message: str) -> UserError:
        return UserError(f"{self.name}:{line}: {message}")

    def _node(self, event: Any, level: int) -> Any:
        """Return the node that begins with an event; an alias is the same node as its anchor."""
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            return self._named(event.anchor, line)
        if event.anchor:
            self.anchors[event.anchor] = None  # until the node is complete
        node = (
            self._scalar(event, line)
            if isinstance(event, yaml.ScalarEvent)
            else self._collection(event, line, level)
        )
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def _named(self, anchor: str, line: int) -> Any:
        if anchor not in self.anchors:
            raise self._error(line, f"*{_shown(anchor)} refers to an anchor that is not before it")
        if self.anchors[anchor] is None:
            raise self._error(line, f"*{_shown(anchor)}: an anchor contains itself")
        return self.anchors[anchor]

    def _collection(self, event: Any, line: int, level: int) -> _List | _Mapping:
        is_list = isinstance(event, yaml.SequenceStartEvent)
        if event.tag not in (None, "!", _TAG + ("seq" if is_list else "map")):
            raise self._error(line, _no_tag(event.tag))
        if level > MOST_LEVELS:
            raise self._error(line, f"nested too deeply (more than {MOST_LEVELS} levels)")
        next_event, end = self.loader.get_event, yaml.SequenceEndEvent if is_list else yaml.MappingEndEvent
        nodes = []
        while not isinstance(event := next_event(), end):
            nodes.append(self._node(event, level + 1))
            if is_list or len(nodes) % 2:  # a key
                self._count()
        return (
            _List(line, nodes) if is_list else _Mapping(line, list(zip(nodes[::2], nodes[1::2], strict=True)))
        )

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> _Scalar:
        text, tag = event.value, event.tag
        if tag in (None, "!"):
            kind = self._kind(text, event.implicit)
        elif (kind := tag.removeprefix(_TAG)) not in _VALUES:
            raise self._error(line, _no_tag(tag))
        elif kind not in ("str", read_as := self._kind(text, (True, False))) and (kind, read_as) != (
            "float",
            "int",
        ):
            raise self._error(line, _not_valid(text, kind))
        try:
            value = _text(text, event.implicit[0]) if kind in _TEXTS else _VALUES[kind](text)
        except ValueError as error:
            raise self._error(line, str(error)) from None
        return _Scalar(line, value, kind == "merge")

    def _kind(self, text: str, implicit: tuple[bool, bool]) -> str:
        """Return the type that YAML 1.1 gives to a text: str, int, timestamp, ..."""
        return self.loader.resolve(yaml.ScalarNode, text, implicit).removeprefix(_TAG)

    def _plain(self, node: Any, at: tuple) -> Any:
        """Return the node as plain data; record the line of everything below it."""
        if len(self.lines) > MOST_KEYS:  # anchors within anchors grow exponentially
            raise self._too_many()
        if isinstance(node, _Scalar):
            return node.value
        if isinstance(node, _List):
            items = []
            for index, child in enumerate(node.items):
                self.lines[(*at, index)] = child.line
                items.append(self._plain(child, (*at, index)))
            return items
        mapping = {}
        for key, (line, child) in self._merged(node).items():
            self.lines[(*at, key)] = line
            mapping[key] = self._plain(child, (*at, key))
        return mapping

    def _merged(self, node: _Mapping) -> dict:
        """Return line and node by key: the mapping's own keys replace those of `<<`."""
        if node.merged is not None:
            return node.merged
        own, inherited, merges = {}, {}, []
        for key, child in node.pairs:
            if isinstance(key, _Scalar) and key.is_merge:
                merges.append(key.line)
                for name, found in self._inherited(key.line, child):
                    inherited.setdefault(name, found)
                continue
            name = self._key(key)
            if name in own:
                raise self._error(key.line, f'duplicate key "{_shown(str(name))}"; keep one')
            own[name] = (key.line, child)
        if len(merges) > 1:
            raise self._error(merges[1], 'duplicate key "<<"; write one with a list: <<: [*a, *b]')
        node.merged = inherited | own
        return node.merged

    def _inherited(self, line: int, child: Any) -> Iterator[tuple]:
        for base in child.items if isinstance(child, _List) else [child]:
            if not isinstance(base, _Mapping):
                raise self._error(line, "<< takes a mapping, such as *defaults, or a list of them")
            for key_and_node in self._merged(base).items():
                self._count()
                yield key_and_node

    def _key(self, node: Any) -> str | int | float:
        value = getattr(node, "value", None)
        if isinstance(value, bool):
            raise self._error(
                node.line,
                f"YAML reads this key as {str(value).lower()}; put it in quotes, or choose another",
            )
        if not isinstance(value, (str, int, float)):
            raise self._error(node.line, "a key must be a plain word")
        return value

    def _count(self) -> None:
        self.keys += 1
        if self.keys > MOST_KEYS:
            raise self._too_many()

    def _too_many(self) -> UserError:
        return UserError(f"{self.name}: more than {MOST_KEYS} keys and items")


def _text(text: str, is_bare: bool = False) -> str:
    """Return the text; ValueError for control characters, or for a number that is not decimal."""
    if not text.isprintable() and (found := _NO_TEXT.search(text)):
        raise ValueError(f"the text contains control character U+{ord(found[0]):04X}; remove it")
    if is_bare and _is_not_decimal(text):
        raise ValueError(_not_decimal(text))
    return text


def _whole_number(text: str) -> int:
    if ":" in text:
        raise ValueError(_base_60(text))
    if _is_not_decimal(text):
        raise ValueError(_not_decimal(text))
    digits = _without_underscores(text)
    if len(digits) > 25 or abs(int(digits)) > LARGEST_SEED:
        raise ValueError(f"{_shown(text)} is too large a number; {LARGEST_SEED} is the largest")
    return int(digits)


def _real_number(text: str) -> float:
    if ":" in text:
        raise ValueError(_base_60(text))
    whole, dot, rest = text.partition(".")
    special = text.lstrip("+-").lower() in (".inf", ".nan")
    number = math.inf if special else float(_without_underscores(whole) + dot + _without_underscores(rest))
    if not math.isfinite(number):
        raise ValueError(f"{_shown(text)} is not a finite number")
    return number


def _without_underscores(text: str) -> str:
    if "_" in text and not _THOUSANDS.fullmatch(text):
        raise ValueError(f"{_shown(text)} is not a number; underscores may only separate thousands, as 1_000")
    return text.replace("_", "")


def _base_60(text: str) -> str:
    value = 0.0
    for part in text[:60].lstrip("+-").rstrip(":").split(":"):
        value = 60 * value + float(part.replace("_", ""))
    value = -value if text.startswith("-") else value
    return f'{_shown(text)} would be read as {value:g}; for a share write "1/3", not 1:3'


def _is_not_decimal(text: str) -> bool:
    return text.lstrip("+-")[:1] == "0" and bool(_LEADING_ZERO.fullmatch(text) or _OTHER_BASE.fullmatch(text))


def _not_decimal(text: str) -> str:
    digits = text.replace("_", "").lower()
    try:
        by_yaml = int(digits, 0 if _OTHER_BASE.fullmatch(text) else 8)
        read = f"would be read as {by_yaml}" if len(digits) < 20 else "is not a decimal number"
    except ValueError:  # 08
        read = "is not a decimal number"
    sign = "-" if digits.startswith("-") else ""
    decimal = sign + (digits.lstrip("+-0") or "0")
    plain = decimal if _LEADING_ZERO.fullmatch(text) else "it in decimals"
    return f'{_shown(text)} {read}; write {_shown(plain)}, or "{_shown(text)}" in quotes for a text'


def _day(text: str) -> datetime.date:
    try:
        return yaml.constructor.SafeConstructor().construct_yaml_timestamp(yaml.ScalarNode("", text))
    except (ValueError, OverflowError):  # 2025-02-30
        raise ValueError(_not_valid(text, "timestamp")) from None


def _not_valid(text: str, kind: str) -> str:
    return f'"{_shown(text)}" is not a valid {"date" if kind == "timestamp" else kind}'


def _no_tag(tag: str) -> str:
    shown = _shown(tag.replace(_TAG, "!!"))
    return f"not valid YAML: {shown} is not supported; write text, a number, a list or a mapping without it"


def _shown(text: str) -> str:
    return excerpt(text, MOST_SHOWN)


_TEXTS = ("str", "merge", "value")  # merge is <<, value is =
# by the last part of a tag
_VALUES: dict[str, Callable[[str], Any]] = {
    "null": lambda text: None,
    "bool": lambda text: text.lower() in ("yes", "true", "on"),
    "int": _whole_number,
    "float": _real_number,
    "timestamp": _day,
    "str": _text,
}
