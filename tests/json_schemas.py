"""What a JSON schema of draft 7 refuses, for the words that the schema of an experiment uses.

Any other word is an error, so that no rule of the schema goes unread.
"""

import re
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "number": (int, float),
    "integer": (int, float),
}
ABOUT = {"$schema", "title", "description", "default", "definitions", "patternErrorMessage"}  # no rules
BOUNDS = {
    "minimum": lambda value, bound: value >= bound,
    "maximum": lambda value, bound: value <= bound,
    "exclusiveMinimum": lambda value, bound: value > bound,
    "exclusiveMaximum": lambda value, bound: value < bound,
}
SIZES = {
    "minItems": (list, lambda value, bound: len(value) >= bound),
    "maxItems": (list, lambda value, bound: len(value) <= bound),
    "minProperties": (dict, lambda value, bound: len(value) >= bound),
    "maxProperties": (dict, lambda value, bound: len(value) <= bound),
}


def refusals(value: Any, schema: Schema, root: Schema | None = None, at: str = "") -> Iterator[str]:
    """Yield a line for each rule of a schema that a value breaks."""
    root = root or schema
    if "$ref" in schema:
        assert set(schema) == {"$ref"}, f"draft 7 ignores what is beside a reference: {schema}"
        yield from refusals(value, root["definitions"][schema["$ref"].rpartition("/")[2]], root, at)
        return
    for word, rule in schema.items():
        if word == "anyOf":
            if all(list(refusals(value, option, root, at)) for option in rule):
                yield f"{at}: {value!r} is none of the alternatives"
        elif word == "allOf":
            for option in rule:
                yield from refusals(value, option, root, at)
        elif word in ("properties", "additionalProperties", "items"):
            yield from _within(value, word, schema, root, at)
        elif word not in ABOUT and not _keeps(value, word, rule):
            yield f"{at}: {value!r} breaks {word} {rule!r}"


def _within(value: Any, word: str, schema: Schema, root: Schema, at: str) -> Iterator[str]:
    rule = schema[word]
    if word == "items":
        for index, each in enumerate(value if isinstance(value, list) else []):
            yield from refusals(each, rule, root, f"{at}[{index}]")
        return
    known = schema.get("properties", {})
    for key, each in value.items() if isinstance(value, dict) else ():
        if word == "properties" and key in known:
            yield from refusals(each, known[key], root, f"{at}.{key}")
        elif word == "additionalProperties" and key not in known:
            if rule is False:
                yield f"{at}: unknown key {key!r}"
            elif rule is not True:
                yield from refusals(each, rule, root, f"{at}.{key}")


def _keeps(value: Any, word: str, rule: Any) -> bool:
    """Return whether a value keeps a rule that needs no other schema."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if word in BOUNDS:
        return not is_number or BOUNDS[word](value, rule)
    if word in SIZES:
        kind, keeps = SIZES[word]
        return not isinstance(value, kind) or keeps(value, rule)
    if word == "type":
        return any(_is_of(value, kind) for kind in ([rule] if isinstance(rule, str) else rule))
    if word == "enum":
        return value in rule
    if word == "const":
        return value == rule
    if word == "pattern":
        return not isinstance(value, str) or re.search(rule, value) is not None
    if word == "required":
        return not isinstance(value, dict) or set(rule) <= set(value)
    raise AssertionError(f"no rule of these tests: {word}")


def _is_of(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, KINDS[kind]) and (kind != "integer" or value == int(value))
