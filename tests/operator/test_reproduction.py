"""`invoke reproduce` on runs of this machine that have ended."""

import gzip
import json
import re
import shutil
from pathlib import Path

import pytest

from ops.laptop.run_files import run_named
from ops.runs.comparison import compare_table
from ops.runs.reproduction import repository_of
from tests.cloud_operators import run_id_in
from tests.emulated import commit_all
from tests.experiments import calibrated, sampled_twice
from tests.in_process import again, settings_of, shell_of
from tests.operators import TABLE, Operator
from tests.stage_scripts import RUN_ID


def run_folder(operator: Operator, run_id: str) -> Path:
    return operator.folder / "local" / "bucket" / "trial" / run_id


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """A run, and its reproduction after its model was changed in the repository."""
    operator = Operator(tmp_path_factory.mktemp("here"), sampled_twice())
    first = operator.invoke("run", "--exp-id", "trial", "--seed", "7")
    assert first.exit_code == 0, first.output
    model = operator.folder / "local/forecast/experiments/trial/config/model.yaml"
    model.write_text(model.read_text().replace("value: 1/4", "value: 1/5"))
    second = operator.invoke("reproduce", "--exp-id", "trial", "--run-id", run_id_in(first.output))
    assert "1/5" in model.read_text()
    return operator, run_id_in(first.output), second


@pytest.fixture
def runs(two_runs, tmp_path):
    """The same two runs, for a test to bend."""
    operator, first, second = two_runs
    shutil.copytree(operator.folder / "local", tmp_path / "local", symlinks=True, dirs_exist_ok=True)
    copy = Operator(tmp_path, sampled_twice())
    return copy, first, run_id_in(second.output)


def bend_metadata(operator: Operator, run_id: str, **changes) -> None:
    path = run_folder(operator, run_id) / "run_metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def bend_table(operator: Operator, run_id: str, factor: float) -> None:
    """Multiply the last number of a table, and list its new digest."""
    [path] = run_folder(operator, run_id).glob(f"outputs/*/{TABLE}")
    text, _, last = gzip.decompress(path.read_bytes()).decode().rstrip().rpartition(",")
    path.write_bytes(gzip.compress(f"{text},{float(last) * factor!r}\n".encode(), mtime=0))
    listed = json.loads(path.with_name("files.json").read_text())
    for each in listed:
        each["sha256"] = "0" * 64 if each["name"] == TABLE else each["sha256"]
    path.with_name("files.json").write_text(json.dumps(listed))


def test_a_run_here_is_made_of_its_own_yaml_and_comes_out_the_same_byte_for_byte(two_runs):
    operator, first, second = two_runs

    assert second.exit_code == 0, second.output
    assert re.fullmatch(rf"equal: \d+ files of the runs {first} and \S+, byte for byte", second.last_line)
    metadata = json.loads((run_folder(operator, run_id_in(second.output)) / "run_metadata.json").read_text())
    assert metadata["arguments"]["seed"] == 7
    assert not list((operator.folder / "local").glob("reproduce-*"))


def test_on_another_cpu_the_last_digits_may_differ_and_nothing_else(runs):
    operator, first, second = runs
    bend_metadata(operator, second, cpus=["x86_64 Another CPU"])
    bend_table(operator, second, 1 + 1e-12)
    near = again(operator, first, second)
    bend_table(operator, second, 1 + 1e-6)

    far = again(operator, first, second)

    assert near.exit_code == 0, near.output
    assert re.search(r"^equal within 1e-09: \d+ files", near.output, re.MULTILINE)
    assert "Another CPU now" in near.last_line
    assert far.exit_code == 1
    assert f"differ in {TABLE} (row " in far.last_line


def test_on_the_same_cpu_a_digit_is_a_difference(runs):
    operator, first, second = runs
    bend_table(operator, second, 1 + 1e-12)

    ended = again(operator, first, second)

    assert ended.exit_code == 1
    assert f"differ in {TABLE}: with the same packages and kind of CPU they must be equal" in ended.last_line


def test_another_version_of_a_package_is_named(runs):
    operator, first, second = runs
    packages = json.loads((run_folder(operator, first) / "run_metadata.json").read_text())["packages"]
    bend_metadata(operator, second, packages=packages | {"numpy": "9.9.9"})
    bend_table(operator, second, 1 + 1e-12)

    ended = again(operator, first, second)

    assert ended.exit_code == 0, ended.output
    assert f"numpy {packages['numpy']} then, 9.9.9 now" in ended.last_line


def test_a_run_has_the_data_of_its_commit_and_without_one_those_of_today(tmp_path, capsys):
    operator = Operator(tmp_path, calibrated())
    repository = tmp_path / "local" / "forecast"
    commit = commit_all(repository, "then")
    operator.invoke("stage", "A", "--exp-id", "trial", "--run-id", RUN_ID)
    observed = repository / "data" / "observed.csv"
    observed.write_text(observed.read_text().replace("1200", "1300"))
    commit_all(repository, "revised")
    settings = settings_of(operator)
    run = run_named(settings, "trial", RUN_ID)
    manifest = json.loads((run.folder / "builder-artifacts" / "manifest.json").read_text())

    def data(commits: dict) -> str:
        with repository_of(shell_of(operator), settings, run, {"commits": commits}) as folder:
            return (folder / "data" / "observed.csv").read_text()

    assert manifest["forecast_commit"] == commit
    assert "1200" in data({"forecast": commit})
    assert f"using the data of commit {commit}" in capsys.readouterr().out
    assert "1300" in data({})
    assert "the commit of the run's data is unknown" in capsys.readouterr().out


