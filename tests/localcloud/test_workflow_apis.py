"""The REST APIs of the emulated Workflows: executions, callbacks, logs and steps."""

import json
import uuid

import pytest
import requests

from localcloud.process import running
from tests.localcloud.workflow_api import ECHO, LOCATION, NUMBER, SLEEP, logged, wait_until


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """Start an emulator whose clock runs a thousand times as fast."""
    with running(tmp_path_factory.mktemp("state"), "--clock-speed", "1000") as cloud:
        yield cloud


def test_an_execution_shows_its_result(deploy, ended):
    workflow = deploy(ECHO, labels={"stage": "runner", "run": "old"})

    execution = ended(workflow, {"n": [1, "2"]}, labels={"run": "new"})

    assert execution["name"].startswith(f"projects/{NUMBER}/locations/us-central1/workflows/")
    assert str(uuid.UUID(execution["name"].rpartition("/")[2])) == execution["name"].rpartition("/")[2]
    assert execution["state"] == "SUCCEEDED"
    assert json.loads(execution["result"]) == json.loads(execution["argument"]) == {"n": [1, "2"]}
    assert execution["labels"] == {"stage": "runner", "run": "new"}
    assert execution["workflowRevisionId"].startswith("000001-")
    assert execution["status"]["currentSteps"] == [{"routine": "main", "step": "r"}]
    assert execution["startTime"] <= execution["endTime"]
    assert float(execution["duration"].removesuffix("s")) < 5


def test_a_failed_execution_shows_its_error(deploy, ended):
    execution = ended(deploy("main: {steps: [{boom: {raise: {code: 3, message: no inputs}}}]}"))

    assert execution["state"] == "FAILED"
    assert json.loads(execution["error"]["payload"]) == {"code": 3, "message": "no inputs"}
    assert 'in step "boom", routine "main", line: 1' in execution["error"]["context"]
    assert execution["error"]["stackTrace"]["elements"][0]["step"] == "boom"


def test_an_error_nested_too_deeply_for_json_ends_its_execution(deploy, ended):
    deepening = """
main:
  steps:
  - init: {assign: [{x: []}, {n: 0}]}
  - deepen: {assign: [{x: "${[[[[[[[[[[x]]]]]]]]]]}"}, {n: "${n + 1}"}]}
  - again: {switch: [{condition: "${n < 400}", next: deepen}]}
  - boom: {raise: {message: no, tags: [Deep], value: "${x}"}}
"""
    execution = ended(deploy(deepening))

    assert execution["state"] == "FAILED"
    assert "RecursionError" in execution["error"]["context"]


def test_an_execution_keeps_the_labels_it_was_started_with(api, deploy, ended):
    workflow = deploy(ECHO, labels={"run": "old"})
    path = "/v1/" + ended(workflow)["name"]

    api("PATCH", f"{workflow}?updateMask=labels", json={"labels": {"run": "new"}})

    assert api("GET", path).json()["labels"] == {"run": "old"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"argument": "NaN"}, "not JSON"),
        ({"argument": "[" * 20_000}, "not JSON"),
        ({"argument": "{"}, "not JSON"),
        ({"argument": {"a": 1}}, "text"),
        ({"argument": json.dumps("x" * 32768)}, "32768"),
        ({"arguments": "{}"}, "arguments"),
        ({"labels": {"a": 1}}, "a=1"),
    ],
)
def test_a_wrong_execution_is_refused(api, deploy, body, message):
    refused = api("POST", f"{deploy(ECHO)}/executions", json=body)

    assert refused.status_code == 400
    assert message in refused.json()["error"]["message"]


def test_null_is_the_same_as_not_set(api, deploy, ended):
    workflow = deploy(ECHO, description=None, labels=None, callLogLevel=None)

    assert "description" not in api("GET", workflow).json()
    assert ended(workflow, 1, labels=None, callLogLevel=None)["result"] == "1"


@pytest.mark.parametrize("body", ["[" * 100_000, '{"argument": "\\ud800"}', "{"])
def test_a_body_that_cannot_be_returned_as_json_is_refused(api, deploy, body):
    refused = api("POST", f"{deploy(ECHO)}/executions", data=body)

    assert refused.status_code == 400
    assert "The body is not JSON" in refused.json()["error"]["message"]


def test_the_project_may_be_named_by_its_number(api, deploy, ended):
    workflow = deploy(ECHO).replace("projects/p/", f"projects/{NUMBER}/")

    execution = ended(workflow, 1)

    assert api("GET", workflow).status_code == 200
    assert api("GET", "/v1/" + execution["name"].replace(NUMBER, "p")).json() == execution


