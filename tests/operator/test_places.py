"""Folders, settings and runs in places that are not the usual ones."""

import re
import subprocess
import sys

import pytest

from tests.experiments import REPOSITORY, simulated
from tests.operators import Operator


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


@pytest.mark.parametrize("stage", ["builder", "runner", "output"])
def test_a_python_without_our_packages_is_told_in_one_line(stage):
    # -S leaves out every installed package
    command = [sys.executable, "-S", f"scripts/main_{stage}.py"]

    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)

    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "make setup" in ended.stderr
