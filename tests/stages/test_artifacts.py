"""What lies in a run's folder may be forged, foreign or broken, and is checked before it is used."""

import csv
import datetime
import hashlib
import json
import os
import pickle
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from modeling.failures import UserError as StageError
from modeling.plain_text import one_line
from modeling.workload import ForeignWorkload, Result
from ops.costs import cost_report
from ops.environment import read_settings
from ops.failures import UserError
from ops.laptop.run_tables import show_results, show_runs
from ops.run_request import RunRequest
from ops.runs.reproduction import reproduce
from ops.settings import Settings
from pipeline.environment import read_stage_context
from pipeline.temporary import open_locked, temporary_folder
from tests.experiments import calibrated, sampled_twice
from tests.in_process import called, ended, settings_of, shell_of
from tests.operators import Operator
from tests.stage_scripts import RUN_ID, Stages


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory) -> Path:
    """A run of two parameter sets, built and simulated; tests work on copies."""
    return _finished(tmp_path_factory.mktemp("finished"), sampled_twice(), 2)


@pytest.fixture(scope="module")
def finished_calibration(tmp_path_factory) -> Path:
    return _finished(tmp_path_factory.mktemp("calibrated"), calibrated(), 1)


def _finished(folder: Path, experiment: dict, inputs: int) -> Path:
    stages = Stages(folder, experiment)
    assert ended(stages, "builder")[0] == 0
    for index in range(inputs):
        code, said = ended(stages, "runner", TASK_INDEX=index)
        assert code == 0, said
    return folder


@pytest.fixture
def run(finished_run, tmp_path) -> Stages:
    shutil.copytree(finished_run / "bucket", tmp_path / "bucket")
    return Stages(tmp_path, sampled_twice())


@pytest.fixture
def calibration(finished_calibration, tmp_path) -> Stages:
    shutil.copytree(finished_calibration / "bucket", tmp_path / "bucket")
    return Stages(tmp_path, calibrated())


def refused(stages: Stages, stage: str, **variables: object) -> str:
    """Return the one line that a stage ended with, for what the user can fix."""
    code, said = ended(stages, stage, **variables)
    assert code == 2, said
    assert "\n" not in said[-1]
    return said[-1]


def builder_file(stages: Stages, name: str) -> Path:
    return stages.run_folder / "builder-artifacts" / name


def result_path(stages: Stages, index: int = 0) -> Path:
    return stages.run_folder / "runner-artifacts" / f"result_{index:04d}.pkl"