def test_other_inputs_are_named_as_what_makes_outputs_differ(runs):
    operator, first, second = runs
    manifest = json.loads((run_folder(operator, second) / "run_metadata.json").read_text())["manifest"]
    bend_metadata(operator, second, manifest=manifest | {"inputs_sha256": "0" * 64})
    bend_table(operator, second, 1.5)

    ended = again(operator, first, second)

    assert ended.exit_code == 1
    assert "their inputs differ, so data, YAML or code have changed" in ended.last_line


def test_outputs_by_another_output_yaml_are_not_taken_for_another_run(runs):
    operator, first, second = runs
    arguments = json.loads((run_folder(operator, first) / "run_metadata.json").read_text())["arguments"]
    bend_metadata(operator, first, arguments=arguments | {"output_config_file": "local/other.yaml"})
    equal = again(operator, first, second)
    bend_table(operator, first, 1.5)

    other = again(operator, first, second)
    turned = again(operator, second, first)

    assert equal.last_line.startswith("equal: ")
    assert [other.exit_code, turned.exit_code] == [2, 2]
    assert (
        "were written with different output YAML (local/other.yaml, the run's own), so they"
        in other.last_line
    )
    command = f"write them with the runs' own first: invoke stage output --exp-id trial --run-id {first}"
    assert other.last_line.endswith(command)
    assert turned.last_line.endswith(command)


@pytest.mark.parametrize(
    ("value", "other", "is_same"),
    [("nan", "NaN", True), ("nan", "1.0", False), ("1.0", "nan", False), ("nan", "none", False)],
)
def test_what_is_no_number_in_both_tables_is_the_same(tmp_path, value, other, is_same):
    paths = [tmp_path / "first.csv.gz", tmp_path / "second.csv.gz"]
    for path, text in zip(paths, (value, other), strict=True):
        path.write_bytes(gzip.compress(f"date,value\n2025-01-11,{text}\n".encode()))

    found = compare_table("table.csv.gz", *paths)

    assert (found is None) is is_same


def test_a_run_that_was_cut_short_is_not_promised_to_be_the_same(runs):
    operator, first, second = runs
    bend_metadata(operator, first, cut_short=["US-VT: calibration was cut short by max_time"])
    bend_table(operator, second, 1.5)

    ended = again(operator, first, second)

    assert ended.exit_code == 1
    assert "depends on the speed of the machine" in ended.output
    assert "cut short by a limit of time or budget" in ended.last_line


def test_what_cannot_be_reproduced_is_one_line(runs):
    operator, first, second = runs
    unknown = again(operator, "20200101-000000-00000000")
    none = again(operator, "")
    (run_folder(operator, second) / "run_metadata.json").unlink()
    unfinished = again(operator, second)
    shutil.rmtree(run_folder(operator, first) / "config")
    without_yaml = again(operator, first)

    ended = [unknown, none, unfinished, without_yaml]
    assert [each.exit_code for each in ended] == [2] * 4
    said = ["no such run", "--run-id is needed", "has no outputs yet", "no YAML in it"]
    assert all(text in each.last_line for text, each in zip(said, ended, strict=True))


def test_what_a_run_was_made_on_is_taken_and_said_where_it_is_set_otherwise(runs):
    operator, first, _ = runs
    kinds = [
        {"machine_type": "n2-standard-4", "cpu_milli": 4000, "provisioning_model": "STANDARD", "tasks": 1},
        {"cpu_milli": 2000, "max_run_seconds": 600, "provisioning_model": "SPOT", "tasks": 2},
    ]
    bend_metadata(operator, first, machines={"runner": kinds, "output": kinds[::-1]}, images=["a", "b"])

    ended = again(operator, first, dry_run=True, STAGE_B_MACHINE_TYPE="e2-standard-8")

    assert ended.exit_code == 0, ended.output
    assert "stage B ran on 2 kinds of machines; using that of most tasks\n" in ended.output
    assert "stage C ran on 2 kinds of machines; using the last one\n" in ended.output
    assert "the run used 2 images; using the last one\n" in ended.output
    assert (
        "using the settings of the run: STAGE_B_MACHINE_TYPE=none (e2-standard-8 now), "
        "STAGE_B_MAX_RUN_DURATION=600 (36000 now), PROVISIONING_MODEL=SPOT (STANDARD now), "
        "STAGE_C_MACHINE_TYPE=n2-standard-4 (c4d-standard-4 now)\n"
    ) in ended.output


def test_machines_that_another_version_told_are_one_line(runs):
    operator, first, _ = runs
    bend_metadata(operator, first, machines={"runner": {"cpu_milli": 2000, "jobs": 1}})

    ended = again(operator, first, dry_run=True)

    assert ended.exit_code == 2, ended.output
    assert "run_metadata.json: its machines cannot be read" in ended.last_line


def test_a_dry_run_starts_nothing(runs):
    operator, first, _ = runs
    before = sorted(run_folder(operator, first).parent.iterdir())

    ended = again(operator, first, dry_run=True)

    assert ended.exit_code == 0, ended.output
    assert "SEED=7" in ended.output
    assert sorted(run_folder(operator, first).parent.iterdir()) == before
