"""`invoke job`: what is submitted by hand, and what is refused, by the real gcloud on the emulated cloud."""

import re

import pytest
import yaml

from ops.cloud.inputs import choose_inputs, chosen_inputs, unfinished_inputs, upload_pending
from ops.failures import DryRunEnds, UserError
from ops.jobs import batch_jobs, job_submission
from ops.jobs.job_submission import Found, job_id_of, share_of
from ops.jobs.job_templates import Filling
from ops.manifests import Manifest, Share
from ops.run_request import RunRequest
from ops.runs import cloud_run
from ops.shell import Shell
from tests.cloud_operators import BUCKET, run_id_in
from tests.cloud_runs import RUN_ID
from tests.emulated import names_in, object_of, order_faults
from tests.job_operators import DIGEST, RUN, begin, group_of, job_in, operator_of_jobs, put_results, submit


@pytest.fixture
def operator(null_cloud, pipeline, tmp_path, monkeypatch):
    return operator_of_jobs(null_cloud, tmp_path, monkeypatch)


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
        (["--stage", "output", *RUN, "--strict"], "--strict is for stage builder, not for output"),
        (
            ["--stage", "runner", *RUN, "--reference-date", "2026-01-10"],
            "--reference-date is for stage builder, not for runner",
        ),
        (["--stage", "output", *RUN, "--only", "2"], "--only is for stage runner, not for output"),
    ],
)
def test_options_that_a_stage_does_not_heed_are_refused(operator, words, said):
    ended = operator.invoke("job", *words)

    assert ended.exit_code == 2, ended.output
    assert said in ended.last_line
    assert "Traceback" not in ended.output
