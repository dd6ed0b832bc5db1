"""Bodies with a value of the wrong kind in one place: each is taken or refused, and none breaks a handler."""

import copy
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from localcloud.process import running
from tests.emulated import create_bucket, request
from tests.localcloud.infra_api import ACCOUNT
from tests.localcloud.jobs import LOCATION, PROJECT, job, shell
from tests.localcloud.run_api import HOST, PLACE, service

BUCKET, WORKFLOW = "bucket-of-hostile-bodies", f"{LOCATION}/workflows/w"
WRONG = ("x", 3, -1, 1.5, 10**30, True, [], ["x"], [["x"]], [{"x": 3}], {"x": 3}, {}, None)
POLICY = {
    "policy": {
        "version": 3,
        "bindings": [
            {
                "role": "roles/viewer",
                "members": ["user:a@example.com"],
                "condition": {"title": "t", "expression": "true"},
            }
        ],
        "auditConfigs": [{"service": "allServices", "auditLogConfigs": [{"logType": "DATA_READ"}]}],
    },
    "updateMask": "bindings,auditConfigs",
}
RUNNABLE = shell("exit 0", environment={"variables": {"A": "b"}}, labels={"a": "b"})
JOB = {
    **job(RUNNABLE, environments=[{"variables": {"A": "b"}}], spec={"maxRunDuration": "10s"}),
    "labels": {"a": "b"},
    "allocationPolicy": {
        "instances": [{"policy": {"machineType": "e2-standard-2", "disks": [{"deviceName": "d"}]}}],
        "location": {"allowedLocations": ["regions/us-central1"]},
        "serviceAccount": {"email": "a@p.iam.gserviceaccount.com"},
    },
}
BUILD = {
    "steps": [{"name": "gcr.io/cloud-builders/docker", "args": ["a"], "env": ["A=b"], "secretEnv": ["S"]}],
    "substitutions": {"_A": "b"},
    "tags": ["t"],
    "images": ["us-central1-docker.pkg.dev/p/r/i:t"],
    "availableSecrets": {"secretManager": [{"env": "S", "versionName": "projects/p/secrets/s/versions/1"}]},
    "source": {"storageSource": {"bucket": BUCKET, "object": "s.tgz"}},
    "timeout": "60s",
    "options": {"logging": "CLOUD_LOGGING_ONLY"},
}
TRIGGER = {
    "eventFilters": [{"attribute": "type", "value": "google.cloud.storage.object.v1.finalized"}],
    "destination": {"workflow": WORKFLOW.removeprefix("/v1/")},
    "serviceAccount": "a@p.iam.gserviceaccount.com",
    "labels": {"a": "b"},
}
BLUEPRINT = {
    "serviceAccount": ACCOUNT,
    "labels": {"a": "b"},
    "terraformBlueprint": {
        "gcsSource": f"gs://{BUCKET}/b.zip",
        "inputValues": {"project_id": {"inputValue": "p"}},
    },
}
REPOSITORY = {"format": "DOCKER", "labels": {"a": "b"}, "cleanupPolicies": {"c": {"action": "DELETE"}}}
ALERT = {
    "displayName": "a",
    "combiner": "OR",
    "conditions": [
        {"displayName": "c", "conditionThreshold": {"filter": 'metric.type="a"', "duration": "0s"}}
    ],
    "documentation": {"content": "c"},
    "notificationChannels": [],
}
ENTRY = {
    "logName": f"projects/{PROJECT}/logs/l",
    "labels": {"a": "b"},
    "resource": {"type": "global", "labels": {"a": "b"}},
    "entries": [
        {"textPayload": "t", "severity": "INFO", "labels": {"a": "b"}, "resource": {"type": "global"}}
    ],
}
# By a word for it: the port, method and path of a route, and a body that it takes.
ROUTES = {
    "bucket": ("storage", "POST", "/storage/v1/b?project=p", {"name": "b-1", "labels": {"a": "b"}}),
    "settings of a bucket": (
        "storage",
        "PATCH",
        f"/storage/v1/b/{BUCKET}",
        {
            "labels": {"a": "b"},
            "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}},
            "lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 1}}]},
        },
    ),
    "all settings of a bucket": ("storage", "PUT", f"/storage/v1/b/{BUCKET}", {"labels": {"a": "b"}}),
    "policy of a bucket": ("storage", "PUT", f"/storage/v1/b/{BUCKET}/iam", POLICY["policy"]),
    "composed object": (
        "storage",
        "POST",
        f"/storage/v1/b/{BUCKET}/o/made/compose",
        {
            "sourceObjects": [
                {"name": "a", "generation": "1", "objectPreconditions": {"ifGenerationMatch": "1"}}
            ],
            "destination": {"contentType": "text/plain", "metadata": {"a": "b"}},
        },
    ),
    "metadata of an object": ("storage", "PATCH", f"/storage/v1/b/{BUCKET}/o/a", {"metadata": {"a": "b"}}),
    "copy of an object": (
        "storage",
        "POST",
        f"/storage/v1/b/{BUCKET}/o/a/rewriteTo/b/{BUCKET}/o/c",
        {"metadata": {"a": "b"}, "contentType": "text/plain"},
    ),
    "upload": (
        "storage",
        "POST",
        f"/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name=u",
        {"metadata": {"a": "b"}, "contentType": "text/plain"},
    ),
    "job": ("apis", "POST", f"{LOCATION}/jobs?jobId=NEW", JOB),
    "build": ("apis", "POST", f"{LOCATION}/builds", BUILD),
    "service of Cloud Run": (
        "run",
        "POST",
        f"{PLACE}/services",
        service(variables=[{"name": "A", "value": "b"}]),
    ),
    "policy of a service": (
        "run",
        "POST",
        "/v1/projects/p/locations/us-central1/services/app:setIamPolicy",
        POLICY,
    ),
    "workflow": (
        "apis",
        "POST",
        f"{LOCATION}/workflows?workflowId=NEW",
        {"sourceContents": "- a:\n    return: 1", "labels": {"a": "b"}, "userEnvVars": {"A": "b"}},
    ),
    "execution": ("apis", "POST", f"{WORKFLOW}/executions", {"argument": "{}", "labels": {"a": "b"}}),
    "trigger": ("apis", "POST", f"{LOCATION}/triggers?triggerId=NEW", TRIGGER),
    "deployment": ("apis", "POST", f"{LOCATION}/deployments?deploymentId=NEW", BLUEPRINT),
    "preview": ("apis", "POST", f"{LOCATION}/previews?previewId=NEW", BLUEPRINT),
    "repository": ("apis", "POST", f"{LOCATION}/repositories?repositoryId=NEW", REPOSITORY),
    "secret": (
        "apis",
        "POST",
        "/v1/projects/p/secrets?secretId=NEW",
        {"replication": {"automatic": {}}, "labels": {"a": "b"}},
    ),
    "version of a secret": (
        "apis",
        "POST",
        "/v1/projects/p/secrets/s:addVersion",
        {"payload": {"data": "YQ=="}},
    ),
    "account": (
        "apis",
        "POST",
        "/v1/projects/p/serviceAccounts",
        {"accountId": "NEW-account", "serviceAccount": {"displayName": "d"}},
    ),
    "policy of a project": ("apis", "POST", "/v1/projects/p:setIamPolicy", POLICY),
    "permissions": ("apis", "POST", "/v1/projects/p:testIamPermissions", {"permissions": ["batch.jobs.get"]}),
    "services": (
        "apis",
        "POST",
        "/v1/projects/p/services:batchEnable",
        {"serviceIds": ["batch.googleapis.com"]},
    ),
    "log entries": ("apis", "POST", "/v2/entries:write", ENTRY),
    "reading of a log": (
        "apis",
        "POST",
        "/v2/entries:list",
        {
            "resourceNames": ["projects/p"],
            "filter": "severity=INFO",
            "orderBy": "timestamp desc",
            "pageSize": 1,
        },
    ),
    "metric": ("apis", "POST", "/v2/projects/p/metrics", {"name": "NEW", "filter": "severity=INFO"}),
    "alert": ("apis", "POST", "/v3/projects/p/alertPolicies", ALERT),
    "channel": (
        "apis",
        "POST",
        "/v3/projects/p/notificationChannels",
        {"type": "email", "labels": {"email_address": "a@example.com"}},
    ),
    "dashboard": (
        "apis",
        "POST",
        "/v1/projects/p/dashboards",
        {
            "displayName": "d",
            "mosaicLayout": {"columns": 12, "tiles": [{"width": 1, "widget": {"title": "t"}}]},
        },
    ),
}
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A cloud that builds nothing, with what the bodies name."""
    with running(tmp_path_factory.mktemp("state"), "--builds", "queue") as cloud:
        create_bucket(cloud, BUCKET)
        address = f"{cloud.storage}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=a"
        request("POST", address, data=b"a").raise_for_status()
        for path, body in (
            ("/v1/projects/p/secrets?secretId=s", {"replication": {"automatic": {}}}),
            (f"{LOCATION}/workflows?workflowId=w", {"sourceContents": "- a:\n    return: 1"}),
        ):
            request("POST", cloud.apis + path, json=body).raise_for_status()
        yield cloud


def places(value: Any, before: tuple = ()) -> Iterator[tuple]:
    """Yield the place of each value in a body, the body's own first."""
    yield before
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield from places(each, (*before, name))


