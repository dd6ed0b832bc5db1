"""Stages B and C refuse a run that somebody has touched in one line, and run no code of it."""

import hashlib
import json
import pickle
import shutil
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.packing import pack
from tests.bending import (
    SAMPLING,
    put,
)
from tests.experiments import (
    sampled,
)
from tests.forgeries import MAGIC, OLD_MAGIC, put_packed, result_in
from tests.hostile_pickles import Touch, packed, touch_through_ours
from tests.stage_scripts import Stages, refused


def two_values() -> dict:
    experiment = sampled()
    put(*SAMPLING, "parameters", "R0", "values", [1.2, 1.6])(experiment)
    return experiment


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """A run of two inputs, built and simulated once; each test works on a copy."""
    stages = Stages(tmp_path_factory.mktemp("finished"), two_values())
    for ended in (
        stages.run("builder"),
        stages.run("runner", TASK_INDEX=0),
        stages.run("runner", TASK_INDEX=1),
    ):
        assert ended.exit_code == 0, ended.output
    return stages.folder


@pytest.fixture
def run(finished_run, tmp_path):
    """The finished run, copied."""
    shutil.copytree(finished_run / "bucket", tmp_path / "bucket")
    return Stages(tmp_path, two_values())


@pytest.fixture
def built(run):
    """The run before its stage B."""
    shutil.rmtree(run.run_folder / "runner-artifacts")
    return run


def no_results(stages: Stages) -> bool:
    return not list(stages.run_folder.glob("runner-artifacts/*"))


@pytest.mark.parametrize(
    ("variables", "fragment"),
    [
        ({"TASK_INDEX": 2}, "TASK_INDEX=2: builder-artifacts/manifest.json names the inputs 0 to 1"),
        ({"TASK_INDEX": "first"}, 'TASK_INDEX="first": a whole number from 0'),
        ({"TASK_INDEX": -1}, 'TASK_INDEX="-1"'),
        ({}, "neither TASK_INDEX nor BATCH_TASK_INDEX is set; set TASK_INDEX=0"),
        ({"BATCH_TASK_INDEX": 2}, "names 2 tasks"),
        (
            {"TASK_INDEX": 0, "RUN_ID": "20250201-120000-ffffffff"},
            "no such manifest; run stage A (builder) first",
        ),
    ],
)
def test_a_runner_with_a_wrong_task_writes_nothing(built, variables, fragment):
    line = refused(built.run("runner", **variables))

    assert fragment in line
    assert no_results(built)


def rewrite_digest(stages: Stages, data: bytes) -> None:
    """Make inputs.sha256 and the manifest agree with another first input."""
    digests = stages.run_folder / "builder-artifacts" / "inputs.sha256"
    digests.write_bytes(hashlib.sha256(data).hexdigest().encode() + digests.read_bytes()[64:])
    manifest = digests.with_name("manifest.json")
    changed = {"inputs_sha256": hashlib.sha256(digests.read_bytes()).hexdigest()}
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changed))


@pytest.mark.parametrize("change", ["cut short", "changed", "emptied", "missing"])
def test_a_runner_refuses_an_input_that_is_not_the_one_built(built, change):
    path = built.run_folder / "builder-artifacts" / "input_0000.pkl"
    data = path.read_bytes()
    changes = {"cut short": data[:-9], "changed": data[:-9] + b"123456789", "emptied": b""}
    path.write_bytes(changes[change]) if change in changes else path.unlink()

    line = refused(built.run("runner", TASK_INDEX=0))

    assert "input_0000.pkl" in line
    assert "build the run again under a new RUN_ID" in line
    assert no_results(built)


def test_a_runner_unpickles_nothing_before_it_knows_the_digest(built, tmp_path):
    evil = packed(Touch(tmp_path / "touched"))
    (built.run_folder / "builder-artifacts" / "input_0000.pkl").write_bytes(evil)
    pickle.loads(zlib.decompress(packed(Touch(tmp_path / "proof")))).close()

    line = refused(built.run("runner", TASK_INDEX=0))

    assert (tmp_path / "proof").exists()
    assert "does not match builder-artifacts/inputs.sha256" in line
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "make", [lambda path: packed(Touch(path)), touch_through_ours], ids=["a builtin", "our module"]
)
def test_an_input_runs_no_code_even_where_its_digest_was_changed_too(built, tmp_path, make):
    evil = make(tmp_path / "touched")
    (built.run_folder / "builder-artifacts" / "input_0000.pkl").write_bytes(evil)
    rewrite_digest(built, evil)

    line = refused(built.run("runner", TASK_INDEX=0))

    assert "not ours" in line
    assert not (tmp_path / "touched").exists()
    assert no_results(built)


@pytest.mark.parametrize(
    "data",
    [b"hello", packed({"a": 1})[:-4], zlib.compress(b"hello"), packed({"a": 1})],
    ids=["no archive", "an archive cut short", "no record", "another record"],
)
def test_an_input_that_is_no_workload_is_told_even_where_its_digest_agrees(built, data):
    (built.run_folder / "builder-artifacts" / "input_0000.pkl").write_bytes(data)
    rewrite_digest(built, data)

    line = refused(built.run("runner", TASK_INDEX=0))

    assert "build the run again" in line


