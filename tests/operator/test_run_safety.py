"""What a run keeps to when it is stopped or tampered with, what it records, and what operators see."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from modeling.failures import TemporaryFault, UserError
from ops.input_names import FailedInputs
from ops.laptop.local_run import commit_of
from ops.laptop.stage_b import StageTasks, retry_seconds
from ops.settings import Settings
from ops.shell import Shell
from pipeline.environment import read_stage_context
from pipeline.manifest import Manifest
from pipeline.summary import Stopwatch
from tests.experiments import REPOSITORY, sampled, simulated
from tests.operators import RUN, Operator, run_folder
from tests.stage_scripts import NEW_PYTHON, RUN_ID, Stages, built


def tables(files_json: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in files_json.parent.glob("*.csv.gz")}


@pytest.mark.parametrize("damage", ["cut short", "of another input"])
def test_a_damaged_result_is_removed_and_the_next_run_makes_it_anew(untouched, finished, damage):
    results = run_folder(finished) / "runner-artifacts"
    other = (results / "result_0000.pkl").read_bytes()
    changed = (results / "result_0001.pkl").read_bytes()[:-40] if damage == "cut short" else other
    (results / "result_0001.pkl").write_bytes(changed)
    before = len(finished.outputs())

    refused = finished.invoke(*RUN)
    removed = not (results / "result_0001.pkl").exists()
    again = finished.invoke(*RUN)

    assert refused.exit_code == 2
    assert f"it was removed, and `invoke run --exp-id trial --run-id {RUN_ID}`" in refused.output
    assert removed
    assert again.exit_code == 0, again.output
    assert len(finished.outputs()) == before + 1
    assert tables(finished.outputs()[-1]) == tables(untouched.outputs()[0])


def test_a_bad_input_in_a_slice_does_not_keep_the_others_from_running(tmp_path):
    stages = built(tmp_path, WORKLOADS_PER_TASK="3")
    for index in (0, 1):
        path = stages.run_folder / "builder-artifacts" / f"input_{index:04d}.pkl"
        path.write_bytes(b"cut short")

    ended = stages.run("runner", BATCH_TASK_INDEX=0)

    assert ended.exit_code == 2
    assert "2 of 3 inputs failed. US-VT, parameter set 0 of 3 (input 0): " in ended.last_line
    assert "; US-VT, parameter set 1 of 3 (input 1): " in ended.last_line
    assert [p.name for p in (stages.run_folder / "runner-artifacts").iterdir()] == ["result_0002.pkl"]


def test_a_task_that_was_lost_between_its_result_and_its_summary_gets_one_when_it_is_tried_again(finished):
    stages = Stages(finished.folder / "other", sampled())
    stages.variables["LOCAL_DATA_PATH"] = str(finished.folder / "local")
    result = run_folder(finished) / "runner-artifacts" / "result_0001.pkl"
    path = run_folder(finished) / "summaries" / "runner_0001.json"
    before, whole = json.loads(path.read_text()), result.read_bytes()
    path.write_text(json.dumps(before | {"status": "failed", "error": "of an earlier try"}))

    ended = stages.run("runner", TASK_INDEX=1)
    after = json.loads(path.read_text())
    path.unlink()
    again = stages.run("runner", TASK_INDEX=1)

    assert ended.exit_code == again.exit_code == 0, again.output
    told = ("status", "task_index", "population", "trajectories", "simulations", "stopped_by")
    assert [after[name] for name in told] == [before[name] for name in told]
    assert "error" not in after
    assert json.loads(path.read_text())["trajectories"] == before["trajectories"]
    assert result.read_bytes() == whole


@pytest.mark.parametrize("failure", [UserError("bad"), TemporaryFault("away"), ZeroDivisionError("bug")])
def test_every_failure_leaves_a_summary_and_is_not_hidden_by_one_that_cannot_be_written(
    tmp_path, monkeypatch, failure
):
    import main_runner

    from pipeline.artifacts import RunFiles
    from pipeline.input_files import Inputs

    stages = built(tmp_path)
    context = read_stage_context(stages.environment(TASK_INDEX=0))

    def fail(*_):
        raise failure

    monkeypatch.setattr(Inputs, "read", fail)
    with pytest.raises(type(failure)):
        main_runner.run_task(context)
    summary = (stages.run_folder / "summaries" / "runner_0000.json").read_text()
    monkeypatch.setattr(RunFiles, "write_summary", lambda *_: (_ for _ in ()).throw(TemporaryFault("full")))
    with pytest.raises(type(failure), match=str(failure)):
        main_runner.run_task(context)

    assert '"failed"' in summary
    assert str(failure) in summary


@pytest.mark.parametrize(
    ("field", "count"), [("num_workloads", 0), ("num_pending", -1), ("workloads_per_task", 0)]
)
def test_a_manifest_with_an_impossible_count_is_refused(untouched, field, count):
    path = run_folder(untouched) / "builder-artifacts" / "manifest.json"
    manifest = json.loads(path.read_text()) | {field: count}

    with pytest.raises(UserError, match="not a manifest"):
        Manifest.from_json(json.dumps(manifest).encode(), "manifest.json")


def test_a_terminated_run_stops_its_runners(tmp_path):
    experiment = simulated()
    experiment["model"]["simulation"]["n_sims"] = 200_000
    operator = Operator(tmp_path, experiment)
    operator.invoke("stage", "builder", *RUN[1:])
    process = operator.start(*RUN, "--jobs", "1")
    wait_until(lambda: runners_of(tmp_path))

    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Resume with: invoke run" in output
    assert not runners_of(tmp_path)


def test_a_terminated_stage_removes_its_temporary_folder(finished):
    temporary = finished.folder / "tmp"
    temporary.mkdir()
    stages = Stages(finished.folder / "other", sampled(), TMPDIR=str(temporary))
    stages.variables["LOCAL_DATA_PATH"] = str(finished.folder / "local")
    process = stages.start("output", **NEW_PYTHON)
    wait_until(lambda: list(temporary.glob("outputs-*")))

    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "interrupted" in output
    assert not list(temporary.glob("outputs-*"))


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def runners_of(folder: Path) -> list[str]:
    """Return the processes of stage B that work in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"main_runner.py" in (entry / "cmdline").read_bytes() and (entry / "cwd").readlink() == folder:
                found.append(entry.name)
        except OSError:
            continue
    return found


