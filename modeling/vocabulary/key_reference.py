"""The page docs/experiment-keys.md: a table for each mapping of the vocabulary, with a row for each key.

It is made from the JSON schema of json_schema.py, which has all that is said about a key.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from modeling.vocabulary.json_schema import DATE

Schema = dict[str, Any]  # of a value: JSON schema, draft 7

HEAD = """\
# Every key of an experiment

Each file of an experiment has one top-level key: {kinds}.
[experiments.md](experiments.md) explains them. A key that is not required may be left out. X is a name that
the experiment chooses, [] an item of a list. `invoke docs` generates this page.
"""
SHARED = "\n## Mappings of several keys\n"
ROWS = "| key | type | default | meaning |\n|---|---|---|---|\n"
LARGE = 10**9  # a bound from here on only catches mistakes, so it is not shown
MOST_VALUES = 5  # of a default that is a list


@dataclass
class _Mapping:
    """A mapping of the vocabulary, and the places where an experiment may have it."""

    schema: Schema
    words: str  # "date parameter" of DateParameter
    paths: list[str] = field(default_factory=list)
    title: str = ""

    @property
    def keys(self) -> dict[str, Schema]:
        return self.schema.get("properties", {})

    @property
    def link(self) -> str:
        """The heading's anchor, as GitHub makes it."""
        return "#" + re.sub(r"[^\w -]", "", self.title).lower().replace(" ", "-")


def reference_page(schema: Schema) -> str:
    """Return docs/experiment-keys.md.

    Parameters
    ----------
    schema : dict
        As experiment_schema() returns it.
    """
    page = _Page(schema)
    kinds = [f"`{kind}`" for kind in schema["properties"]]
    mappings = page.mappings.values()
    own = [page.section(mapping) for mapping in mappings if len(mapping.paths) == 1]
    shared = [page.section(mapping) for mapping in mappings if len(mapping.paths) > 1]
    return "".join([HEAD.format(kinds=_either(kinds)), *own, *([SHARED, *shared] if shared else [])])


class _Page:
    """The mappings that have a table, in the order in which an experiment has them."""

    def __init__(self, schema: Schema):
        self.definitions: dict[str, Schema] = schema["definitions"]
        self.mappings: dict[str, _Mapping] = {}
        for kind, reference in schema["properties"].items():
            self._find(_name(reference), kind)
        paths = [mapping.paths[0] for mapping in self.mappings.values()]
        for mapping in self.mappings.values():
            path = mapping.paths[0]
            if len(mapping.paths) > 1:
                mapping.title = mapping.words.capitalize()
            else:
                mapping.title = f"`{path}`" + (f": {mapping.words}" if paths.count(path) > 1 else "")

    def _find(self, name: str, path: str) -> None:
        """Add a mapping and those in it, each with its paths."""
        if name not in self.mappings:
            words = " ".join(re.findall("[A-Z][a-z0-9]*", name)).lower()
            mapping = self.mappings[name] = _Mapping(self.definitions[name], words)
            for key, value in mapping.keys.items():
                for below, suffix in _references(value):
                    if self.definitions[below].get("properties"):
                        self._find(below, f"{path}.{key}{suffix}")
        self.mappings[name].paths.append(path)

    def section(self, mapping: _Mapping) -> str:
        """Return a mapping's heading, its meaning and its table."""
        level = "##" if "." not in mapping.paths[0] else "###"
        meaning = mapping.schema.get("description", "")
        required = mapping.schema.get("required", [])
        rows = (
            f"| `{key}` | {self._type(value)} | {'required' if key in required else _default(value)} "
            f"| {value.get('description', '')} |\n"
            for key, value in mapping.keys.items()
        )
        return f"\n{level} {mapping.title}\n\n" + (f"{meaning}\n\n" if meaning else "") + ROWS + "".join(rows)

    def _type(self, value: Schema, ending: str = "") -> str:
        """Return the type of a value in plain words; `ending` is "s" for several values."""
        return _either(list(dict.fromkeys(self._types(value, ending))))

    def _types(self, value: Schema, ending: str) -> Iterator[str]:
        """Yield the alternatives of a value: words, kinds of values, mappings."""
        options = [*value.get("anyOf", []), *value.get("allOf", [])]
        has_words = any("enum" in option for option in options)
        for option in options:
            if not (has_words and _is_pattern(option)):  # the words again, in any case
                yield from self._types(option, ending)
        if "$ref" in value:
            yield self._mapping(_name(value), ending)
        elif words := value.get("enum") or [each for each in [value.get("const")] if each is not None]:
            yield from (f"`{word}`" for word in words)
        else:
            kinds = value.get("type", [])
            for kind in [kinds] if isinstance(kinds, str) else kinds:
                yield from self._of_kind(kind, value, ending)

    def _of_kind(self, kind: str, value: Schema, ending: str) -> Iterator[str]:
        within = value.get("additionalProperties")
        if kind == "array":
            most = f", at most {value['maxItems']}" if "maxItems" in value else ""
            yield f"list{ending} of {self._type(value['items'], 's')}{most}"
        elif kind == "object":
            yield f"{self._type(within, 's')} by name" if isinstance(within, dict) else f"mapping{ending}"
        elif kind == "boolean":
            yield from ("`true`", "`false`")
        elif kind == "string":
            yield ("date" if value.get("pattern") == DATE else "text") + ending
        elif kind in ("number", "integer"):
            yield ("number" if kind == "number" else "whole number") + ending + _bounds(value)

    def _mapping(self, name: str, ending: str) -> str:
        if name not in self.mappings:
            return "any mapping" if self.definitions[name].get("additionalProperties") else "empty mapping"
        mapping = self.mappings[name]
        word = "mapping" if mapping.title == f"`{mapping.paths[0]}`" else mapping.words
        return f"[{word if word.endswith('s') else word + ending}]({mapping.link})"


def _references(value: Schema, suffix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the mappings that a value may be or hold, each with [] for a list and .X for a name."""
    if "$ref" in value:
        yield _name(value), suffix
    for option in [*value.get("anyOf", []), *value.get("allOf", [])]:
        yield from _references(option, suffix)
    for key, more in (("items", "[]"), ("additionalProperties", ".X")):
        if isinstance(value.get(key), dict):
            yield from _references(value[key], suffix + more)


def _name(reference: Schema) -> str:
    return reference["$ref"].rpartition("/")[2]


def _is_pattern(option: Schema) -> bool:
    return "pattern" in option and option["pattern"] != DATE


def _either(names: list[str]) -> str:
    """Return "a, b or c"."""
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _default(value: Schema) -> str:
    """Return a default as YAML has it; nothing for a mapping, whose keys have their own."""
    given = value.get("default")
    if given is None or isinstance(given, dict) or given == []:
        return ""
    if not isinstance(given, list):
        return f"`{_in_yaml(given)}`"
    texts = [_in_yaml(each) for each in given]
    if len(texts) > MOST_VALUES:
        return f"{len(texts)} values, `{texts[0]}` to `{texts[-1]}`"
    return f"`[{', '.join(texts)}]`"


def _in_yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bounds(value: Schema) -> str:
    """Return the narrow bounds of a number: " from 1 to 100", " above 0"."""
    words = {"minimum": "from", "exclusiveMinimum": "above", "exclusiveMaximum": "below"}
    words["maximum"] = "to" if "minimum" in value else "up to"
    shown = [
        f" {word} {value[key]:,.9f}".rstrip("0").rstrip(".")
        for key, word in words.items()
        if key in value and abs(value[key]) < LARGE
    ]
    return " and".join(shown) if "minimum" not in value else "".join(shown)
