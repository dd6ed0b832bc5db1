"""The three stages from end to end, as processes over a folder."""

import csv
import gzip
import json

import pytest

from tests.experiments import calibrated, sampled, simulated
from tests.stage_scripts import NEW_PYTHON, Stages


def read_table(path):
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def test_a_model_alone_becomes_one_ensemble_and_its_outputs(tmp_path):
    stages = Stages(tmp_path, simulated())

    ended = [stages.run("builder"), stages.run("runner", TASK_INDEX=0), stages.run("output")]

    assert [e.exit_code for e in ended] == [0, 0, 0], ended[-1].output
    outputs = stages.outputs()
    names = {p.relative_to(outputs).as_posix() for p in outputs.rglob("*") if p.is_file()}
    assert names == {
        "quantiles_compartments.csv.gz",
        "quantiles_transitions.csv.gz",
        "trajectories_compartments.csv.gz",
        "trajectories_transitions.csv.gz",
        "model_metadata.csv.gz",
        "charts/US-VT.png",
        "report.html",
        "headline.json",
        "files.json",
    }
    rows = read_table(outputs / "quantiles_transitions.csv.gz")
    assert {row["quantile"] for row in rows} == {"0.25", "0.5", "0.75"}
    assert all(float(row["S_to_I_total"]) >= 0 for row in rows)
    trajectories = read_table(outputs / "trajectories_compartments.csv.gz")
    assert {row["sim_id"] for row in trajectories} == {str(i) for i in range(6)}
    metadata = json.loads((stages.run_folder / "run_metadata.json").read_text())
    assert metadata["num_results"] == 1
    assert metadata["stages"]["runner"]["simulations"] == 6


def test_a_split_ensemble_gives_the_tables_of_the_whole(tmp_path):
    whole = Stages(tmp_path / "whole", simulated())
    split = Stages(tmp_path / "split", simulated())

    assert whole.run("builder").exit_code == 0
    assert split.run("builder", COUNT=4).exit_code == 0
    assert whole.run("runner", TASK_INDEX=0).exit_code == 0
    for index in (3, 1, 0, 2):
        assert split.run("runner", TASK_INDEX=index).exit_code == 0
    assert whole.run("output").exit_code == split.run("output").exit_code == 0

    assert split.manifest()["num_workloads"] == 4
    for path in whole.outputs().glob("*.csv.gz"):
        assert path.read_bytes() == (split.outputs() / path.name).read_bytes(), path.name


def test_a_calibration_is_the_same_bit_for_bit_with_the_same_seed_and_not_with_another(tmp_path):
    tables = {}
    for name, seed, python in (("first", 5, {}), ("second", 5, NEW_PYTHON), ("other", 6, {})):
        stages = Stages(tmp_path / name, calibrated(), SEED=str(seed), **python)
        assert stages.run("builder").exit_code == 0
        assert stages.run("runner", TASK_INDEX=0).exit_code == 0
        assert stages.run("output").exit_code == 0
        tables[name] = {p.name: p.read_bytes() for p in stages.outputs().glob("*.csv.gz")}

    assert tables["first"] == tables["second"]
    assert set(tables["first"]) >= {
        "posteriors.csv.gz",
        "quantiles_calibration.csv.gz",
        "quantiles_projection.csv.gz",
    }
    assert tables["first"]["posteriors.csv.gz"] != tables["other"]["posteriors.csv.gz"]


def test_the_order_of_the_tasks_does_not_matter(tmp_path):
    forward, backward = Stages(tmp_path / "f", sampled()), Stages(tmp_path / "b", sampled(), **NEW_PYTHON)
    for stages, order in ((forward, (0, 1, 2)), (backward, (2, 1, 0))):
        assert stages.run("builder").exit_code == 0
        for index in order:
            assert stages.run("runner", TASK_INDEX=index).exit_code == 0
        assert stages.run("output").exit_code == 0

    for path in forward.outputs().glob("*.csv.gz"):
        assert path.read_bytes() == (backward.outputs() / path.name).read_bytes()


def test_a_finished_task_is_left_alone_and_force_redoes_it(tmp_path):
    stages = Stages(tmp_path, simulated())
    stages.run("builder")
    stages.run("runner", TASK_INDEX=0)
    result = stages.run_folder / "runner-artifacts" / "result_0000.pkl"
    first = result.stat().st_mtime_ns

    again = stages.run("runner", TASK_INDEX=0)
    untouched = result.stat().st_mtime_ns
    forced = stages.run("runner", TASK_INDEX=0, FORCE=1)

    assert "exists already" in again.output
    assert untouched == first
    assert forced.exit_code == 0
    assert result.stat().st_mtime_ns > first


