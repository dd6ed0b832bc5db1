"""Requests to services of Cloud Run: who may call, what reaches an instance, and how it is answered."""

import time

import pytest
import requests

from localcloud.identity import TOKEN_SECONDS, Identity
from localcloud.run.access import UNSIGNED
from localcloud.run.definition import Access
from tests.localcloud.run_services import CALLER, PUBLIC, SLEEPER, only, serving
from tests.localcloud.workflow_api import wait_until

MIB = 2**20
STRANGER = "stranger@p.iam.gserviceaccount.com"
INTERNAL = {"X-Localcloud-Internal": "1"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

# Answers with what the path names, by Python's own server; a body is read first.
ANSWERER = """
import os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        getattr(self, "answer" + self.path.partition("?")[0].replace("/", "_"), self.answer_)(body)

    do_POST = do_GET

    def answer_(self, body):
        self.reply(str(len(body)).encode())

    def answer_slow(self, body):
        time.sleep(float(self.path.partition("?")[2]))
        print("slow answer is ready", flush=True)
        self.reply(b"slow")

    def answer_pieces(self, body):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in (b"first", b"second"):
            self.wfile.write(b"%x\\r\\n%b\\r\\n" % (len(piece), piece))
            time.sleep(float(self.path.partition('?')[2]))
        self.wfile.write(b"0\\r\\n\\r\\n")

    def answer_large(self, body):
        self.reply(bytes(33 << 20))

    def answer_half(self, body):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half")
        self.close_connection = True

    def answer_nonsense(self, body):
        self.wfile.write(b"nonsense\\r\\n\\r\\n")
        self.close_connection = True

    def answer_die(self, body):
        os._exit(3)

    def reply(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("run")) as services:
        yield services


@pytest.fixture(scope="module")
def private(services):
    """Return the URL of a service that one account may call, from inside."""
    return services.deploy(SLEEPER, access=only(CALLER, ingress="internal"))


@pytest.fixture(scope="module")
def answerer(services):
    """Return the URL of a service that anybody may call; its requests time out after a second."""
    return services.deploy(ANSWERER, timeout_seconds=1)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def reasons(services, status):
    found = services.logged(f"httpRequest.status={status}")
    return [entry.get("textPayload", "") for entry in found]


# -- who may call


def test_a_request_is_answered_by_the_process_of_its_service(services):
    url = services.deploy(SLEEPER, name="sleeper")

    answer = services.call(f"{url}/any")

    (instance,) = services.status(service="sleeper")
    assert (answer.status_code, answer.json()["pid"]) == (200, instance["pid"])
    assert instance["state"] == "ready"


def test_a_caller_needs_a_token_for_the_service_and_the_right_to_invoke_it(services, private):
    identity = services.identity
    tokens = {
        "none": {},
        "no bearer": {"Authorization": identity.token(CALLER, private)},
        "nonsense": bearer("\xe9.\xe9.\xe9"),
        "an access token": bearer("localcloud"),
        "of another emulator": bearer(Identity().token(CALLER, private)),
        "for another service": bearer(identity.token(CALLER, "https://other-1.us-central1.run.app")),
        "for a path": bearer(identity.token(CALLER, f"{private}/predict")),
        "of a stranger": bearer(identity.token(STRANGER, private)),
        "right": bearer(identity.token(CALLER, private)),
    }

    answers = {name: services.call(private, headers=INTERNAL | token) for name, token in tokens.items()}

    codes = {name: answer.status_code for name, answer in answers.items()}
    assert codes == dict.fromkeys(tokens, 401) | {"of a stranger": 403, "right": 200}
    assert answers["none"].headers["WWW-Authenticate"] == "Bearer"
    assert "invalid_token" in answers["nonsense"].headers["WWW-Authenticate"]
    assert any("the audience of the token is" in reason for reason in reasons(services, 401))
    assert reasons(services, 403) == [
        f"The request was not authorized to invoke this service: {STRANGER} does not have roles/run.invoker."
    ]


def test_a_token_that_has_expired_is_refused(tmp_path):
    times = [time.time()]
    with serving(tmp_path, now=lambda: times[0]) as services:
        url = services.deploy(SLEEPER, access=only(CALLER))
        token = bearer(services.identity.token(CALLER, url))
        in_time = services.call(url, headers=token)
        times[0] += TOKEN_SECONDS
        late = services.call(url, headers=token)

    assert (in_time.status_code, late.status_code) == (200, 401)
    assert reasons(services, 401) == ["The request was not authenticated: it has expired."]


def test_an_internal_service_does_not_exist_for_a_caller_outside(services, private):
    right = bearer(services.identity.token(CALLER, private))

    outside, inside = services.call(private, headers=right), services.call(private, headers=right | INTERNAL)

    assert (outside.status_code, inside.status_code) == (404, 200)
    assert "x-localcloud-internal" not in inside.json()["headers"]


def test_a_policy_that_changes_counts_for_the_next_request(services):
    url = services.deploy(SLEEPER, access=only(), name="shared")
    right = bearer(services.identity.token(CALLER, url))
    assert services.call(url, headers=right).status_code == 403

    services.allow("shared", only(CALLER.upper().replace("SERVICEACCOUNT", "serviceAccount")), url)
    assert services.call(url, headers=right).status_code == 200
    services.allow("shared", PUBLIC, url)
    assert services.call(url).status_code == 200


def test_any_account_may_call_a_service_that_all_authenticated_users_may_invoke(services):
    url = services.deploy(SLEEPER, access=Access("all", frozenset({"allAuthenticatedUsers"}), frozenset()))
    token = services.identity.token(STRANGER, url)

    assert services.call(url).status_code == 401
    assert services.call(url, headers=bearer(token)).status_code == 200


def test_the_header_of_serverless_services_goes_before_the_usual_one(services):
    url = services.deploy(SLEEPER, access=only(CALLER))
    token = services.identity.token(CALLER, url)

    answer = services.call(url, headers=bearer("own") | {"X-Serverless-Authorization": f"Bearer {token}"})

    assert answer.json()["headers"]["authorization"] == "Bearer own"
    assert answer.json()["headers"]["x-serverless-authorization"].endswith(UNSIGNED)


@pytest.mark.parametrize("host", ["none-123456789012.us-central1.run.app", "x.run.app:443"])
def test_a_host_that_is_no_service_is_not_found(services, host):
    answer = services.call(f"https://{host}/")

    assert (answer.status_code, "not found on this server" in answer.text) == (404, True)


def test_a_reserved_path_never_reaches_an_instance(services, answerer):
    assert services.call(f"{answerer}/healthz").status_code == 404
    assert services.call(f"{answerer}/health").status_code == 200


# -- what reaches an instance


def test_an_instance_sees_the_caller_without_a_token_that_it_could_use(services, private):
    token = services.identity.token(CALLER, private)

    headers = services.call(private, headers=bearer(token) | INTERNAL | {"X-Own": "kept"}).json()["headers"]

    assert headers["authorization"] == f"Bearer {token.rpartition('.')[0]}.{UNSIGNED}"
    assert headers["host"] == private.removeprefix("https://")
    assert (headers["x-own"], headers["x-forwarded-proto"]) == ("kept", "https")
    assert headers["x-forwarded-for"] == "127.0.0.1"


@pytest.mark.parametrize(
    "sent",
    [
        {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"},
        {"X-Cloud-Trace-Context": f"{TRACE}/67667974448284343;o=1"},
    ],
)
def test_the_trace_of_a_caller_is_continued(services, sent):
    url = services.deploy(SLEEPER)

    headers = services.call(url, headers=sent).json()["headers"]

    version, trace, span, flags = headers["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    assert span != "00f067aa0ba902b7"
    assert headers["x-cloud-trace-context"] == f"{TRACE}/{int(span, 16)};o=1"
    wait_until(lambda: services.logged(f'trace="projects/p/traces/{TRACE}"'))


def test_a_path_and_a_query_arrive_as_they_were_sent(services):
    url = services.deploy(
        "import os, http.server as h\n"
        "class H(h.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "        self.wfile.write(self.path.encode())\n"
        "h.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), H).serve_forever()\n"
    )

    assert services.call(f"{url}/a%2Fb//c?x=1&y=%C3%A9").text == "/a%2Fb//c?x=1&y=%C3%A9"


# -- how it is answered


def test_a_large_body_arrives_and_one_beyond_32_mib_is_refused(services, answerer):
    assert services.call(answerer, "POST", data=bytes(32 * MIB)).text == str(32 * MIB)

    for body in (bytes(32 * MIB + 1), iter([bytes(16 * MIB)] * 2 + [b"x"])):
        assert services.call(answerer, "POST", data=body).status_code == 413


def test_an_answer_in_pieces_reaches_the_caller_as_it_comes(services, answerer):
    times, begun = [], time.monotonic()
    with services.call(f"{answerer}/pieces?0.3", stream=True) as answer:
        for _ in answer.iter_content(None):
            times.append(time.monotonic() - begun)

    assert times[1] - times[0] > 0.15  # the first does not wait for the second


def test_an_answer_beyond_32_mib_in_one_piece_is_refused(services, answerer):
    assert services.call(f"{answerer}/large").status_code == 500


def test_a_late_request_is_answered_504_while_the_instance_works_on(services, answerer):
    answer = services.call(f"{answerer}/slow?3")

    assert (answer.status_code, answer.text) == (504, "upstream request timeout")
    assert not services.logged('textPayload="slow answer is ready"')
    assert "maximum request timeout" in reasons(services, 504)[0]
    wait_until(lambda: services.logged('textPayload="slow answer is ready"'))


@pytest.mark.parametrize("path", ["half", "pieces?0.8"])  # the instance breaks off, or takes too long
def test_an_answer_that_is_cut_short_is_never_passed_on_as_whole(services, answerer, path):
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        services.call(f"{answerer}/{path}")


@pytest.mark.parametrize("path", ["nonsense", "die"])
def test_a_request_whose_instance_gives_no_answer_is_answered_503(services, answerer, path):
    answer = services.call(f"{answerer}/{path}")

    assert answer.status_code == 503
    assert answer.text.startswith("upstream connect error")
    assert "connection to the instance had an error" in reasons(services, 503)[-1]
    assert services.call(answerer).status_code == 200


def test_the_emulator_answers_for_hosts_of_services_on_the_port_of_all_apis(cloud, api):
    address = "none-123456789012.us-central1.run.app"

    by_header = api("GET", "/v1/projects/p", headers={"Host": address})
    by_target = requests.get(f"http://{address}/v1/projects/p", proxies={"http": cloud.apis}, timeout=5)

    assert (by_header.status_code, by_target.status_code) == (404, 404)
    assert api("GET", "/v1/projects/p").status_code == 200
    assert api("GET", "/_emulator/run").json() == []


@pytest.mark.parametrize("action", ["reset", "reset_after", "truncate", "duplicate"])
def test_an_injected_fault_leaves_the_instance_free(services, answerer, action):
    services.faults.add([{"method": "GET", "path": "/faulty", "action": action, "times": 1}])

    if action == "duplicate":
        assert services.call(f"{answerer}/faulty").status_code == 200
    else:
        with pytest.raises(requests.RequestException):
            services.call(f"{answerer}/faulty")

    name = answerer.removeprefix("https://").partition("-1234")[0]
    wait_until(lambda: [line["busy"] for line in services.status(service=name)] == [0])
    assert services.call(f"{answerer}/faulty").status_code == 200
