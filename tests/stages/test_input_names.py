"""The name of an input: place and parameter set, wherever people read of a task without a result."""

import dataclasses
import datetime
import hashlib
import json
import pickle
import re
import zlib
from pathlib import Path

import numpy as np
import pytest

from modeling.input_names import in_a_line, input_name
from modeling.workload import ForeignWorkload, ModelPlan, Simulate, Workload
from ops.cloud import executions
from ops.failures import UserError
from ops.input_names import names_in_files
from ops.jobs import batch_jobs
from ops.shell import Shell
from ops.watching import cloud_tables, status
from tests.cloud_operators import CloudOperator
from tests.cloud_runs import RUN_ID as CLOUD_RUN_ID
from tests.emulated import request
from tests.experiments import sampled, simulated
from tests.in_process import ended
from tests.operators import Operator
from tests.stage_scripts import RUN_ID, Stages


def workload(index=17, population="US-MA", task=None, **changes):
    day = datetime.date(2025, 1, 5)
    task = task or Simulate(0, 300, 300, {})
    people = np.array([1])
    plan = ModelPlan("", ["0+"], people, {}, ["S"], [], {}, [], {"S": "default"}, 1.0, None)
    whole = Workload(index, index, population, "", 1, (1,), plan, day, day, task)
    return dataclasses.replace(whole, **changes)


NAMES = {
    "a set of several": (workload(set_index=3, set_count=10), "US-MA, parameter set 3 of 10 (input 17)"),
    "the only set": (workload(), "US-MA (input 17)"),
    "part of an ensemble": (
        workload(index=2, task=Simulate(200, 100, 300, {})),
        "US-MA, trajectories 200 to 299 of 300 (input 2)",
    ),
    "a part of one": (
        workload(index=2, task=Simulate(2, 1, 3, {})),
        "US-MA, trajectory 2 of 3 (input 2)",
    ),
    "of another suite": (
        ForeignWorkload(17, 17, "United_Kingdom", "epymodelingsuite", b""),
        "United_Kingdom (input 17)",
    ),
    "without a place": (workload(population=""), "input 17"),
    "that a terminal would obey": (workload(population="US\x1b[31m\n-MA"), "US [31m -MA (input 17)"),
    "without an end": (workload(population="x" * 10_000), f"{'x' * 35} ... {'x' * 20} (input 17)"),
}


@pytest.mark.parametrize("kind", NAMES)
def test_an_input_is_called_by_its_place_its_share_and_its_index(kind):
    given, name = NAMES[kind]

    assert input_name(given) == name


def test_of_many_names_a_few_and_how_many_more_there_are():
    assert in_a_line(["a", "b"]) == "a; b"
    assert in_a_line([str(n) for n in range(5)], 100_000) == "0; 1; 2; 3; 4 and 99,995 more"


def with_too_many_people(built: Workload) -> Workload:
    """Return an input that stage B refuses."""
    initial = {"S": "default", "I": 10**9, "R": 0.1}
    return dataclasses.replace(built, plan=dataclasses.replace(built.plan, initial=initial))


def change_input(run_folder: Path, index: int, change) -> None:
    """Change an input as if stage A had built it so, the manifest with it."""
    builder = run_folder / "builder-artifacts"
    path, digests = builder / f"input_{index:04d}.pkl", builder / "inputs.sha256"
    data = zlib.compress(pickle.dumps(change(pickle.loads(zlib.decompress(path.read_bytes())))))
    path.write_bytes(data)
    lines = digests.read_text().splitlines()
    lines[index] = hashlib.sha256(data).hexdigest()
    digests.write_text("".join(f"{line}\n" for line in lines))
    manifest = json.loads((builder / "manifest.json").read_text())
    manifest["inputs_sha256"] = hashlib.sha256(digests.read_bytes()).hexdigest()
    (builder / "manifest.json").write_text(json.dumps(manifest))


