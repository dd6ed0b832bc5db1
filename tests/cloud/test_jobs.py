"""`invoke job` and its kin: the real gcloud on the emulated cloud, and once the real stages to the end."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
import yaml

from localcloud.process import running
from ops.cloud import executions
from ops.cloud.inputs import choose_inputs, chosen_inputs, unfinished_inputs, upload_pending
from ops.failures import DryRunEnds, UserError
from ops.jobs import batch_jobs, job_submission
from ops.jobs.job_submission import Found, job_id_of, share_of
from ops.jobs.job_templates import Filling, render_job
from ops.manifests import Manifest, Share
from ops.run_request import RunRequest
from ops.runs import cloud_run
from ops.shell import Shell
from ops.watching import status
from tests.cloud_operators import BUCKET, IMAGE, CloudOperator, read_until, ready_cloud, run_id_in, wait_until
from tests.cloud_runs import PROJECT, RUN_ID
from tests.emulated import names_in, object_of, order_faults, request
from tests.experiments import REPOSITORY, sampled
from tests.odd_gcloud import path_with_odd_gcloud

RUN = ("--exp-id", "trial", "--run-id", RUN_ID)
DIGEST = f"{IMAGE}@sha256:{'0' * 64}"


@pytest.fixture
def operator(null_cloud, pipeline, tmp_path, monkeypatch):
    """An operator on a cloud whose tasks are nothing, in whose folder we are; jobs/rendered/ is there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job_submission, "RENDERED", tmp_path / "jobs" / "rendered")
    return CloudOperator(null_cloud, tmp_path, sampled())


def submit(operator, stage, only=None, wait=False, run_id=RUN_ID, asked=(), **chosen) -> None:
    """Do what `invoke job` does."""
    request = RunRequest("trial", run_id, **dict(asked))
    job_submission.submit(operator.google_cloud(**chosen), stage, request, only, wait)


def described(operator, stage, job_id="", num_tasks=1, asked=()):
    filling = Filling(RunRequest("trial", RUN_ID, **dict(asked)), DIGEST, True, Share(num_tasks, 1))
    return render_job(operator.settings(), stage, filling, job_id)


def begin(operator, pipeline, stage, job_id, **more) -> None:
    """Have a job made as by hand, without asking first whether it may be."""
    pipeline.api("POST", f"/jobs?jobId={job_id}", json=described(operator, stage, job_id) | more)


def job_in(output):
    return re.search(r"^job (\S+) ", output, re.MULTILINE)[1]


def group_of(job):
    group = job["taskGroups"][0]
    return int(group["taskCount"]), group["taskSpec"]["environment"]["variables"]


# -- with the real stages


@pytest.fixture(scope="module")
def by_readme(tmp_path_factory):
    """The commands of jobs/README.md, typed as they stand: an operator, and what was said."""
    folder = tmp_path_factory.mktemp("readme")
    with running(tmp_path_factory.mktemp("state"), "--clock-speed", "20") as cloud:
        pipeline = ready_cloud(cloud)
        operator = with_own_jobs(CloudOperator(cloud, folder, sampled(), DIR_PREFIX="lab/flu"))
        text = (REPOSITORY / "jobs" / "README.md").read_text().replace("demo", "trial")
        commands = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
        assert len(commands) > 10
        programs = folder / "programs"
        programs.mkdir()
        shim = f'#!/bin/sh\nexec "{sys.executable}" -m invoke --search-root "{folder}" "$@"\n'
        (programs / "invoke").write_text(shim)
        (programs / "invoke").chmod(0o755)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(commands)],
            cwd=folder,
            env={**operator.environ, "PATH": f"{programs}{os.pathsep}{operator.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=280,
        )
        yield operator, pipeline, done


def with_own_jobs(operator):
    operator.with_own_code()
    ignored = shutil.ignore_patterns("rendered")
    shutil.copytree(REPOSITORY / "jobs", operator.folder / "jobs", ignore=ignored)
    return operator


