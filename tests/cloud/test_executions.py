"""Executions of runs: listed, followed and cancelled by an operator, or refused before they begin."""

import json
import re
import signal

import pytest

from modeling.refusals import MAY_NOT_COUNT_YET
from tests.cloud_operators import BUCKET, IMAGE, WORKFLOW, CloudOperator, execution_in, read_until, wait_until
from tests.cloud_runs import RUN_ID
from tests.cloud_runs import WORKFLOW as WORKFLOW_FILE
from tests.emulated import names_in, order_faults
from tests.experiments import sampled


@pytest.fixture
def null_operator(null_cloud, pipeline, tmp_path):
    return CloudOperator(null_cloud, tmp_path, sampled())


def test_ctrl_c_leaves_the_run_going_and_workflow_cancel_ends_it_with_its_jobs(null_operator, pipeline):
    pipeline.order({"null_seconds": 100_000})
    long = {"STAGE_A_MAX_RUN_DURATION": "1000000"}  # an hour here is half a minute
    process = null_operator.start("run", "--exp-id", "trial", "--wait", **long)
    output = read_until("RUNNING", process)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=30)
    execution = execution_in(output)

    assert process.returncode == 130
    assert f"invoke workflow-cancel {execution}" in rest
    assert pipeline.execution(execution)["state"] == "ACTIVE"

    cancelled = null_operator.invoke("workflow-cancel", execution)
    followed = null_operator.invoke("workflow-describe", execution, "--wait")

    assert cancelled.exit_code == 0, cancelled.output
    assert (followed.exit_code, "CANCELLED" in followed.last_line) == (130, True)
    assert cancelled.last_line == f"cancelled builder-{execution}"
    assert pipeline.execution(execution)["state"] == "CANCELLED"
    wait_until(lambda: pipeline.job(f"builder-{execution}")["status"]["state"] == "CANCELLED")


def test_executions_are_listed_and_described(null_operator, pipeline):
    pipeline.put_manifest(7)
    done = pipeline.start(runId=RUN_ID)
    pipeline.wait(done)
    pipeline.wait(pipeline.start(exp_id="other", mistyped="argument"))  # fails at once, without a job
    failed = pipeline.start(exp_id="other")  # and this without a manifest, under an id of its own
    pipeline.wait(failed)

    listed = null_operator.invoke("workflow-list")
    only = null_operator.invoke("workflow-list", "--exp-id", "trial", "--limit", "1")
    described = null_operator.invoke("workflow-describe", done)
    why = null_operator.invoke("workflow-describe", failed)
    followed = null_operator.invoke("workflow-describe", failed, "--wait")

    assert [done in listed.output, failed in listed.output] == [True, True]
    assert re.search(rf"{done} +trial +{RUN_ID} +SUCCEEDED", listed.output)
    assert re.search(rf"{failed} +other +\d{{8}}-\d{{6}}-{failed[:8]} +FAILED", listed.output)
    assert [line.split()[0] for line in only.lines[-1:]] == [done]
    assert re.search(r"runner +SUCCEEDED +7 succeeded", described.output)
    assert f"outputs in gs://{BUCKET}/trial/{RUN_ID}/outputs/" in described.output
    assert "left no readable manifest.json" in why.output
    assert re.search(rf"FAILED, run \d{{8}}-\d{{6}}-{failed[:8]} of other", why.output)
    assert followed.exit_code == 1
    assert "left no readable manifest.json" in followed.last_line


OLDER_CLAIM = """
main:
  params: [args]
  steps:
    - write:
        try:
          call: http.post
          args: {url: "https://storage.googleapis.com/upload/storage/v1/b/b/o", auth: {type: OAuth2}}
        except:
          as: fault
          steps:
            - fail:
                raise: {message: the run cannot be begun, cause: "${fault}"}
"""


