"""Summaries, metadata and lists that are damaged do not stop tasks that can do without."""

import json
import shutil
from pathlib import Path

import pytest

from ops.costs import cost_report
from ops.laptop.run_tables import show_results, show_runs
from ops.run_request import RunRequest
from ops.runs.reproduction import reproduce
from tests.experiments import sampled_twice
from tests.forgeries import NESTED
from tests.in_process import called, ended, settings_of, shell_of
from tests.operators import Operator
from tests.stage_scripts import RUN_ID, Stages

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
        ({"num_workloads": 3}, "lists 3 inputs"),
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
