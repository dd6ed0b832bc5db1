"""What a YAML file may hold: anything that would be read as something else than it looks like is refused."""

import subprocess
import sys
import time
from contextlib import nullcontext
from datetime import date

import pytest

from modeling.failures import UserError
from modeling.vocabulary.yaml_source import MOST_BYTES, read_yaml
from ops.environment import read_settings
from ops.failures import UserError as OperatorError
from ops.run_request import RunRequest
from ops.runs.uploads import output_file
from tests.experiments import REPOSITORY, simulated, write_repository
from tests.stage_scripts import Stages


def read(folder, text: str | bytes):
    file = folder / "model.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(file).data


REFUSED = {
    "base 8": ("a: 0150", 'model.yaml:1: 0150 would be read as 104; write 150, or "0150" in quotes'),
    "base 8, negative": ("a: -0150", "-0150 would be read as -104; write -150"),
    "base 8, of one digit": ("a: 07", "07 would be read as 7; write 7"),
    "base 8 by its tag": ("a: !!int 0150", "0150 would be read as 104"),
    "base 8 of YAML 1.2": ("a: 0o150", "0o150 would be read as 104"),
    "nearly base 8": ("a: 089", "089 is not a decimal number; write 89"),
    "base 16": ("a: 0x10", "0x10 would be read as 16"),
    "base 2": ("a: 0b11", "0b11 would be read as 3"),
    "base 60": ("a: -1:30", "-1:30 would be read as -90"),
    "base 60 without end": ("a: " + "1:" * 9_999 + "1", "would be read as"),
    "underscores that part no thousands": ("a: 1_0", "underscores may only separate thousands"),
    "30 digits": ("a: " + "9" * 30, "too large a number"),
    "5000 digits": ("a: " + "9" * 5_000, "too large a number"),
    "a power of 400": ("a: 1.0e+400", "not a finite number"),
    "no number": ("a: !!int x", '"x" is not a valid int'),
    "no boolean": ("a: !!bool x", '"x" is not a valid bool'),
    "no null": ("a: !!null x", '"x" is not a valid null'),
    "no date": ("a: !!timestamp x", '"x" is not a valid date'),
    "no day": ("a: 2025-02-30", '"2025-02-30" is not a valid date'),
    "bytes": ("a: !!binary aGVsbG8=", "!!binary is not supported"),
    "a set": ("a: !!set {x, y}", "!!set is not supported"),
    "an ordered mapping": ("a: !!omap [x: 1]", "!!omap is not supported"),
    "an object": ("a: !!python/object/apply:os.system [ls]", "!!python/object/apply:os.system is not"),
    "a tag of one's own": ("a: !mine [1]", "!mine is not supported"),
    "half a surrogate pair": ('a:\n  "\\ud800": 1', "model.yaml:2: not valid YAML"),
    "an escaped NUL": ('a:\n- "x\\0"', "model.yaml:2: the text contains control character U+0000"),
    "an escape sequence": ('"\\e[31m": 1', "U+001B"),
    "a line separator": ('a: "x\\Ly"', "U+2028"),
    "a NUL": ("a: 1\nb: \0", "model.yaml:2: not valid YAML: control character U+0000"),
    "a tab": ("a:\n\tb: 1", "model.yaml:2: not valid YAML: '\\t' is not allowed here; indent with spaces"),
    "a key too far left": (
        "a:\n   b: 1\n  c: 2",
        "model.yaml:3: not valid YAML: did not find expected key; check the indentation",
    ),
    "a key too far right": (
        "a:\n  b: 1\n   c: 2",
        "model.yaml:3: not valid YAML: mapping values are not allowed",
    ),
    "a colon in text": ("a: b: c", 'text that contains ": " needs quotes'),
    "an item too far left": ("a:\n  - b: 1\n  c: 3", "expected '-' indicator; check the indentation"),
    "UTF-16": ("a: 1".encode("utf-16"), "model.yaml: the text is UTF-16; save the file as UTF-8"),
    "UTF-16 without a mark": ("a: 1".encode("utf-16-le"), "is UTF-16"),
    "UTF-32": ("a: 1".encode("utf-32"), "the text is UTF-32"),
    "Latin-1": ("a: 1\nb: é".encode("latin-1"), "model.yaml:2: not valid UTF-8 (byte 0xe9)"),
    "a yes as a key": ("on: 1", "YAML reads this key as true"),
    "a date as a key": ("2025-01-01: 1", "a key must be a plain word"),
    "a list as a key": ("? [a]\n: b", "a key must be a plain word"),
    "nothing as a key": ("~: 1", "a key must be a plain word"),
    "a key twice": ("a: 1\nb: 2\na: 3", 'model.yaml:3: duplicate key "a"'),
    "a merge of no mapping": ("a:\n  <<: 3", "model.yaml:2: << takes a mapping"),
    "two merges": ("a: &x {b: 1}\nc:\n  <<: *x\n  <<: *x", 'model.yaml:4: duplicate key "<<"'),
    "an anchor that is none": ("a: *x", "*x refers to an anchor that is not before it"),
    "an anchor in itself": ("a: &x {b: [*x]}", "an anchor contains itself"),
    "an anchor merged into itself": ("a: &x {<<: *x}", "an anchor contains itself"),
    "two documents": ("a: 1\n---\nb: 2", "model.yaml:2: another document"),
    "lists in lists": ("a: " + "[" * 100_000, "nested too deeply"),
    "mappings in mappings": ("{a: " * 100_000, "nested too deeply"),
    "merges that multiply": (
        "b: {<<: [&a0 {x: 1}"
        + "".join(f", &a{i} {{<<: *a{i - 1}, k{i}: 1}}" for i in range(1, 2_000))
        + "]}",
        "more than 400000 keys",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_yaml_would_read_as_something_else_is_refused_with_its_line(tmp_path, name):
    text, message = REFUSED[name]

    with pytest.raises(UserError) as caught:
        read(tmp_path, text)

    assert message in str(caught.value)
    assert str(caught.value).isprintable()  # one line, and no control characters


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 150", 150),
        ("a: -0", 0),
        ("a: 0.5", 0.5),
        ("a: .5", 0.5),
        ("a: 00.5", 0.5),
        ("a: 1_000_000", 1_000_000),
        ("a: 1.0e+3", 1000.0),
        ("a: 9223372036854775807", 2**63 - 1),
        ('a: "0150"', "0150"),
        ("a: !!str 0150", "0150"),
        ("a: !!float 5", 5.0),
        ("a: 0-4", "0-4"),
        ("a: 2025-01-31", date(2025, 1, 31)),
        ("a: 1/3", "1/3"),
        ("\ufeffa: é", "é"),
        ("---\na: x\n...\n", "x"),
    ],
)
def test_numbers_dates_and_text_are_read_as_they_look(tmp_path, text, value):
    assert read(tmp_path, text) == {"a": value}


