"""A file that is no part of an experiment is refused by its name."""

import pytest

from tests.bending import problems_in
from tests.experiments import simulated, write_repository

BROKEN_FILES = {
    "a list left open": ("model.yaml", "model: [1,\n", ["model.yaml:2:", "not valid YAML"]),
    "a tab": ("model.yaml", "model:\n\ttimespan: 1\n", ["model.yaml:2:", "not valid YAML", "'\\t'"]),
    "a key twice": (
        "model.yaml",
        "model:\n  name: a\n  name: b\n",
        ["model.yaml:3:", 'duplicate key "name"'],
    ),
    "no such day": (
        "model.yaml",
        "model:\n  name: 2025-02-30\n",
        ["model.yaml:2:", '"2025-02-30" is not a valid date'],
    ),
    "two documents": ("model.yaml", "model: {}\n---\nmodel: {}\n", ["model.yaml:2:", "another document"]),
    "a byte that is no text": ("model.yaml", "model: \x00\n", ["model.yaml:", "not valid YAML"]),
    "an object of Python": (
        "model.yaml",
        "model: !!python/name:os.system\n",
        ["model.yaml:1:", "not valid YAML"],
    ),
    "an anchor in itself": (
        "model.yaml",
        "model: &a {x: *a}\n",
        ["model.yaml:", "an anchor contains itself"],
    ),
    "depth": ("model.yaml", f"model: {'[' * 3000}{']' * 3000}\n", ["model.yaml:", "nested too deeply"]),
    "anchors that multiply": (
        "model.yaml",
        "model:\n  a0: &a0 [1, 1]\n"
        + "".join(f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)),
        ["model.yaml:", "more than 400000 keys"],
    ),
    "two files of one kind": (
        "other.yml",
        "model: {}\n",
        ["other.yml and model.yaml both have the key", "keep one of them"],
    ),
    "a file of no kind": (
        "extra.yaml",
        "modl: {}\n",
        ["extra.yaml:", "model, modelset or output", 'found modl (did you mean "model"?)'],
    ),
    "a file with two kinds": (
        "extra.yaml",
        "modelset: {}\noutput: {}\n",
        ["extra.yaml: modelset, output in one file; put each into a file of its own"],
    ),
    "an empty file": ("extra.yaml", "", ["extra.yaml:", "found nothing"]),
    "an empty model": ("model.yaml", "model:\n", ["model.yaml:1:", "should be a mapping"]),
}


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_file_that_is_no_part_of_an_experiment_is_told_by_name(tmp_path, name):
    file, text, fragments = BROKEN_FILES[name]
    config = write_repository(tmp_path, simulated())
    (config / file).write_text(text)

    problems = problems_in(config)

    for fragment in fragments:
        assert fragment in problems[0]