def test_a_task_that_fails_names_its_input_in_its_log_and_its_summary(tmp_path, monkeypatch):
    stages = Stages(tmp_path, sampled())
    stages.run("builder")
    change_input(stages.run_folder, 1, with_too_many_people)

    mistake = stages.run("runner", TASK_INDEX=1)
    summary = json.loads((stages.run_folder / "summaries" / "runner_0001.json").read_text())
    # stage B refuses every damaged input that we know of, so a bug has to be made
    monkeypatch.setattr("modeling.suites.run", lambda *arguments: 1 / 0)
    bug, said = ended(stages, "runner", TASK_INDEX=1)

    name = "US-VT, parameter set 1 of 3 (input 1)"
    assert mistake.exit_code == 2
    assert f"error: {name}: " in mistake.last_line
    assert summary["input"] == name
    assert name not in summary["error"]  # which is shown behind it
    assert bug == 1
    assert any(line.startswith(f"{name} failed") for line in said)


def test_the_share_of_a_split_ensemble_and_an_input_that_cannot_be_read_are_named(tmp_path):
    stages = Stages(tmp_path, simulated(), COUNT="3")
    stages.run("builder")
    stages.run("runner", TASK_INDEX=0)
    (stages.run_folder / "builder-artifacts" / "input_0002.pkl").write_bytes(b"cut short")

    ended = stages.run("output")

    assert ended.exit_code == 2
    named = "US-VT, trajectories 2 to 3 of 6 (input 1); US-VT, trajectories 4 to 5 of 6 (input 2)"
    assert f"({named}); input 1: no result" in ended.last_line


@pytest.mark.parametrize("damage", ["cut short", "gone"])
def test_an_input_that_is_damaged_is_named_by_the_list_of_inputs_everywhere(tmp_path, damage):
    operator = Operator(tmp_path, sampled())
    run = ("--exp-id", "trial", "--run-id", RUN_ID)
    operator.invoke("stage", "A", *run)
    folder = tmp_path / "local" / "bucket" / "trial" / RUN_ID
    path = folder / "builder-artifacts" / "input_0001.pkl"
    path.write_bytes(path.read_bytes()[:100])
    name = "US-VT, parameter set 1 of 3 (input 1)"

    failed = operator.invoke("stage", "B", *run)
    path.unlink() if damage == "gone" else None
    listed = operator.invoke("runs", "--local")
    partial = operator.invoke("stage", "C", *run, "--allow-partial")
    told = json.loads(next(folder.glob("outputs/*/headline.json")).read_text())

    assert re.search(rf"^{re.escape(name)} failed: ", failed.output, re.MULTILINE), failed.output
    assert f"1 task failed: {name}" in listed.output
    assert f"continuing without 1 of 3 results: {name}" in partial.output
    assert [each["name"] for each in told["missing_inputs"]] == [name]


def test_the_list_of_inputs_calls_each_input_as_the_input_does(tmp_path):
    for kind, (given, variables) in {"sets": (sampled(), {}), "parts": (simulated(), {"COUNT": "3"})}.items():
        (tmp_path / kind).mkdir()
        stages = Stages(tmp_path / kind, given, **variables)
        stages.run("builder")
        builder = stages.run_folder / "builder-artifacts"
        paths = sorted(builder.glob("input_*.pkl"))

        whole = names_in_files(Shell(), paths)
        for path in paths:
            path.unlink()

        assert len(whole) == 3
        assert names_in_files(Shell(), paths) == whole


def test_a_run_on_this_machine_names_what_failed_and_what_is_missing_everywhere(tmp_path):
    operator = Operator(tmp_path, sampled())
    run = ("--exp-id", "trial", "--run-id", RUN_ID)
    operator.invoke("stage", "A", *run)
    folder = tmp_path / "local" / "bucket" / "trial" / RUN_ID
    change_input(folder, 1, with_too_many_people)
    name = "US-VT, parameter set 1 of 3 (input 1)"

    failed = operator.invoke("run", *run)
    listed = operator.invoke("runs", "--local")
    partial = operator.invoke("run", *run, "--allow-partial")
    forget_names(folder)
    older, older_list = operator.invoke("results", "--local", *run), operator.invoke("runs", "--local")

    assert failed.exit_code == 2
    assert re.search(rf"^{re.escape(name)} failed: (?!US-VT)", failed.output, re.MULTILINE), failed.output
    assert f"1 task of stage B failed ({name}); the logs are in" in failed.last_line
    assert f"1 task failed: {name}" in listed.output
    assert partial.exit_code == 0, partial.output
    assert re.search(rf"1 result missing:\n  {re.escape(name)}: \w", partial.output), partial.output
    assert f"1 result missing:\n  {name}\n" in older.output
    assert f"done, 1 missing: {name}" in older_list.output


