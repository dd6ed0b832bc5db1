"""Runs on the operator's own machine: begun, gone on with, listed and stopped."""

import json
import re
import shlex
import signal
import subprocess
import sys

import pytest

from ops.failures import UserError
from ops.input_names import FailedInputs
from ops.laptop.run_files import run_named
from ops.laptop.run_lock import held
from ops.laptop.stage_b import StageTasks
from ops.settings import Settings
from ops.shell import Shell
from tests.experiments import REPOSITORY, sampled, simulated
from tests.operators import THIS_RUN, Operator, build_and_run, invoke_in
from tests.stage_scripts import RUN_ID

# -- runs


def test_a_run_that_lost_its_builder_before_the_manifest_goes_on(tmp_path):
    operator = Operator(tmp_path, simulated())
    (tmp_path / "local" / "bucket" / "trial" / RUN_ID / "config").mkdir(parents=True)

    ended = operator.invoke("run", *THIS_RUN)

    assert ended.exit_code == 0, ended.output


def test_a_run_echoes_its_commands_short(tmp_path):
    operator = Operator(tmp_path, simulated())

    ended = operator.invoke("run", "--exp-id", "trial")
    commands = [line for line in ended.lines if line.startswith("+ ")]

    assert ended.exit_code == 0, ended.output
    assert len(commands) == 3
    builder, *others = commands
    assert re.match(r"\+ EXP_ID=trial bash \S+\.sh", builder)  # what is refused is no run, and has no id
    assert all(re.match(r"\+ EXP_ID=trial RUN_ID=\S+ (TASK_INDEX=0 )?bash \S+\.sh", c) for c in others)
    assert "1 task, 1 at once" in ended.output
    assert "(1 picture)" in ended.output


def test_stage_runner_takes_a_number_of_jobs(tmp_path):
    operator = Operator(tmp_path, sampled())
    operator.invoke("stage", "builder", *THIS_RUN)

    ended = operator.invoke("stage", "runner", *THIS_RUN, "--jobs", "1", LOCAL_JOBS="3")

    assert ended.exit_code == 0, ended.output
    assert "3 tasks, 1 at once" in ended.output
    assert len(operator.results()) == 3


def test_runs_tells_of_results_that_went_after_the_outputs(tmp_path):
    operator = Operator(tmp_path, sampled())
    build_and_run(operator)
    operator.invoke("stage", "output", *THIS_RUN)
    next((tmp_path / "local" / "bucket").glob("**/result_0001.pkl")).unlink()

    ended = operator.invoke("runs")

    assert re.search(r"2/3 +done, 1 result gone", ended.output)


def test_validate_tells_only_a_seed_that_a_run_will_have(tmp_path):
    experiment = simulated()
    del experiment["model"]["random_seed"]
    operator = Operator(tmp_path, experiment)

    drawn = operator.invoke("validate", "--exp-id", "trial")
    fixed = operator.invoke("validate", "--exp-id", "trial", RUN_SEED="7")
    own = Operator(tmp_path / "own", simulated()).invoke("validate", "--exp-id", "trial")

    assert drawn.exit_code == 0, drawn.output
    assert "seed" not in drawn.last_line
    assert fixed.last_line.endswith("seed 7")
    assert own.last_line.endswith("seed 11")


def test_folders_that_are_no_runs_do_not_hide_those_that_are(tmp_path):
    operator = Operator(tmp_path, simulated())
    bucket = tmp_path / "local" / "bucket"
    for folder in (bucket / "trial", bucket / "trial old", bucket):
        (folder / RUN_ID).mkdir(parents=True)

    runs = operator.invoke("runs")
    inside = operator.invoke("runs", DIR_PREFIX="trial/")
    results = operator.invoke("results", "--exp-id", "trial")

    assert [line.split() for line in runs.lines[1:]] == [["trial", RUN_ID, "not", "built"]]
    assert "no runs" in inside.output
    assert inside.exit_code == 0
    assert "no run of trial" in results.last_line


def test_runs_of_an_experiment_that_has_none_suggest_one_that_has(tmp_path):
    operator = Operator(tmp_path, simulated()).with_own_code()
    (tmp_path / "local" / "bucket" / "trial" / RUN_ID).mkdir(parents=True)
    cache = tmp_path / "ops" / "__pycache__"

    for words in (["runs"], ["clean", "--runs", "--yes"]):
        cache.mkdir(exist_ok=True)
        ended = operator.invoke(*words, "--exp-id", "trail")
        assert ended.exit_code == 2
        assert 'no runs of trail (did you mean "trial"?)' in ended.last_line
        assert cache.is_dir()


@pytest.mark.parametrize("words", [("results",), ("stage", "runner", "--run-id", RUN_ID)])
def test_a_manifest_of_nothing_is_one_line(tmp_path, words):
    operator = Operator(tmp_path, simulated())
    artifacts = tmp_path / "local" / "bucket" / "trial" / RUN_ID / "builder-artifacts"
    artifacts.mkdir(parents=True)
    (artifacts / "manifest.json").write_text("{}")

    ended = operator.invoke(*words, "--exp-id", "trial")

    assert ended.exit_code == 2
    assert "manifest.json: not a manifest" in ended.last_line
    assert "Traceback" not in ended.output