def test_building_a_run_again_keeps_its_inputs_and_finds_what_is_pending(tmp_path):
    stages = Stages(tmp_path, sampled())
    stages.run("builder")
    inputs = {p.name: p.read_bytes() for p in (stages.run_folder / "builder-artifacts").glob("input_*")}
    stages.run("runner", TASK_INDEX=1)

    again = stages.run("builder", SEED=11)

    assert again.exit_code == 0
    assert {
        p.name: p.read_bytes() for p in (stages.run_folder / "builder-artifacts").glob("input_*")
    } == inputs
    assert stages.manifest()["num_pending"] == 2
    pending = stages.run_folder / "builder-artifacts" / stages.manifest()["pending"]
    assert pending.read_text() == "0\n2\n"


def test_a_task_that_died_before_its_summary_is_pending_again_and_keeps_its_result(tmp_path):
    stages = Stages(tmp_path, sampled())
    stages.run("builder")
    for index in range(3):
        stages.run("runner", TASK_INDEX=index)
    result = stages.run_folder / "runner-artifacts" / "result_0001.pkl"
    summary = stages.run_folder / "summaries" / "runner_0001.json"
    summary.unlink()
    written = result.stat().st_mtime_ns

    stages.run("builder")
    stages.run("runner", BATCH_TASK_INDEX=0)

    assert stages.manifest()["num_pending"] == 1
    assert json.loads(summary.read_text())["status"] == "done"
    assert result.stat().st_mtime_ns == written


def test_tasks_of_a_batch_job_run_what_is_pending_in_slices(tmp_path):
    stages = Stages(tmp_path, sampled(), WORKLOADS_PER_TASK="2")
    stages.run("builder")
    first = stages.run("runner", BATCH_TASK_INDEX=1)
    stages.run("builder")

    second = stages.run("runner", BATCH_TASK_INDEX=0)
    beyond = stages.run("runner", BATCH_TASK_INDEX=1)

    assert first.exit_code == second.exit_code == 0
    assert len(list((stages.run_folder / "runner-artifacts").glob("result_*"))) == 3
    assert beyond.exit_code == 2
    assert f"task 1: {stages.manifest()['pending']} names 1 tasks" in beyond.last_line


@pytest.mark.parametrize("allow_partial", [False, True])
def test_a_missing_result_ends_the_output_stage_unless_partial_results_are_allowed(tmp_path, allow_partial):
    stages = Stages(tmp_path, sampled())
    stages.run("builder")
    stages.run("runner", TASK_INDEX=0)

    ended = stages.run("output", ALLOW_PARTIAL_RESULTS=int(allow_partial))

    names = [f"US-VT, parameter set {number} of 3 (input {number})" for number in (1, 2)]
    if allow_partial:
        assert ended.exit_code == 0, ended.output
        assert f"continuing without 2 of 3 results: {'; '.join(names)}" in ended.output
        report = (stages.outputs() / "report.html").read_text()
        assert "2 of 3" in report
        assert all(f"<strong>{name}</strong> no result; its task has not run" in report for name in names)
        metadata, summary, headline = (
            json.loads(path.read_text())
            for path in (
                stages.run_folder / "run_metadata.json",
                stages.run_folder / "summaries" / "output.json",
                stages.outputs() / "headline.json",
            )
        )
        assert metadata["missing"] == summary["missing"] == headline["missing"] == [1, 2]
        assert metadata["missing_inputs"] == summary["missing_inputs"] == headline["missing_inputs"]
        assert [each["name"] for each in headline["missing_inputs"]] == names
    else:
        assert ended.exit_code == 2
        assert f"2 of 3 results are missing or wrong ({'; '.join(names)}); input 1: no" in ended.last_line
        assert not (stages.run_folder / "outputs").exists()


def test_parquet_tables_hold_what_the_csv_tables_hold(tmp_path):
    import pyarrow.parquet

    experiment = calibrated()
    experiment["output"]["table_formats"] = ["csv", "parquet"]
    stages = Stages(tmp_path, experiment)
    stages.run("builder")
    stages.run("runner", TASK_INDEX=0)

    ended = stages.run("output")

    assert ended.exit_code == 0, ended.output
    paths = sorted(stages.outputs().glob("*.parquet"))
    assert len(paths) == len(list(stages.outputs().glob("*.csv.gz")))
    for path in paths:
        rows = pyarrow.parquet.read_table(path).to_pylist()
        csv_rows = read_table(path.with_suffix(".csv.gz"))
        assert [{k: str(v) for k, v in row.items()} for row in rows] == csv_rows
