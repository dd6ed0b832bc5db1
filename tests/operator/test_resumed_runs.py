"""A run that goes on keeps to what it was built with: settings, configuration, prefixes, inputs."""

import shutil

import pytest

from tests.experiments import sampled
from tests.operators import RUN, run_folder
from tests.stage_scripts import RUN_ID, Stages, built


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"SEED": 99},
            f"{RUN_ID} was built with SEED=11, not 99; start a new run, or leave SEED out (invoke: --seed)",
        ),
        ({"COUNT": 2}, "was built without COUNT, not 2"),
        ({"MODELING_SUITE": "epymodelingsuite"}, "was built with MODELING_SUITE=built-in"),
        ({"ENGINE": "cpu"}, "built with ENGINE=epydemix, not cpu; start a new run, or set ENGINE=epydemix"),
    ],
)
def test_a_run_does_not_go_on_under_settings_it_was_not_built_with(tmp_path, variables, said):
    stages = built(tmp_path, ENGINE="epydemix")
    del stages.variables["ENGINE"]

    refused = stages.run("builder", **variables)
    same = stages.run("builder", SEED=11, MODELING_SUITE="built-in")

    assert refused.exit_code == 2
    assert said in refused.last_line
    assert same.exit_code == 0, same.output


def test_settings_for_new_runs_do_not_stop_one_that_goes_on(finished):
    ended = finished.invoke(*RUN, "--skip-output", RUN_SEED="99", RUN_COUNT="7")
    refused = finished.invoke(*RUN, "--skip-output", "--seed", "99")

    assert ended.exit_code == 0, ended.output
    assert refused.exit_code == 2
    assert "was built with SEED=11" in refused.output


def test_configuration_is_kept_by_kind_whatever_the_files_are_called(tmp_path):
    stages = Stages(tmp_path, sampled())
    (stages.config / "model.yaml").rename(stages.config / "b.yml")
    other = stages.folder / "model.yaml"
    (stages.config / "output.yaml").rename(other)
    leftover = stages.run_folder / "config" / "output.yaml"
    leftover.parent.mkdir(parents=True)
    leftover.write_text("output: of a builder that was killed")

    plain = stages.run("builder")
    names = sorted(p.name for p in leftover.parent.iterdir())
    shutil.rmtree(stages.run_folder)
    with_output = stages.run("builder", OUTPUT_CONFIG_FILE=other)

    assert plain.exit_code == with_output.exit_code == 0, with_output.output
    assert names == ["model.yaml", "modelset.yaml"]
    assert leftover.read_bytes() == other.read_bytes()
    assert b"compartments" in (leftover.parent / "model.yaml").read_bytes()


def test_a_changed_an_added_and_a_removed_configuration_are_noticed(tmp_path):
    stages = built(tmp_path)
    output = stages.config / "output.yaml"
    text = output.read_text()

    same = stages.run("builder")
    output.unlink()
    removed = stages.run("builder")
    (stages.config / "renamed.yaml").write_text(text)
    renamed = stages.run("builder")

    assert "have changed" not in same.output
    assert "have changed" in removed.output
    assert "have changed" not in renamed.output


def test_a_message_about_the_kept_configuration_names_no_temporary_folder(finished):
    config = run_folder(finished) / "config" / "output.yaml"
    config.write_bytes(b"\xff\xfe")

    ended = finished.invoke("stage", "C", "--exp-id", "trial", "--run-id", RUN_ID)

    assert ended.exit_code == 2
    assert "output.yaml: the text is UTF-16; save the file as UTF-8" in ended.output
    assert "/outputs-" not in ended.output


def test_stages_read_below_one_prefix_and_write_below_another(tmp_path):
    stages = built(tmp_path)
    home = f"trial/{RUN_ID}/"
    bucket = tmp_path / "bucket"

    for index in range(3):
        assert stages.run("runner", TASK_INDEX=index, IN_PREFIX=home, OUT_PREFIX="ran").exit_code == 0
    again = stages.run("runner", TASK_INDEX=0, IN_PREFIX=home, OUT_PREFIX="ran/")
    results = sorted(p.name for p in (bucket / "ran").rglob("*.pkl"))
    shutil.copytree(bucket / "ran", stages.run_folder, dirs_exist_ok=True)
    output = stages.run("output", IN_PREFIX=home, OUT_PREFIX="out")

    assert "exists already" in again.output
    assert results == [f"result_{index:04d}.pkl" for index in range(3)]
    assert output.exit_code == 0, output.output
    assert sorted(p.name for p in (bucket / "out").iterdir()) == ["outputs", "run_metadata.json", "summaries"]
    assert not (stages.run_folder / "outputs").exists()


def test_a_running_job_keeps_its_inputs_when_stage_a_is_run_again(tmp_path):
    stages = built(tmp_path, WORKLOADS_PER_TASK="2")
    of_the_job = stages.manifest()["pending"]
    stages.run("runner", BATCH_TASK_INDEX=0, PENDING_FILE=of_the_job)
    stages.run("builder")

    second = stages.run("runner", BATCH_TASK_INDEX=1, PENDING_FILE=of_the_job)
    beyond = stages.run("runner", BATCH_TASK_INDEX=2, PENDING_FILE=of_the_job)

    assert stages.manifest()["pending"] != of_the_job
    assert stages.manifest()["task_count"] == 1
    assert second.exit_code == 0, second.output
    assert len(list((stages.run_folder / "runner-artifacts").iterdir())) == 3
    assert beyond.exit_code == 2
    assert f"{of_the_job} names 2 tasks" in beyond.last_line