def test_a_claim_that_is_refused_is_shown_with_its_reason(null_operator, pipeline):
    order_faults(pipeline.cloud, {"method": "POST", "path": "/upload/", "status": 403, "message": "no right"})
    execution = pipeline.start(runId=RUN_ID)
    pipeline.wait(execution)
    pipeline.api("PATCH", f"/workflows/{pipeline.name}", json={"sourceContents": OLDER_CLAIM})
    older = pipeline.start(runId=RUN_ID)
    pipeline.wait(older)

    ended = null_operator.invoke("workflow-describe", execution, "--wait")
    ended_older = null_operator.invoke("workflow-describe", older, "--wait")

    refused = "HTTP server responded with error code 403"
    assert ended.exit_code == 1
    assert f"cannot start in gs://{BUCKET}/trial/{RUN_ID}/: {refused}: no right; " in ended.last_line
    assert "the workflow's account cannot write there: invoke doctor --cloud" in ended.last_line
    assert ended.last_line.count(MAY_NOT_COUNT_YET) == 1
    assert ended.last_line.count("no right") == 1
    assert ended_older.last_line.endswith(f"FAILED: the run cannot be begun; {refused}; no right")


def test_an_execution_is_followed_by_its_id_alone_and_in_a_dry_run_only_asked_for(null_operator):
    described = ("workflow-describe", "b9d3-1", "--wait")

    nowhere = null_operator.invoke(*described, PROJECT_ID="")
    unlike = null_operator.invoke("workflow-describe", "not an id", "--wait")
    dry = null_operator.invoke(*described, "--dry-run")

    assert (nowhere.exit_code, unlike.exit_code, dry.exit_code) == (2, 2, 0)
    assert "PROJECT_ID: not set" in nowhere.last_line
    assert unlike.last_line == 'error: "not an id" is not an execution id: invoke workflow-list'
    assert f"+ gcloud workflows executions describe b9d3-1 --workflow {WORKFLOW}" in dry.output


def test_a_run_without_stage_b_is_followed_through_faults_that_pass(null_operator, pipeline):
    pipeline.put_manifest(0)
    execution = pipeline.start(runId=RUN_ID)
    fault = {"path": f"executions/{execution}", "status": 409, "message": "ABORTED, try again", "times": 2}
    order_faults(pipeline.cloud, fault)

    ended = null_operator.invoke("workflow-describe", execution, "--wait")

    assert ended.exit_code == 0, ended.output
    assert (
        len(re.findall("a request to the cloud failed; asking again: .*ABORTED, try again", ended.output))
        == 1
    )
    assert ended.output.count("the cloud answers again") == 1
    assert re.search(r"output +SUCCEEDED +1 succeeded", ended.output)
    assert ended.last_line == f"fetch    invoke download --exp-id trial --run-id {RUN_ID}"


def test_a_job_is_followed_through_faults_that_pass(null_operator, pipeline):
    pipeline.put_manifest(7)
    execution = pipeline.start(runId=RUN_ID)
    pipeline.wait(execution)  # which asks for its jobs, too
    job = f"output-{execution}"
    order_faults(pipeline.cloud, {"path": f"/jobs/{job}", "status": 409, "message": "ABORTED", "times": 1})

    ended = null_operator.invoke("job-describe", job, "--wait")

    assert ended.exit_code == 0, ended.output
    assert "a request to the cloud failed; asking again" in ended.output
    assert "done in " in ended.last_line


def test_a_dry_run_prints_what_would_be_asked_and_starts_nothing(null_operator, pipeline):
    ended = null_operator.invoke("run", "--exp-id", "trial", "--dry-run")

    assert ended.exit_code == 0, ended.output
    assert "+ gcloud workflows execute epydemix-pipeline" in ended.output
    assert pipeline.api("GET", f"/workflows/{WORKFLOW}/executions").get("executions", []) == []


def _no_image(cloud, pipeline):
    return {"IMAGE_TAG": "v9"}


def _no_bucket(cloud, pipeline):
    return {"BUCKET_NAME": "nowhere-at-all"}


def _no_workflow(cloud, pipeline):
    return {"WORKFLOW_NAME": "not-deployed"}


def _no_project(cloud, pipeline):
    return {"PROJECT_ID": ""}


def _no_credentials(cloud, pipeline):
    return {"CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": "", "CLOUDSDK_CONFIG": str(cloud.state / "empty")}


def _too_big(cloud, pipeline):
    return {"STAGE_A_MEMORY_MIB": "8192"}


def _no_experiment(cloud, pipeline):
    return {"FORECAST_REPO_DIR": str(cloud.state)}


