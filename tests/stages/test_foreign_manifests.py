"""A manifest or list of inputs that does not belong to its run is refused by every stage."""

import csv
import hashlib
import json
import pickle
import shutil
import zlib
from pathlib import Path

import pytest

from modeling.workload import ForeignWorkload
from tests.forgeries import builder_file, change_manifest, forge, having, refused
from tests.in_process import ended
from tests.stage_scripts import Stages

# -- the list of inputs


def tables(stages: Stages) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in stages.outputs().glob("*.csv.gz")}


def without_list(stages: Stages) -> None:
    """Make a run one that was built before there was a list of its inputs."""
    builder_file(stages, "inputs.csv").unlink()
    path = builder_file(stages, "manifest.json")
    manifest = json.loads(path.read_text())
    del manifest["input_list_sha256"]
    path.write_text(json.dumps(manifest))


def test_the_list_of_inputs_has_the_place_and_parameter_set_of_each(run):
    with open(builder_file(run, "inputs.csv"), newline="") as file:
        rows = list(csv.DictReader(file))

    assert [(row["population"], row["set_index"], row["set_count"]) for row in rows] == [
        ("US-VT", "0", "2"),
        ("US-VT", "1", "2"),
    ]


def test_a_run_that_was_built_before_there_was_a_list_has_the_same_outputs(run):
    assert ended(run, "output")[0] == 0
    with_list = tables(run)
    shutil.rmtree(run.run_folder / "outputs")
    without_list(run)

    assert ended(run, "output")[0] == 0
    assert tables(run) == with_list

    forge(run, having(population="US-MA"))
    assert "its population is 'US-MA'" in refused(run, "output")
    builder_file(run, "input_0000.pkl").unlink()
    assert "input_0000.pkl: input missing; build the run again" in refused(run, "output")


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        (
            lambda data: data.replace(b"US-VT", b"US-MA"),
            "inputs.csv does not match builder-artifacts/manifest.json",
        ),
        (None, "inputs.csv: no such file"),
    ],
)
def test_a_list_of_inputs_that_is_not_the_one_built_is_refused(run, change, fragment):
    path = builder_file(run, "inputs.csv")
    path.write_bytes(change(path.read_bytes())) if change else path.unlink()

    assert fragment in refused(run, "output")