def test_the_commands_of_the_readme_work_as_they_stand_to_the_outputs(by_readme):
    operator, _, done = by_readme

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"runner +SUCCEEDED +3 succeeded", done.stdout)
    assert f"outputs in gs://{BUCKET}/lab/flu/trial/{run_id_in(done.stdout)}/outputs/" in done.stdout
    assert "files.json" in done.stdout
    runner = json.loads((operator.folder / "jobs" / "rendered" / "stage-b.json").read_text())
    assert runner["taskGroups"][0]["taskCount"] == 3
    logs = re.findall(r"^ *logs +invoke (logs .*)", done.stdout, re.MULTILINE)[-1]
    said = operator.invoke(*logs.split())
    assert "3 results" in said.output


def test_the_tables_of_jobs_by_hand_are_those_of_a_run_here(by_readme):
    operator, _, done = by_readme

    here = operator.invoke("run", "--local", "--exp-id", "trial")

    assert here.exit_code == 0, here.output
    expected = {path.name: path.read_bytes() for path in operator.outputs()[0].parent.glob("*.csv.gz")}
    below = f"lab/flu/trial/{run_id_in(done.stdout)}/outputs/"
    tables = [name for name in names_in(operator.cloud, BUCKET, below) if name.endswith(".csv.gz")]
    assert len(expected) >= 4
    assert {n.rpartition("/")[2]: object_of(operator.cloud, BUCKET, n) for n in tables} == expected


def test_an_input_is_run_again_alone(by_readme):
    operator, pipeline, done = by_readme
    run_id = run_id_in(done.stdout)
    below = f"lab/flu/trial/{run_id}"
    result = f"{below}/runner-artifacts/result_0001.pkl"
    before = object_of(operator.cloud, BUCKET, result)
    quoted = result.replace("/", "%2F")
    deleted = request("DELETE", f"{operator.cloud.storage}/storage/v1/b/{BUCKET}/o/{quoted}")
    assert deleted.status_code == 204

    again = operator.invoke(
        *("job", "--stage", "runner", "--exp-id", "trial", "--run-id", run_id),
        *("--only", "1", "--memory-mib", "2048"),
    )

    assert again.exit_code == 0, again.output
    wait_until(lambda: pipeline.job(job_in(again.output))["status"]["state"] == "SUCCEEDED", 60)
    job = pipeline.job(job_in(again.output))
    tasks, variables = group_of(job)
    assert tasks == 1
    assert job["taskGroups"][0]["taskSpec"]["computeResource"]["memoryMib"] == "2048"
    assert (
        object_of(operator.cloud, BUCKET, f"{below}/builder-artifacts/{variables['PENDING_FILE']}") == b"1\n"
    )
    assert object_of(operator.cloud, BUCKET, result) == before


# -- with tasks that are nothing


def test_a_builder_by_hand_begins_a_run_with_the_repository_of_this_machine(operator, pipeline, capsys):
    submit(operator, "builder", run_id="", wait=True)

    said = capsys.readouterr().out
    run_id = run_id_in(said)
    assert names_in(pipeline.cloud, BUCKET) == [f"trial/{run_id}/builder-artifacts/forecast.tar.gz"]
    assert f"next: invoke job --stage runner --exp-id trial --run-id {run_id}" in said.splitlines()[-1]


def test_a_command_given_twice_and_an_answer_that_is_lost_make_one_job(operator, pipeline, capsys):
    pipeline.put_manifest(7)
    pipeline.order({"null_seconds": 100_000})
    order_faults(operator.cloud, {"method": "POST", "path": "/jobs\\?", "action": "reset_after", "times": 1})

    submit(operator, "runner")
    job = job_in(capsys.readouterr().out)
    submit(operator, "runner")

    assert f"job {job} is already running: 7 tasks" in capsys.readouterr().out
    assert list(pipeline.jobs()) == [job]
    assert re.fullmatch(rf"runner-{RUN_ID}-[0-9a-f]{{8}}", job)


