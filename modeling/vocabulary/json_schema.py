"""The JSON schema of an experiment's files, for editors: every key with its type, bounds and meaning.

It is made from the classes of the vocabulary, in draft 7, which VS Code's YAML extension reads. What only
validators check, such as the names of compartments, is not in it: `invoke validate` has the last word.
"""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, NoDefault, models_json_schema
from pydantic_core import core_schema

from modeling.vocabulary.experiment import KINDS

# 1900-01-01 to 2200-12-31, also as a timestamp of midnight, as `Day` in base.py takes them
DATE = r"^(19[0-9]{2}|2[01][0-9]{2}|2200)-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([T ]00:00(:00)?)?$"
DATE_MEANT = "Write a date from 1900 to 2200, such as 2025-01-31."  # what VS Code shows
REFERENCE = "#/definitions/{model}"


def experiment_schema() -> dict[str, Any]:
    """Return the JSON schema of a file with one of the top-level keys of an experiment."""
    references, shared = models_json_schema(
        [(piece, "validation") for piece in KINDS.values()],
        ref_template=REFERENCE,
        schema_generator=_Generator,
    )
    sections = {kind: references[piece, "validation"] for kind, piece in KINDS.items()}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A file of an experiment",
        "description": f"One of the keys {', '.join(KINDS)}.",
        "type": "object",
        "properties": sections,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
        "definitions": {name: _tidy(piece) for name, piece in shared["$defs"].items()},
    }


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, with what the vocabulary's own validators accept and refuse."""

    def date_schema(self, schema: core_schema.DateSchema) -> JsonSchemaValue:
        return {"type": "string", "pattern": DATE, "patternErrorMessage": DATE_MEANT}

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        """Let a word that a validator reads before its type be written in any case: smc, SMC."""
        found = super().function_before_schema(schema)
        if "enum" not in found:
            return found
        return {"anyOf": [found, {"type": "string", "pattern": _in_any_case(found["enum"])}]}

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        return {"anyOf": super().tagged_union_schema(schema)["oneOf"]}

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        factory = schema.get("default_factory")
        if factory is None or schema.get("default_factory_takes_data"):
            return super().get_default_value(schema)
        return factory()

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        found = super().default_schema(schema)
        has_none = self.get_default_value(schema) in (None, NoDefault)
        return {key: value for key, value in found.items() if key != "default"} if has_none else found


def _in_any_case(words: list[str]) -> str:
    """Return a pattern without flags, which JSON schema does not have."""
    each = ["".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in word) for word in words]
    return f"^({'|'.join(each)})$"


def _tidy(node: Any) -> Any:
    """Return a part of the schema as an editor shows it best.

    Titles only repeat the keys; draft 7 ignores what is written beside a reference; and a value that may be
    missing has one type, "number" or "null", instead of two alternatives.
    """
    if isinstance(node, list):
        return [_tidy(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {key: _tidy(value) for key, value in node.items() if key not in ("title", *_UNTOUCHED)}
    found |= {key: read(node[key]) for key, read in _UNTOUCHED.items() if key in node}
    found = {key: found[key] for key in ("description",) if key in found} | found
    if "$ref" in found and len(found) > 1:
        found["allOf"] = [{"$ref": found.pop("$ref")}]
    options = found.get("anyOf", [])
    given = [option for option in options if option != {"type": "null"}]
    if len(given) == 1 and len(options) == 2 and "enum" not in given[0] and "type" in given[0]:
        del found["anyOf"]
        found |= {**given[0], "type": [given[0]["type"], "null"]}
    return found


# what holds no part of a schema, or holds parts by names that are the vocabulary's own
_UNTOUCHED = {
    "description": lambda text: " ".join(text.split()),
    "default": lambda value: value,
    "properties": lambda named: {key: _tidy(value) for key, value in named.items()},
}
