"""Instances of Cloud Run: how many there are, how they start and end, and what they log."""

import json
import os
import signal
import time

import pytest

from localcloud import times
from localcloud.run import instance
from localcloud.run.definition import Probe
from localcloud.run.instances import StartFailed
from tests.localcloud.processes import started
from tests.localcloud.run_services import SLEEPER, definition, is_running, serving
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
    url = slow_clock.deploy(SLEEPER, name="shared", concurrency=4, max_instances=3)
    calls = [slow_clock.call_later(f"{url}?seconds=0.8") for _ in range(4)]
    wait_until(lambda: slow_clock.status(service="shared")[0]["busy"] == 4)

    assert len({call.result().json()["pid"] for call in calls}) == 1
    assert slow_clock.status(service="shared")[0]["busy"] == 0


def test_a_request_that_finds_no_instance_in_time_is_answered_429(services):
    """The ten seconds that are the least take no time on this clock, so 3.5 mean starts count."""
    url = services.deploy(SLEEPER, name="full", concurrency=1, max_instances=1)
    call = services.call_later(f"{url}?seconds=60")
    wait_until(lambda: services.status(service="full", busy=1))
    system = services.logged('resource.labels.service_name="full" logName:system')
    started_at, ready_at = (times.parse(entry["timestamp"]) for entry in system)
    startup = (ready_at - started_at).total_seconds()
    begun = time.monotonic()

    refused = services.call(url)

    assert (refused.status_code, refused.text) == (429, "Rate exceeded.")
    assert -0.2 < time.monotonic() - begun - 3.5 * startup < 5  # ten seconds without the clock
    (entry,) = services.logged('resource.labels.service_name="full" httpRequest.status=429')
    assert entry["textPayload"] == "The request was aborted because there was no available instance."
    os.kill(services.status(service="full")[0]["pid"], signal.SIGKILL)
    assert call.result().status_code == 503


def test_requests_wait_their_turn(slow_clock):
    url = slow_clock.deploy(
        app("time.sleep(0.5); print(self.path, flush=True)"), name="turns", concurrency=1, max_instances=1
    )
    calls = []
    for number in range(4):
        calls.append(slow_clock.call_later(f"{url}/{number}"))
        time.sleep(0.1)  # so that they arrive in this order

    assert [call.result().status_code for call in calls] == [200] * 4
    of_stdout = 'resource.labels.service_name="turns" logName:stdout'
    wait_until(lambda: len(slow_clock.logged(of_stdout)) >= 4)  # a line is read beside the answers
    printed = slow_clock.logged(of_stdout)
    assert [entry["textPayload"] for entry in printed] == [f"/{number}" for number in range(4)]


# -- start and end


def test_an_idle_service_has_no_instance_and_its_next_request_starts_one(services):
    url = services.deploy(app(), name="idle")
    (first,) = services.status(service="idle")

    wait_until(lambda: not services.status(service="idle"))
    system = services.logged('resource.labels.service_name="idle" logName:system')
    ready_at, stopped_at = (times.parse(entry["timestamp"]) for entry in system[1:3])
    assert (stopped_at - ready_at).total_seconds() >= 0.99 * 900 / SPEED
    assert not is_running(first["pid"])

    assert services.call(url).json()["pid"] != first["pid"]
    starts = services.logged('resource.labels.service_name="idle" textPayload:"Starting new instance"')
    assert [entry["textPayload"].partition(" - ")[0].rpartition(" ")[2] for entry in starts] == [
        "DEPLOYMENT_ROLLOUT",
        "AUTOSCALING",
    ]


def test_an_idle_time_of_nothing_still_lets_an_instance_answer(tmp_path):
    with serving(tmp_path, idle_seconds=0) as services:
        url = services.deploy(app())

        pids = []
        for _ in range(2):
            wait_until(lambda: not services.status())
            pids.append(services.call(url).json()["pid"])

    assert len(set(pids)) == 2


def test_the_minimum_of_instances_is_kept_while_idle_and_after_a_crash(services):
    url = services.deploy(app(), name="kept", min_instances=2)
    wait_until(lambda: len(services.status(service="kept", state="ready")) == 2)
    first, second = (line["pid"] for line in services.status(service="kept"))

    os.kill(first, signal.SIGKILL)

    wait_until(lambda: first not in {line["pid"] for line in services.status(service="kept")})
    wait_until(lambda: len(services.status(service="kept", state="ready")) == 2)
    assert second in {line["pid"] for line in services.status(service="kept")}
    assert services.logged('resource.labels.service_name="kept" textPayload:"terminated on signal 9"')
    time.sleep(2 * 900 / SPEED)
    assert len(services.status(service="kept", state="ready")) == 2
    assert services.call(url).status_code == 200


