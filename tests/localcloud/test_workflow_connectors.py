"""Workflows call the emulated services through connectors and by HTTP, and see their errors."""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from localcloud.workflows.errors import WorkflowError
from localcloud.workflows.hosts import local_hosts
from localcloud.workflows.http_client import HttpClient
from localcloud.workflows.strand import run_main
from tests.localcloud.workflow_runs import result_of, run_of

BATCH = "googleapis.batch.v1.projects.locations.jobs"


@pytest.fixture
def ran(cloud):
    """Return a function that runs a workflow against the emulated cloud and returns its result."""

    def run(source, argument=None):
        started = run_of(source, clock_speed=1000)
        started.http = HttpClient(local_hosts(cloud.storage, cloud.apis))
        return run_main(started, argument)

    return run


@pytest.fixture
def order(http, api):
    """Return a function that sets faults of the APIs' port for this test."""
    yield lambda *rules: api("POST", "/_emulator/faults", json=list(rules)).raise_for_status()
    api("DELETE", "/_emulator/faults")


def one_call(name, args):
    call = f"{{call: {name}, args: {json.dumps(args)}, result: answer}}"
    return f"main: {{steps: [{{ask: {call}}}, {{r: {{return: '${{answer}}'}}}}]}}"


def test_objects_are_written_read_listed_and_deleted(ran, bucket):
    insert = {"bucket": bucket.name, "name": "a/b.json", "body": {"n": [1, 2]}}
    there = {"bucket": bucket.name, "object": "a%2Fb.json"}

    written = ran(one_call("googleapis.storage.v1.objects.insert", insert))
    read = ran(one_call("googleapis.storage.v1.objects.get", there | {"alt": "media"}))
    listed = ran(
        one_call("googleapis.storage.v1.objects.list", {"bucket": bucket.name, "fields": "items(name)"})
    )
    ran(one_call("googleapis.storage.v1.objects.delete", there))

    assert written["name"] == "a/b.json"
    assert read == {"n": [1, 2]}
    assert listed == {"items": [{"name": "a/b.json"}]}
    assert not list(bucket.list_blobs())


def test_a_missing_object_is_a_404_that_can_be_caught(ran, bucket):
    source = """
main:
  steps:
  - a:
      try: {call: googleapis.storage.v1.objects.get, args: {bucket: %s, object: none}}
      except: {as: e, steps: [{r: {return: ["${e.code}", "${e.tags}", "${e.body.error.code}"]}}]}
"""
    assert ran(source % bucket.name) == [404, ["HttpError"], 404]


def test_a_secret_is_read_as_text_and_as_it_is(ran, api):
    api("POST", "/v1/projects/p/secrets?secretId=pat", json={"replication": {"automatic": {}}})
    payload = {"data": base64.b64encode(b"hunter2").decode()}
    api("POST", "/v1/projects/p/secrets/pat:addVersion", json={"payload": payload})
    prefix = "googleapis.secretmanager.v1.projects.secrets.versions."

    text = ran(one_call(prefix + "accessString", {"secret_id": "pat", "project_id": "p"}))
    short = ran(one_call(prefix + "accessString", {"secret_id": "pat"}))
    helper = f'{prefix}accessString("pat", "1")'
    in_expression = ran(f"main: {{steps: [{{r: {{return: '${{{helper}}}'}}}}]}}")
    raw = ran(one_call(prefix + "access", {"name": "projects/p/secrets/pat/versions/1"}))

    assert text == short == in_expression == "hunter2"
    assert raw["payload"]["data"] == payload["data"]


def test_log_entries_are_written(ran, api):
    entries = [{"logName": "projects/p/logs/by-connector", "textPayload": "hello"}]

    ran(one_call("googleapis.logging.v2.entries.write", {"body": {"entries": entries}}))

    asked = {"resourceNames": ["projects/p"], "filter": "logName:by-connector"}
    assert api("POST", "/v2/entries:list", json=asked).json()["entries"][0]["textPayload"] == "hello"


def test_another_workflow_is_run_and_its_result_awaited(ran, api):
    source = """
main:
  params: [n]
  steps:
  - nap: {call: sys.sleep, args: {seconds: 0.2}}
  - s: {switch: [{condition: "${n == 0}", raise: zero}]}
  - r: {return: "${10 // n}"}
"""
    location = "/v1/projects/p/locations/us-central1"
    api("POST", f"{location}/workflows?workflowId=divide", json={"sourceContents": source})
    run = "googleapis.workflowexecutions.v1.projects.locations.workflows.executions.run"
    args = {"workflow_id": "divide", "location": "us-central1", "project_id": "p"}

    assert ran(one_call(run, args | {"argument": 3})) == 3
    assert ran(one_call(run, {"workflow_id": "divide", "argument": 5})) == 2
    assert ran(one_call(run, args | {"argument": 3, "connector_params": {"skip_polling": True}})) is None
    created = {"parent": f"{location[4:]}/workflows/divide", "body": {"argument": "4"}}
    create = run.removesuffix("run") + "create"
    assert ran(one_call(create, created))["result"] == "2"
    assert "result" not in ran(one_call(create, created | {"connector_params": {"skip_polling": True}}))
    with pytest.raises(WorkflowError) as raised:
        ran(one_call(run, args | {"argument": 0}))
    assert raised.value.value["tags"] == ["OperationError"]
    assert raised.value.value["operation"]["error"]["payload"] == '"zero"'