def test_a_job_is_named_by_what_it_is_and_numbered_after_those_that_have_ended(operator):
    settings, filling = operator.settings(), Filling(RunRequest("trial", RUN_ID), DIGEST, True, Share(7, 1))

    def name(*jobs, is_chosen=False):
        found = [{"name": f"jobs/{job_id}", "status": {"state": state}} for job_id, state in jobs]
        return job_id_of(settings, "runner", filling, found, is_chosen)

    first, found = name()
    assert not found
    assert name((first, "SUCCEEDED")) == (f"{first}-2", None)
    assert name((first, "FAILED"), (f"{first}-6", "CANCELLED"), ("runner-x", "FAILED")) == (
        f"{first}-7",
        None,
    )
    assert name((first, "FAILED"), (f"{first}-2", "RUNNING"))[0] == f"{first}-2"
    assert name(("runner-x", "RUNNING"), is_chosen=True) == (first, None)
    with pytest.raises(UserError, match=r"runner-x is RUNNING .*: invoke job-cancel runner-x") as refused:
        name(("runner-x", "RUNNING"))
    assert refused.value.exit_code == 2


def test_jobs_are_listed_described_and_cancelled(operator, pipeline, capsys):
    pending = "".join(f"{index:02d}\n" for index in range(39, -1, -1)).encode()
    name = f"pending-{hashlib.sha256(pending).hexdigest()[:8]}.txt"
    pipeline.put_manifest(40, per_task=2, pending_file=name)
    pipeline.order({"job": "runner", "tasks": [3, 17], "exit_code": 50005})
    execution = pipeline.start(runId=RUN_ID)
    pipeline.wait(execution)
    pipeline.clear_faults()
    upload(pipeline, f"trial/{RUN_ID}/builder-artifacts/{name}", pending)
    pipeline.order({"null_seconds": 100_000}, {"job": "waiting", "queue": "CODE_GCE_QUOTA_EXCEEDED"})
    begin(operator, pipeline, "output", "waiting")
    begin(operator, pipeline, "builder", "strange", labels={"component": "another"})
    wait_until(lambda: "QUOTA" in str(pipeline.job("waiting")["status"].get("statusEvents")))
    here = operator.google_cloud()

    listed = operator.invoke("job-list", "--limit", "3")
    batch_jobs.show_jobs(here, exp_id="trial", stage="runner")
    only = capsys.readouterr().out
    batch_jobs.show_job(here, f"runner-{execution}")
    failed = capsys.readouterr().out
    batch_jobs.show_job(here, "waiting")
    queued = capsys.readouterr().out

    rows = [line.split()[0] for line in listed.lines if RUN_ID in line]
    assert rows == ["waiting", f"runner-{execution}", f"builder-{execution}"]
    assert re.search(rf"waiting +output +trial +{RUN_ID} +QUEUED .*CODE_GCE_QUOTA_EXCEEDED", listed.output)
    assert re.search(r"runner +trial .* FAILED .* 2 failed, 18 succeeded", only)
    assert "waiting" not in only
    assert "20 tasks: 2 failed, 18 succeeded" in failed
    assert "task 17, input 5; input 4: exit code 50005 (it exceeded its time limit)" in failed
    assert f"invoke job --stage runner {' '.join(RUN)} --only 33,32,5,4" in failed
    assert f"invoke logs {' '.join(RUN)} --stage runner" in failed
    assert "CODE_GCE_QUOTA_EXCEEDED" in queued
    assert f"/jobs/waiting/details?project={PROJECT}" in queued

    with pytest.raises(
        UserError, match="has no label component=epymodelingsuite: it is not a job of this pipeline"
    ) as refused:
        batch_jobs.cancel(here, "strange")
    cancelled = operator.invoke("job-cancel", "waiting")
    wait_until(lambda: pipeline.job("waiting")["status"]["state"] == "CANCELLED")
    batch_jobs.cancel(here, "waiting")

    assert refused.value.exit_code == 2
    assert pipeline.job("strange")["status"]["state"] != "CANCELLED"
    assert (cancelled.exit_code, "is being cancelled" in cancelled.last_line) == (0, True)
    assert "has already ended" in capsys.readouterr().out