def forget_names(folder: Path) -> None:
    """Make outputs those of a run from before its missing inputs were named."""
    for path in folder.glob("outputs/*/headline.json"):
        headline = json.loads(path.read_text())
        del headline["missing_inputs"]
        path.write_text(json.dumps(headline))


PENDING = b"0\n1\n2\n"


@pytest.fixture
def operator(null_cloud, pipeline, tmp_path):
    """An operator on a cloud whose tasks are nothing; the run has three inputs, of which the second fails."""
    pending = f"pending-{hashlib.sha256(PENDING).hexdigest()[:8]}.txt"
    pipeline.put_manifest(3, pending_file=pending)
    upload = f"{pipeline.cloud.storage}/upload/storage/v1/b/{pipeline.bucket}/o?uploadType=media"
    builder = f"trial/{CLOUD_RUN_ID}/builder-artifacts"
    files = {f"{builder}/{pending}": PENDING}
    for number in range(3):
        data = workload(number, "US-VT", set_index=number, set_count=3)
        files[f"{builder}/input_{number:04d}.pkl"] = zlib.compress(pickle.dumps(data))
    for name, data in files.items():
        assert request("POST", upload, params={"name": name}, data=data).ok
    pipeline.order({"job": "runner", "tasks": [1], "exit_code": 2})
    return CloudOperator(null_cloud, tmp_path, sampled())


CLOUD_NAME = "US-VT, parameter set 1 of 3 (input 1)"


def test_a_task_that_failed_in_the_cloud_is_named_wherever_its_job_is_shown(operator, pipeline, capsys):
    execution = pipeline.start(runId=CLOUD_RUN_ID)
    pipeline.wait(execution)
    here = operator.google_cloud()

    batch_jobs.show_job(here, f"runner-{execution}")
    job = capsys.readouterr().out
    executions.show_execution(here, execution)
    described = capsys.readouterr().out
    with pytest.raises(UserError, match="ended FAILED"):
        executions.follow(executions.execution_named(here, execution))
    followed = capsys.readouterr().out
    status.show_status(here)
    page = capsys.readouterr().out

    assert f"task 1, {CLOUD_NAME}: exit code 2" in job
    assert "--only 1\n" in job
    assert f"task 1, {CLOUD_NAME}: exit code 2" in described
    assert f"task 1, {CLOUD_NAME}: exit code 2" in followed
    assert f"failed: task 1, {CLOUD_NAME}" in page


@pytest.mark.parametrize("is_told", [True, False], ids=["told by stage C", "of an older run"])
def test_a_run_in_the_cloud_that_succeeds_without_a_result_names_it(operator, pipeline, capsys, is_told):
    told = {"missing": [1], "num_missing": 1}
    told |= {"missing_inputs": [{"index": 1, "name": CLOUD_NAME, "reason": "killed"}]} if is_told else {}
    for name in ("run_metadata.json", "summaries/output.json", "outputs/20260131-130000/headline.json"):
        pipeline.put(f"trial/{CLOUD_RUN_ID}/{name}", told)
    pipeline.put(f"trial/{CLOUD_RUN_ID}/outputs/20260131-130000/files.json", [])
    result = pipeline.run(runId=CLOUD_RUN_ID, allowPartial=True)
    here = operator.google_cloud()

    executions.follow(executions.execution_named(here, result["jobs"]["runner"].partition("-")[2]))
    followed = capsys.readouterr().out
    batch_jobs.follow(here, result["jobs"]["output"])
    job = capsys.readouterr().out
    status.show_status(here)
    page = capsys.readouterr().out
    cloud_tables.show_results(here, "trial", CLOUD_RUN_ID)
    results = capsys.readouterr().out

    assert f"without the results of 1 task ({CLOUD_NAME})" in followed
    assert f"without the results of 1 input ({CLOUD_NAME})" in job
    assert f"without the results of {CLOUD_NAME}" in page
    assert f"1 result missing:\n  {CLOUD_NAME}{': killed' if is_told else ''}\n" in results
