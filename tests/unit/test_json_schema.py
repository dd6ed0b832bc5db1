"""The JSON schema for editors agrees with the vocabulary that stage A reads."""

import copy
import datetime
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from modeling.vocabulary.base import Piece
from modeling.vocabulary.experiment import KINDS
from modeling.vocabulary.json_schema import experiment_schema
from modeling.vocabulary.yaml_source import read_yaml
from tests.constructs import CONSTRUCTS
from tests.experiments import EXAMPLES, REPOSITORY, calibrated, sampled, simulated
from tests.fuzzing.mutants import Change, Place, changed, leaves
from tests.json_schemas import refusals

SCHEMA = experiment_schema()
EXPERIMENTS = {"simulation": simulated, "sampling": sampled, "calibration": calibrated} | CONSTRUCTS
EVERY_KEY = ["all changes", "sampled start", "calibrated start", "every table"]
VALUES = [
    0,
    1,
    -1,
    0.5,
    2.0,
    10**16,
    True,
    None,
    "x",
    "1/3",
    "US-VT",
    "SMC",
    "lhs",
    "2025-01-31",
    "1899-12-31",
]
VALUES += [
    "2025-01-31 00:00",
    "2025-01-31T10:00:00",
    "2025-13-01",
    "true",
    [],
    ["x"],
    [1, 2],
    {},
    {"odd": []},
]
# other spellings that stage A takes and an editor marks, and the plain ones
PLAIN = {"true": True, "0.5": 0.5, 0: False, 1: True}


def documents(experiment: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the files of an experiment as an editor reads them."""
    return [{kind: content} for kind, content in experiment.items()]


def as_read_by_editors(value: Any) -> Any:
    """Return plain data with dates as text, since YAML 1.2 has no dates."""
    if isinstance(value, dict):
        return {key: as_read_by_editors(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_read_by_editors(each) for each in value]
    return str(value) if isinstance(value, datetime.date) else value


def with_value(document: dict[str, Any], place: Place, value: Any) -> tuple[dict[str, Any], list[str]]:
    """Return a file with another value at one place, and what an editor marks in it."""
    bent = changed(document, Change(place, "put", copy.deepcopy(value)))
    return bent, list(refusals(bent, SCHEMA))


def is_taken(document: dict[str, Any]) -> bool:
    """Return whether the types of the vocabulary take a file."""
    try:
        for kind, content in document.items():
            KINDS[kind].model_validate(content)
    except ValidationError:
        return False
    return True


def pieces(above: type[Piece] = Piece) -> Iterator[type[Piece]]:
    """Yield the classes of the vocabulary, from which no other is derived."""
    below = [each for each in above.__subclasses__() if each.__module__.startswith("modeling.")]
    if not below:
        yield above
    for each in below:
        yield from pieces(each)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_that_stage_a_takes_has_no_marks_in_an_editor(name):
    files = documents(EXPERIMENTS[name]())
    assert all(map(is_taken, files))

    found = [line for each in files for line in refusals(each, SCHEMA)]

    assert found == []


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("experiments/*/config/*.yaml")), ids=lambda p: p.name)
def test_an_example_has_no_marks_in_an_editor(path):
    assert list(refusals(as_read_by_editors(read_yaml(path).data), SCHEMA)) == []


@pytest.mark.parametrize("name", EVERY_KEY)
def test_a_value_that_stage_a_takes_is_not_marked_wherever_it_is(name):
    wrong, marked = [], 0
    for document in documents(CONSTRUCTS[name]()):
        for place, _ in leaves(document):
            for value in VALUES:
                bent, lines = with_value(document, place, value)
                marked += bool(lines)
                if lines and is_taken(bent):
                    is_odd = isinstance(value, (str, int)) and value in PLAIN
                    if not is_odd or with_value(document, place, PLAIN[value])[1]:
                        wrong.append((place, value, lines))

    assert wrong == []
    assert marked > 500


@pytest.mark.parametrize("name", EVERY_KEY)
def test_a_mapping_in_place_of_a_value_is_marked(name):
    for document in documents(CONSTRUCTS[name]()):
        for place, _ in leaves(document):
            bent, lines = with_value(document, place, {"odd": []})
            assert is_taken(bent) == (not lines), place


def test_the_keys_are_those_of_the_classes():
    written = {name: set(piece["properties"]) for name, piece in SCHEMA["definitions"].items()}

    assert written == {piece.__name__: set(piece.model_fields) for piece in pieces()}


def test_an_unknown_key_is_marked_in_every_mapping_but_the_notes():
    takes_any = {name for name, each in SCHEMA["definitions"].items() if each["additionalProperties"]}

    assert takes_any == {"Meta"}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"models": {}},
        {"output": {}, "modelset": {"population_names": ["US-VT"]}},
        {"model": {"timespan": {}}},
    ],
    ids=["nothing", "another key", "two keys", "keys missing"],
)
def test_a_file_without_one_whole_top_level_key_is_marked(document):
    assert list(refusals(document, SCHEMA))
    assert not list(refusals({"output": {}}, SCHEMA))


def test_the_written_file_is_json_of_draft_7():
    path = REPOSITORY / "modeling" / "vocabulary" / "experiment.schema.json"

    written = json.loads(path.read_text(encoding="utf-8"))

    assert written["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert list(written["properties"]) == ["model", "modelset", "output", "forecast"]


def test_every_key_has_a_description():
    missing = {
        f"{piece.__name__}.{key}"
        for piece in pieces()
        for key, value in piece.model_fields.items()
        if not value.description
    }

    assert missing == set()