def test_a_list_has_the_newest_jobs_of_ours_and_of_no_namesake(operator, pipeline, capsys):
    for number in range(3):
        begin(operator, pipeline, "output", f"ours-{number}")
        begin(operator, pipeline, "output", f"theirs-{number}", labels={"component": "another"})
    # with the same label as ours, which is lower case
    namesake = json.loads(json.dumps(described(operator, "output")).replace('"trial"', '"Trial"'))
    begin(operator, pipeline, "output", "namesake", taskGroups=namesake["taskGroups"])

    batch_jobs.show_jobs(operator.google_cloud(), "trial", limit=2)

    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["ours-2", "ours-1"]


def test_a_job_that_fails_is_followed_to_what_failed(operator, pipeline, capsys):
    pipeline.put_manifest(3)
    pipeline.order({"job": "by-hand", "tasks": [1], "exit_code": 2})
    pipeline.api("POST", "/jobs?jobId=by-hand", json=described(operator, "runner", "by-hand", 3))

    with pytest.raises(UserError, match="job by-hand ended FAILED: 1 of 3 tasks failed") as failed:
        batch_jobs.follow(operator.google_cloud(), "by-hand")

    said = capsys.readouterr().out
    assert failed.value.exit_code == 2
    assert "task 1, input 1: exit code 2 (the input or a setting is wrong)" in said
    assert f"invoke job --stage runner {' '.join(RUN)} --only 1" in said


@pytest.mark.parametrize(
    ("codes", "exit_code", "said"),
    [
        ({0: 75, 1: 75}, 75, "task 0, input 0: exit code 75 (a temporary fault)"),
        ({0: 2, 1: 75}, 1, "task 1, input 1: exit code 75"),
        ({1: 137}, 1, "task 1, input 1: exit code 137 (killed, most likely out of memory)"),
        (
            {1: 50001},
            1,
            "task 1, input 1: exit code 50001 (a Spot machine was taken away), after 4 attempts\n",
        ),
        (
            {1: 50002},
            1,
            "reporting), after 4 attempts; all attempts ended in ways typical of too little memory",
        ),
        (
            {0: 50004},
            1,
            "responding), after 4 attempts; all attempts ended in ways typical of too little memory",
        ),
    ],
)
def test_a_followed_job_ends_with_the_exit_code_of_its_tasks(
    operator, pipeline, capsys, codes, exit_code, said
):
    pipeline.put_manifest(3)
    pipeline.order(*({"job": "by-hand", "tasks": [task], "exit_code": code} for task, code in codes.items()))
    pipeline.api("POST", "/jobs?jobId=by-hand", json=described(operator, "runner", "by-hand", 3))

    with pytest.raises(UserError) as failed:
        batch_jobs.follow(operator.google_cloud(), "by-hand")

    assert failed.value.exit_code == exit_code
    assert said in capsys.readouterr().out


def test_a_job_that_is_said_not_to_be_there_is_looked_for_again_before_it_is_left_running(
    operator, pipeline, capsys
):
    """An execution that ended before does not stop its job any more."""
    pipeline.put_manifest(1)
    pipeline.order({"job": "runner", "null_seconds": 10_000_000})
    execution = pipeline.start(runId=RUN_ID)
    wait_until(lambda: f"runner-{execution}" in pipeline.jobs())
    pipeline.cancel(execution)
    untrue = {"method": "GET", "path": "/jobs/runner", "status": 404, "message": "Resource was not found"}
    order_faults(operator.cloud, {"times": 1, **untrue})

    executions.cancel(operator.google_cloud(), execution)

    assert f"cancelled runner-{execution}" in capsys.readouterr().out
    wait_until(lambda: pipeline.job(f"runner-{execution}")["status"]["state"] == "CANCELLED")