def test_the_own_keys_of_a_mapping_replace_those_it_merges(tmp_path):
    text = """
base: &base {type: scalar, value: 1}
other: &other {value: 2, note: x}
own: {<<: *base, value: 3}
both: {value: 4, <<: [*base, *other, *base]}
first: {<<: [*other, *base]}
"""
    found = read(tmp_path, text)

    assert found["own"] == {"type": "scalar", "value": 3}
    assert found["both"] == {"type": "scalar", "value": 4, "note": "x"}
    assert found["first"] == {"type": "scalar", "value": 2, "note": "x"}
    lines = read_yaml(tmp_path / "model.yaml").lines
    assert [lines[("own", key)] for key in ("type", "value")] == [2, 4]


LONG = {
    "comments": ("# a comment\n" * (MOST_BYTES // 12), nullcontext()),
    "keys": ("a:\n" + "".join(f"  key{i:07}: value\n" for i in range(MOST_BYTES // 20 - 1)), nullcontext()),
    "one text": ("a: " + "x" * (MOST_BYTES - 3), nullcontext()),
    "one number": ("a: " + "1" * (MOST_BYTES - 3), pytest.raises(UserError, match="too large a number")),
    "ones": ("[" + "1," * (MOST_BYTES // 2 - 1) + "]", pytest.raises(UserError, match="more than 400000")),
}


@pytest.mark.parametrize("name", LONG)
def test_a_file_of_5_mb_is_read_or_refused_within_5_seconds(tmp_path, name):
    text, outcome = LONG[name]
    began = time.process_time()

    with outcome:
        read(tmp_path, text)

    assert time.process_time() - began < 5


def test_a_file_over_5_mb_is_refused_unread(tmp_path):
    with pytest.raises(UserError, match=r"model.yaml: larger than 5 MB"):
        read(tmp_path, "[" + "x" * MOST_BYTES)  # not even valid


@pytest.mark.parametrize("value", ["0150", "!!timestamp foo", '"\\ud800"', "9" * 400])
def test_the_check_refuses_a_file_with_one_line(tmp_path, value):
    stages = Stages(tmp_path, simulated())
    write_repository(tmp_path / "forecast", simulated())
    model = stages.config / "model.yaml"
    model.write_text(model.read_text().replace("random_seed: 11", f"random_seed: {value}"))

    ended = subprocess.run(
        [sys.executable, str(REPOSITORY / "scripts" / "check_experiment.py")],
        env=stages.environment(FORECAST_REPO_DIR=tmp_path / "forecast"),
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 2
    [line] = (ended.stdout + ended.stderr).splitlines()
    assert "model.yaml:2: " in line


@pytest.mark.parametrize(
    "value", ["!!timestamp x", '!!int ""', "!!bool x", "[" * 5_000, '"\\ud800', "1" * 5_000]
)
def test_an_output_yaml_for_the_cloud_that_cannot_be_read_is_refused(tmp_path, value):
    file = tmp_path / "other.yaml"
    file.write_text(f"output: {value}\n")
    request = RunRequest(exp_id="trial", output_config_file=str(file))

    with pytest.raises(OperatorError, match=r"other.yaml: cannot be read as YAML \(.+\)"):
        output_file(read_settings({}), request, is_resumed=True)
