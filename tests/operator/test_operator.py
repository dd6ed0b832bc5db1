"""The operator's own machine: folders, settings and runs in places that are not the usual ones."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ops.failures import UserError
from ops.input_names import FailedInputs
from ops.laptop import clean
from ops.laptop.run_files import local_run
from ops.laptop.run_lock import held
from ops.laptop.stage_b import StageTasks
from ops.settings import Settings
from ops.shell import Shell
from tests.experiments import REPOSITORY, sampled, simulated
from tests.operators import Operator, invoke_in
from tests.stage_scripts import RUN_ID

THIS_RUN = ("--exp-id", "trial", "--run-id", RUN_ID)


def build_and_run(operator: Operator, **variables: str) -> None:
    for stage in ("builder", "runner"):
        ended = operator.invoke("stage", stage, *THIS_RUN, **variables)
        assert ended.exit_code == 0, ended.output


# -- where things are


def test_settings_and_runs_are_those_of_the_repository_from_any_folder_of_it(tmp_path):
    operator = Operator(tmp_path, simulated()).with_own_code()
    (tmp_path / ".env").write_text("DIR_PREFIX=flu/\n")
    below = tmp_path / "docs" / "deep"
    below.mkdir(parents=True)

    ran = operator.invoke("run", "--exp-id", "trial", cwd=below)
    seen = operator.invoke("runs", cwd=tmp_path)

    assert ran.exit_code == 0, ran.output
    assert list((tmp_path / "local" / "bucket" / "flu" / "trial").iterdir())
    assert re.search(r"trial +\S+ .*1/1 +done", seen.output)
    assert not list(below.iterdir())


def test_relative_folders_in_settings_are_below_the_repository(tmp_path):
    operator = Operator(tmp_path, simulated()).with_own_code()
    (tmp_path / "other").mkdir()
    (tmp_path / "local" / "forecast").rename(tmp_path / "other" / "flu")
    (tmp_path / "populations").symlink_to(operator.environ.pop("EPYDEMIX_DATA_DIR"))
    (tmp_path / ".env").write_text(
        "LOCAL_DATA_PATH=other/runs\nFORECAST_REPO_DIR=other/flu\nEPYDEMIX_DATA_DIR=populations\n"
    )

    valid = operator.invoke("config-validate", cwd=tmp_path / "ops")
    ran = operator.invoke("run", "--exp-id", "trial", cwd=tmp_path / "ops")

    assert valid.exit_code == 0, valid.output
    assert ran.exit_code == 0, ran.output
    assert list((tmp_path / "other" / "runs" / "bucket" / "trial").iterdir())


def test_an_output_file_is_below_the_repository_in_settings_and_below_the_shell_on_the_command_line(tmp_path):
    operator = Operator(tmp_path, simulated()).with_own_code()
    config = tmp_path / "local" / "forecast" / "experiments" / "trial" / "config"
    below = tmp_path / "mine"
    below.mkdir()
    text = (config / "output.yaml").read_text()
    (tmp_path / "ops" / "other.yaml").write_text(text)
    (below / "typed.yaml").write_text(text)

    set_ = operator.invoke("validate", "--exp-id", "trial", cwd=below, OUTPUT_CONFIG_FILE="ops/other.yaml")
    typed = operator.invoke("validate", "--exp-id", "trial", "--output-config-file", "typed.yaml", cwd=below)
    missing = operator.invoke("validate", "--exp-id", "trial", "--output-config-file", "typed.yaml")

    assert set_.exit_code == 0, set_.output
    assert typed.exit_code == 0, typed.output
    assert missing.exit_code == 2


def test_the_name_of_an_output_file_is_first_one_of_the_experiment(tmp_path):
    operator = Operator(tmp_path, simulated())
    (tmp_path / "output.yaml").write_text("no: output")
    words = ("validate", "--exp-id", "trial")

    named = operator.invoke(*words, OUTPUT_CONFIG_FILE="output.yaml")
    path = operator.invoke(*words, "--output-config-file", "./output.yaml")

    assert named.exit_code == 0, named.output
    assert path.exit_code == 2


def test_home_and_variables_are_put_into_folders(tmp_path):
    operator = Operator(tmp_path, simulated())
    (tmp_path / ".env").write_text("FORECAST_REPO_DIR=$HOME/flu\nEPYDEMIX_DATA_DIR=${DATA}/world\n")
    del operator.environ["EPYDEMIX_DATA_DIR"]

    ended = operator.invoke("config-show", LOCAL_DATA_PATH="~/runs", HOME="/nowhere", DATA="/data")

    assert re.search(r"LOCAL_DATA_PATH +/nowhere/runs +environment", ended.output)
    assert re.search(r"FORECAST_REPO_DIR +/nowhere/flu +\.env", ended.output)
    assert re.search(r"EPYDEMIX_DATA_DIR +/data/world +\.env", ended.output)


def test_settings_are_read_in_any_case(tmp_path):
    operator = Operator(tmp_path, simulated())
    (tmp_path / ".env").write_text("LOG_LEVEL=debug\nEXECUTION_MODE=Local\nRUN_OUTPUT_STAGE=No\n")

    ended = operator.invoke("config-show", ALLOW_PARTIAL_RESULTS="1")

    assert re.search(r"LOG_LEVEL +DEBUG +", ended.output)
    assert re.search(r"EXECUTION_MODE +local +", ended.output)
    assert re.search(r"RUN_OUTPUT_STAGE +false +", ended.output)
    assert re.search(r"ALLOW_PARTIAL_RESULTS +true +", ended.output)


def test_config_validate_names_every_place_that_is_not_there(tmp_path):
    operator = Operator(tmp_path, simulated())
    (tmp_path / "file").touch()

    ended = operator.invoke(
        "config-validate",
        FORECAST_REPO_DIR=str(tmp_path / "flu"),
        EPYDEMIX_DATA_DIR=str(tmp_path / "world"),
        OUTPUT_CONFIG_FILE=str(tmp_path / "out.yaml"),
        LOCAL_DATA_PATH=str(tmp_path / "file" / "runs"),
    )

    assert ended.exit_code == 2
    assert [line.split("=")[0] for line in ended.lines] == [
        "error: FORECAST_REPO_DIR",
        "error: EPYDEMIX_DATA_DIR",
        "error: OUTPUT_CONFIG_FILE",
        "error: LOCAL_DATA_PATH",
    ]


def test_config_validate_makes_nothing(tmp_path):
    operator = Operator(tmp_path, simulated())

    ended = operator.invoke("config-validate", LOCAL_DATA_PATH=str(tmp_path / "new" / "runs"))

    assert ended.exit_code == 0, ended.output
    assert sorted(path.name for path in tmp_path.iterdir()) == [".env", "local"]


@pytest.mark.parametrize("path", ["/proc/x", "{}/file/x", "{}/file"])
@pytest.mark.parametrize("words", ["run --exp-id trial", "stage A --exp-id trial", "runs", "clean --runs"])
def test_a_folder_that_cannot_be_is_one_line(tmp_path, path, words):
    operator = Operator(tmp_path, simulated())
    (tmp_path / "file").touch()

    ended = operator.invoke(*words.split(), LOCAL_DATA_PATH=path.format(tmp_path))

    assert ended.exit_code == 2
    assert len(ended.lines) == 1
    assert "LOCAL_DATA_PATH" in ended.last_line


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


def test_a_stage_starts_where_only_python3_is_found(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "dirname"):
        (programs / name).symlink_to(f"/usr/bin/{name}")
    (programs / "python3").write_text('#!/usr/bin/bash\necho "python3 $*"\n')
    (programs / "python3").chmod(0o755)

    for stage in ("builder", "runner", "output"):
        script = REPOSITORY / "scripts" / f"run_{stage}.sh"
        printed = subprocess.check_output(["bash", script], env={"PATH": str(programs)}, text=True)
        assert printed == f"python3 -u {script.parent}/main_{stage}.py\n"


def test_run_and_validate_say_which_copy_of_the_experiment_they_use(tmp_path):
    operator = Operator(tmp_path, simulated())

    ran = operator.invoke("run", "--exp-id", "trial/", "--dry-run")
    valid = operator.invoke("validate", "--exp-id", "trial")

    assert "of trial (local/forecast/experiments/trial) on this machine" in ran.lines[0]
    assert valid.last_line.startswith("trial (local/forecast/experiments/trial) is valid: ")
    assert "for US-VT (Vermont)" in valid.last_line


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


@pytest.mark.parametrize(("editor", "said"), [('vi "', 'EDITOR=vi ": not a command'), ("  ", "vi")])
def test_an_editor_that_is_no_command_is_one_line(tmp_path, editor, said):
    operator = Operator(tmp_path, simulated())

    ended = operator.invoke("config-edit", EDITOR=editor, PATH="/nowhere")

    assert ended.exit_code == 2
    assert said in ended.last_line
    assert "Traceback" not in ended.output


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("LOCAL_JOB=2", 'LOCAL_JOB is not a setting (did you mean "LOCAL_JOBS"?)'),
        ("EPYDEMIX_DATA_DIR={}", "not a copy of epydemix-data"),
        ("RUN_SEED=9999999999999999999", "a whole number from 0 to 9223372036854775807"),
        ("MONTHLY_BUDGET_USD=199.5", "a whole number from 0 to 1000000000"),
        ("MONTHLY_BUDGET_USD=2000000000", "a whole number from 0 to 1000000000"),
        ("STAGE_A_MACHINE_TYPE=c4d-standrd-2", '(did you mean "c4d-standard-2"?)'),
        ("STAGE_A_MEMORY_MIB=8192", "c4d-standard-2 has 7168 MiB of memory, 8192 are asked for"),
    ],
)
def test_config_validate_refuses_what_no_run_could_use(tmp_path, line, said):
    operator = Operator(tmp_path, simulated())
    del operator.environ["EPYDEMIX_DATA_DIR"]
    (tmp_path / ".env").write_text(line.format(tmp_path))

    ended = operator.invoke("config-validate")

    assert ended.exit_code == 2
    assert said in ended.last_line


# -- one task a run


def test_a_run_in_progress_is_left_alone_by_clean_and_by_another_run(tmp_path):
    operator = Operator(tmp_path, sampled()).with_own_code()
    operator.invoke("stage", "builder", *THIS_RUN)
    settings = Settings(local_data_path=tmp_path / "local")
    run = local_run(settings, "trial", RUN_ID)

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


# -- clean


def test_clean_removes_a_run_whose_builder_never_ended(tmp_path):
    operator = Operator(tmp_path, simulated()).with_own_code()
    (tmp_path / "local" / "bucket" / "trial" / RUN_ID / "config").mkdir(parents=True)

    ended = operator.invoke("clean", "--runs", "--yes")

    assert ended.exit_code == 0, ended.output
    assert not list((tmp_path / "local" / "bucket").iterdir())


def test_clean_says_in_one_line_what_cannot_be_removed(tmp_path, monkeypatch):
    leftover = tmp_path / "bucket" / "trial" / ".partial-1-aa"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    os.utime(leftover, (0, 0))
    monkeypatch.setattr(Path, "unlink", lambda *_: (_ for _ in ()).throw(PermissionError(13, "denied")))

    with pytest.raises(UserError, match=r"\.partial-1-aa: cannot be removed \(denied\)"):
        clean._remove_leftovers(Settings(local_data_path=tmp_path), dry_run=False)


def test_clean_deletes_runs_only_when_told_yes(tmp_path):
    operator = Operator(tmp_path, simulated()).with_own_code()
    operator.invoke("run", "--exp-id", "trial", "--skip-output")

    asked = operator.invoke("clean", "--runs")
    still_there = operator.results()
    operator.invoke("clean", "--runs", "--yes", "--exp-id", "trial")

    assert asked.exit_code == 2
    assert "add --yes" in asked.last_line
    assert still_there
    assert not operator.results()


def test_clean_removes_half_written_files_of_yesterday_and_leaves_those_of_now(tmp_path):
    operator = Operator(tmp_path, simulated()).with_own_code()
    folder = tmp_path / "local" / "bucket" / "trial"
    folder.mkdir(parents=True)
    old, young = folder / ".partial-1-aa", folder / ".partial-2-bb"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))

    ended = operator.invoke("clean")

    assert ended.exit_code == 0
    assert not old.exists()
    assert young.exists()


def test_clean_removes_the_caches_of_the_repository_alone(tmp_path):
    operator = Operator(tmp_path, simulated()).with_own_code()
    caches = [tmp_path / "modeling" / "__pycache__", tmp_path / ".ruff_cache" / "deep"]
    kept = tmp_path / ".venv" / "lib" / "__pycache__"
    for folder in (*caches, kept):
        folder.mkdir(parents=True, exist_ok=True)

    would = operator.invoke("clean", "--dry-run")
    still_there = [folder.is_dir() for folder in caches]
    ended = operator.invoke("clean")

    assert "would remove modeling/__pycache__" in would.output
    assert still_there == [True, True]
    assert ended.exit_code == 0, ended.output
    assert not any(folder.exists() for folder in caches)
    assert kept.is_dir()


def test_clean_does_not_mind_caches_that_come_and_go(tmp_path):
    operator = Operator(tmp_path, simulated()).with_own_code()
    script = "while :; do mkdir -p {a,b}/{c,d}/__pycache__/e; : > a/c/__pycache__/f; rm -rf a b; done"
    busy = subprocess.Popen(["bash", "-c", script], cwd=tmp_path, stderr=subprocess.DEVNULL)

    ended = [operator.invoke("clean") for _ in range(4)]
    busy.kill()
    busy.wait()

    assert [one.exit_code for one in ended] == [0] * 4, ended[-1].output


def test_clean_refuses_before_it_removes_anything(tmp_path):
    operator = Operator(tmp_path, simulated()).with_own_code()
    build_and_run(operator)
    cache = tmp_path / "modeling" / "__pycache__"

    wrong = operator.invoke("clean", "--runs", "--yes", "--exp-id", "*")
    alone = operator.invoke("clean", "--exp-id", "trial")
    asked = operator.invoke("clean", "--runs")

    assert [ended.exit_code for ended in (wrong, alone, asked)] == [2, 2, 2]
    assert "removed" not in wrong.output + alone.output + asked.output
    assert cache.is_dir()
    assert operator.results()


def test_clean_leaves_no_empty_folders_of_a_run_behind(tmp_path):
    operator = Operator(tmp_path, simulated()).with_own_code()
    local = tmp_path / "local"
    build_and_run(operator, DIR_PREFIX="flu/2026/")
    logs_before = list((local / "logs" / "flu" / "2026" / "trial").iterdir())

    ended = operator.invoke("clean", "--runs", "--yes", DIR_PREFIX="flu/2026/")

    assert ended.exit_code == 0, ended.output
    assert logs_before
    assert not list((local / "bucket").iterdir())
    assert not list((local / "logs").iterdir())
    assert (local / "forecast").is_dir()


@pytest.mark.parametrize("stage", ["builder", "runner", "output"])
def test_a_python_without_our_packages_is_told_in_one_line(stage):
    # -S leaves out every installed package
    command = [sys.executable, "-S", f"scripts/main_{stage}.py"]

    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)

    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "make setup" in ended.stderr


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