def test_an_instance_killed_during_a_request_fails_that_request_alone(slow_clock):
    url = slow_clock.deploy(SLEEPER, name="killed", concurrency=1, max_instances=2)
    calls = [slow_clock.call_later(f"{url}/?seconds=2") for _ in range(2)]
    wait_until(lambda: len(slow_clock.status(service="killed", busy=1)) == 2)
    victim = slow_clock.status(service="killed")[0]["pid"]

    os.kill(victim, signal.SIGKILL)

    assert sorted(call.result().status_code for call in calls) == [200, 503]
    assert slow_clock.call(url).status_code == 200
    assert victim not in {line["pid"] for line in slow_clock.status(service="killed")}


@pytest.mark.parametrize(
    ("text", "probe", "logged"),
    [
        ("import time; time.sleep(60)", Probe(timeout_seconds=1), "Default STARTUP TCP probe failed"),
        ("import sys; sys.exit('no GPU here')", Probe(), "no GPU here"),
        ("import sys; sys.exit(7)", Probe("/health"), "Container called exit(7)."),
        (
            app("if self.path == '/health': return self.send_error(503)"),
            Probe("/health", period_seconds=0.3, timeout_seconds=0.3, failure_threshold=3),
            "STARTUP HTTP probe failed",
        ),
    ],
)
def test_a_revision_that_does_not_become_ready_says_so_and_leaves_no_process(services, text, probe, logged):
    begun = time.monotonic()

    with pytest.raises(StartFailed) as failure:
        services.deploy(text, name="never", revision="never-00001-abc", probe=probe)

    assert str(failure.value).startswith(
        "Revision 'never-00001-abc' is not ready and cannot serve traffic. The user-provided container "
        "failed to start and listen on the port defined provided by the PORT="
    )
    assert time.monotonic() - begun < 20  # the default probe takes 240
    assert services.logged(f'resource.labels.service_name="never" textPayload:"{logged}"')
    assert services.status(service="never") == []
    assert services.call("https://never-123456789012.us-central1.run.app").status_code == 404


def test_an_http_probe_waits_until_the_service_says_that_it_is_ready(services):
    loading = "until = time.monotonic() + 0.5"
    act = "if self.path == '/health' and time.monotonic() < until: return self.send_error(503)"
    begun = time.monotonic()

    url = services.deploy(app(act, loading), name="loads", probe=Probe("/health", 0, 10, 1, 3))

    assert 0.5 <= time.monotonic() - begun < 5
    assert services.call(f"{url}/health").status_code == 200


def test_a_service_that_no_longer_starts_answers_503(slow_clock, tmp_path):
    flag = tmp_path / "broken"
    url = slow_clock.deploy(app(start=f"if os.path.exists({str(flag)!r}): sys.exit(1)"), name="broken")
    flag.touch()
    os.kill(slow_clock.status(service="broken")[0]["pid"], signal.SIGKILL)
    wait_until(lambda: not slow_clock.status(service="broken"))

    assert slow_clock.call(url).status_code == 503
    (entry,) = slow_clock.logged('resource.labels.service_name="broken" httpRequest.status=503')
    assert entry["textPayload"] == "The request failed because the instance could not start successfully."

    flag.unlink()
    assert slow_clock.call(url).status_code == 200


# -- revisions


def test_a_new_revision_serves_while_the_old_one_finishes_its_requests(slow_clock):
    url = slow_clock.deploy(SLEEPER, name="renewed", revision="renewed-00001-abc")
    late = slow_clock.call_later(f"{url}/?seconds=1.5")
    wait_until(lambda: slow_clock.status(service="renewed", busy=1))

    slow_clock.deploy(app(), name="renewed", revision="renewed-00002-abc")

    assert slow_clock.call(url).json()["K_REVISION"] == "renewed-00002-abc"
    assert slow_clock.status(revision="renewed-00001-abc")[0]["busy"] == 1
    assert late.result().status_code == 200
    wait_until(lambda: not slow_clock.status(revision="renewed-00001-abc"))
    assert slow_clock.status(revision="renewed-00002-abc", state="ready")


def test_a_request_that_waits_for_an_old_revision_is_served_by_the_new_one(slow_clock):
    url = slow_clock.deploy(SLEEPER, name="passed", concurrency=1, max_instances=1)
    first = slow_clock.call_later(f"{url}/?seconds=2")
    wait_until(lambda: slow_clock.status(service="passed", busy=1))
    waiting = slow_clock.call_later(url)

    slow_clock.deploy(app(), name="passed", revision="passed-00002-abc")

    assert waiting.result().json()["K_REVISION"] == "passed-00002-abc"
    assert first.result().status_code == 200


def test_a_revision_that_fails_leaves_the_one_before_it_serving(services):
    url = services.deploy(app(), name="stays", revision="stays-00001-abc")

    with pytest.raises(StartFailed, match="stays-00002-abc"):
        services.deploy("import sys; sys.exit(1)", name="stays", revision="stays-00002-abc")

    assert services.call(url).json()["K_REVISION"] == "stays-00001-abc"