@pytest.mark.parametrize("result", ["null", "[]", "no JSON", ""])
def test_an_execution_with_a_result_that_is_no_map_is_done_all_the_same(operator, tmp_path, capsys, result):
    """As of another workflow under the same name."""
    found = {
        "state": "SUCCEEDED",
        "startTime": "2026-01-01T00:00:00Z",
        "endTime": "2026-01-01T01:00:00Z",
        "result": result,
    }
    refusal = {"refusal": "ERROR: (gcloud.batch.jobs.describe) Could not fetch resource: it was not found"}
    answers = {"workflows executions describe": found, "batch jobs describe": refusal}
    shell = Shell(environment={"PATH": path_with_odd_gcloud(tmp_path, answers)})

    executions.follow(executions.execution_named(operator.google_cloud(shell), "some-execution"))
    executions.show_execution(operator.google_cloud(shell), "some-execution")

    assert "done in 1 h" in capsys.readouterr().out


def test_a_task_that_was_stopped_with_its_job_is_cancelled_and_not_failed(operator, pipeline, capsys):
    pipeline.put_manifest(3)
    pipeline.order(
        {"job": "by-hand", "tasks": [0], "exit_code": 2}, {"job": "by-hand", "null_seconds": 100_000}
    )
    job = described(operator, "runner", "by-hand", 3)
    job["taskGroups"][0]["parallelism"] = 2
    pipeline.api("POST", "/jobs?jobId=by-hand", json=job)
    here = operator.google_cloud()
    wait_until(lambda: "FAILED" in str(pipeline.job("by-hand")["status"].get("taskGroups")))
    batch_jobs.cancel(here, "by-hand")
    wait_until(lambda: pipeline.job("by-hand")["status"]["state"] == "CANCELLED")
    capsys.readouterr()

    with pytest.raises(UserError, match=r"job by-hand was cancelled: .*failed or cancelled") as ended:
        batch_jobs.follow(here, "by-hand")
    said = capsys.readouterr().out
    status.show_status(here)

    assert ended.value.exit_code == 130
    assert "task 0, input 0: exit code 2 (the input or a setting is wrong)" in said
    assert "task 1, input 1: cancelled" in said
    assert "50000" not in said
    shown = capsys.readouterr().out
    assert "0 jobs running without an execution, 1 by hand ended" in shown
    assert re.search(rf"^trial  run {RUN_ID}  job by-hand \(by hand\)$", shown, re.MULTILINE)
    assert "failed tasks: invoke job-describe by-hand" in shown
    assert "so far" not in shown


def test_a_job_in_a_state_that_is_new_to_us_goes_on(operator, pipeline, capsys, monkeypatch):
    pipeline.put_manifest(3)
    pipeline.order({"null_seconds": 100_000})
    begin(operator, pipeline, "runner", "by-hand")
    strange = pipeline.job("by-hand")
    strange["status"] = strange["status"] | {"state": "SUSPENDED"}
    answers = {"batch jobs describe": strange, "batch jobs list": [strange]}
    path = path_with_odd_gcloud(operator.folder, answers)
    here = operator.google_cloud(Shell(environment={**operator.environ, "PATH": path}))

    status.show_status(here)
    batch_jobs.show_job(here, "by-hand")
    batch_jobs.cancel(here, "by-hand")
    shown = capsys.readouterr().out
    with pytest.raises(UserError, match="job by-hand, submitted by hand, is SUSPENDED on stage runner"):
        cloud_run.start(here, RunRequest("trial", RUN_ID))

    assert "1 job running without an execution" in shown
    assert "runner   SUSPENDED" in shown
    assert "job by-hand: SUSPENDED, stage runner" in shown
    assert "job by-hand is being cancelled" in shown


def test_a_builder_that_is_refused_names_no_run(operator, pipeline, capfd):
    model = operator.folder / "local" / "forecast" / "experiments" / "trial" / "config" / "model.yaml"
    model.write_text(model.read_text() + "  mistyped: 1\n")

    with pytest.raises(UserError, match="trial is not valid"):
        submit(operator, "builder", run_id="")
    with pytest.raises(
        UserError, match=r"a new run is not built yet.*: invoke job --stage builder --exp-id trial$"
    ):
        job_submission.render(operator.google_cloud(), RunRequest("trial"))

    said = "".join(capfd.readouterr())
    assert "mistyped" in said
    assert not re.search(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}", said)


