"""The invoke tasks as an operator types them, and what is promised about them."""

import re
import signal
import subprocess
import time

import pytest
from invoke import Collection
from invoke.loader import FilesystemLoader

from ops.tasks.verb import verb
from tests.experiments import REPOSITORY, calibrated, sampled, simulated
from tests.operators import Operator
from tests.stage_scripts import RUN_ID


@pytest.fixture(scope="module")
def tasks() -> Collection:
    module, _ = FilesystemLoader(start=str(REPOSITORY)).load("tasks")
    return Collection.from_module(module)


def test_every_task_has_a_flat_name_and_help_for_every_option(tasks):
    for name, one in tasks.tasks.items():
        arguments = {a.name: a.help for a in one.get_arguments()}

        assert "." not in name
        assert (one.__doc__ or "").strip().endswith("."), name
        assert not [a for a, text in arguments.items() if not text], f"{name}: options without help"
        assert not [a for a in one.get_arguments() if len(a.names) > 1], f"{name}: options of one letter"


def test_a_task_whose_option_has_a_number_as_default_needs_bounds():
    def tidy_up(c, largest=3):
        """Tidy up."""

    with pytest.raises(TypeError, match="tidy_up: --largest has a number as default; add its bounds to NUM"):
        verb(help={"largest": "how many"})(tidy_up)


def test_the_readme_names_every_task(tasks):
    readme = (REPOSITORY / "README.md").read_text()

    missing = [n for n in tasks.task_names if f"`invoke {n.replace('_', '-')}" not in readme]

    assert not missing, "run `invoke docs`"


def test_env_example_shows_every_setting_with_its_default():
    from ops.environment import read_env_file
    from ops.settings import Settings

    shown = read_env_file(REPOSITORY / ".env.example")

    assert set(shown) == {name.upper() for name in Settings.model_fields}
    assert shown.pop("EXECUTION_MODE") == "cloud"  # without a file it is local
    for name in shown:
        field = Settings.model_fields[name.lower()]
        default = "" if field.default is None else str(field.default)
        assert shown[name].lower() == default.lower(), name


def test_run_goes_through_the_stages_and_prints_forecast_and_places(tmp_path):
    operator = Operator(tmp_path, calibrated())

    ended = operator.invoke("run", "--local", "--exp-id", "trial")

    assert ended.exit_code == 0, ended.output
    assert ended.lines[0].startswith("EXECUTION_MODE=local")
    assert re.search(r"US-VT +cases +2025-02-08", ended.output)
    report = re.search(r"report +(\S+)", ended.output)[1]
    assert (tmp_path / report).is_file()


def test_local_wins_over_every_other_mode(tmp_path):
    operator = Operator(tmp_path, simulated())
    (tmp_path / ".env").write_text("EXECUTION_MODE=cloud\n")

    refused = operator.invoke("run", "--exp-id", "trial", "--skip-output")
    local = operator.invoke("run", "--local", "--exp-id", "trial", "--skip-output")

    assert refused.exit_code == 2
    assert "PROJECT_ID and BUCKET_NAME: not set" in refused.last_line
    assert local.exit_code == 0, local.output


def test_a_dry_run_prints_commands_that_work_when_pasted_and_starts_nothing(tmp_path):
    operator = Operator(tmp_path, simulated())

    ended = operator.invoke("run", "--exp-id", "trial", "--dry-run")
    commands = [line.removeprefix("+ ") for line in ended.lines if line.startswith("+ ")]
    nothing_ran = not (tmp_path / "local" / "bucket").exists()
    codes = [subprocess.call(["bash", "-c", c], cwd=tmp_path, env=operator.environ) for c in commands]

    assert ended.exit_code == 0
    assert len(commands) == 3
    assert nothing_ran
    assert codes == [0, 0, 0]
    assert operator.outputs()


def test_one_core_or_two_give_the_same_tables(tmp_path):
    tables = []
    for jobs in ("1", "2"):
        operator = Operator(tmp_path / jobs, sampled())
        assert operator.invoke("run", "--exp-id", "trial", "--jobs", jobs).exit_code == 0
        tables.append({p.name: p.read_bytes() for p in operator.outputs()[0].parent.glob("*.csv.gz")})

    assert tables[0] == tables[1]


def test_ctrl_c_stops_cleanly_and_the_next_run_resumes_without_redoing(tmp_path):
    experiment = sampled()
    experiment["modelset"]["sampling"]["parameters"]["R0"]["values"] = [1.1 + i / 10 for i in range(6)]
    operator = Operator(tmp_path, experiment)
    operator.invoke("stage", "builder", "--exp-id", "trial", "--run-id", RUN_ID)
    process = operator.start("run", "--exp-id", "trial", "--run-id", RUN_ID, "--jobs", "1")
    deadline = time.monotonic() + 60
    while not operator.results() and time.monotonic() < deadline:
        time.sleep(0.02)

    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    finished = {p: p.stat().st_mtime_ns for p in (tmp_path / "local" / "bucket").glob("**/result_*.pkl")}
    resumed = operator.invoke("run", "--exp-id", "trial", "--run-id", RUN_ID)

    assert process.returncode == 130
    assert f"invoke run --exp-id trial --run-id {RUN_ID}" in output
    assert "Traceback" not in output
    assert 0 < len(finished) < 6
    assert resumed.exit_code == 0, resumed.output
    assert len(operator.results()) == 6
    assert all(path.stat().st_mtime_ns == time_before for path, time_before in finished.items())