@pytest.mark.parametrize("change", ["changed", "cut short", "missing"])
def test_a_runner_refuses_digests_that_were_touched(built, change):
    digests = built.run_folder / "builder-artifacts" / "inputs.sha256"
    data = digests.read_bytes()
    changes = {"changed": b"0" * 64 + data[64:], "cut short": data[:40]}
    digests.write_bytes(changes[change]) if change in changes else digests.unlink()

    line = refused(built.run("runner", TASK_INDEX=0))

    assert "inputs.sha256" in line
    assert no_results(built)


@pytest.mark.parametrize(
    "change",
    [lambda m: m[:30], lambda m: b"[]", lambda m: m.replace(b": 2", b': "two"')],
    ids=["cut short", "a list", "words for numbers"],
)
def test_a_manifest_that_is_none_is_told(built, change):
    path = built.run_folder / "builder-artifacts" / "manifest.json"
    path.write_bytes(change(path.read_bytes()))

    line = refused(built.run("runner", TASK_INDEX=0))

    assert "manifest.json: not a manifest" in line
    assert "build the run again" in line


def digest_of(index: int, stages: Stages) -> bytes:
    return (stages.run_folder / "builder-artifacts" / "inputs.sha256").read_bytes().split()[index]


def result_file(record: bytes, stages: Stages, index: int = 0) -> bytes:
    """Return a result file of an input whose header agrees with any packed record."""
    header = {
        "index": index,
        "input_sha256": digest_of(index, stages).decode(),
        "packed_sha256": hashlib.sha256(record).hexdigest(),
    }
    whole = (stages.run_folder / "runner-artifacts" / "result_0000.pkl").read_bytes()
    return whole[: whole.index(b"\n") + 1] + json.dumps(header).encode() + b"\n" + record


