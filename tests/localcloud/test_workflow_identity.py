"""Calls of a workflow to services of Cloud Run: by host name, with an identity token of its account."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from localcloud.identity import Claims, Identity
from localcloud.workflows.strand import run_main
from tests.emulated import post
from tests.localcloud.run_api import RunApi
from tests.localcloud.workflow_runs import error_of, result_of, run_of

ACCOUNT = "caller@p.iam.gserviceaccount.com"
SERVICE = "https://predict-123456789012.us-central1.run.app"


class _Echo(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"path": self.path, **{k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def echo():
    """The address of a server that answers with the headers it gets."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def get(url, auth="", part="body"):
    call = f"call: http.get, args: {{url: '{url}'{auth and f', auth: {auth}'}}}, result: a"
    return f"main: {{steps: [{{c: {{{call}}}}}, {{r: {{return: '${{a.{part}}}'}}}}]}}"


def test_a_service_is_called_by_its_host_name_and_as_an_internal_caller(echo):
    headers = result_of(get(f"{SERVICE}/predict?a=1"), address=echo)

    assert headers["path"] == "/predict?a=1"
    assert headers["host"] == SERVICE.removeprefix("https://")
    assert headers["x-localcloud-internal"] == "1"
    assert "authorization" not in headers


def test_other_hosts_are_called_as_before(echo):
    headers = result_of(get("https://batch.googleapis.com/v1/x", "{type: OAuth2}"), address=echo)

    assert headers["host"] == echo.removeprefix("http://")
    assert "x-localcloud-internal" not in headers
    assert headers["authorization"] == "Bearer localcloud"


@pytest.mark.parametrize(
    ("auth", "audience"),
    [
        ("{type: OIDC}", SERVICE),
        (f'{{type: OIDC, audience: "{SERVICE}"}}', SERVICE),
        ('{type: OIDC, audience: "https://elsewhere.run.app"}', "https://elsewhere.run.app"),
    ],
)
def test_an_identity_token_is_of_the_workflows_account_for_the_audience(echo, auth, audience):
    run = run_of(get(f"{SERVICE}/predict", auth), address=echo)
    run.environment = {"GOOGLE_CLOUD_SERVICE_ACCOUNT_NAME": ACCOUNT}
    run.identity = Identity()

    token = run_main(run, None)["authorization"].removeprefix("Bearer ")

    assert run.identity.read(token) == Claims(ACCOUNT, audience)


@pytest.mark.parametrize(
    ("url", "auth", "said"),
    [
        (SERVICE, "{type: OIDC, audience: 3}", "ValueError: the audience of an identity token must be text"),
        (SERVICE, "{type: Basic}", "ValueError: auth must be a map"),
        ("http://predict.run.app", "{type: OIDC}", "ConnectionFailedError: localcloud reaches no http://"),
        ("https://run.app", "{type: OIDC}", "ConnectionFailedError: localcloud reaches no https://run.app"),
    ],
)
def test_what_cannot_be_called_is_refused(echo, url, auth, said):
    assert said in error_of(get(url, auth), address=echo).message


def test_an_execution_calls_as_the_account_of_its_workflow(echo, deploy, ended):
    workflow = deploy(get(f"{echo}/", "{type: OIDC}"), serviceAccount=ACCOUNT)

    result = json.loads(ended(workflow)["result"])

    payload = result["authorization"].split(".")[1]
    assert ACCOUNT.encode() in _decoded(payload)


@pytest.fixture
def deployed(cloud, api, tmp_path):
    """A service that only the workflow's account may call, from within the project; its URL."""
    api("POST", "/v1/projects/p/serviceAccounts", json={"accountId": "caller"}).raise_for_status()
    run = RunApi(cloud, api, tmp_path)
    made = run.deploy(run.program(ingress="internal"))
    policy = {"bindings": [{"role": "roles/run.invoker", "members": [f"serviceAccount:{ACCOUNT}"]}]}
    path = "/v1/projects/p/locations/us-central1/services/app:setIamPolicy"
    run.http("POST", path, json={"policy": policy}).raise_for_status()
    yield made["status"]["url"]
    post(f"{cloud.apis}/_emulator/reset", {})


def test_a_service_of_cloud_run_lets_only_its_invoker_in(deployed, api, deploy, ended):
    def called(auth, account=ACCOUNT):
        workflow = deploy(get(f"{deployed}/x", auth, part="code"), serviceAccount=account)
        execution = ended(workflow)
        error = json.loads(execution.get("error", {}).get("payload", "{}"))
        return error.get("code") or int(execution["result"])

    outside = api("GET", "/x", headers={"Host": deployed.removeprefix("https://")})

    assert outside.status_code == 404
    assert called("{type: OIDC}") == 200
    assert called(f'{{type: OIDC, audience: "{deployed}"}}') == 200
    assert called(f'{{type: OIDC, audience: "{deployed}/x"}}') == 401
    assert called("{type: OAuth2}") == 401
    assert called("") == 401
    assert called("{type: OIDC}", "other@p.iam.gserviceaccount.com") == 403


def _decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
