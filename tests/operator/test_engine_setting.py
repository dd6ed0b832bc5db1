"""ENGINE is a property of a run: it is chosen when the run is built, and kept."""

import json

import pytest

from modeling.run_names import DEFAULT_ENGINE
from modeling.threads import usable_cores
from ops.settings import Settings
from pipeline.environment import read_stage_context
from tests.cloud_operators import run_id_in
from tests.experiments import sampled, simulated
from tests.operators import RUN, THIS_RUN, Operator, run_folder
from tests.stage_scripts import RUN_ID, Stages, built


def manifest_path(stages: Stages):
    return stages.run_folder / "builder-artifacts" / "manifest.json"


def without_engine(found: dict) -> dict:
    """Return the manifest as versions wrote it that had epydemix alone."""
    return {name: value for name, value in found.items() if name != "engine"}


def summary(operator: Operator, name: str) -> dict:
    return json.loads((run_folder(operator) / "summaries" / f"{name}.json").read_text())


def test_a_new_run_has_the_engine_that_is_set_or_the_default(tmp_path):
    plain, asked = built(tmp_path / "plain"), built(tmp_path / "asked", ENGINE="CPU")

    assert plain.manifest()["engine"] == DEFAULT_ENGINE == Settings().engine
    assert asked.manifest()["engine"] == "cpu"


def test_a_run_of_before_there_were_two_engines_keeps_epydemix(tmp_path):
    stages = built(tmp_path, ENGINE="epydemix")
    manifest_path(stages).write_text(json.dumps(without_engine(stages.manifest())))

    resumed = stages.run("builder", ENGINE="cpu")
    ended = stages.run("runner", TASK_INDEX=0, ENGINE="cpu")  # as a job made by hand passes today's setting

    assert resumed.exit_code == 2
    assert "was built with ENGINE=epydemix, not cpu" in resumed.last_line
    assert ended.exit_code == 0, ended.output
    made = json.loads((stages.run_folder / "summaries" / "runner_0000.json").read_text())
    assert made["engine"] == "epydemix"


def test_settings_for_new_runs_do_not_change_the_engine_of_one_that_goes_on(tmp_path):
    operator = Operator(tmp_path, simulated())
    operator.invoke("stage", "builder", *THIS_RUN, ENGINE="epydemix")

    ended = operator.invoke(*RUN, "--skip-output", ENGINE="cpu")
    again = operator.invoke(*RUN, "--skip-output", ENGINE="epydemix")

    assert ended.exit_code == 0, ended.output
    assert f"run {RUN_ID} keeps ENGINE=epydemix, with which it was built\n" in ended.output
    assert "ENGINE" not in again.output
    assert summary(operator, "runner_0000")["engine"] == "epydemix"


def test_a_run_is_reproduced_with_its_own_engine(tmp_path):
    operator = Operator(tmp_path, simulated())
    assert operator.invoke("run", *THIS_RUN[:2], "--seed", "7", ENGINE="epydemix").exit_code == 0
    [path] = (tmp_path / "local" / "bucket" / "trial").glob("*/run_metadata.json")
    metadata = json.loads(path.read_text())
    assert metadata["manifest"]["engine"] == metadata["arguments"]["engine"] == "epydemix"
    path.write_text(json.dumps(metadata | {"manifest": without_engine(metadata["manifest"])}))

    ended = operator.invoke("reproduce", *THIS_RUN[:2], "--run-id", path.parent.name, ENGINE="cpu")

    assert ended.exit_code == 0, ended.output
    again = path.parent.with_name(run_id_in(ended.output)) / "run_metadata.json"
    assert json.loads(again.read_text())["manifest"]["engine"] == "epydemix"
    assert ended.last_line.startswith("equal: ")


def test_another_engine_is_refused_by_name(tmp_path):
    ended = Operator(tmp_path, simulated()).invoke("run", *THIS_RUN[:2], ENGINE="gpu")

    assert ended.exit_code == 2
    assert "ENGINE" in ended.last_line
    assert "use cpu or epydemix" in ended.last_line


@pytest.mark.parametrize(
    ("experiment", "options", "variables", "threads"),
    [
        (simulated, ["--jobs", "2"], {}, min(2, usable_cores())),  # one input: the other cores have no task
        (sampled, ["--jobs", "2"], {}, 1),
        (simulated, ["--jobs", "1"], {}, 1),  # the others are to be left alone
        (sampled, [], {"ENGINE_THREADS": "3"}, 3),
    ],
)
def test_tasks_on_this_machine_share_its_cores(tmp_path, experiment, options, variables, threads):
    operator = Operator(tmp_path, experiment())
    operator.invoke("stage", "builder", *THIS_RUN, ENGINE="epydemix")

    ended = operator.invoke("stage", "runner", *THIS_RUN, *options, **variables)

    assert ended.exit_code == 0, ended.output
    assert summary(operator, "runner_0000")["threads"] == threads


def test_tasks_on_one_machine_in_the_cloud_share_its_cores(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    stage = {"tasks_per_machine": 4, "usd_machine_hour": 1}
    setup = {"max_parallelism": 1, "machine_start_seconds": 1, "stages": {"runner": stage}}
    known = {"EXP_ID": "trial", "RUN_ID": RUN_ID}

    alone = read_stage_context(known)
    shared = read_stage_context(known | {"RUN_SETUP": json.dumps(setup)})
    asked = read_stage_context(known | {"RUN_SETUP": json.dumps(setup), "ENGINE_THREADS": "3"})

    assert [alone.threads, shared.threads, asked.threads] == [8, 2, 3]
