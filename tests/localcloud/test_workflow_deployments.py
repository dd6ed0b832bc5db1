"""The REST API of the emulated Workflows for deployments: revisions, settings, deletion."""

import re

import pytest

from tests.localcloud.workflow_api import ECHO, LOCATION, SLEEP


def test_a_deployment_is_an_operation_and_creates_a_revision(api):
    body = {
        "sourceContents": ECHO,
        "labels": {"stage": "runner"},
        "serviceAccount": "projects/-/serviceAccounts/a@b",
    }

    operation = api("POST", f"{LOCATION}/workflows?workflowId=first", json=body).json()
    again = api("GET", f"/v1/{operation['name']}").json()
    workflow = api("GET", f"{LOCATION}/workflows/first").json()

    assert operation["done"]
    assert again == operation
    assert (
        operation["response"]["name"]
        == workflow["name"]
        == "projects/p/locations/us-central1/workflows/first"
    )
    assert workflow["state"] == "ACTIVE"
    assert workflow["sourceContents"] == ECHO
    assert workflow["labels"] == {"stage": "runner"}
    assert workflow["serviceAccount"] == "projects/p/serviceAccounts/a@b"
    assert re.fullmatch(r"000001-[0-9a-f]{3}", workflow["revisionId"])


def test_a_new_source_creates_a_revision_and_new_labels_do_not(api, deploy):
    workflow = deploy(ECHO, description="old")

    api("PATCH", f"{workflow}?updateMask=labels,description", json={"labels": {"a": "b"}})
    same = api("GET", workflow).json()
    api("PATCH", f"{workflow}?updateMask=source_contents", json={"sourceContents": SLEEP, "labels": {}})
    other = api("GET", workflow).json()

    assert same["revisionId"].startswith("000001-")
    assert same["labels"] == other["labels"] == {"a": "b"}
    assert "description" not in same
    assert other["revisionId"].startswith("000002-")
    assert other["sourceContents"] == SLEEP
    revisions = api("GET", f"{workflow}:listRevisions").json()["workflows"]
    assert [each["sourceContents"] for each in revisions] == [SLEEP, ECHO]


def test_an_invalid_source_is_refused_and_the_old_one_stays(api, deploy, ended):
    workflow = deploy(ECHO)

    faulty = {"sourceContents": "main:\n  steps:\n  - a:\n      next: nosuch\n"}
    refused = api("PATCH", f"{workflow}?updateMask=sourceContents", json=faulty)

    assert refused.status_code == 400
    assert refused.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert "main.yaml:4:13: parse error:" in refused.json()["error"]["message"]
    assert ended(workflow, 5)["result"] == "5"


@pytest.mark.parametrize(
    ("query", "body", "code", "message"),
    [
        ("", {}, 400, "workflow id"),
        ("?workflowId=1st", {"sourceContents": ECHO}, 400, "workflow id"),
        ("?workflowId=ok", {"sourceContents": ECHO, "sourceContent": "x"}, 400, "sourceContent"),
        ("?workflowId=ok", {"sourceContents": ECHO, "labels": {"A": "b"}}, 400, "A=b"),
        ("?workflowId=ok", {"sourceContents": ECHO, "description": 5}, 400, "description must be text"),
        (
            "?workflowId=ok",
            {"sourceContents": ECHO, "serviceAccount": [1]},
            400,
            "serviceAccount must be text",
        ),
        ("?workflowId=ok", {"sourceContents": ECHO, "callLogLevel": "ALL"}, 400, "callLogLevel"),
        ("?workflowId=ok", {"sourceContents": ECHO, "userEnvVars": {"GOOGLE_X": "1"}}, 400, "GOOGLE_X"),
        ("?workflowId=ok", {"sourceContents": ECHO, "userEnvVars": {"A": "x" * 4097}}, 400, "4096"),
        (
            "?workflowId=ok",
            {"sourceContents": ECHO, "userEnvVars": dict.fromkeys(map(str, range(21)), "")},
            400,
            "20",
        ),
        ("?workflowId=ok", {"sourceContents": ECHO + " " * 131072}, 400, "131072"),
    ],
)
def test_a_wrong_setting_is_refused(api, query, body, code, message):
    refused = api("POST", f"{LOCATION}/workflows{query}", json=body)

    assert refused.status_code == code
    assert message in refused.json()["error"]["message"]


def test_a_workflow_exists_once_is_listed_and_is_gone_after_its_deletion(api, deploy, start):
    workflow = deploy(SLEEP, labels={"list": "me"})
    execution = start(workflow)
    taken = api(
        "POST",
        f"{LOCATION}/workflows?workflowId={workflow.rpartition('/')[2]}",
        json={"sourceContents": ECHO},
    )

    listed = api("GET", f"{LOCATION}/workflows?filter=labels.list%3Dme").json()["workflows"]
    api("DELETE", workflow)

    assert taken.status_code == 409
    assert [each["name"] for each in listed] == [workflow.removeprefix("/v1/")]
    assert api("GET", workflow).status_code == 404
    assert api("GET", execution).status_code == 404