@pytest.mark.parametrize(
    ("bend", "said"),
    [
        (_no_image, [f"image {IMAGE}:v9 not found", "invoke build"]),
        (_no_bucket, ["no such bucket", "gcloud storage buckets create gs://nowhere-at-all"]),
        (_no_workflow, ["the workflow not-deployed is not deployed", "invoke tf-apply"]),
        (_no_project, ["PROJECT_ID: not set"]),
        (_no_credentials, ["not logged in", "gcloud auth login"]),
        (_too_big, ["stage A (builder): c4d-standard-2 has 7168 MiB of memory, 8192 are asked for"]),
        (_no_experiment, ["trial"]),
    ],
)
def test_what_is_missing_is_one_line_with_the_command_that_mends_it(null_operator, pipeline, bend, said):
    variables = bend(null_operator.cloud, pipeline)

    ended = null_operator.invoke("run", "--exp-id", "trial", **variables)

    assert ended.exit_code == 2, ended.output
    assert "Traceback" not in ended.output
    assert all(text in ended.last_line for text in said), ended.last_line
    assert pipeline.api("GET", f"/workflows/{WORKFLOW}/executions").get("executions", []) == []
    assert names_in(null_operator.cloud, BUCKET) == []


def test_a_workflow_that_is_older_than_the_accounts_of_the_stages_is_refused(null_operator, pipeline):
    older = WORKFLOW_FILE.read_text().replace("builderSaEmail", "batchSaEmail")
    pipeline.api("PATCH", f"/workflows/{pipeline.name}", json={"sourceContents": older})

    ended = null_operator.invoke("run", "--exp-id", "trial")

    assert ended.exit_code == 2
    assert "the workflow epydemix-pipeline is older than this checkout" in ended.last_line
    assert "invoke tf-apply" in ended.last_line
    assert names_in(null_operator.cloud, BUCKET) == []


def test_a_workflow_that_is_older_than_reference_dates_runs_what_has_none(null_operator, pipeline):
    older = WORKFLOW_FILE.read_text().replace("referenceDate", "forecastRepoRef").replace("strict", "seed")
    pipeline.api("PATCH", f"/workflows/{pipeline.name}", json={"sourceContents": older})
    run = ("run", "--exp-id", "trial")

    refused = null_operator.invoke(*run, "--strict", GITHUB_FORECAST_REPO="lab/flu")
    started = null_operator.invoke(*run, GITHUB_FORECAST_REPO="lab/flu")

    assert refused.exit_code == 2
    assert "does not accept referenceDate: invoke tf-apply" in refused.last_line
    assert started.exit_code == 0, started.output
    argument = pipeline.execution(execution_in(started.output))["argument"]
    assert not {"referenceDate", "strict"} & json.loads(argument).keys()


def test_a_week_reaches_the_stage_that_builds_and_a_model_is_refused_before(null_operator, pipeline):
    run = ("run", "--exp-id", "trial", "--reference-date", "2026-01-10", "--strict")

    refused = null_operator.invoke(*run)  # its repository is here, so it is checked here
    before = pipeline.api("GET", f"/workflows/{WORKFLOW}/executions").get("executions", [])
    started = null_operator.invoke(*run, GITHUB_FORECAST_REPO="lab/flu")

    assert refused.exit_code == 2
    assert "this experiment has no key forecast" in refused.output
    assert before == []
    assert started.exit_code == 0, started.output
    asked = json.loads(pipeline.execution(execution_in(started.output))["argument"])
    assert (asked["referenceDate"], asked["strict"]) == ("2026-01-10", True)


def test_an_account_that_may_read_the_token_is_refused_for_stages_b_and_c(null_operator):
    same = {"GITHUB_PAT_SECRET": "github-pat", "BUILDER_SERVICE_ACCOUNT": "epymodelingsuite-batch"}

    for words in (["run"], ["job", "--stage", "builder"], ["jobs-render", "--num-tasks", "1"]):
        ended = null_operator.invoke(*words, "--exp-id", "trial", **same)

        assert ended.exit_code == 2
        assert "is also BUILDER_SERVICE_ACCOUNT, which may read the token" in ended.last_line