DAMAGED = {
    "missing": (None, "no result; its task has not run"),
    "emptied": (lambda data, run: b"", "cut short, before its header"),
    "cut short in its first line": (lambda data, run: data[:9], "cut short, before its header"),
    "cut short": (lambda data, run: data[:-50], "cut short or changed"),
    "cut short in the header": (lambda data, run: data[:60], "its header cannot be read"),
    "changed": (lambda data, run: data[:-9] + b"123456789", "cut short or changed"),
    "of another input": (
        lambda data, run: (run.run_folder / "runner-artifacts" / "result_0001.pkl").read_bytes(),
        "made from another input",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_an_output_stage_removes_a_damaged_result_and_publishes_nothing(run, name):
    change, fragment = DAMAGED[name]
    path = run.run_folder / "runner-artifacts" / "result_0000.pkl"
    path.write_bytes(change(path.read_bytes(), run)) if change else path.unlink()

    line = refused(run.run("output"))

    assert "1 of 2 results are missing or wrong (US-VT, parameter set 0 of 2 (input 0)); input 0: " in line
    assert fragment in line
    assert "ALLOW_PARTIAL_RESULTS=1" in line
    assert not path.exists()
    assert not (run.run_folder / "outputs").exists()
    assert not (run.run_folder / "run_metadata.json").exists()


def without_a_field(data: bytes, run: Stages) -> bytes:
    result = result_in(data)
    vars(result.trajectories).pop("transitions")
    return result_file(pack(result), run, 1)


def with_changes(**changes) -> Callable[[bytes, Stages], bytes]:
    """Return a function that changes a result and packs it as whole as any."""

    def change(data: bytes, run: Stages) -> bytes:
        return result_file(pack(replace(result_in(data), **changes)), run, 1)

    return change


def with_names(old: bytes, new: bytes) -> Callable[[bytes, Stages], bytes]:
    """Return a function that gives a module or class another name, as long as its own, in a result."""

    def change(data: bytes, run: Stages) -> bytes:
        table, rest = data.split(b"\n", 3)[2:]
        length = json.loads(table)["record"]
        record = zlib.decompress(rest[:length])
        assert len(old) == len(new)
        assert old in record
        changed = zlib.compress(record.replace(old, new), 1)
        table = json.dumps(json.loads(table) | {"record": len(changed)}).encode()
        return result_file(table + b"\n" + changed + rest[length:], run, 1)

    return change


FOREIGN = {
    "first line": (
        lambda data, run: data.replace(b"result 2\n", b"result 3\n", 1),
        "its first line differs",
    ),
    "header": (lambda data, run: data.replace(b"packed_sha256", b"packed_sha512", 1), "has other entries"),
    "packing": (lambda data, run: result_file(b"hello", run, 1), "not a record"),
    "record": (lambda data, run: result_file(pack({"a": 1}), run, 1), "it contains another kind of record"),
    "field": (without_a_field, "it contains another kind of record"),
    "class": (with_names(b"Trajectories", b"Trajectorien"), "names modeling.workload.Trajectorien"),
    "module of numpy": (with_names(b"numpy._core", b"numpy.score"), "names numpy.score."),
    "format": (with_changes(format=99), "format 99 is not"),
    "index": (with_changes(index=0), "it holds the result of input 0"),
    "check": (with_changes(generations=[], kind="calibration"), "a calibration without posterior or fit"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_whole_result_of_another_version_of_the_code_ends_the_output_stage_and_all_is_kept(run, name):
    change, fragment = FOREIGN[name]
    first, foreign = (run.run_folder / "runner-artifacts" / f"result_000{index}.pkl" for index in range(2))
    foreign.write_bytes(change(foreign.read_bytes(), run))
    first.write_bytes(first.read_bytes()[:-50])
    before = first.read_bytes(), foreign.read_bytes()

    line = refused(run.run("output", ALLOW_PARTIAL_RESULTS=1))

    assert f"{foreign.name} was made by another version of the code (" in line
    assert fragment in line
    assert "with the image that made it, or compute the results again with --force; nothing" in line
    assert "; nothing is deleted" in line
    assert (first.read_bytes(), foreign.read_bytes()) == before
    assert not (run.run_folder / "outputs").exists()


def test_a_result_of_another_version_of_the_code_stays_until_it_is_made_anew_by_force(run):
    path = run.run_folder / "runner-artifacts" / "result_0000.pkl"
    ours = path.read_bytes()
    theirs = ours.replace(b"result 2\n", b"result 3\n", 1)
    path.write_bytes(theirs)

    gone_on = run.run("runner", TASK_INDEX=0)
    kept = path.read_bytes()
    forced = run.run("runner", TASK_INDEX=0, FORCE=1)

    assert gone_on.exit_code == forced.exit_code == 0
    assert kept == theirs
    assert path.read_bytes() == ours


@pytest.mark.parametrize("magic", [OLD_MAGIC, MAGIC], ids=["of an older version", "of this version"])
@pytest.mark.parametrize(
    "make", [lambda path: packed(Touch(path)), touch_through_ours], ids=["a builtin", "our module"]
)
def test_a_result_runs_no_code(run, tmp_path, make, magic):
    record = make(tmp_path / "touched")
    table = json.dumps({"record": len(record), "arrays": []}).encode() + b"\n"
    put_packed(run, record if magic == OLD_MAGIC else table + record, magic)

    line = refused(run.run("output"))

    assert "which is not ours; it is not loaded" in line
    assert not (tmp_path / "touched").exists()


OUTPUT = {
    "number of tasks": ({"NUM_TASKS": 5}, ["NUM_TASKS=5", "2 inputs"]),
    "output configuration": (
        {"OUTPUT_CONFIG_FILE": "nope.yaml"},
        ["OUTPUT_CONFIG_FILE=nope.yaml", "no such file"],
    ),
    "output configuration of another kind": (
        {"OUTPUT_CONFIG_FILE": "model.yaml"},
        ['must have the key "output"'],
    ),
    "unknown key": (
        {"OUTPUT_CONFIG_FILE": "key.yml"},
        ["key.yml:2:", '"quantile" (did you mean "quantiles"?)'],
    ),
    "two hubs": (
        {"OUTPUT_CONFIG_FILE": "hubs.yml"},
        ["hubs.yml:3:", "more than one hub format; keep one"],
    ),
    "duplicate series": (
        {"OUTPUT_CONFIG_FILE": "twice.yml"},
        ["twice.yml:3:", 'duplicate "S_total"; keep one'],
    ),
    "unknown series": (
        {"OUTPUT_CONFIG_FILE": "series.yml"},
        ['"S_to_E_total"', "not among the transitions", 'did you mean "S_to_I_total"'],
    ),
}


@pytest.mark.parametrize("name", OUTPUT)
def test_an_output_stage_with_a_wrong_setting_publishes_nothing(run, name):
    variables, fragments = OUTPUT[name]
    (run.config / "key.yml").write_text("output:\n  quantile: true\n")
    (run.config / "series.yml").write_text("output:\n  quantiles:\n    transitions: [S_to_E_total]\n")

    hubs = "output:\n  flusight_format: {reference_date: 2025-02-08}\n  covid19_format: {}\n"
    (run.config / "hubs.yml").write_text(hubs)
    (run.config / "twice.yml").write_text("output:\n  quantiles:\n    compartments: [S_total, S_total]\n")

    line = refused(run.run("output", FORECAST_REPO_DIR=run.folder / "forecast", **variables))

    for fragment in fragments:
        assert fragment in line
    assert not (run.run_folder / "outputs").exists()


def test_an_output_stage_refuses_digests_that_were_touched(run):
    digests = run.run_folder / "builder-artifacts" / "inputs.sha256"
    digests.write_bytes(b"0" * 64 + digests.read_bytes()[64:])

    line = refused(run.run("output"))

    assert "inputs.sha256 does not match builder-artifacts/manifest.json" in line
    assert not (run.run_folder / "outputs").exists()