def test_cpu_seconds_are_those_of_one_input_after_the_first(monkeypatch):
    monkeypatch.setattr(Stopwatch, "_begun", False)
    first = Stopwatch()
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass

    assert first.summary()["cpu_seconds"] >= 0.3
    assert Stopwatch().summary()["cpu_seconds"] < 0.2


def test_the_commit_is_that_of_the_repository_and_empty_where_there_is_none(tmp_path):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(tmp_path)]
    before = commit_of(tmp_path)
    (tmp_path / "a").write_text("x")
    for words in (["init", "-q"], ["add", "a"], ["commit", "-qm", "a"]):
        subprocess.run([*git, *words], check=True)
    (tmp_path / "ignored").mkdir()
    clean = commit_of(tmp_path)
    (tmp_path / "a").write_text("y")

    assert before == ""
    assert len(clean) == 40
    assert commit_of(tmp_path) == f"{clean}-dirty"
    assert commit_of(tmp_path / "ignored") == ""
    assert commit_of(tmp_path / "nowhere") == ""


def test_reaching_the_smallest_tolerance_is_not_called_cut_short(finished):
    from pipeline.artifacts import RunFiles
    from pipeline.metadata import read_run_record
    from pipeline.storage import FolderStorage

    prefix = f"trial/{RUN_ID}/"
    files = RunFiles(FolderStorage(finished.folder / "local" / "bucket"), prefix, prefix)
    for index, limit in enumerate(["minimum_epsilon", "max_time"]):
        files.write_summary(f"runner_{index:04d}", {"population": f"P{index}", "stopped_by": limit})

    record = read_run_record(files, files.read_manifest())

    assert record.cut_short == ["P1: calibration was cut short by max_time"]


def test_cleaning_an_experiment_leaves_those_below_it_alone(finished):
    bucket = finished.folder / "local" / "bucket"
    below = bucket / "trial" / "2026-w05" / RUN_ID
    shutil.copytree(run_folder(finished), below)
    finished.with_own_code()

    outside = [finished.invoke("clean", "--runs", "--yes", "--exp-id", e) for e in ("../../x", "/abs", "*")]
    cleaned = finished.invoke("clean", "--runs", "--yes", "--exp-id", "trial")

    assert [ended.exit_code for ended in outside] == [2, 2, 2]
    assert not [ended for ended in outside if "Traceback" in ended.output]
    assert cleaned.exit_code == 0
    assert not run_folder(finished).exists()
    assert (below / "builder-artifacts" / "manifest.json").is_file()


def test_runs_shows_a_damaged_manifest_and_goes_on(finished):
    other = run_folder(finished).with_name("20250202-120000-0a1b2c3d")
    shutil.copytree(run_folder(finished), other)
    (other / "builder-artifacts" / "manifest.json").write_text("[]")

    ended = finished.invoke("runs")

    assert ended.exit_code == 0, ended.output
    assert [line.split()[-1] for line in ended.lines if other.name in line] == ["damaged"]
    assert [line for line in ended.lines if RUN_ID in line and "3/3" in line]