@pytest.mark.parametrize("place", ["../evil", "a/b", "", ".", "a\nb", "a\x1b[31m", "x" * 300, "c:d"])
def test_a_place_of_the_list_that_cannot_be_a_file_is_refused(run, place):
    path = builder_file(run, "inputs.csv")
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    rows[1][0] = place
    with open(path, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    change_manifest(run, input_list_sha256=hashlib.sha256(path.read_bytes()).hexdigest())

    assert "inputs.csv: not a list of the inputs (" in refused(run, "output")


def test_an_input_of_another_suite_is_not_run_in_a_run_of_the_built_in_one(run):
    path, digests = builder_file(run, "input_0000.pkl"), builder_file(run, "inputs.sha256")
    evil = ForeignWorkload(0, 0, "US-VT", "epymodelingsuite", b"anything")
    path.write_bytes(zlib.compress(pickle.dumps(evil, protocol=5)))
    lines = [hashlib.sha256(path.read_bytes()).hexdigest(), digests.read_text().split()[1]]
    digests.write_text("".join(f"{line}\n" for line in lines))
    change_manifest(run, inputs_sha256=hashlib.sha256(digests.read_bytes()).hexdigest())

    line = refused(run, "runner", TASK_INDEX=0, FORCE=1)

    assert "input 0 of suite epymodelingsuite, where" in line


# -- the manifest, the digests and the list of what is pending

MANIFESTS = {
    "another run": (
        {"run_id": "20250101-120000-ffffffff"},
        "is of run 20250101-120000-ffffffff of trial, not of",
    ),
    "another experiment": ({"exp_id": "flu"}, "is of run 20250201-120000-0a1b2c3d of flu, not of"),
    "an experiment that climbs": ({"exp_id": "../../evil"}, "not a manifest: exp_id is"),
    "no run": ({"run_id": None}, "not a manifest: run_id is None"),
    "fewer inputs": ({"num_workloads": 1, "num_pending": 1}, "has 2 lines, but"),
    "more inputs": ({"num_workloads": 3}, "(num_workloads); build the run again"),
    "inputs without end": ({"num_workloads": 10**18}, "not a manifest: num_workloads is"),
    "more pending than there are": ({"num_pending": 3}, "not a manifest: num_pending is 3 of 2"),
    "a flag for a number": ({"workloads_per_task": True}, "not a manifest: workloads_per_task is True"),
    "a list for a seed": ({"seed": [1]}, "not a manifest: seed is [1]"),
    "a suite that is none": ({"suite": ["built-in"]}, "not a manifest: suite is"),
    "digests that are none": ({"inputs_sha256": "0"}, "not a manifest: inputs_sha256 is"),
    "other digests": (
        {"inputs_sha256": "0" * 64},
        "inputs.sha256 does not match builder-artifacts/manifest.json",
    ),
    "a path for what is pending": ({"pending": "../evil.txt"}, "not a manifest: pending is"),
    "another format": ({"format": 2}, "format 2 is not 1"),
    "one field more": ({"surprise": 1}, "not a manifest"),
}


@pytest.mark.parametrize("stage", ["builder", "runner", "output"])
@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_does_not_belong_to_its_run_is_refused_by_every_stage(run, name, stage):
    changes, fragment = MANIFESTS[name]
    change_manifest(run, **changes)

    line = refused(run, stage, TASK_INDEX=0, FORCE=1)

    assert fragment in line
    assert "run again" in line or "a new run" in line
    assert not (run.run_folder / "outputs").exists()


@pytest.mark.parametrize("depth", [100_000, 500])
def test_a_manifest_that_is_nested_is_refused(run, depth):
    builder_file(run, "manifest.json").write_text("[" * depth + "]" * depth)

    assert "not a manifest: " in refused(run, "runner", TASK_INDEX=0)


def test_a_prefix_that_was_chosen_may_be_of_another_run(run):
    home = run.run_folder.relative_to(run.folder / "bucket").as_posix()
    other = "20250909-120000-ffffffff"

    code, said = ended(run, "output", RUN_ID=other, IN_PREFIX=home)

    assert code == 0, said
    moved = run.run_folder.with_name("moved")
    run.run_folder.rename(moved)
    assert "is of run" in refused(run, "output", RUN_ID=other, IN_PREFIX="trial/moved")


def pending_file(stages: Stages) -> Path:
    return builder_file(stages, stages.manifest()["pending"])


@pytest.mark.parametrize(
    "lines",
    [b"0\n", b"0\n0\n", b"1\n0\n", b"0\n9\n", b"0\n1", b"00001\n", b"a\nb\n", "1\n²\n".encode(), b"\xff\n"],
)
@pytest.mark.parametrize("is_renamed", [False, True])
def test_what_is_pending_must_be_what_the_name_of_its_file_says(run, lines, is_renamed):
    path = pending_file(run)
    path.write_bytes(lines)
    if is_renamed:
        path = path.rename(path.with_name(f"pending-{hashlib.sha256(lines).hexdigest()[:8]}.txt"))
        change_manifest(run, pending=path.name)

    line = refused(run, "runner", BATCH_TASK_INDEX=1)

    assert path.name in line
    assert "run stage A (builder) again" in line


def test_a_job_with_a_pending_file_that_was_changed_is_refused(run):
    path = pending_file(run)
    path.write_bytes(b"1\n")

    assert "does not match the digest in its name" in refused(
        run, "runner", BATCH_TASK_INDEX=0, PENDING_FILE=path.name
    )
