"""`invoke cost` by what runs of this machine took, before a run is started in the cloud."""

import json
import re
import shutil

import pytest

from ops.cloud.prices import prices
from ops.costs import cost_report
from ops.run_request import RunRequest
from tests.cloud_operators import run_id_in
from tests.experiments import sampled_twice, simulated
from tests.in_process import called, settings_of, shell_of
from tests.operators import Operator
from tests.stage_scripts import RUN_ID


@pytest.fixture(scope="module")
def run_here(tmp_path_factory):
    """A run on this machine that has ended."""
    operator = Operator(tmp_path_factory.mktemp("here"), sampled_twice())
    ended = operator.invoke("run", "--local", "--exp-id", "trial")
    assert ended.exit_code == 0, ended.output
    return operator, run_id_in(ended.output)


@pytest.fixture
def run_copy(run_here, tmp_path):
    """The same run, for a test to bend."""
    operator, run_id = run_here
    shutil.copytree(operator.folder / "local", tmp_path / "local", symlinks=True, dirs_exist_ok=True)
    return Operator(tmp_path, sampled_twice()), run_id, tmp_path / "local" / "bucket" / "trial" / run_id


def cost(operator: Operator, task_seconds=None, num_tasks=None, settings=(), exp_id="trial", **asked):
    """Estimate as `invoke cost` does."""
    request, settings = RunRequest(exp_id, **asked), settings_of(operator, **dict(settings))
    return called(
        lambda: cost_report.show_estimate(shell_of(operator), settings, request, num_tasks, task_seconds)
    )


def test_a_run_here_tells_what_one_in_the_cloud_would_cost(run_here):
    operator, _ = run_here

    ended = operator.invoke("cost", "--exp-id", "trial")

    assert ended.exit_code == 0, ended.output
    assert "trial, 2 inputs: an estimate, in US dollars" in ended.output
    assert re.search(r"A builder +c4d-standard-2 +1 +1 +\d+ s measured", ended.output)
    assert re.search(r"B runner +e2-standard-2 \(likely\) +2 +2 +\d+ s measured", ended.output)
    assert re.search(r"C output +c4d-standard-4 +1 +1 +\d+ s measured", ended.output)
    on_demand, spot = map(float, re.search(r"total .* (\S+) +(\S+)\s", ended.output).groups())
    assert 0.005 < spot < on_demand < 0.05
    assert "measured: run 2" in ended.output
    assert (
        f"prices   of {prices()['as_of']} for us-central1, Spot machines at 40% of the list" in ended.output
    )
    assert "left out logs ($0.5 a GiB after 50 GiB a month)" in ended.output
    assert "consider WORKLOADS_PER_TASK=" in ended.output


def test_times_of_another_engine_are_marked_and_those_of_a_run_that_goes_on_are_not(run_copy):
    operator, run_id, folder = run_copy
    metadata = json.loads((folder / "run_metadata.json").read_text())
    metadata["manifest"] = {name: each for name, each in metadata["manifest"].items() if name != "engine"}
    (folder / "run_metadata.json").write_text(json.dumps(metadata))

    other, same = (cost(operator, settings={"ENGINE": engine}) for engine in ("cpu", "epydemix"))
    goes_on = cost(operator, settings={"ENGINE": "cpu"}, run_id=run_id)

    assert "with ENGINE=epydemix, several hundred times slower in stage B than cpu" in other.output
    assert "ENGINE" not in same.output + goes_on.output


def test_more_inputs_elsewhere_are_estimated_with_warnings(run_here):
    operator, _ = run_here

    ended = cost(operator, num_tasks=5000, settings={"REGION": "europe-west1"})

    assert ended.exit_code == 0, ended.output
    assert "europe-west1 has no prices in the table" in ended.output
    assert "the run that was measured had 2 inputs" in ended.output


def test_of_a_run_that_is_named_only_what_is_left_is_priced(run_copy):
    operator, run_id, folder = run_copy
    whole = cost(operator, num_tasks=5, run_id=run_id)
    nothing_left = cost(operator, run_id=run_id)
    (folder / "runner-artifacts" / "result_0001.pkl").unlink()

    left = cost(operator, run_id=run_id)
    anew = cost(operator, run_id=run_id, force=True)
    without_output = cost(operator, run_id=run_id, run_output_stage=False)

    assert [each.exit_code for each in (whole, nothing_left, left, anew, without_output)] == [0] * 5
    assert f"trial, what is left of run {run_id}, 1 of 2 inputs: an estimate" in left.output
    assert re.search(r"B runner +\S+ \(likely\) +1 +1 ", left.output)
    assert "trial, 2 inputs: an estimate" in anew.output
    assert re.search(r"B runner .* 5 +5 ", whole.output)
    assert f"what is left of run {run_id}, 0 of 2 inputs" in nothing_left.output
    assert "cost per input: none is left to run" in nothing_left.output
    assert "B runner" not in nothing_left.output
    assert "C output" in left.output
    assert "C output" not in without_output.output


