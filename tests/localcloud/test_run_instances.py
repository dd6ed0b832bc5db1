"""Instances of Cloud Run: how many there are, how they start and end, and what they log."""

import os
import signal
import time

import pytest

from tests.localcloud.run_services import SLEEPER, is_running, serving
from tests.localcloud.workflow_api import wait_until

SERVER = """
import http.server as h, json, os, signal, sys, time

class H(h.BaseHTTPRequestHandler):
    def do_GET(self):
        ACT
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"pid": os.getpid(), **os.environ}).encode())
    def log_message(self, *_): pass

START
h.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
"""


def app(act="pass", start=""):
    """Return a service that does something for each request, and something before it listens."""
    return SERVER.replace("ACT", act).replace("START", start)


SPEED = 600


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    """Services whose ten minutes take a second."""
    with serving(tmp_path_factory.mktemp("run"), clock_speed=SPEED, idle_seconds=900) as services:
        yield services


@pytest.fixture(scope="module")
def slow_clock(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("run")) as services:
        yield services


# -- how many


def test_twelve_requests_at_once_are_served_by_three_processes_at_most(slow_clock):
    url = slow_clock.deploy(SLEEPER, name="three", concurrency=1, max_instances=3)
    calls = [slow_clock.call_later(f"{url}?seconds=0.3") for _ in range(12)]
    most = 0

    while not all(call.done() for call in calls):
        most = max(most, len(slow_clock.status(service="three")))
        time.sleep(0.02)

    answers = [call.result() for call in calls]
    assert [answer.status_code for answer in answers] == [200] * 12
    assert len({answer.json()["pid"] for answer in answers}) == most == 3


def test_an_instance_takes_as_many_requests_at_a_time_as_it_may(slow_clock):
    url = slow_clock.deploy(
        SLEEPER.replace("def answer", "async def answer")
        .replace("time.sleep", "await sleep")
        .replace("import os, time", "import os\nfrom asyncio import sleep"),
        name="shared",
        concurrency=4,
        max_instances=3,
    )
    calls = [slow_clock.call_later(f"{url}?seconds=0.8") for _ in range(4)]
    wait_until(lambda: slow_clock.status(service="shared")[0]["busy"] == 4)

    assert len({call.result().json()["pid"] for call in calls}) == 1
    assert slow_clock.status(service="shared")[0]["busy"] == 0


def test_a_request_that_finds_no_instance_in_time_is_answered_429(services):
    """The ten seconds that are the least take no time on this clock, so 3.5 mean starts count."""
    url = services.deploy(SLEEPER, name="full", concurrency=1, max_instances=1)
    call = services.call_later(f"{url}?seconds=8")
    wait_until(lambda: services.status(service="full", busy=1))
    startup = services.instances._serving["p", "us-central1", "full"][1]._startup_seconds[0] / SPEED
    begun = time.monotonic()

    refused = services.call(url)

    assert (refused.status_code, refused.text) == (429, "Rate exceeded.")
    assert 3.5 * startup <= time.monotonic() - begun < 3.5 * startup + 0.5
    (entry,) = services.logged('resource.labels.service_name="full" httpRequest.status=429')
    assert entry["textPayload"] == "The request was aborted because there was no available instance."
    os.kill(services.status(service="full")[0]["pid"], signal.SIGKILL)
    assert call.result().status_code == 503


def test_requests_wait_their_turn(slow_clock):
    url = slow_clock.deploy(
        app("time.sleep(0.1); print(self.path, flush=True)"), name="turns", concurrency=1, max_instances=1
    )
    calls = []
    for number in range(6):
        calls.append(slow_clock.call_later(f"{url}/{number}"))
        time.sleep(0.03)

    assert [call.result().status_code for call in calls] == [200] * 6
    printed = slow_clock.logged('resource.labels.service_name="turns" logName:stdout')
    assert [entry["textPayload"] for entry in printed] == [f"/{number}" for number in range(6)]


# -- start and end


def test_an_idle_service_has_no_instance_and_its_next_request_starts_one(services):
    url = services.deploy(app(), name="idle")
    (first,) = services.status(service="idle")
    begun = time.monotonic()

    wait_until(lambda: not services.status(service="idle"))
    assert 1.4 < time.monotonic() - begun < 2.5  # 900 s of a clock that is 600 times as fast
    assert not is_running(first["pid"])

    assert services.call(url).json()["pid"] != first["pid"]
    starts = services.logged('resource.labels.service_name="idle" textPayload:"Starting new instance"')
    assert [entry["textPayload"].partition(" - ")[0].rpartition(" ")[2] for entry in starts] == [
        "DEPLOYMENT_ROLLOUT",
        "AUTOSCALING",
    ]