def test_executions_are_listed_newest_first_in_pages_and_by_filter(api, deploy, ended):
    workflow = deploy("main: {params: [n], steps: [{s: {switch: [{condition: '${n == 2}', raise: two}]}}]}")
    names = [ended(workflow, n)["name"] for n in range(5)]
    path = f"{workflow}/executions"

    first = api("GET", path, params={"pageSize": 3}).json()
    rest = api("GET", path, params={"pageSize": 3, "pageToken": first["nextPageToken"]}).json()
    failed = api("GET", path, params={"filter": 'state="FAILED"', "view": "FULL"}).json()["executions"]
    by_id = api("GET", path, params={"filter": f'executionID="{names[1].rpartition("/")[2]}" duration<10s'})
    oldest = api("GET", path, params={"orderBy": "createTime asc", "pageSize": 1}).json()["executions"]

    assert [each["name"] for each in first["executions"] + rest["executions"]] == names[::-1]
    assert "nextPageToken" not in rest
    assert set(first["executions"][0]) <= {
        "name",
        "state",
        "startTime",
        "endTime",
        "duration",
        "workflowRevisionId",
    }
    assert [each["name"] for each in failed] == [names[2]]
    assert failed[0]["error"]["payload"] == '"two"'
    assert [each["name"] for each in by_id.json()["executions"]] == [names[1]]
    assert [each["name"] for each in oldest] == [names[0]]
    for wrong in ({"filter": "state="}, {"filter": "(" * 5000}, {"pageSize": "9" * 5000}, {"pageToken": "x"}):
        refused = api("GET", path, params=wrong)
        assert refused.status_code == 400
        assert "emulator" not in refused.text


def test_a_sleeping_execution_is_cancelled_at_once(api, deploy, start):
    execution = start(deploy(SLEEP))
    wait_until(lambda: "status" in api("GET", execution).json())

    asleep = api("GET", execution).json()
    cancelled = api("POST", f"{execution}:cancel", json={}).json()
    again = api("POST", f"{execution}:cancel", json={})

    assert asleep["state"] == "ACTIVE"
    assert asleep["status"]["currentSteps"] == [{"routine": "main", "step": "nap"}]
    assert cancelled["state"] == "CANCELLED"
    assert cancelled["endTime"]
    assert again.status_code == 400


def test_the_environment_has_the_built_in_variables_and_the_users_own(deploy, ended):
    names = (
        "GOOGLE_CLOUD_PROJECT_ID",
        "GOOGLE_CLOUD_PROJECT_NUMBER",
        "GOOGLE_CLOUD_LOCATION",
        "GOOGLE_CLOUD_WORKFLOW_ID",
        "GOOGLE_CLOUD_WORKFLOW_REVISION_ID",
        "GOOGLE_CLOUD_WORKFLOW_EXECUTION_ID",
        "GOOGLE_CLOUD_SERVICE_ACCOUNT_NAME",
        "BUCKET",
    )
    values = ", ".join(f"""'${{sys.get_env("{name}")}}'""" for name in names)
    source = f"main: {{steps: [{{r: {{return: [{values}]}}}}]}}"
    workflow = deploy(
        source, userEnvVars={"BUCKET": "bkt"}, serviceAccount="runner@p.iam.gserviceaccount.com"
    )

    execution = ended(workflow)

    assert json.loads(execution["result"]) == [
        "p",
        NUMBER,
        "us-central1",
        workflow.rpartition("/")[2],
        execution["workflowRevisionId"],
        execution["name"].rpartition("/")[2],
        "runner@p.iam.gserviceaccount.com",
        "bkt",
    ]


def test_an_execution_runs_the_revision_it_was_started_with(api, deploy, start, ended):
    first = "main: {steps: [{nap: {call: sys.sleep, args: {seconds: 300}}}, {r: {return: first}}]}"
    workflow = deploy(first)
    execution = start(workflow)

    api("PATCH", f"{workflow}?updateMask=sourceContents", json={"sourceContents": ECHO})
    second = ended(workflow, "second")
    wait_until(lambda: api("GET", execution).json()["state"] != "ACTIVE")

    assert api("GET", execution).json()["result"] == '"first"'
    assert second["result"] == '"second"'
    assert second["workflowRevisionId"].startswith("000002-")


def test_a_callback_accepts_its_method_with_a_token(api, cloud, deploy, start):
    workflow = deploy(
        """
main:
  steps:
  - make: {call: events.create_callback_endpoint, args: {http_callback_method: POST}, result: made}
  - tell: {call: sys.log, args: {data: "${made.url}"}}
  - wait: {call: events.await_callback, args: {callback: "${made}", timeout: 1000000}, result: got}
  - done: {return: ["${got.http_request.body}", "${got.http_request.query}", "${got.type}"]}
"""
    )
    execution = start(workflow)
    wait_until(lambda: api("GET", f"{execution}/callbacks").json().get("callbacks"))
    callback = api("GET", f"{execution}/callbacks").json()["callbacks"][0]
    path = "/v1/" + callback["name"]

    assert callback["method"] == "POST"
    assert requests.post(cloud.apis + path, json={}, timeout=5).status_code == 401
    assert api("GET", path).status_code == 405
    assert api("POST", path + "?a=b", json={"ok": [1]}).status_code == 200
    wait_until(lambda: api("GET", execution).json()["state"] == "SUCCEEDED")
    result = json.loads(api("GET", execution).json()["result"])
    assert result == [{"ok": [1]}, {"a": "b"}, "HTTP"]