def test_a_run_that_has_not_ended_is_measured_by_its_summaries(run_copy):
    operator, run_id, folder = run_copy
    (folder / "run_metadata.json").unlink()
    (folder / "runner-artifacts" / "result_0001.pkl").unlink()
    (folder / "summaries" / "runner_0001.json").write_text('{"status": "do')
    summary = folder / "summaries" / "runner_0000.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"peak_memory_mib": 3900.0}))

    ended = cost(operator, run_id=run_id)

    assert ended.exit_code == 0, ended.output
    assert (
        "consider STAGE_B_MEMORY_MIB=5888: tasks took 3,900 MiB at most, close to the 4,096" in ended.output
    )
    assert re.search(r"C output .* assumed", ended.output)
    assert "runner_0001.json: damaged, and left out of the estimate" in ended.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task-seconds", "0"], "--task-seconds 0: a whole number is needed, from 1"),
        (["--num-inputs", "many"], "--num-inputs many: a whole number is needed"),
        (["--max-parallelism", "0"], "MAX_PARALLELISM"),
    ],
)
def test_options_that_are_no_numbers_are_refused_in_one_line(tmp_path, words, said):
    ended = Operator(tmp_path, simulated()).invoke("cost", "--exp-id", "trial", *words)

    assert ended.exit_code == 2
    assert said in ended.last_line
    assert "Traceback" not in ended.output


def test_what_cannot_be_estimated_is_one_line(tmp_path):
    operator = Operator(tmp_path, simulated())
    mistyped = RunRequest("trail")

    unmeasured, unknown = cost(operator), cost(operator, run_id=RUN_ID)
    no_such = called(lambda: cost_report.show_estimate(shell_of(operator), settings_of(operator), mistyped))

    assert [each.exit_code for each in (unmeasured, unknown, no_such)] == [2] * 3
    assert "no run of trial has been measured" in unmeasured.last_line
    assert unmeasured.last_line.endswith("invoke cost --exp-id trial --task-seconds N")
    assert "no such run" in unknown.last_line
    assert 'did you mean "trial"' in no_such.last_line


def test_a_run_on_a_machine_type_that_is_not_in_the_table_is_not_estimated(tmp_path):
    operator = Operator(tmp_path, simulated())

    ended = cost(operator, num_tasks=2, task_seconds=60, settings={"STAGE_B_MACHINE_TYPE": "c4d-standard-3"})

    assert ended.exit_code == 2
    assert (
        "stage B (runner): c4d-standard-3 is not in terraform/machine_types.json (did you mean"
        in ended.last_line
    )


def test_a_new_week_is_estimated_by_the_newest_run_of_the_week_before(run_copy):
    operator, run_id, folder = run_copy
    experiments = operator.folder / "local" / "forecast" / "experiments"
    shutil.copytree(experiments / "trial", experiments / "flu" / "2026-w06")
    shutil.copytree(experiments / "trial", experiments / "flu-2026-w06")
    last_week = folder.parents[1] / "flu" / "2026-w05"
    shutil.move(folder, last_week / run_id)
    damaged = last_week.with_name("2026-w04") / f"2099{run_id[4:]}"
    shutil.copytree(last_week / run_id, damaged)
    (damaged / "run_metadata.json").write_text("[]")

    ended = cost(operator, exp_id="flu/2026-w06")
    beside_none = cost(operator, exp_id="flu-2026-w06")

    assert ended.exit_code == 0, ended.output
    assert "flu/2026-w06, 2 inputs: an estimate" in ended.output
    assert f"measured: run {run_id} of flu/2026-w05 in " in ended.output
    assert "left out of the estimate: " in ended.output
    assert beside_none.exit_code == 2


def test_a_dry_run_of_a_run_says_in_a_line_that_nothing_was_measured_yet(tmp_path):
    operator, request = Operator(tmp_path, simulated()), RunRequest("trial")

    ended = called(lambda: cost_report.show_before(shell_of(operator, True), settings_of(operator), request))

    assert ended.exit_code == 0
    [line] = ended.output.splitlines()
    assert line.startswith("no cost estimate yet: no run of trial has been measured")
    assert line.endswith("invoke cost --exp-id trial --task-seconds N")


def test_beside_the_checks_of_a_run_the_estimate_is_one_line_and_stops_nothing(run_here, capsys, monkeypatch):
    operator, run_id = run_here
    shell, settings = shell_of(operator), settings_of(operator)

    cost_report.estimate_in_background(shell, settings, RunRequest("trial"))()
    cost_report.estimate_in_background(shell, settings, RunRequest("trial", run_id))()
    cost_report.estimate_in_background(shell, settings, RunRequest("nowhere"))()
    monkeypatch.setattr(cost_report, "estimate", lambda *_: 1 / 0)
    cost_report.estimate_in_background(shell, settings, RunRequest("trial"))()
    monkeypatch.setattr(cost_report, "PATIENCE_SECONDS", 0.0)
    cost_report.estimate_in_background(shell, settings, RunRequest("trial"))()

    whole, left, mistyped, broken, late = capsys.readouterr().out.splitlines()
    assert re.match(
        rf"estimate \$0\.\d{{4}} and \d min \d\d s for 2 inputs, STANDARD; measured: run {run_id}", whole
    )
    assert "for 0 inputs" in left
    assert left.endswith(f"; more: invoke cost --exp-id trial --run-id {run_id}")
    assert mistyped.startswith("no cost estimate: nowhere: no such experiment")
    assert broken == "no cost estimate: ZeroDivisionError: division by zero"
    assert late == "no cost estimate: not known after 0 s"


def test_the_time_of_a_task_may_be_given(tmp_path):
    ended = cost(Operator(tmp_path, simulated()), task_seconds=3600, count=4)

    assert ended.exit_code == 0, ended.output
    assert "trial, 4 inputs: an estimate" in ended.output
    assert re.search(r"B runner .* 1 h 00 min given +1 h 02 min", ended.output)
    assert re.search(r"A builder .* 1 min 05 s assumed", ended.output)