@pytest.mark.parametrize("auth", ["", "auth: {type: OAuth2},"])
def test_a_google_api_refuses_a_call_without_auth(ran, bucket, auth):
    source = """
main:
  steps:
  - a:
      try: {call: http.get, args: {%s url: "%s"}, result: r}
      except: {as: e, steps: [{x: {return: "${e.code}"}}]}
  - r: {return: "${r.code}"}
"""
    expected = 200 if auth else 401

    assert ran(source % (auth, "https://secretmanager.googleapis.com/v1/projects/p/secrets")) == expected
    url = f"https://storage.googleapis.com/storage/v1/b/{bucket.name}/o"
    assert ran(source % (auth, url)) == expected


def test_a_broken_connection_is_a_connection_error_once_and_is_retried(ran, order):
    source = """
main:
  steps:
  - set: {assign: [{url: "https://secretmanager.googleapis.com/v1/projects/p/secrets"}]}
  - a:
      try: {call: http.get, args: {auth: {type: OAuth2}, url: "${url}"}, result: r}
      except: {as: e, steps: [{x: {return: "${e.tags}"}}]}
  - r: {return: "${r.code}"}
"""
    retried = source.replace("      except:", "      retry: ${http.default_retry}\n      except:")
    for action in ("reset", "reset_after", "truncate"):
        order({"path": "/secrets", "action": action, "times": 1})
        assert "ConnectionError" in ran(source)
        assert ran(source) == 200

        order({"path": "/secrets", "action": action, "times": 2})
        assert ran(retried) == 200


def test_a_response_may_have_2_mib(ran, bucket):
    bucket.blob("fits").upload_from_string(b"x" * 2 * 2**20)
    bucket.blob("large").upload_from_string(b"x" * (2 * 2**20 + 1))
    source = """
main:
  steps:
  - a:
      try: {call: googleapis.storage.v1.objects.get, args: {bucket: %s, object: %s, alt: media}}
      except: {as: e, steps: [{x: {return: caught}}]}
  - r: {return: ok}
"""
    assert ran(source % (bucket.name, "fits")) == "ok"
    with pytest.raises(WorkflowError, match="ResourceLimitError"):
        ran(source % (bucket.name, "large"))


def test_a_list_of_many_objects_exceeds_the_memory_but_their_names_do_not(ran, bucket):
    for number in range(700):
        bucket.blob(f"runner-artifacts/result_{number:04d}.pkl").upload_from_string(b"x")
    whole = {"bucket": bucket.name}

    names = ran(one_call("googleapis.storage.v1.objects.list", whole | {"fields": "items(name)"}))

    assert len(names["items"]) == 700
    with pytest.raises(WorkflowError, match="ResourceLimitError"):
        ran(one_call("googleapis.storage.v1.objects.list", whole))


class JobServer:
    """A server for the Batch connector: a job that passes through states, and a slow deletion."""

    def __init__(self, states):
        self.states, self.seen = iter(states), []

    def answer(self, method, path, headers):
        self.seen.append((method, path))
        job = "projects/p/locations/l/jobs/j"
        if "/operations/" in path:
            state = next(self.states)
            return state if isinstance(state, int) else 200, {
                "name": "projects/p/locations/l/operations/o",
                **state,
            }
        if method == "DELETE":
            return 200, {"name": "projects/p/locations/l/operations/o", "done": False}
        state = "QUEUED" if method == "POST" else next(self.states)
        return (state, {}) if isinstance(state, int) else (200, {"name": job, "status": {"state": state}})


@pytest.fixture
def batch():
    """Serve a JobServer and yield its address."""
    servers = []

    def serve(jobs):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                code, body = jobs.answer(self.command, self.path, self.headers)
                text = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def create(**params):
    args = {"parent": "projects/p/locations/l", "jobId": "j", "body": {}, "connector_params": params}
    return one_call(f"{BATCH}.create", args)


def test_a_created_job_is_awaited_through_passing_faults(batch):
    jobs = JobServer(["SCHEDULED", 503, "RUNNING", "FAILED"])

    job = result_of(create(), address=batch(jobs), clock_speed=1000)

    assert job["status"]["state"] == "FAILED"
    assert jobs.seen[0] == ("POST", "/v1/projects/p/locations/l/jobs?jobId=j")
    assert len(jobs.seen) == 5


def test_a_created_job_is_not_awaited_if_polling_is_skipped(batch):
    jobs = JobServer([])

    job = result_of(create(skip_polling=True), address=batch(jobs))

    assert job["status"]["state"] == "QUEUED"
    assert len(jobs.seen) == 1


def test_a_connector_gives_up_at_its_timeout(batch):
    jobs = JobServer(["RUNNING"] * 100)
    begun = time.monotonic()

    with pytest.raises(WorkflowError) as raised:
        result_of(create(timeout=100), address=batch(jobs), clock_speed=1000)

    assert raised.value.value["tags"] == ["TimeoutError"]
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ({"done": True, "response": {"ok": 1}}, {"ok": 1}),
        ({"done": True, "error": {"code": 9, "message": "no"}}, "OperationError"),
    ],
)
def test_a_deletion_is_awaited(batch, last, expected):
    jobs = JobServer([{"done": False}, last])
    source = """
main:
  steps:
  - a:
      try: {call: %s.delete, args: {name: projects/p/locations/l/jobs/j}, result: r}
      except: {as: e, steps: [{x: {return: "${e.tags[0]}"}}]}
  - r: {return: "${r}"}
"""
    assert result_of(source % BATCH, address=batch(jobs)) == expected
    assert [method for method, _ in jobs.seen] == ["DELETE", "GET", "GET"]


def test_127_0_0_1_may_be_called_directly(cloud, ran):
    answer = ran(one_call("http.get", {"url": f"{cloud.apis}/_emulator/requests"}))

    assert answer["code"] == 200
    assert answer["headers"]["Content-Type"].startswith("application/json")
    assert answer["body"].keys() == requests.get(f"{cloud.apis}/_emulator/requests", timeout=5).json().keys()