def test_a_callback_that_does_not_come_is_a_timeout(deploy, ended):
    execution = ended(
        deploy(
            """
main:
  steps:
  - make: {call: events.create_callback_endpoint, args: {http_callback_method: GET}, result: made}
  - wait: {call: events.await_callback, args: {callback: "${made}", timeout: 60}}
"""
        )
    )

    assert "TimeoutError" in json.loads(execution["error"]["payload"])["tags"]


def test_sys_log_writes_to_the_log_of_the_workflow(api, deploy, ended):
    workflow = deploy(
        """
main:
  steps:
  - a: {call: sys.log, args: {data: "a line", severity: NOTICE}}
  - b: {call: sys.log, args: {json: {message: a map, n: 1}}}
"""
    )

    execution_id = ended(workflow)["name"].rpartition("/")[2]

    text, json_entry = logged(api, f'labels."workflows.googleapis.com/execution_id"="{execution_id}"')
    assert (text["textPayload"], text["severity"]) == ("a line", "NOTICE")
    assert json_entry["jsonPayload"] == {"message": "a map", "n": 1}
    assert text["logName"] == "projects/p/logs/Workflows"
    assert text["resource"]["type"] == "workflows.googleapis.com/Workflow"
    assert text["resource"]["labels"]["workflow_id"] == workflow.rpartition("/")[2]


@pytest.mark.parametrize(
    ("of_workflow", "of_execution", "states"),
    [
        ("LOG_NONE", None, []),
        ("LOG_ALL_CALLS", None, ["BEGUN", "SUCCEEDED", "BEGUN", "EXCEPTION_RAISED"]),
        ("LOG_ALL_CALLS", "LOG_ERRORS_ONLY", ["EXCEPTION_RAISED"]),
    ],
)
def test_the_call_log_level_decides_which_calls_are_logged(
    api, deploy, ended, of_workflow, of_execution, states
):
    calls = "main: {steps: [{a: {call: uuid.generate}}, {b: {call: json.decode, args: {data: '{'}}}]}"
    more = {"callLogLevel": of_execution} if of_execution else {}

    execution = ended(deploy(calls, callLogLevel=of_workflow), **more)

    execution_id = execution["name"].rpartition("/")[2]
    entries = logged(
        api, f'labels."workflows.googleapis.com/execution_id"="{execution_id}" logName:engine_call'
    )
    assert [entry["jsonPayload"]["state"] for entry in entries] == states
    assert logged(api, f'logName:executions_system severity=ERROR "{execution_id}"')


def test_the_steps_of_an_execution_are_shown_while_it_runs(api, cloud, deploy, start):
    execution = start(
        deploy(
            """
main:
  steps:
  - try_it: {try: {raise: oh}, except: {as: e, assign: [{x: 1}]}}
  - ask: {call: sub}
sub:
  steps:
  - nap: {call: sys.sleep, args: {seconds: 100000000}}
"""
        )
    )
    url = f"{cloud.apis}/_emulator/executions/{execution.rpartition('/')[2]}/steps"
    wait_until(lambda: len(requests.get(url, timeout=5).json()["steps"]) == 3)

    shown = requests.get(url, timeout=5).json()
    newer = requests.get(url, params={"after": 2}, timeout=5).json()["steps"]
    api("POST", f"{execution}:cancel", json={})

    assert shown["state"] == "ACTIVE"
    assert [(each["routine"], each["step"]) for each in shown["steps"]] == [
        ("main", "try_it"),
        ("main", "ask"),
        ("sub", "nap"),
    ]
    assert shown["steps"][0]["error"] == 'RuntimeError: "oh"'
    assert newer == shown["steps"][2:]
    assert requests.get(url, timeout=5).json()["steps"] == shown["steps"]
    assert requests.get(f"{cloud.apis}/_emulator/executions/none/steps", timeout=5).status_code == 404


def test_a_reset_cancels_and_removes_all(api, deploy, start):
    workflow = deploy(SLEEP)
    start(workflow)

    api("POST", "/_emulator/reset")

    assert api("GET", workflow).status_code == 404
    assert api("GET", f"{LOCATION}/workflows").json() == {}