def test_a_mistake_in_the_experiment_is_told_before_anything_is_uploaded(null_operator, pipeline):
    model = null_operator.folder / "local/forecast/experiments/trial/config/model.yaml"
    model.write_text(model.read_text().replace("gamma/eigenvalue", "gama/eigenvalue"))

    ended = null_operator.invoke("run", "--exp-id", "trial")

    assert ended.exit_code == 2
    assert "gama" in ended.output
    assert not re.search(r"\d{8}-\d{6}-[0-9a-f]{8}", ended.output)
    assert names_in(null_operator.cloud, BUCKET) == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("BILLING_PROJECT", "a\"b'$(touch pwned)`touch pwned`\\"),
        ("DIR_PREFIX", "flu $(touch pwned)"),
        ("OUTPUT_CONFIG_FILE", 'x"};$(touch pwned)'),
    ],
)
def test_a_value_that_would_break_out_of_a_command_stays_a_value(null_operator, pipeline, setting, value):
    ended = null_operator.invoke("run", "--exp-id", "trial", **{setting: value})

    if ended.exit_code == 0:
        asked = json.loads(pipeline.execution(execution_in(ended.output))["argument"])
        assert value in [str(each).removesuffix("/") for each in asked.values()]
    else:
        assert ended.exit_code == 2
        assert setting in ended.output
    assert not list(null_operator.folder.rglob("pwned"))


@pytest.mark.parametrize("value", ["a\nb", 'x"; rm -rf /', "$(id)", "UPPER CASE", "-starts-with-dash", "a/b"])
def test_names_that_are_none_are_refused_before_anything_is_asked(null_operator, value):
    names = ("WORKFLOW_NAME", "REGION", "BUCKET_NAME", "IMAGE_TAG", "PROJECT_ID")

    ended = null_operator.invoke("run", "--exp-id", "trial", "--dry-run", **dict.fromkeys(names, value))

    assert ended.exit_code == 2
    assert [name for name in names if f"{name}=" not in ended.last_line] == []  # each is told
    assert "+ gcloud" not in ended.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--run-id", "20200101-000000-00000000"], "no such run"),
        (["--jobs", "2"], "--jobs: only for runs on this machine"),
        (["--local", "--spot"], "--spot: for runs in the cloud"),
        (["--local", "--cloud"], "choose one"),
        (["--output-config-file", "./other.yaml"], "./other.yaml: no such file"),
        (["--output-config-file", "./.env"], "it has no `output`; name an output YAML"),
        (["--max-parallelism", "9999"], "MAX_PARALLELISM"),
        (["--set", "STAGE_B_MEMORY=1"], "STAGE_B_MEMORY is not a setting (did you mean"),
        (["--set", "STAGE_B_MEMORY_MIB"], "write --set STAGE_B_MEMORY_MIB=VALUE"),
        (["--set", "STAGE_B_MEMORY_MIB=much"], 'STAGE_B_MEMORY_MIB="much" (from command line)'),
        (["--set", "SPOT=1", "--spot"], "SPOT is not a setting"),
        (["--spot", "--set", "PROVISIONING_MODEL=STANDARD"], "PROVISIONING_MODEL is given twice"),
        (["--set", "REGION=europe-west1", "--set", "region=us-central1"], "REGION is given twice"),
        (["--local", "--set", "STAGE_C_CPU_MILLI=1000"], "--set STAGE_C_CPU_MILLI: for runs in the cloud"),
        (["--local", "--set", "WORKLOADS_PER_TASK=4"], "--set WORKLOADS_PER_TASK: for runs in the cloud"),
        (["--local", "--set", "BILLING_PROJECT="], "--set BILLING_PROJECT: for runs in the cloud"),
        (["--set", "LOCAL_JOBS=2"], "--set LOCAL_JOBS: for runs on this machine"),
        (["--local", "--set", "execution_mode=cloud"], "EXECUTION_MODE is given twice"),
        (["--local", "--seed", "0", "--set", "RUN_SEED=5"], "RUN_SEED is given twice"),
        (["--local", "--skip-output", "--set", "RUN_OUTPUT_STAGE=true"], "RUN_OUTPUT_STAGE is given twice"),
        (["--set", "=4"], "--set: a name is missing"),
        (["--local", "--set"], "--set: a value is missing"),
    ],
)
def test_options_that_do_not_fit_are_refused(null_operator, words, said):
    ended = null_operator.invoke("run", "--exp-id", "trial", *words)

    assert ended.exit_code == 2, ended.output
    assert said in ended.last_line