def test_failed_tasks_are_named_with_their_reason_and_the_way_on(tmp_path):
    operator = Operator(tmp_path, sampled())
    assert operator.invoke("stage", "A", "--exp-id", "trial", "--run-id", RUN_ID).exit_code == 0
    broken = next((tmp_path / "local" / "bucket").glob("**/input_0001.pkl"))
    broken.write_bytes(b"cut short")

    ended = operator.invoke("run", "--exp-id", "trial", "--run-id", RUN_ID)
    partial = operator.invoke("run", "--exp-id", "trial", "--run-id", RUN_ID, "--allow-partial")

    assert ended.exit_code == 2
    assert "US-VT, parameter set 1 of 3 (input 1) failed: " in ended.output
    assert "1 task of stage B failed (US-VT, parameter set 1 of 3 (input 1))" in ended.last_line
    assert "input_0001.pkl does not match" in ended.output
    assert "Resume with" in ended.last_line or "Fix it" in ended.last_line
    assert partial.exit_code == 0, partial.output
    assert "1 result missing:\n  US-VT, parameter set 1 of 3 (input 1): " in partial.output


def test_stage_runs_one_input_some_or_all_that_are_pending(tmp_path):
    operator = Operator(tmp_path, sampled())
    common = ("--exp-id", "trial", "--run-id", RUN_ID)
    operator.invoke("stage", "builder", *common)

    one = operator.invoke("stage", "runner", *common, "--task-index", "2")
    after_one = operator.results()
    some = operator.invoke("stage", "B", *common, "--task-index", "0", "--num-inputs", "2")
    output = operator.invoke("stage", "C", *common, "--num-inputs", "3")

    assert (one.exit_code, some.exit_code, output.exit_code) == (0, 0, 0), output.output
    assert after_one == {"result_0002.pkl"}
    assert len(operator.results()) == 3
    assert len(operator.outputs()) == 1


def test_runs_and_results_tell_what_happened(tmp_path):
    operator = Operator(tmp_path, simulated())
    before = operator.invoke("runs")
    for stage in ("builder", "runner"):
        operator.invoke("stage", stage, "--exp-id", "trial", "--run-id", RUN_ID)
    unfinished = operator.invoke("runs")
    no_results = operator.invoke("results", "--exp-id", "trial")
    operator.invoke("stage", "output", "--exp-id", "trial", "--run-id", RUN_ID)

    done = operator.invoke("runs", "--exp-id", "trial")
    results = operator.invoke("results", "--exp-id", "trial")

    assert "no runs" in before.output
    assert "no outputs yet" in unfinished.output
    assert no_results.exit_code == 2
    assert re.search(rf"trial +{RUN_ID} .*1/1 +done", done.output)
    assert "report.html" in results.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--exp-id", "trail"], 'did you mean "trial"'),
        (["run"], "--exp-id is needed"),
        (["stage", "builder"], "--exp-id is needed"),
        (["results"], "--exp-id is needed"),
        (["run", "--exp-id", "trial", "--run-id", RUN_ID], f"trial/{RUN_ID}: no such run; `invoke runs"),
        (["stage", "builder", "--exp-id", "trial", "--jobs", "2"], "--jobs belongs to stage runner"),
        (["clean", "--exp-id", "trial"], "add --runs"),
        (["run", "--exp-id", "../trial"], "no .."),
        (["run", "--exp-id", "/"], "no .."),
        (["run", "--exp-id", "experiments/trial"], "write trial"),
        (["run", "--exp-id", "trial", "--seed", "9" * 5000], "a whole number is needed"),
        (["run", "--exp-id", "trial", "--count", "0"], "from 1 to 999999999999999999"),
        (["run", "--exp-id", "trial", "--count", "two"], "--count two: a whole number is needed"),
        (["fuzz", "--seed", "two", "--dry-run"], "--seed two: a whole number is needed, from 0"),
        (["run", "--exp-id", "trial", "--run-id", "yesterday"], "a run id looks like"),
        (["stage", "D", "--exp-id", "trial"], '"D" is not a stage'),
        (["stage", "runner", "--exp-id", "trial"], "--run-id is needed"),
        (["results", "--exp-id", "trial"], "no run of trial"),
        (["validate", "--exp-id", "nothing"], "no such experiment"),
    ],
)
def test_a_mistyped_command_ends_with_one_line_and_exit_code_2(tmp_path, words, said):
    operator = Operator(tmp_path, simulated())

    ended = operator.invoke(*words)

    assert ended.exit_code == 2, ended.output
    assert said in ended.output
    assert "Traceback" not in ended.output
    assert not operator.results()


