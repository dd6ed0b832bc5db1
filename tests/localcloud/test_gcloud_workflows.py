"""The real gcloud deploys, runs, lists and cancels workflows in the emulator."""

import json

import pytest

SOURCE = """
main:
  params: [args]
  steps:
  - nap: {call: sys.sleep, args: {seconds: "${args.seconds}"}}
  - check: {switch: [{condition: '${args.seconds == 0.25}', raise: "no inputs"}]}
  - done: {return: {slept: "${args.seconds}", bucket: '${sys.get_env("BUCKET")}'}}
"""


@pytest.fixture
def workflows(run_gcloud):
    def run(*arguments, **more):
        return run_gcloud("workflows", *arguments, "--location=us-central1", **more)

    return run


def test_a_workflow_from_its_deployment_to_its_deletion(workflows, run_gcloud, tmp_path):
    source = tmp_path / "workflow.yaml"
    source.write_text(SOURCE)
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text(SOURCE.replace("sys.sleep", "sys.slep"))
    account = "--service-account=runner@p.iam.gserviceaccount.com"

    refused = workflows("deploy", "pipe", f"--source={faulty}", account, fails=True)
    workflows("deploy", "pipe", f"--source={source}", account, "--set-env-vars=BUCKET=bkt", "--labels=a=b")
    described = json.loads(workflows("describe", "pipe", "--format=json"))
    ran = json.loads(workflows("run", "pipe", '--data={"seconds": 0}', "--format=json"))
    started = json.loads(workflows("execute", "pipe", '--data={"seconds": 9999}', "--format=json"))
    last = json.loads(run_gcloud("workflows", "executions", "describe-last", "--format=json"))
    workflows("executions", "cancel", started["name"].rpartition("/")[2], "--workflow=pipe")
    failing = json.loads(workflows("execute", "pipe", '--data={"seconds": 0.25}', "--format=json"))
    failed = workflows(
        "executions", "wait", failing["name"].rpartition("/")[2], "--workflow=pipe", "--format=json"
    )
    listed = json.loads(workflows("executions", "list", "pipe", "--format=json"))
    by_state = json.loads(
        workflows("executions", "list", "pipe", "--filter=state=CANCELLED", "--format=json")
    )
    names = workflows("list", "--format=value(name)")
    workflows("delete", "pipe", "--quiet")

    assert "unknown function sys.slep" in refused
    assert "main.yaml:5:" in refused
    assert described["userEnvVars"] == {"BUCKET": "bkt"}
    assert described["serviceAccount"] == "projects/p/serviceAccounts/runner@p.iam.gserviceaccount.com"
    assert ran["state"] == "SUCCEEDED"
    assert json.loads(ran["result"]) == {"slept": 0, "bucket": "bkt"}
    assert last["name"] == started["name"]
    assert last["status"]["currentSteps"] == [{"routine": "main", "step": "nap"}]
    assert json.loads(failed)["error"]["payload"] == '"no inputs"'
    assert [each["state"] for each in listed] == ["FAILED", "CANCELLED", "SUCCEEDED"]
    assert [each["name"] for each in by_state] == [started["name"]]
    assert names.split() == ["projects/p/locations/us-central1/workflows/pipe"]