def test_a_run_is_not_gone_on_with_while_a_job_by_hand_does_its_tasks(operator, pipeline):
    pipeline.put_manifest(7)
    pipeline.order({"null_seconds": 100_000})
    begin(operator, pipeline, "runner", "by-hand")

    with pytest.raises(UserError, match=r"by-hand, .* this run; .*: invoke job-cancel by-hand$") as refused:
        cloud_run.start(operator.google_cloud(), RunRequest("trial", RUN_ID))

    assert refused.value.exit_code == 2
    assert pipeline.api("GET", f"/workflows/{pipeline.name}/executions").get("executions", []) == []


def test_ctrl_c_leaves_the_job_going(operator, pipeline):
    pipeline.order({"null_seconds": 100_000})
    begin(operator, pipeline, "runner", "by-hand")
    process = operator.start("job-describe", "by-hand", "--wait")
    read_until("RUNNING", process)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "invoke job-cancel by-hand" in rest
    assert pipeline.job("by-hand")["status"]["state"] == "RUNNING"


def test_a_dry_run_prints_the_job_and_makes_nothing(operator, pipeline, capsys):
    ended = operator.invoke("job", "--stage", "builder", "--exp-id", "trial", "--dry-run")
    dry = operator.google_cloud(Shell(dry_run=True))
    job_submission.render(dry, RunRequest("trial"))
    with pytest.raises(DryRunEnds):
        batch_jobs.show_jobs(dry, "trial")
    batch_jobs.cancel(dry, "by-hand")

    said = capsys.readouterr()
    assert ended.exit_code == 0, ended.output
    assert '"commands": [' in ended.output
    assert "+ gcloud batch jobs submit builder-" in ended.output
    assert "gcloud batch jobs submit 'stage-" not in said.out
    assert "gcloud batch jobs submit stage-b-$(date +%s) --location us-central1" in said.out
    assert """--filter 'labels.component="epymodelingsuite" AND labels.exp_id="trial"'""" in said.err
    assert "+ gcloud batch jobs cancel by-hand" in said.err
    assert pipeline.jobs() == {}
    assert names_in(operator.cloud, BUCKET) == []
    assert not (operator.folder / "jobs" / "rendered").exists()


def test_nothing_pending_is_no_job(operator, pipeline, capsys):
    pipeline.put_manifest(0, num_workloads=4)
    put_results(pipeline, range(4))

    submit(operator, "runner")
    submitted = capsys.readouterr().out
    job_submission.render(operator.google_cloud(), RunRequest("trial", RUN_ID))

    assert "every input has a result" in submitted.splitlines()[-1]
    assert "every input has a result" in capsys.readouterr().out
    rendered = operator.folder / "jobs" / "rendered"
    assert sorted(path.name for path in rendered.iterdir()) == ["stage-a.json", "stage-c.json"]
    assert pipeline.jobs() == {}


def test_what_has_come_since_the_manifest_is_not_run_again_unless_it_is_forced(operator, pipeline, capsys):
    pipeline.put_manifest(12)
    put_results(pipeline, range(11))

    submit(operator, "runner", wait=True)
    said = capsys.readouterr().out
    put_results(pipeline, [11])
    submit(operator, "runner")
    nothing = capsys.readouterr().out
    submit(operator, "runner", asked={"force": True})
    forced = capsys.readouterr().out

    tasks, variables = group_of(pipeline.job(job_in(said)))
    assert tasks == 1
    pending = f"trial/{RUN_ID}/builder-artifacts/{variables['PENDING_FILE']}"
    assert object_of(operator.cloud, BUCKET, pending) == b"11\n"
    assert "11 of 12 inputs have a result and are skipped" in said
    assert nothing.splitlines()[-1].startswith("nothing to do in stage B: every input has a result; --force")
    tasks, variables = group_of(pipeline.job(job_in(forced)))
    assert (tasks, variables["PENDING_FILE"], variables["FORCE"]) == (12, "pending-1a2b3c4d.txt", "1")
    assert len(pipeline.jobs()) == 2