def test_validate_lists_every_mistake_with_its_line(tmp_path):
    experiment = simulated()
    experiment["model"]["transitions"][0]["rate"] = "betta"
    experiment["model"]["transitions"][1]["target"] = "Q"
    operator = Operator(tmp_path, experiment)

    ended = operator.invoke("validate", "--exp-id", "trial")

    assert ended.exit_code == 2
    assert len(re.findall(r"^model\.yaml:\d+: ", ended.output, re.MULTILINE)) == 2
    assert 'did you mean "beta"' in ended.output


def test_config_init_makes_a_private_env_file_once(tmp_path):
    operator = Operator(tmp_path, simulated())

    (tmp_path / ".env").unlink()
    first = operator.invoke("config-init", ENV_FILE=".env")
    second = operator.invoke("config-init")
    valid = operator.invoke("config-validate")

    assert first.exit_code == 0
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    assert second.exit_code == 2
    assert "already exists" in second.last_line
    assert valid.exit_code == 0


def test_config_show_tells_where_a_value_comes_from_and_masks_secrets(tmp_path):
    operator = Operator(tmp_path, simulated())
    (tmp_path / ".env").write_text(
        "export LOG_LEVEL=DEBUG\nDIR_PREFIX=flu/\nIMAGE_TAG=v2\nGITHUB_PAT=ghp_verysecret\n"
    )

    ended = operator.invoke("config-show", DIR_PREFIX="covid/", IMAGE_TAG="")

    assert re.search(r"LOG_LEVEL +DEBUG +\.env", ended.output)
    assert re.search(r"DIR_PREFIX +covid/ +environment", ended.output)
    assert re.search(r"MAX_RETRY_COUNT +3 +default", ended.output)
    assert re.search(r"IMAGE_TAG +latest +default", ended.output)  # empty in the environment
    assert "verysecret" not in ended.output
    assert "********" in ended.output


def test_a_setting_of_env_that_is_mistyped_is_noted_by_every_task(tmp_path):
    operator = Operator(tmp_path, simulated())
    (tmp_path / ".env").write_text("STAGE_B_MEMORY_MB=5\nEDITOR=vi\n")

    ended = operator.invoke("runs")

    notes = [line for line in ended.lines if line.startswith("note: ")]
    assert notes == ['note: .env: STAGE_B_MEMORY_MB is not a setting (did you mean "STAGE_B_MEMORY_MIB"?)']


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("LOG_LEVEL=INFO\nthis is no setting\n", ".env:2:"),
        ("LOG_LEVEL=LOUD\n", 'LOG_LEVEL="LOUD" (from .env): use DEBUG, INFO, WARNING or ERROR'),
        ("LOG_LEVEL=LOUD\nLOCAL_JOBS=-1\n", 'LOCAL_JOBS="-1" (from .env): a whole number from 0;'),
        ("MAX_RETRY_COUNT=x\n", "(from .env): a whole number from 0 to 10"),
        ("STORAGE_VERBOSE=maybe\n", "(from .env): use true or false"),
        ("DIR_PREFIX=a/../b\n", "(from .env): a path inside the bucket, such as flu/2026/"),
        ("FORECAST_REPO_DIR=$NOWHERE/runs\n", "$NOWHERE is not set in the environment"),
        ("FORECAST_REPO_DIR=$/runs\n", "write $$ for $ itself"),
        ('LOG_LEVEL="INFO\n', ".env:1:"),
    ],
)
def test_a_broken_env_file_is_one_line_with_the_place(tmp_path, content, said):
    operator = Operator(tmp_path, simulated())
    (tmp_path / ".env").write_text(content)

    ended = operator.invoke("run", "--exp-id", "trial")

    assert ended.exit_code == 2
    assert said in ended.last_line
    assert len(ended.lines) == 1


def test_a_quoted_tilde_means_the_home_folder(tmp_path):
    operator = Operator(tmp_path, simulated())

    ended = operator.invoke("config-show", LOCAL_DATA_PATH="~/runs", HOME="/nowhere")

    assert re.search(r"LOCAL_DATA_PATH +/nowhere/runs +environment", ended.output)


def test_make_forwards_to_invoke():
    printed = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "config-show"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )

    assert printed.stdout.strip().splitlines()[-1].strip() == ".venv/bin/invoke config-show"


@pytest.mark.parametrize("words", [("run",), ("stage", "builder"), ("validate",)])
def test_an_experiment_that_is_refused_names_no_run(tmp_path, words):
    operator = Operator(tmp_path, sampled())
    model = tmp_path / "local" / "forecast" / "experiments" / "trial" / "config" / "model.yaml"
    model.write_text(model.read_text() + "mistyped: 1\n")

    ended = operator.invoke(*words, "--exp-id", "trial")

    assert ended.exit_code == 2, ended.output
    assert "mistyped" in ended.output
    assert not re.search(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}", ended.output)
