"""The jobs that the pipeline's workflow starts: labels, machines, settings, accounts."""

import json
import re

import pytest

from tests.cloud_runs import PROJECT, RUN_ID
from tests.null_clouds import MANIFEST, RETRIED, pipeline_on


@pytest.fixture
def pipeline(cloud):
    yield from pipeline_on(cloud)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"exp_id": ""}, "the argument exp_id is missing"),
        ({"maxParalelism": 4}, "unknown argument maxParalelism; the arguments are"),
    ],
)
def test_a_mistaken_argument_is_refused_before_anything_begins(pipeline, arguments, told):
    error = pipeline.fail(**arguments)

    assert told in error["message"]


def test_each_look_and_each_end_of_a_stage_writes_a_line_for_dashboards(pipeline):
    pipeline.put_manifest(10)
    pipeline.order({"job": "runner", "null_seconds": 4000}, {"job": "runner", "tasks": [4], "exit_code": 2})

    result = pipeline.run(runId=RUN_ID, allowPartial=True)

    job = result["jobs"]["runner"]
    lines = [entry["jsonPayload"] for entry in pipeline.log(f'jsonPayload.job="{job}"')]
    assert {line["event"] for line in lines} == {"stage_progress", "stage_end"}
    last = next(line for line in lines if line["event"] == "stage_end")
    assert (last["tasks"]["succeeded"], last["tasks"]["failed"], last["failed_share"]) == (9, 1, 0.1)
    assert last["state"] == "FAILED"
    assert {"waiting_seconds", "elapsed_seconds", "task_count", "exp_id", "run_id", "stage"} <= last.keys()


def test_labels_of_jobs_and_machines_are_valid_whatever_the_experiment_is_called(pipeline):
    run_id = "20260131-120000-0a1b2c3d"
    pipeline.put(f"Flu/2026-W05/{run_id}/builder-artifacts/manifest.json", {**MANIFEST})

    result = pipeline.run(exp_id="Flu/2026-W05", runId=run_id, billingProject="Grant R01/77")

    job = pipeline.job(result["jobs"]["runner"])
    expected = {
        "component": "epymodelingsuite",
        "stage": "runner",
        "exp_id": "flu-2026-w05",
        "run_id": run_id,
        "environment": "test",
        "managed-by": "workflows",
        "billing_project": "grant-r01-77",
    }
    assert job["labels"] == expected
    assert job["allocationPolicy"]["labels"].items() >= expected.items()


def test_a_run_gets_an_id_of_its_own_where_none_is_given(pipeline):
    execution = pipeline.start()
    error = pipeline.error(execution)  # for there is no manifest

    variables = pipeline.job(error["job"])["taskGroups"][0]["taskSpec"]["environment"]["variables"]
    assert re.fullmatch(rf"[0-9]{{8}}-[0-9]{{6}}-{execution[:8]}", variables["RUN_ID"])


def test_the_stages_get_what_they_need_and_the_machines_that_fit(pipeline):
    pipeline.put_manifest(4)

    result = pipeline.run(
        runId=RUN_ID,
        count=7,
        seed=11,
        referenceDate="2026-01-10",
        strict=True,
        outputConfigFile="short.yaml",
        githubForecastRepo="lab/flu",
        forecastRepoRef="v1",
        stages={"runner": {"machineType": "n2-standard-4", "memoryMib": 15000}},
    )

    jobs = {stage: pipeline.job(name) for stage, name in result["jobs"].items()}
    variables = {s: job["taskGroups"][0]["taskSpec"]["environment"]["variables"] for s, job in jobs.items()}
    policies = {s: job["allocationPolicy"]["instances"][0]["policy"] for s, job in jobs.items()}
    asked = {"COUNT": "7", "SEED": "11", "OUTPUT_CONFIG_FILE": "short.yaml"}
    asked |= {"REFERENCE_DATE": "2026-01-10", "STRICT": "1"}
    assert variables["builder"].items() >= (asked | {"GITHUB_FORECAST_REPO": "lab/flu"}).items()
    assert variables["output"]["OUTPUT_CONFIG_FILE"] == "short.yaml"
    assert policies["builder"]["bootDisk"]["type"] == "hyperdisk-balanced"
    assert policies["runner"]["machineType"] == "n2-standard-4"
    assert policies["runner"]["bootDisk"]["type"] == "pd-balanced"
    for stage, job in jobs.items():
        spec = job["taskGroups"][0]["taskSpec"]
        assert spec["lifecyclePolicies"][0]["actionCondition"]["exitCodes"] == RETRIED
        assert spec["runnables"][0]["container"]["commands"] == [f"/scripts/run_{stage}.sh"]
        network = job["allocationPolicy"]["network"]["networkInterfaces"][0]
        assert network["noExternalIpAddress"] is True
        assert network["subnetwork"].endswith("/epymodelingsuite")


@pytest.mark.parametrize(
    "arguments",
    [
        {"githubPatSecret": "github-pat"},
        {"variables": {"GITHUB_PAT_SECRET": "github-pat", "LOG_LEVEL": "DEBUG"}},  # as older callers have it
        {
            "githubPatSecret": "github-pat",
            "builderSaEmail": "a@lab.example",
            "batchSaEmail": "bc@lab.example",
        },
    ],
    ids=["as deployed", "among the variables", "accounts of their own"],
)
def test_the_token_is_for_stage_a_alone_and_so_is_the_account_that_may_read_it(pipeline, arguments):
    pipeline.put_manifest(4)

    result = pipeline.run(runId=RUN_ID, **arguments)

    jobs = {stage: pipeline.job(name) for stage, name in result["jobs"].items()}
    accounts = {stage: job["allocationPolicy"]["serviceAccount"]["email"] for stage, job in jobs.items()}
    batch = arguments.get("batchSaEmail", f"batch@{PROJECT}.iam.gserviceaccount.com")
    builder = arguments.get("builderSaEmail", f"builder@{PROJECT}.iam.gserviceaccount.com")
    assert accounts == {"builder": builder, "runner": batch, "output": batch}
    told = {stage for stage, job in jobs.items() if "github-pat" in json.dumps(job)}
    assert told == {"builder"}
    assert "GITHUB_PAT_SECRET" not in json.dumps([jobs["runner"], jobs["output"]])


def test_machines_get_the_ops_agent_where_it_is_wanted_on_an_image_that_takes_it(pipeline):
    pipeline.put_manifest(4)

    wanted = {"installOpsAgent": True}
    result = pipeline.run(runId=RUN_ID, stages={"builder": wanted, "runner": wanted})

    instances = {
        stage: pipeline.job(name)["allocationPolicy"]["instances"][0]
        for stage, name in result["jobs"].items()
    }
    assert instances["builder"]["installOpsAgent"] is True
    assert instances["builder"]["policy"]["bootDisk"] == {
        "type": "hyperdisk-balanced",
        "image": "batch-debian",
    }
    assert instances["runner"]["policy"]["bootDisk"]["image"] == "batch-debian"  # Batch chooses the machine
    assert "installOpsAgent" not in instances["output"]
    assert "image" not in instances["output"]["policy"]["bootDisk"]