def changed(body: Any, place: tuple, wrong: Any) -> Any:
    """Return a body with another value in one place."""
    if not place:
        return wrong
    made = copy.deepcopy(body)
    at = made
    for name in place[:-1]:
        at = at[name]
    at[place[-1]] = wrong
    return made


@pytest.mark.parametrize(("port", "method", "path", "body"), ROUTES.values(), ids=list(ROUTES))
def test_a_value_of_the_wrong_kind_anywhere_in_a_body_breaks_no_handler(hostile, port, method, path, body):
    headers = {"Authorization": "Bearer any"} | ({"Host": HOST} if port == "run" else {})
    url = (hostile.storage if port == "storage" else hostile.apis) + path

    faults, refused, session = [], 0, requests.Session()
    for place, wrong in itertools.product(places(body), WRONG):
        new = f"n{next(numbers)}"
        sent = json.dumps(changed(body, place, wrong)).replace("NEW", new)
        answer = session.request(method, url.replace("NEW", new), data=sent, headers=headers, timeout=10)
        refused += answer.status_code == 400
        if "Fault of the emulator" in answer.text or answer.status_code >= 500:
            faults.append(f"{'.'.join(map(str, place))} = {wrong!r}: {answer.text[-160:]}")

    assert faults == []
    assert refused > 0