def test_results_show_the_forecast_that_belongs_to_the_newest_finished_outputs(finished):
    (run_folder(finished) / "summaries" / "output.json").unlink()

    ended = finished.invoke("results", "--exp-id", "trial")

    assert ended.exit_code == 0, ended.output
    assert "US-VT" in ended.output
    assert "headline.json" not in ended.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stage", "runner", "--exp-id", "trial", "--run-id", RUN_ID], "no such run"),
        (["stage", "runner", "--exp-id", "trial", "--run-id", "../x"], "a run id looks like"),
        (["results", "--exp-id", "../trial"], "no .."),
        (["runs", "--exp-id", "/abs"], "no .."),
        (["run", "--exp-id", "trial", "--jobs", "²"], "a whole number is needed"),
    ],
)
def test_a_name_that_leads_nowhere_is_one_line(tmp_path, words, said):
    operator = Operator(tmp_path, simulated())

    ended = operator.invoke(*words)

    assert ended.exit_code == 2
    assert said in ended.last_line
    assert "Traceback" not in ended.output


def test_a_number_of_tasks_without_the_first_is_refused(finished):
    ended = finished.invoke("stage", "runner", *RUN[1:], "--num-inputs", "2")

    assert ended.exit_code == 2
    assert "add --task-index 0" in ended.last_line


def test_a_prefix_out_of_the_bucket_is_refused():
    with pytest.raises(ValueError, match=r"without \. or \.\."):
        Settings(dir_prefix="flu/../..")

    assert Settings(dir_prefix="flu").dir_prefix == "flu/"


@pytest.mark.parametrize("line", ["GITHUB_PAT ghp_x", "ghp_x", "export GITHUB_PAT: ghp_x", '"ghp_x'])
def test_a_broken_line_of_an_env_file_shows_no_value(tmp_path, line):
    operator = Operator(tmp_path, simulated())
    (tmp_path / ".env").write_text(f"LOG_LEVEL=INFO\n{line}\n")

    ended = operator.invoke("config-show")

    assert ended.exit_code == 2
    assert ".env:2:" in ended.last_line
    assert "ghp_x" not in ended.output


def test_a_passing_fault_is_waited_out_without_holding_up_other_tasks(tmp_path, monkeypatch):
    script = 'echo "$TASK_INDEX" >> order; [ "$TASK_INDEX$BATCH_TASK_RETRY_ATTEMPT" != 00 ] || exit 75'
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ops.laptop.stage_b.retry_seconds", lambda tries: 0.5)

    inputs = FailedInputs(Shell(), tmp_path)
    failed = StageTasks(Shell(), ["bash", "-c", script], {}, tmp_path / "logs", 3, inputs).run([0, 1, 2], 1)

    assert failed == {}
    assert (tmp_path / "order").read_text().split() == ["0", "1", "2", "0"]
    assert [retry_seconds(tries) for tries in (1, 2, 3, 9)] == [1, 2, 4, 30]


@pytest.mark.parametrize("name", ["gs://flu-runs/", "gs://flu-runs", "flu-runs"])
def test_a_bucket_may_be_given_as_the_console_shows_it(name):
    context = read_stage_context(
        {"EXECUTION_MODE": "Cloud", "GCS_BUCKET": name, "EXP_ID": "a", "RUN_ID": RUN_ID}
    )

    assert context.bucket == "flu-runs"


@pytest.mark.parametrize(
    ("variables", "job"),
    [
        ({"JOBID": "runner-by-hand", "BATCH_JOB_UID": "runner-by-han-0a1b"}, "runner-by-hand"),
        ({"JOBID": "", "BATCH_JOB_UID": "stage-b-17-0a1b"}, "stage-b-17-0a1b"),  # of a rendered file
        ({}, ""),
    ],
)
def test_tasks_of_jobs_are_told_apart_also_where_no_job_is_named(variables, job):
    context = read_stage_context({"EXP_ID": "a", "RUN_ID": RUN_ID, **variables})

    assert context.job_id == job


def test_a_log_is_json_however_the_mode_is_written(tmp_path):
    stages = Stages(tmp_path, simulated(), EXECUTION_MODE="Cloud")

    ended = stages.run("builder")

    assert ended.exit_code == 2
    assert ended.last_line.startswith("{")
    assert "GCS_BUCKET is not set" in ended.last_line


def test_every_stage_is_told_the_commits(untouched):
    metadata = json.loads((run_folder(untouched) / "run_metadata.json").read_text())

    assert metadata["commits"]["code"] == commit_of(REPOSITORY)
    assert "forecast" not in metadata["commits"]
    assert metadata["arguments"]["seed"] == 11
    assert os.sep not in metadata["manifest"]["pending"]
