"""A forecast from surveillance data on this machine: one week, one input, from the command line on."""

import json
import re

import pytest

from tests.experiments import simulated
from tests.operators import Operator
from tests.surveillance import write_weekly

NEWEST = "2026-05-30"  # the Saturday after the extract's newest vintage
RUN = ("run", "--local", "--exp-id", "weekly", "--skip-output")


@pytest.fixture
def operator(tmp_path) -> Operator:
    made = Operator(tmp_path, simulated())
    write_weekly(tmp_path / "local" / "forecast")
    return made


def newest_manifest(operator: Operator) -> dict:
    found = sorted(
        (operator.folder / "local" / "bucket" / "weekly").glob("*/builder-artifacts/manifest.json")
    )
    return json.loads(found[-1].read_text())


@pytest.mark.parametrize(
    ("options", "week", "is_strict"),
    [
        ((), NEWEST, False),
        (("--reference-date", "2025-01-11"), "2025-01-11", False),
        (("--reference-date", "2025-01-11", "--strict"), "2025-01-11", True),
    ],
)
def test_a_run_is_for_the_week_that_is_asked_for_and_else_for_the_newest(operator, options, week, is_strict):
    ended = operator.invoke(*RUN, *options)

    assert ended.exit_code == 0, ended.output
    manifest = newest_manifest(operator)
    assert (manifest["workflow"], manifest["num_workloads"]) == ("forecast", 1)
    assert (manifest["reference_date"], manifest["strict"]) == (week, is_strict)
    assert len(operator.results()) == 1


def test_the_file_for_the_hub_is_named_by_its_path(operator):
    config = operator.folder / "local" / "forecast" / "experiments" / "weekly" / "config"
    (config / "output.yaml").write_text("output: {flusight_format: {team: mylab, model: walk}}\n")

    ended = operator.invoke("run", "--local", "--exp-id", "weekly")

    assert ended.exit_code == 0, ended.output
    (path,) = re.findall(r"^hub file (.+)$", ended.output, re.MULTILINE)
    assert (operator.folder / path).name == f"{NEWEST}-mylab-walk.csv"
    assert (operator.folder / path).is_file()
    assert "tables   " in ended.output.splitlines()[-1]
    assert ended.output.splitlines()[-1].endswith(": forecast.csv.gz")


def test_a_run_for_the_newest_week_goes_on_for_that_week_alone(operator):
    operator.invoke("stage", "builder", "--exp-id", "weekly")
    run_id = newest_manifest(operator)["run_id"]

    same = operator.invoke(*RUN, "--run-id", run_id, "--reference-date", NEWEST)
    other = operator.invoke(*RUN, "--run-id", run_id, "--reference-date", "2025-01-11")

    assert same.exit_code == 0, same.output
    assert other.exit_code == 2
    assert f"was built with REFERENCE_DATE={NEWEST}, not 2025-01-11" in other.output


def test_a_week_of_the_command_line_replaces_that_of_the_experiment(tmp_path):
    operator = Operator(tmp_path, simulated())
    write_weekly(tmp_path / "local" / "forecast", reference_date="2025-01-18")

    own = operator.invoke("validate", "--exp-id", "weekly")
    other = operator.invoke("validate", "--exp-id", "weekly", "--reference-date", "2025-01-11")

    assert "forecast of 2025-01-18 by random_walk" in own.last_line
    assert "forecast of 2025-01-11 by random_walk" in other.last_line


def test_a_forecast_costs_what_one_input_costs(operator):
    ended = operator.invoke("cost", "--exp-id", "weekly", "--task-seconds", "2")

    assert ended.exit_code == 0, ended.output
    assert "weekly, 1 input: an estimate, in US dollars" in ended.output