def change_manifest(stages: Stages, **changes: object) -> None:
    path = builder_file(stages, "manifest.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def forge(stages: Stages, change: Callable[[Result], object]) -> None:
    """Replace the first result by a changed one, as whole as any."""
    magic, _, packed = result_path(stages).read_bytes().split(b"\n", 2)
    put_record(stages, pickle.dumps(change(pickle.loads(zlib.decompress(packed))), protocol=5), magic)


def put_record(stages: Stages, record: bytes, magic: bytes = b"epymodelingsuite-cloud result 1") -> None:
    packed = zlib.compress(record, 1)
    header = {
        "index": 0,
        "input_sha256": builder_file(stages, "inputs.sha256").read_text().split()[0],
        "packed_sha256": hashlib.sha256(packed).hexdigest(),
    }
    result_path(stages).write_bytes(magic + b"\n" + json.dumps(header).encode() + b"\n" + packed)


# -- a result that is forged


def having(**changes) -> Callable[[Result], Result]:
    return lambda result: replace(result, **changes)


def having_paths(**changes) -> Callable[[Result], Result]:
    return lambda r: replace(
        r,
        trajectories=replace(r.trajectories, **{n: change(r.trajectories) for n, change in changes.items()}),
    )


def having_expected(**changes) -> Callable[[Result], Result]:
    return lambda result: replace(result, expected=replace(result.expected, **changes))


FORGED = {
    "a population that climbs": (having(population="../../../evil"), "its population is '../../../evil'"),
    "another population": (
        having(population="US-MA"),
        "its population is 'US-MA', but that of its input is 'US-VT'",
    ),
    "another name": (having(population_name="Elsewhere"), "its population_name is 'Elsewhere'"),
    "another ensemble": (having(primary_id=1), "its primary_id is 1"),
    "another set": (having(set_index=1), "its set_index is 1"),
    "more sets": (having(set_count=10**9), "its set_count is"),
    "a part of more": (having(ensemble_total=10**12), "its ensemble_total is"),
    "a later part": (having(first_trajectory=10**12), "its first_trajectory is"),
    "a list for a number": (having(index=[0]), "Result.index is a list instead of a whole number"),
    "a flag for a number": (
        having(primary_id=False),
        "Result.primary_id is true or false instead of a whole number",
    ),
    "a number for a text": (having(population=7), "Result.population is a whole number instead of a text"),
    "no text": (having(population="US-VT\ud800"), "Result.population is not valid Unicode"),
    "a step that is none": (having(delta_t_days=float("nan")), "time steps of nan days"),
    "an endless step": (having(delta_t_days=float("inf")), "time steps of inf days"),
    "a kind that is none": (having(kind="../forecast"), "is not a kind of result"),
    "a number for a list": (having(fits=3), "Result.fits is a whole number instead of a list"),
    "a text for people": (having_expected(people="100"), "Result.expected.people is a text"),
    "negative people": (having_expected(people=-1), "people is -1"),
    "a frequency that is none": (having_expected(frequency="W-SAT; rm"), "is not a frequency"),
    "groups that do not fit": (having_expected(groups=6), "series of 6 age groups and a total"),
    "a date far away": (
        having_expected(last_date=datetime.date(9999, 12, 31)),
        "is not a date from 1900 to 2200",
    ),
    "dates far away": (
        having_paths(dates=lambda t: t.dates + np.timedelta64(400 * 365, "D")),
        "are not within 1900 to 2200",
    ),
    "a date that is none": (
        having_paths(dates=lambda t: np.append(t.dates[:-1], np.datetime64("NaT"))),
        "its dates do not increase",
    ),
    "a date twice": (having_paths(dates=lambda t: np.append(t.dates[:-1], t.dates[-2])), "do not increase"),
    "counts in days": (
        having_paths(in_compartments=lambda t: t.in_compartments.astype("datetime64[s]")),
        "counts: an array of datetime64[s]",
    ),
    "counts without trajectories": (
        having_paths(in_compartments=lambda t: t.in_compartments[0]),
        "with 2 dimensions",
    ),
    "counts that are objects": (
        having_paths(in_compartments=lambda t: t.in_compartments.astype(object)),
        "an array of type 'O8'",
    ),
    "counts that are a list": (
        having_paths(in_compartments=lambda t: t.in_compartments.tolist()),
        "in_compartments is a list instead of an array",
    ),
    "a series twice": (
        having_paths(compartments=lambda t: [t.compartments[0], *t.compartments[:-1]]),
        "duplicate 'S_0-17' among its compartments",
    ),
    "a number among the series": (
        having_paths(compartments=lambda t: [1, *t.compartments[1:]]),
        "compartments is a whole number instead of a text",
    ),
    "no trajectories": (
        lambda r: replace(having_expected(trajectories=0)(r), trajectories=None),
        "without traj",
    ),
    "a parameter of words": (having(parameters={"R0": "2"}), "parameters is a text"),
    "an array of words": (having(parameters={"R0": np.array(["2"])}), "an array of type 'U1'"),
    "half an ensemble's start": (having(initial={"S_total": [1]}), "initial is a list"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_result_is_refused_and_nothing_is_written(run, name):
    change, fragment = FORGED[name]
    forge(run, change)
    before = result_path(run).read_bytes()

    line = refused(run, "output")

    assert fragment in line
    assert "result_0000.pkl was made by another version of the code (" in line
    assert result_path(run).read_bytes() == before
    assert not (run.run_folder / "outputs").exists()
    assert not list(run.folder.rglob("evil*"))


FORGED_FITS = {
    "a generation twice": (lambda r: replace(r, generations=r.generations * 2), "which do not increase"),
    "no fit": (having(fits=[]), "a calibration without posterior or fit"),
    "particles of another kind": (
        lambda r: replace(r, generations=[replace(r.generations[0], particles=np.array([[True]]))]),
        "posterior of generation 0: an array of bool",
    ),
    "endless particles": (
        lambda r: replace(
            r, generations=[replace(r.generations[0], particles=r.generations[0].particles * 1e300)]
        ),
        "is not a distribution",
    ),
    "a compared series that is none": (
        lambda r: replace(r, fits=[replace(r.fits[0], observed=replace(r.fits[0].observed, series=["x"]))]),
        "it is compared with 'x', which is not simulated",
    ),
    "nothing that is fitted": (
        lambda r: replace(
            r,
            fits=[
                replace(
                    r.fits[0], observed=replace(r.fits[0].observed, fitted=~r.fits[0].observed.fitted[:3])
                )
            ],
        ),
        "dates, values and fitted flags have different lengths",
    ),
    "a particle behind no projection": (
        having(projected=np.ones((8, 2))),
        "projected particles of shape (8, 2)",
    ),
}


@pytest.mark.parametrize("name", FORGED_FITS)
def test_a_forged_calibration_is_refused(calibration, name):
    change, fragment = FORGED_FITS[name]
    forge(calibration, change)

    assert fragment in refused(calibration, "output")


def text(content: str) -> bytes:
    return b"\x8c" + bytes([len(content)]) + content.encode()


def named(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


HUGE = (10**11).to_bytes(8, "little")
LONG = b"\x8a\x08" + HUGE
DOUBLE = named("numpy", "dtype") + text("f8") + b"\x89\x88\x87R"
RAW = {
    "an array that is made as large as it says": (
        b"\x80\x05" + named("numpy._core.multiarray", "_reconstruct") + named("numpy", "ndarray")
        + LONG + b"\x85" + b"C\x01b" + b"\x87R.",
        "it contains another kind of record",
    ),
    "an array by its class": (b"\x80\x05" + named("numpy", "ndarray") + LONG + b"\x85\x85R.", "not a record"),
    "an array of fewer bytes than it says": (
        b"\x80\x05" + named("numpy._core.numeric", "_frombuffer")
        + b"(" + b"C\x00" + DOUBLE + LONG + b"\x85" + text("C") + b"tR.",
        "in 0 bytes",
    ),
    "bytes that are not there": (b"\x80\x05\x96" + HUGE + b".", "cut short"),
    "a place in memory": (b"\x80\x05]r\xff\xff\xff\x7f.", "opcode 0x72"),
    "a whole number without end": (b"\x80\x05\x8b\xff\xff\xff\x7f.", "opcode 0x8b"),
    "lists without end": (b"\x80\x05" + b"]" * 2_000_001 + b".", "too many parts"),
    "a key nested a million times": (b"\x80\x05})" + b"\x85" * 1_000_000 + b"K\x01s.", "too many parts"),
    "another attribute of a class": (
        b"\x80\x05" + named("modeling.workload", "Trajectories") + b"N}" + text("count") + b"K\x05s\x86b.",
        "not a record",
    ),
    "a class of Python": (b"\x80\x05" + named("builtins", "str") + b".", "names builtins.str, which is not"),
}  # fmt: skip


@pytest.mark.parametrize("name", RAW)
def test_a_record_takes_no_more_memory_than_it_has_bytes(run, name):
    record, fragment = RAW[name]
    put_record(run, record)

    assert fragment in refused(run, "output")


def test_a_result_is_not_unpacked_beyond_what_its_input_can_give(run):
    put_record(run, b"\x80\x05\x8e" + (10**9).to_bytes(8, "little") + bytes(100 << 20))

    line = refused(run, "output")

    assert "it unpacks to more than 64 MiB, the most that is possible" in line


def test_no_name_of_a_result_becomes_a_path_of_the_real_stage(run):
    forge(run, having(population=f"../../../../../../..{run.folder}/evil"))

    done = run.run("output")

    assert done.exit_code == 2
    assert "Traceback" not in done.output
    assert not list(run.folder.rglob("evil*"))


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


# -- by-products


NESTED = "[" * 100_000 + "]" * 100_000
NO_SUMMARIES = {
    "no JSON": "{",
    "nothing": "",
    "a list": "[]",
    "nested": NESTED,
    "nested within": f'{{"setup": {"[" * 500}{"]" * 500}}}',
    "words for numbers": '{"wall_seconds": "10"}',
    "a flag for a number": '{"simulations": true}',
    "no number": '{"cpu_seconds": NaN}',
    "a number without end": '{"peak_memory_mib": 1e999}',
    "a negative number": '{"wall_seconds": -1}',
    "a number of many digits": f'{{"simulations": {"9" * 5000}}}',
    "a number beyond arithmetic": f'{{"task_index": {"9" * 400}}}',
    "no time": '{"started_at": "yesterday"}',
    "a time that never was": '{"started_at": "2026-02-31T12:00:00Z"}',
    "tries of another kind": '{"earlier": {"wall_seconds": 1}}',
    "a try of another kind": '{"earlier": [{"retry_attempt": "first"}]}',
    "a machine of another kind": '{"setup": {"job": {}}}',
    "words for warnings": '{"warnings": "all well"}',
    "no text": '{"error": "\\ud800"}',
    "no bytes of a text": b'{"error": "\xff"}',
}


@pytest.mark.parametrize("name", NO_SUMMARIES)
def test_a_damaged_summary_is_left_out_with_a_warning(run, name):
    text = NO_SUMMARIES[name]
    for stage in ("builder", "runner_0001", "output"):
        path = run.run_folder / "summaries" / f"{stage}.json"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    code, said = ended(run, "output")
    metadata = json.loads((run.run_folder / "run_metadata.json").read_text())
    again, _ = ended(run, "builder")

    assert (code, again) == (0, 0), said
    left_out = [line.split("/")[-1].split(":")[0] for line in said if line.endswith("; it is left out")]
    assert sorted(left_out) == ["builder.json", "output.json", "runner_0001.json"] or (
        sorted(left_out) == ["builder.json", "output.json", "output.json", "runner_0001.json"]
    )
    assert metadata["stages"]["runner"]["tasks"] == 1
    assert json.loads((run.outputs() / "headline.json").read_text())["missing"] == []


@pytest.fixture(scope="module")
def shown_run(finished_run, tmp_path_factory):
    """A finished run with outputs, as an operator of this machine has it."""
    folder = tmp_path_factory.mktemp("shown")
    shutil.copytree(finished_run / "bucket", folder / "local" / "bucket")
    stages = Stages(folder / "local", sampled_twice())
    assert ended(stages, "output")[0] == 0
    return stages


@pytest.fixture
def operator(shown_run, tmp_path) -> Operator:
    shutil.copytree(shown_run.folder / "bucket", tmp_path / "local" / "bucket")
    return Operator(tmp_path, sampled_twice())


def outputs_of(operator: Operator) -> Path:
    [listed] = (operator.folder / "local").rglob("files.json")
    return listed.parent


BY_PRODUCTS = {
    "no JSON": "{",
    "a list in a list": "[[]]",
    "a text": '"x"',
    "nested": NESTED,
    "rows of another kind": '{"headline": [{"population": 3}], "missing": "none"}',
    "names of another kind": '[{"name": 3, "bytes": 1, "sha256": ""}]',
    "a name that climbs": f'[{{"name": "../../evil", "bytes": 1, "sha256": "{"0" * 64}"}}]',
    "stages of another kind": '{"manifest": {}, "stages": {"runner": {"tasks": "all"}}}',
}


@pytest.mark.parametrize("name", BY_PRODUCTS)
def test_results_runs_and_cost_go_on_without_a_damaged_by_product(operator, name):
    settings, outputs = settings_of(operator), outputs_of(operator)
    for path in (outputs / "headline.json", outputs / "files.json"):
        path.write_text(BY_PRODUCTS[name])
    (outputs.parents[1] / "run_metadata.json").write_text(BY_PRODUCTS[name])

    results = called(lambda: show_results(settings, "trial"))
    runs = called(lambda: show_runs(settings, "trial"))
    cost = called(lambda: cost_report.show_estimate(shell_of(operator), settings, RunRequest("trial")))

    assert (results.exit_code, runs.exit_code, cost.exit_code) == (0, 0, 0), cost.output
    assert "headline.json: " in results.output or name == "stages of another kind"
    assert "files.json: " in results.output
    assert "report.html" in results.lines[-3]
    assert "quantiles_compartments.csv.gz" in results.last_line
    assert runs.last_line.split()[-2:] == ["done", outputs.name]
    assert "run_metadata.json: " in cost.output
    assert "measured: run" in cost.output


@pytest.mark.parametrize("name", BY_PRODUCTS)
def test_a_run_whose_metadata_are_damaged_is_not_reproduced(operator, name):
    (outputs_of(operator).parents[1] / "run_metadata.json").write_text(BY_PRODUCTS[name])

    done = called(lambda: reproduce(shell_of(operator), settings_of(operator), "trial", RUN_ID, RUN_ID))

    assert done.exit_code == 2
    assert "run_metadata.json: " in done.last_line
    assert len(done.lines) == 1


def test_a_run_is_compared_although_the_list_of_its_files_is_damaged(operator):
    settings, outputs = settings_of(operator), outputs_of(operator)
    (outputs / "files.json").write_text(NESTED)

    done = called(lambda: reproduce(shell_of(operator), settings, "trial", RUN_ID, RUN_ID))

    assert done.exit_code == 0, done.output
    assert "files.json: cannot be read (nested too deeply); it is left out" in done.output
    assert "byte for byte" in done.last_line


def test_text_of_a_forecast_reaches_the_terminal_as_plain_text(operator):
    path = outputs_of(operator) / "headline.json"
    found = json.loads(path.read_text())
    found["headline"][0]["note"] = "\x1b[31m[/red]\u202e note"
    path.write_text(json.dumps(found))

    done = called(lambda: show_results(settings_of(operator), "trial"))

    assert done.exit_code == 0, done.output
    assert "[31m[/red]" in done.output
    assert not {"\x1b", "\u202e"} & set(done.output)


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"exp_id": "flu"}, "is of run 20250201-120000-0a1b2c3d of flu, not of"),
        ({"num_workloads": 10**15}, "num_workloads is 1000000000000000"),
        ({"num_workloads": 3}, "names 3 inputs"),
        ({"pending": "../../evil"}, "pending is"),
    ],
)
def test_a_manifest_of_another_run_is_refused_by_tasks_and_shown_as_damaged(operator, changes, fragment):
    [path] = (operator.folder / "local").rglob("manifest.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    shutil.rmtree(path.parents[1] / "outputs")

    results = called(lambda: show_results(settings_of(operator), "trial", RUN_ID))
    runs = called(lambda: show_runs(settings_of(operator), "trial"))

    assert results.exit_code == 2
    assert fragment in results.last_line
    assert "damaged" in runs.last_line


# -- text that is none


def test_a_message_is_one_line_of_bounded_length_without_control_characters():
    name = "\x1b]0;evil\x07\u202eevil\n\r\u2028" + "x" * 10_000 + " set it again"

    shown = one_line(name)

    assert len(shown) <= 4000
    assert shown.isprintable()
    assert shown.endswith("set it again")


def test_what_a_stage_says_of_the_text_of_others_is_plain(run):
    done = run.run("output", IN_PREFIX=f"{'x' * 50_000}\x1b[31m\u202e/")
    line = done.lines[-1]

    assert done.exit_code == 2
    assert len(done.lines) == 1
    assert len(line) < 4200
    assert line.isprintable()


def test_a_stage_refuses_settings_that_are_not_utf_8(run):
    names = ("LOCAL_DATA_PATH", "EXP_ID", "GCLOUD_PROJECT_ID", "OUTPUT_CONFIG_FILE", "COUNT")
    broken = os.fsdecode(b"a\xffb")
    environment = run.environment() | dict.fromkeys(names, broken)

    with pytest.raises(StageError) as refused:
        read_stage_context(environment)

    assert [f"{name} is not text in UTF-8" in str(refused.value) for name in names] == [True] * len(names)


def test_every_setting_that_is_not_utf_8_is_named(tmp_path):
    broken = os.fsdecode(b"a\xffb")
    names = [name.upper() for name in Settings.model_fields]
    (tmp_path / ".env").touch()

    with pytest.raises(UserError) as refused:
        read_settings(dict.fromkeys(names, broken) | {"ENV_FILE": str(tmp_path / ".env")})

    assert [name for name in names if f"{name} (from environment): not text" not in str(refused.value)] == []


# -- what a killed stage leaves


def test_what_a_killed_stage_left_is_removed_by_the_next_and_what_is_in_use_stays(run, monkeypatch):
    temporary = run.folder / "tmp"
    temporary.mkdir()
    theirs = [temporary / "outputs-of-somebody", temporary / "outputs-file"]
    theirs[0].mkdir()
    theirs[1].touch()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    killed = get_context("fork").Process(target=_hold_and_wait, args=(run.run_folder,))
    killed.start()
    deadline = time.monotonic() + 30
    while not list(temporary.glob("outputs-*/ready")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    [held], [partial] = temporary.glob("outputs-*/ready"), run.run_folder.glob("summaries/.partial-*")

    meanwhile = run.run("runner", TASK_INDEX=0, TMPDIR=temporary)
    in_use = held.is_file(), partial.is_file()
    killed.kill()
    killed.join()
    after = run.run("runner", TASK_INDEX=0, TMPDIR=temporary)

    assert (meanwhile.exit_code, after.exit_code) == (0, 0), after.output
    assert in_use == (True, True)
    assert sorted(temporary.iterdir()) == sorted(theirs)
    assert not list(run.folder.rglob(".partial-*"))


def _hold_and_wait(folder: Path) -> None:
    """Be a stage that writes a summary and has a temporary folder, and never comes to the end of it."""
    file, _ = open_locked(lambda: folder / "summaries" / ".partial-1-abc")
    with temporary_folder("outputs") as work:
        (work / "ready").touch()
        file.write(b"half")
        time.sleep(60)


# -- what is no file

NO_FILES = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": Path.mkdir,
    "a circle of links": lambda path: path.symlink_to(path.name),
    "more zeros than memory": lambda path: path.touch() or os.truncate(path, 1 << 40),
}


@pytest.mark.parametrize("make", NO_FILES.values(), ids=list(NO_FILES))
def test_what_stands_where_a_file_should_and_is_none_is_refused_by_its_name(run, make):
    names = ("manifest.json", "inputs.csv", "inputs.sha256", "../config/output.yaml")
    for name in names:
        path, kept = builder_file(run, name), run.folder / "kept"
        path.rename(kept)
        make(path)

        assert path.name in refused(run, "output")

        path.rmdir() if path.is_dir() else path.unlink()
        kept.rename(path)


def test_by_products_that_are_no_files_do_not_stop_a_run(run):
    summaries = run.run_folder / "summaries"
    for number, make in enumerate(NO_FILES.values(), 1):
        make(summaries / f"runner_100{number}.json")
        make(run.run_folder / f".partial-{number}-0a1b2c3d")

    code, said = ended(run, "output")

    assert code == 0
    told = [line.rpartition("/")[2].partition(":")[0] for line in said]
    assert sorted(told) == [f"runner_100{number}.json" for number in (1, 2, 4, 5)]  # a folder is not listed


def test_a_machine_without_a_place_for_temporary_files_is_told_so(run, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nonexistent"])

    assert refused(run, "output").endswith("or set TMPDIR to a writable folder")


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        (
            "experiments/trial/config/model.yaml",
            "a pipe",
            "model.yaml: not a file; put the file itself there",
        ),
        ("data/observed.csv", "more zeros than memory", "are larger than 2 GiB; keep what is fitted"),
    ],
)
def test_stage_a_waits_for_no_pipe_and_reads_no_terabyte(tmp_path, name, make, said):
    stages = Stages(tmp_path, calibrated())
    path = tmp_path / "forecast" / name
    path.unlink()
    NO_FILES[make](path)

    assert refused(stages, "builder").endswith(said)