def test_a_result_that_is_gone_again_is_made_although_the_manifest_does_not_name_it(operator, pipeline):
    here, manifest = operator.google_cloud(), Manifest(3, 1, 1, "pending-4355a46b.txt")

    two, same = unfinished_inputs(manifest, {0}), unfinished_inputs(manifest, {0, 2})
    upload_pending(here, f"gs://{BUCKET}/trial/{RUN_ID}/", two)
    upload_pending(here, "gs://not-written-to/", same)

    assert two.share.num_tasks == 2
    pending = f"trial/{RUN_ID}/builder-artifacts/{two.share.pending_file}"
    assert object_of(operator.cloud, BUCKET, pending) == b"1\n2\n"
    assert same.share == manifest.share


def test_another_output_yaml_is_checked_before_anything_is_submitted(operator, pipeline, capfd):
    pipeline.put_manifest(1, output_config_file="built-with.yaml")
    bad, good = operator.folder / "bad.yaml", operator.folder / "good.yaml"
    bad.write_text("output:\n  quantils: true\n")
    good.write_text("output:\n  posteriors: false\n")
    no_such = {"compartments": ["Nowhere"]}
    bad_here = operator.folder / "local/forecast/experiments/trial/config/other.yaml"
    bad_here.write_text(yaml.safe_dump({"output": {"quantiles": no_such}}))

    for name, said in (
        (str(bad), "bad.yaml is not valid"),
        ("other.yaml", "other.yaml is not valid"),
        ("othr.yaml", "othr.yaml: no such file in "),
    ):
        with pytest.raises(UserError, match=said) as refused:
            submit(operator, "output", asked={"output_config_file": name})
        assert refused.value.exit_code == 2
    bad_here.unlink()  # not to lie beside the experiment's own
    captured = capfd.readouterr()
    mistakes = captured.out + captured.err
    print(mistakes, capfd.readouterr().err)
    assert 'bad.yaml:2: unknown key "quantils" (did you mean "quantiles"?)' in mistakes
    assert "Nowhere" in mistakes
    assert pipeline.jobs() == {}
    assert not [name for name in names_in(operator.cloud, BUCKET) if "output-configs" in name]

    for name, takes in (
        (str(good), r"output-configs/good-\w{8}\.yaml"),
        ("built-with.yaml", "built-with.yaml"),
    ):
        submit(operator, "output", asked={"output_config_file": name}, wait=True)
        _, variables = group_of(pipeline.job(job_in(capfd.readouterr().out)))
        assert re.fullmatch(takes, variables["OUTPUT_CONFIG_FILE"])


def test_a_stage_c_that_failed_tells_its_last_error_and_what_would_mend_it(operator, pipeline, capsys):
    another = "output-configs/other-1a2b3c4d.yaml"
    pipeline.order({"job": "by-hand", "exit_code": 2})
    job = described(operator, "output", "by-hand", asked={"output_config_file": another})
    created = pipeline.api("POST", "/jobs?jobId=by-hand", json=job)
    entry = {
        "logName": f"projects/{PROJECT}/logs/batch_task_logs",
        "labels": {"job_uid": created["uid"]},
        "resource": {"type": "batch.googleapis.com/Job"},
        "timestamp": created["createTime"],
        "severity": "ERROR",
    }
    missing = "1 of 3 results are missing or wrong (1); 1: no result"
    entries = [
        entry | {"jsonPayload": {"message": missing}},
        entry | {"labels": {"job_uid": "another"}, "jsonPayload": {"message": "not ours"}},
    ]
    assert request("POST", f"{operator.cloud.apis}/v2/entries:write", json={"entries": entries}).ok

    with pytest.raises(UserError, match="1 of 1 task failed, last error: 1 of 3 results are missing"):
        batch_jobs.follow(operator.google_cloud(), "by-hand")

    said = capsys.readouterr().out
    options = f"{' '.join(RUN)} --output-config-file {another}"
    assert f"resume   invoke run --cloud {options}\n" in said
    assert f"or       invoke job --stage output {options} --allow-partial\n" in said