def test_results_tell_of_populations_and_dates_that_are_left_out(tmp_path):
    operator = Operator(tmp_path, simulated())
    operator.invoke("run", "--exp-id", "trial")
    headline = operator.outputs()[0].with_name("headline.json")
    left_out = {"left_out_populations": 3, "left_out_dates": 12}
    headline.write_text(json.dumps(json.loads(headline.read_text()) | left_out))

    ended = operator.invoke("results", "--exp-id", "trial")

    assert ended.exit_code == 0, ended.output
    assert "and 3 more populations; see the report" in ended.lines
    assert "and 12 later dates; see the tables" in ended.lines


# -- one task a run


def test_a_run_in_progress_is_left_alone_by_clean_and_by_another_run(tmp_path):
    operator = Operator(tmp_path, sampled()).with_own_code()
    operator.invoke("stage", "builder", *THIS_RUN)
    settings = Settings(local_data_path=tmp_path / "local")
    run = run_named(settings, "trial", RUN_ID)

    with held(run):
        again = operator.invoke("run", *THIS_RUN)
        shown = operator.invoke("run", *THIS_RUN, "--dry-run")
        cleaned = operator.invoke("clean", "--runs", "--yes")
        still_there = run.is_built
    after = operator.invoke("run", *THIS_RUN, "--skip-output")
    removed = operator.invoke("clean", "--runs", "--yes")

    assert again.exit_code == 2
    assert (
        again.last_line == f"error: run {RUN_ID} of trial is in use by another task; wait until it has ended"
    )
    assert shown.exit_code == 0, shown.output
    assert f"trial  {RUN_ID}  is in use by another task, and is kept" in cleaned.output
    assert still_there
    assert after.exit_code == 0, after.output
    assert removed.exit_code == 0, removed.output
    assert not run.folder.exists()
    assert not run.logs.exists()


def test_a_log_folder_that_goes_while_a_run_works_is_one_line(tmp_path):
    tasks = StageTasks(Shell(), ["true"], {}, tmp_path / "logs", 0, FailedInputs(Shell(), tmp_path))

    with pytest.raises(UserError, match=r"runner_0000\.log: cannot be written"):
        tasks._start(0)


def tasks_of(tmp_path, script: str) -> StageTasks:
    """Return tasks that run a script of bash."""
    inputs = FailedInputs(Shell(), tmp_path)
    return StageTasks(Shell(), ["bash", "-c", script], {}, tmp_path / "logs", 0, inputs)


@pytest.mark.parametrize(
    ("level", "said"),
    [
        ("", "compiling the engine for this machine, about half a minute; once per version"),
        ("warning: ", "US-VT runs through epydemix, several hundred times slower than the engine"),
    ],
)
def test_a_slow_task_says_why_on_the_terminal_and_the_others_do_not_repeat_it(tmp_path, capfd, level, said):
    tasks = tasks_of(tmp_path, f"echo '12:00:00 runner 0: {level}{said}, because'; sleep 0.3")

    assert tasks.run([0, 1, 2], jobs=2) == {}

    lines = [line for line in capfd.readouterr().err.splitlines() if "engine" in line]
    assert lines == [f"{said}, because"]


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (
            "kill -9 $$",
            "killed by SIGKILL, perhaps for lack of memory; its last line: 12:00:00 runner 0: US-VT: at",
        ),
        ("exit 137", "killed by SIGKILL, perhaps for lack of memory; its last line: "),  # in a container
        ("kill -15 $$", "killed by SIGTERM; its last line: "),
        ("exit 1", "12:00:00 runner 0: US-VT: at work"),
    ],
)
def test_a_killed_task_is_not_explained_by_the_progress_it_logged(tmp_path, capfd, ending, said):
    tasks = tasks_of(tmp_path, f"echo '12:00:00 runner 0: US-VT: at work'; {ending}")

    assert list(tasks.run([0], jobs=1)) == [0]

    assert f"failed: {said}" in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_child_is_started_is_followed_once_the_child_is_known(number):
    script = f"""
import os, subprocess
from ops import shell
shell.stop_on_termination()
usual = subprocess.Popen
def interrupted(*args, **kwargs):
    os.kill(os.getpid(), {int(number)})
    return usual(*args, **kwargs)
shell.subprocess.Popen = interrupted
kept = []
try:
    shell.Shell().start(["sleep", "60"], keep=kept.append)
except KeyboardInterrupt:
    shell.stop(kept, grace_seconds=0.5)
    print("stopped", len(kept))
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True)

    assert ended.stdout == "stopped 1\n", ended.stderr


def test_a_reader_that_has_seen_enough_ends_a_task_quietly(tmp_path):
    operator = Operator(tmp_path, simulated())
    invoke = shlex.join([*invoke_in(operator.code)])

    ended = subprocess.run(
        ["bash", "-c", f"{invoke} config-show | true; echo ${{PIPESTATUS[0]}}"],
        env=operator.environ,
        capture_output=True,
        text=True,
    )

    assert (ended.stdout, ended.stderr) == ("141\n", "")
