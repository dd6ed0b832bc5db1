"""The templates in jobs/: filled in, they are the jobs that the workflow makes, field by field."""

import json
import re

import pytest

from localcloud.process import running
from ops.cloud.deployment import workflow_environment
from ops.failures import UserError
from ops.jobs.job_templates import FOLDER, Filling, fill_in, render_job
from ops.manifests import Share
from ops.run_request import RunRequest
from ops.runs.cloud_run import run_arguments
from ops.settings import Settings
from tests.cloud_runs import PROJECT, REGION, RUN_ID, WORKFLOW, Pipeline
from tests.emulated import create_bucket

IMAGE = f"{REGION}-docker.pkg.dev/{PROJECT}/epymodelingsuite-repo/epymodelingsuite@sha256:{'0' * 64}"
SERVICE = ("name", "uid", "createTime", "updateTime", "status", "taskGroups.0.name")  # what Batch itself sets
# All in which a job by hand may differ from the workflow's: who made it, and what it is called.
DIFFERING = {
    "labels.managed-by",
    "allocationPolicy.labels.managed-by",
    "allocationPolicy.labels.batch-job-id",
    "taskGroups.0.taskSpec.environment.variables.JOBID",
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with running(tmp_path_factory.mktemp("state"), "--clock-speed", "1000", "--tasks", "null") as cloud:
        yield cloud


@pytest.fixture(scope="module")
def bucket(cloud):
    return create_bucket(cloud)


def settings_of(bucket="my-lab-bucket", **chosen):
    named = {"PROJECT_ID": PROJECT, "BUCKET_NAME": bucket, "EXECUTION_MODE": "cloud", **chosen}
    return Settings(**{name.lower(): value for name, value in named.items()})


def jobs_of_the_workflow(cloud, settings, arguments):
    """Run the workflow as it is deployed for these settings, and return its jobs by stage."""
    pipeline = Pipeline(cloud, settings.bucket_name)
    deployment = {"sourceContents": WORKFLOW.read_text(), "userEnvVars": workflow_environment(settings)}
    pipeline.api("POST", f"/workflows?workflowId={pipeline.name}", json=deployment)
    result = pipeline.run(**arguments)
    return {stage: pipeline.job(job_id) for stage, job_id in result["jobs"].items()}


def submitted(cloud, settings, described, job_id):
    """Have Batch take a job, and return it as Batch tells it."""
    pipeline = Pipeline(cloud, settings.bucket_name)
    pipeline.api("POST", f"/jobs?jobId={job_id}", json=described)
    return pipeline.job(job_id)


def fields(node, path=""):
    """Return what stands in a job by the path to it."""
    if isinstance(node, dict | list):
        parts = node.items() if isinstance(node, dict) else enumerate(node)
        return {p: v for name, part in parts for p, v in fields(part, f"{path}.{name}").items()}
    return {path.lstrip("."): node}


def comparable(job):
    return {path: v for path, v in fields(job).items() if not path.startswith(tuple(SERVICE))}


CASES = {
    "default": {},
    "spot": {"PROVISIONING_MODEL": "SPOT", "TASK_COUNT_PER_NODE": "4", "MAX_PARALLELISM": "7"},
    "chosen-machines": {
        "STAGE_A_MACHINE_TYPE": "e2-standard-4",
        "STAGE_B_MACHINE_TYPE": "n4-standard-8",
        "STAGE_B_MEMORY_MIB": "20000",
        "STAGE_B_MAX_RUN_DURATION": "600",
        "STAGE_C_MACHINE_TYPE": "n2-highmem-8",
        "INSTALL_OPS_AGENT": "true",
        "STAGE_C_CPU_MILLI": "8000",
    },
    "machines-of-batch": {
        "STAGE_A_MACHINE_TYPE": "",
        "STAGE_B_MACHINE_TYPE": "",
        "INSTALL_OPS_AGENT": "true",
        "MAX_RETRY_COUNT": "0",
        "STORAGE_VERBOSE": "true",
        "LOG_LEVEL": "DEBUG",
    },
    "billing": {
        "BILLING_PROJECT": "Grant R01/77",
        "ENVIRONMENT": "staging",
        "DIR_PREFIX": "flu/2026",
        "GITHUB_FORECAST_REPO": "lab/flu",
        "FORECAST_REPO_REF": "v1",
        "GITHUB_PAT_SECRET": "github-pat",
        "RUN_COUNT": "7",
        "RUN_SEED": "11",
        "WORKLOADS_PER_TASK": "3",
        "OUTPUT_CONFIG_FILE": "short.yaml",
        "ALLOW_PARTIAL_RESULTS": "true",
    },
}


OF_A_FORECAST = {"reference_date": "2026-01-10", "strict": True}


@pytest.mark.parametrize("goes_on", [False, True], ids=["new", "goes-on"])
@pytest.mark.parametrize("case", CASES)
def test_a_job_from_a_template_is_the_job_of_the_workflow(cloud, bucket, case, goes_on):
    settings = settings_of(bucket, **CASES[case])
    of_a_forecast = OF_A_FORECAST if case == "billing" else {}
    request = RunRequest("Flu/Trial.1", RUN_ID, force=goes_on, **of_a_forecast)
    arguments = run_arguments(settings, request, goes_on) | {"imageUri": IMAGE, "forecastCommit": "f" * 40}
    manifest = {
        "num_workloads": 40,
        "num_pending": 25,
        "workloads_per_task": 2,
        "pending": "pending-1a2b3c4d.txt",
    }
    path = f"{settings.dir_prefix}Flu/Trial.1/{RUN_ID}/builder-artifacts/manifest.json"
    Pipeline(cloud, bucket).put(path, manifest)

    made = jobs_of_the_workflow(cloud, settings, arguments)

    filling = Filling(request, IMAGE, goes_on, Share.of(25, 2, "pending-1a2b3c4d.txt"), "f" * 40)
    for stage, job in made.items():
        job_id = f"{stage}-{case}-{'on' if goes_on else 'new'}"
        by_hand = comparable(submitted(cloud, settings, render_job(settings, stage, filling, job_id), job_id))
        theirs = comparable(job)
        differing = {p for p in by_hand.keys() | theirs.keys() if by_hand.get(p) != theirs.get(p)}
        assert differing == DIFFERING, {p: (by_hand.get(p), theirs.get(p)) for p in differing - DIFFERING}
        assert by_hand["labels.managed-by"] == "manual"


def test_numbers_stay_numbers_and_variables_are_text():
    job = render_job(
        settings_of(WORKLOADS_PER_TASK="4"), "runner", Filling(request_of("2026"), IMAGE, True, Share(9, 4))
    )

    [group] = job["taskGroups"]
    spec = group["taskSpec"]
    assert (group["taskCount"], group["parallelism"]) == (9, 9)
    assert spec["computeResource"] == {"cpuMilli": 2000, "memoryMib": 4096}
    assert spec["maxRunDuration"] == "36000s"
    variables = spec["environment"]["variables"]
    assert (variables["EXP_ID"], variables["WORKLOADS_PER_TASK"], variables["PENDING_FILE"]) == (
        "2026",
        "4",
        "",
    )
    assert all(isinstance(value, str) for value in (*variables.values(), *job["labels"].values()))


def test_machines_that_batch_chooses_have_neither_type_nor_disk_and_labels_are_never_empty():
    job = render_job(settings_of(), "runner", Filling(request_of(), IMAGE, True, Share(1, 1)))

    assert job["allocationPolicy"]["instances"] == [{"policy": {"provisioningModel": "STANDARD"}}]
    assert "billing_project" not in job["labels"]
    assert job["labels"] == job["allocationPolicy"]["labels"]


def test_the_readme_has_every_name_of_the_templates_that_is_no_setting():
    names = {n for path in FOLDER.glob("*.json") for n in re.findall(r"\$\{(\w+)\}", path.read_text())}
    settings = {name.upper() for name in Settings.model_fields}

    missing = [n for n in names - settings if f"`{n}`" not in (FOLDER / "README.md").read_text()]

    assert len(names) > 20
    assert not missing


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("${EXP_IDD}", 'a.json: b[0].c: ${EXP_IDD} is not set (did you mean "EXP_ID"?)'),
        ("x-$EXP_ID", "a.json: b[0].c: expected a name such as ${EXP_ID} after $"),
        ("$$", "expected a name such as"),
        ("${exp_id}", "expected a name such as"),
    ],
)
def test_a_name_that_is_not_set_is_refused_with_its_place(tmp_path, monkeypatch, text, told):
    monkeypatch.chdir(tmp_path)
    template = tmp_path / "a.json"
    template.write_text(json.dumps({"b": [{"c": text}]}))

    with pytest.raises(UserError) as refused:
        fill_in(template, {"EXP_ID": "trial"})

    assert told in str(refused.value)


def test_a_value_is_never_read_as_part_of_the_template(tmp_path):
    template = tmp_path / "a.json"
    template.write_text('{"label": "${EXP_ID}", "text": "<${EXP_ID}>", "empty": {"inner": "${NOTHING}"}}')
    hostile = '"}, ${HOME} $$ \\ {"'

    filled = fill_in(template, {"EXP_ID": hostile, "NOTHING": ""})

    assert filled == {"label": hostile, "text": f"<{hostile}>"}


def request_of(exp_id="trial"):
    return RunRequest(exp_id, RUN_ID)