def test_a_deleted_service_is_asked_to_end_and_is_not_found(slow_clock, tmp_path):
    note = tmp_path / "note"
    start = f"signal.signal(signal.SIGTERM, lambda *_: (open({str(note)!r}, 'w').write('bye'), os._exit(0)))"
    url = slow_clock.deploy(app(start=start), name="deleted")

    slow_clock.instances.remove("p", "us-central1", "deleted")

    assert slow_clock.call(url).status_code == 404
    wait_until(lambda: not slow_clock.status(service="deleted"))
    assert note.read_text() == "bye"


def test_an_instance_that_does_not_end_is_killed_after_the_grace_period(slow_clock, monkeypatch):
    assert instance.GRACE_SECONDS == 10
    monkeypatch.setattr(instance, "GRACE_SECONDS", 0.5)
    slow_clock.deploy(app(start="signal.signal(signal.SIGTERM, signal.SIG_IGN)"), name="stubborn")
    (line,) = slow_clock.status(service="stubborn")
    begun = time.monotonic()

    slow_clock.instances.remove("p", "us-central1", "stubborn")

    assert slow_clock.status(service="stubborn")[0]["state"] == "stopping"
    wait_until(lambda: not slow_clock.status(service="stubborn"))
    assert 0.5 <= time.monotonic() - begun < instance.GRACE_SECONDS + 5
    assert not is_running(line["pid"])


# -- what it runs in, and what it logs


def test_an_instance_has_the_variables_of_cloud_run_and_of_its_definition(services):
    own = {"MODELS": "one", "K_SERVICE": "not this", "PORT": "1"}
    url = services.deploy(app(), name="variables", revision="variables-00001-abc", env=own)

    found = services.call(url).json()

    wanted = {"K_SERVICE": "variables", "K_REVISION": "variables-00001-abc", "K_CONFIGURATION": "variables"}
    assert wanted.items() <= found.items()
    assert (found["MODELS"], found["CUDA_VISIBLE_DEVICES"]) == ("one", "")
    assert found["PORT"] == str(services.status(service="variables")[0]["port"])


def test_what_an_instance_prints_is_an_entry_of_its_revision(services):
    lines = [
        {
            "severity": "warning",
            "message": "structured",
            "logging.googleapis.com/trace": "projects/p/traces/1",
        },
        {
            "message": "odd",
            "severity": 7,
            "logging.googleapis.com/labels": {"unit": 3},
            "time": "2026-01-31T12:00:00Z",
        },
    ]
    out, err = map(json.dumps, lines)
    start = f"print('plain'); print({out!r}); print({err!r}, file=sys.stderr, flush=True)"
    services.deploy(app(start=start), name="prints", revision="prints-00001-abc")

    def printed():
        return services.logged('resource.labels.service_name="prints" logName=~"%2Fstd"')

    wait_until(lambda: len(printed()) == 3)
    entries = {entry.get("textPayload") or entry["jsonPayload"]["message"]: entry for entry in printed()}
    assert entries["plain"]["resource"] == {
        "type": "cloud_run_revision",
        "labels": {
            "project_id": "p",
            "location": "us-central1",
            "service_name": "prints",
            "configuration_name": "prints",
            "revision_name": "prints-00001-abc",
        },
    }
    assert entries["plain"]["logName"] == "projects/p/logs/run.googleapis.com%2Fstdout"
    structured, odd = entries["structured"], entries["odd"]
    assert (structured["severity"], structured["trace"]) == ("WARNING", "projects/p/traces/1")
    assert structured["jsonPayload"] == {"message": "structured"}
    assert odd["logName"].endswith("%2Fstderr")
    assert (odd["severity"], odd["jsonPayload"]) == ("DEFAULT", {"message": "odd", "severity": 7})
    assert (odd["labels"]["unit"], odd["timestamp"]) == ("3", "2026-01-31T12:00:00.000000Z")


# -- the end of the emulator

EMULATOR = """
import pathlib, sys, time
from localcloud.logs import LogService
from localcloud.rights.actors import unenforced
from localcloud.run.definition import Access, Definition, Probe
from localcloud.run.instances import Instances
from localcloud.times import Clock

instances = Instances(LogService(), unenforced({{"storage": ""}}), pathlib.Path({state!r}), Clock())
instances.deploy({definition!r}, Access("all", frozenset(), frozenset()))
print(instances.status()[0]["pid"], flush=True)
if {closes}:
    instances.close()
else:
    time.sleep(60)
"""


@pytest.mark.parametrize("closes", [True, False])
def test_no_process_survives_the_emulator(tmp_path, closes):
    stubborn = app(start="signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork() or time.sleep(60)")
    told = {"state": str(tmp_path), "definition": definition(tmp_path, stubborn), "closes": closes}
    with started("-c", EMULATOR.format(**told)) as emulator:
        pid = int(emulator.stdout.readline())
        assert is_running(pid)
        if not closes:
            emulator.kill()
        emulator.wait(10)

        wait_until(lambda: not is_running(pid))
        wait_until(lambda: not list((tmp_path / "instances").iterdir()))
