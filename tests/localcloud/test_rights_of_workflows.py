"""Who may deploy workflows, start and end their executions, and call them back."""

import pytest

from localcloud.process import running
from tests.emulated import deploy_workflow, request
from tests.localcloud.jobs import PROJECT, numbers
from tests.localcloud.members import Member, account, denied, path_of
from tests.localcloud.workflow_api import ECHO, LOCATION, NUMBER, SLEEP, wait_until

WORKFLOWS = f"{LOCATION}/workflows"
WAITING = """
main:
  steps:
  - make: {call: events.create_callback_endpoint, args: {http_callback_method: POST}, result: made}
  - wait: {call: events.await_callback, args: {callback: "${made}", timeout: 1000000}, result: got}
"""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with running(tmp_path_factory.mktemp("state"), "--rights-of", PROJECT, "--tasks", "null") as cloud:
        yield cloud


@pytest.fixture
def workflow(cloud) -> str:
    """The path of a workflow that sleeps, deployed by the owner."""
    name = f"w-{next(numbers)}"
    deploy_workflow(cloud, name, SLEEP, serviceAccount=account(cloud).email)
    return f"{WORKFLOWS}/{name}"


def executions_of(cloud, workflow: str) -> list[dict]:
    return request("GET", f"{cloud.apis}{workflow}/executions").json().get("executions", [])


def test_who_runs_starts_and_cancels_executions(cloud, workflow):
    running_it = Member(cloud).given("workflows.viewer", "workflows.invoker")

    started = running_it.ask("POST", f"{workflow}/executions", json={})

    assert started.status_code == 200, started.text
    path = "/v1/" + started.json()["name"]
    assert NUMBER in path  # the service names the project by its number, and so may the caller
    assert running_it.get(path)["name"] == started.json()["name"]
    assert running_it.ask("POST", f"{path}:cancel", json={}).status_code == 200
    assert running_it.get(f"{workflow}/executions")["executions"][0]["state"] == "CANCELLED"


def test_who_only_looks_starts_and_cancels_nothing(cloud, workflow):
    path = "/v1/" + request("POST", f"{cloud.apis}{workflow}/executions", json={}).json()["name"]
    looking = Member(cloud).given("workflows.viewer")

    assert looking.get(WORKFLOWS)["workflows"]
    assert looking.get(workflow)["sourceContents"] == SLEEP
    assert looking.get(f"{workflow}:listRevisions")["workflows"]
    assert denied(looking.ask("POST", f"{workflow}/executions", json={})) == "workflows.executions.create"
    assert denied(looking.ask("POST", f"{path}:cancel", json={})) == "workflows.executions.cancel"
    assert [each["state"] for each in executions_of(cloud, workflow)] == ["ACTIVE"]


def test_who_has_no_role_sees_no_execution(cloud, workflow):
    path = "/v1/" + request("POST", f"{cloud.apis}{workflow}/executions", json={}).json()["name"]
    nobody = Member(cloud)

    assert denied(nobody.ask("GET", path)) == "workflows.executions.get"
    assert denied(nobody.ask("GET", f"{workflow}/executions")) == "workflows.executions.list"
    assert denied(nobody.ask("GET", f"{path}/callbacks")) == "workflows.callbacks.list"
    assert denied(nobody.ask("GET", workflow)) == "workflows.workflows.get"
    assert denied(nobody.ask("GET", f"{LOCATION}/operations/workflows-1")) == "workflows.operations.get"


def test_a_workflow_is_deployed_by_whom_may_act_as_its_account(cloud):
    flow = account(cloud)
    deploying = Member(cloud).given("workflows.admin")
    body = {"sourceContents": ECHO, "serviceAccount": flow.email}

    refused = deploying.ask("POST", f"{WORKFLOWS}?workflowId=deployed", json=body)
    assert denied(refused) == "iam.serviceAccounts.actAs"
    assert flow.email in refused.text
    assert deploying.ask("GET", f"{WORKFLOWS}/deployed").status_code == 404

    deploying.given("iam.serviceAccountUser", on=path_of(flow))
    made = deploying.ask("POST", f"{WORKFLOWS}?workflowId=deployed", json=body)
    assert made.status_code == 200, made.text
    assert deploying.get("/v1/" + made.json()["name"])["done"] is True


def test_a_workflow_is_changed_by_whom_may_act_as_the_account_it_then_has(cloud, workflow):
    another = account(cloud)
    deploying = Member(cloud).given("workflows.admin")
    deploying.given("iam.serviceAccountUser", on=path_of(another))

    refused = deploying.ask("PATCH", f"{workflow}?updateMask=sourceContents", json={"sourceContents": ECHO})
    assert denied(refused) == "iam.serviceAccounts.actAs"
    assert deploying.get(workflow)["sourceContents"] == SLEEP

    body = {"sourceContents": ECHO, "serviceAccount": another.email}
    changed = deploying.ask("PATCH", f"{workflow}?updateMask=sourceContents,serviceAccount", json=body)
    assert changed.status_code == 200, changed.text
    assert deploying.get(workflow)["sourceContents"] == ECHO


def test_a_callback_takes_a_call_of_whom_may_send_one(cloud):
    deploy_workflow(cloud, "waiting", WAITING, serviceAccount=account(cloud).email)
    execution = (
        "/v1/" + request("POST", f"{cloud.apis}{WORKFLOWS}/waiting/executions", json={}).json()["name"]
    )
    looking, calling = Member(cloud).given("workflows.viewer"), Member(cloud).given("workflows.invoker")
    wait_until(lambda: looking.get(f"{execution}/callbacks").get("callbacks"))
    callback = "/v1/" + looking.get(f"{execution}/callbacks")["callbacks"][0]["name"]

    assert denied(looking.ask("POST", callback, json={})) == "workflows.callbacks.send"
    assert looking.get(execution)["state"] == "ACTIVE"
    assert calling.ask("POST", callback, json={}).status_code == 200
    wait_until(lambda: looking.get(execution)["state"] == "SUCCEEDED")