def test_outputs_from_a_part_of_the_results_end_with_what_they_are_without(operator, pipeline, capsys):
    pipeline.put(f"trial/{RUN_ID}/summaries/output.json", {"missing": [1, 17]})
    job = described(operator, "output", "by-hand", asked={"allow_partial": True})
    pipeline.api("POST", "/jobs?jobId=by-hand", json=job)

    batch_jobs.follow(operator.google_cloud(), "by-hand")

    assert (
        ", without the results of 2 inputs (input 1; input 17); outputs in gs://" in capsys.readouterr().out
    )


def test_what_is_wrong_is_one_line_with_what_mends_it(operator, pipeline):
    pipeline.put_manifest(7)
    here, nowhere = operator.google_cloud(), "20200101-000000-00000000"
    built = Found(RunRequest("trial", RUN_ID), DIGEST, Manifest(7, 7, 1, ""))

    for ask, said in (
        (lambda: submit(operator, "runner", run_id=""), "--run-id is needed for stage runner"),
        (lambda: submit(operator, "runner", run_id=nowhere), "no such run"),
        (lambda: submit(operator, "runner", only="3,x"), "--only 3,x: expected inputs"),
        (lambda: submit(operator, "runner", run_id=nowhere, IMAGE_TAG="v9"), "invoke build"),
        (lambda: submit(operator, "runner", STAGE_B_MEMORY_MIB="9"), "STAGE_B_MEMORY_MIB"),
        (lambda: submit(operator, "runner", only=""), '--only "": expected inputs'),
        (lambda: chosen_inputs("9-3"), "--only 9-3: expected inputs"),
        (
            lambda: choose_inputs(built.manifest, [2, 7]),
            "--only 7: the inputs of this run are 0 to 6",
        ),
        (lambda: share_of(here.settings, built, 8), "--num-tasks 8: this run has 7 tasks to run"),
        (
            lambda: job_submission.render(here, RunRequest("trial")),
            "add --num-tasks N, or build it first: invoke job --stage builder",
        ),
        (
            lambda: job_submission.render(here, RunRequest("trial", nowhere)),
            f"trial/{nowhere}/: no such run: invoke runs --cloud --exp-id trial",
        ),
        (lambda: job_submission.render(here, RunRequest("trail", RUN_ID)), "no runs of trail in gs://"),
        (
            lambda: batch_jobs.show_job(here, "nothing-there"),
            "job nothing-there not found in us-central1: invoke job-list",
        ),
        (lambda: batch_jobs.cancel(here, "nothing-there"), "job nothing-there not found"),
        (lambda: batch_jobs.show_jobs(here, run_id="yesterday"), "a run id looks like"),
        (lambda: batch_jobs.cancel(here, "Not A Job"), "is not a job id: invoke job-list"),
    ):
        with pytest.raises(UserError, match=re.escape(said)) as refused:
            ask()
        assert refused.value.exit_code == 2
        assert "\n" not in str(refused.value)

    assert pipeline.jobs() == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--stage", "D", "--exp-id", "trial"], '"D" is not a stage'),
        (["--exp-id", "trial"], "is not a stage"),
        (["--stage", "runner", *RUN, "--only", ""], '--only "": expected inputs'),
        (["--stage", "runner", *RUN, "--count", "2"], "--count is for stage builder, not for runner"),
        (["--stage", "output", *RUN, "--only", "2"], "--only is for stage runner, not for output"),
    ],
)
def test_options_that_a_stage_does_not_heed_are_refused(operator, words, said):
    ended = operator.invoke("job", *words)

    assert ended.exit_code == 2, ended.output
    assert said in ended.last_line
    assert "Traceback" not in ended.output


def put_results(pipeline, inputs):
    for index in inputs:
        upload(pipeline, f"trial/{RUN_ID}/runner-artifacts/result_{index:04d}.pkl", b"result")


def upload(pipeline, name, data):
    url = f"{pipeline.cloud.storage}/upload/storage/v1/b/{pipeline.bucket}/o"
    answer = request("POST", url, params={"uploadType": "media", "name": name}, data=data)
    assert answer.status_code == 200, answer.text
