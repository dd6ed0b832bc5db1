"""Names that older documents use: they work, or the guide's last table says what they are called here."""

import json
import re
import subprocess
import sys

import pytest
from invoke import Collection
from invoke.parser import Parser

import tasks as all_tasks
from tests.experiments import REPOSITORY, simulated
from tests.needs import need_program
from tests.operators import Operator

HEADING = "## Names in other documents\n"
EPYCLOUD = {
    "config": "init show edit edit-secrets validate path get set list-envs",
    "profile": "list use current create edit show delete",
    "build": "cloud local dev status",
    "run": "workflow job",
    "workflow": "list describe logs cancel retry",
    "terraform": "init plan apply destroy output",
    "experiment": "list",
    "validate": "",
    "status": "",
    "logs": "",
    "download": "",
}


@pytest.fixture(scope="module")
def rows() -> list[tuple[str, str]]:
    """The guide's table, row by row: the name there, the name here."""
    table = (REPOSITORY / "docs" / "guide.md").read_text(encoding="utf-8").partition(HEADING)[2]
    lines = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return [(there, here) for there, here in lines[1:]]


@pytest.mark.parametrize(("command", "subcommands"), EPYCLOUD.items())
def test_the_guide_says_what_every_command_of_epycloud_is_called(rows, command, subcommands):
    there = [code for name, _ in rows for code in re.findall("`([^`]+)`", name)]

    rows_of_it = [name for name, _ in rows if re.search(rf"`epycloud {command}\b", name)]
    named = {word for name in rows_of_it for code in re.findall("`([^`]+)`", name) for word in code.split()}
    named |= {code.removeprefix(f"{command} ") for code in there if code.startswith(f"{command} ")}

    assert rows_of_it
    assert set(subcommands.split()) <= named


def test_every_task_and_option_of_the_table_is_there(rows):
    parser = Parser(contexts=Collection.from_module(all_tasks).to_contexts())
    typed = [code for _, here in rows for code in re.findall("`([^`]*invoke [^`]+)`", here)]
    typed += [f"{_task(here)} {_options(there)}" for there, here in rows if "same options" in here]

    for command in typed:
        words = re.sub(r"[\[\]]", "", command.partition("invoke ")[2]).split()
        assert len(parser.parse_argv(words)) == 1, command

    assert len(typed) > 30


def _task(here: str) -> str:
    return re.search("`(invoke [^`]+)`", here)[1]


def _options(there: str) -> str:
    """The options of a command of epycloud that its task does not repeat."""
    return " ".join(re.findall(r"\[(--[^\]]+)\]", there)).replace(" N", " 5")


def made(operator: Operator, *words: str, **variables: str) -> subprocess.CompletedProcess:
    """Run make with the Python of the tests, which is taken as installed."""
    invoke = f"{sys.executable} -m invoke --search-root {REPOSITORY}"
    return subprocess.run(
        ["make", "--no-print-directory", "-o", ".venv/.installed", f"INVOKE={invoke}", *words],
        cwd=REPOSITORY,
        env={**operator.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_make_help_ends_with_the_current_settings_and_no_secret(tmp_path):
    operator = Operator(tmp_path, simulated())
    (tmp_path / ".env").write_text("PROJECT_ID=my-lab\nBUCKET_NAME=my-runs\nGITHUB_PAT=ghp_verysecret\n")

    done = made(operator, "help", IMAGE_TAG="v2")

    assert done.returncode == 0, done.stderr
    current = dict(
        re.findall(r"^  ([A-Z_:]+) +(.+)$", done.stdout.partition("Current settings")[2], re.MULTILINE)
    )
    assert current == {
        "EXECUTION_MODE": "local",
        "PROJECT_ID": "my-lab",
        "REGION": "us-central1",
        "BUCKET_NAME": "my-runs",
        "IMAGE_NAME:IMAGE_TAG": "epymodelingsuite:v2",
    }
    assert "verysecret" not in done.stdout


def test_make_help_lists_the_tasks_where_the_settings_are_broken(tmp_path):
    done = made(Operator(tmp_path, simulated()), "help", LOG_LEVEL="LOUD")

    assert done.returncode == 0
    assert "tf-apply" in done.stdout
    assert "use DEBUG, INFO, WARNING or ERROR" in done.stderr


def test_make_run_workflow_runs_an_experiment_in_the_cloud(tmp_path):
    operator = Operator(tmp_path, simulated())

    new = made(operator, "--dry-run", "run-workflow", EXP_ID="trial")
    kept = made(operator, "run-workflow", "EXP_ID=trial", "RUN_ID=20260131-120000-0a1b2c3d", "INVOKE=echo")

    assert new.stdout.splitlines()[-1].split()[-4:] == ["run", "--cloud", "--exp-id", '"$EXP_ID"']
    assert kept.stdout.strip() == "run --cloud --exp-id trial --run-id 20260131-120000-0a1b2c3d"


def test_make_run_workflow_asks_for_an_experiment(tmp_path):
    done = made(Operator(tmp_path, simulated()), "run-workflow")

    assert done.returncode == 2
    assert done.stderr.startswith("error: EXP_ID is not set; use: make run-workflow EXP_ID=demo\n")


def test_the_local_image_takes_no_tag_that_runs_in_the_cloud_use(tmp_path):
    operator = Operator(tmp_path, simulated())

    done = operator.invoke("build-local", "--target", "local", "--dry-run", PROJECT_ID="my-lab")
    other = operator.invoke("build-local", "--target", "laptop")

    pushed = re.findall(r"docker push \S+/epymodelingsuite:(\S+)", done.output)
    assert "--target local" in done.output
    assert len(pushed) == 2
    assert pushed[0].startswith("local-")
    assert pushed[1] == "local"
    assert other.exit_code == 2
    assert other.last_line == "error: --target laptop: use cloud or local"


def test_dispatcher_is_the_builder_and_never_starts_by_itself():
    need_program("docker")
    command = ["docker", "compose", "--profile", "*", "config", "--format", "json"]

    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)

    services = json.loads(done.stdout)["services"]
    assert services["dispatcher"].pop("profiles") == ["older-names"]
    assert services["dispatcher"] == services["builder"]
