"""How a service starts, what it logs and tells meanwhile, and how it ends."""

import ctypes
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from modeling.failures import UserError
from modeling.refusals import MAY_NOT_COUNT_YET
from pipeline.storage import AccessDenied
from services import main
from services.device import Device, choose_device
from services.inference import Inference
from services.messages import PredictRequest
from services.objects import Objects
from services.plugins import load_plugins
from services.settings import Settings, read_settings
from tests.emulated import create_bucket, order_faults
from tests.experiments import REPOSITORY
from tests.web_services import MODELS, PATHS, SENTIMENT, Service, started

LATE = """
import logging, pathlib, time
from line_counts import LineCounts

class Late(LineCounts):
    def load(self, models, device):
        logging.getLogger(__name__).info("loading")
        while not pathlib.Path(__file__).with_name("weights").exists():
            time.sleep(0.02)
"""
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("service", PATHS)
def test_health_names_service_version_models_and_device(lane, service):
    answer = requests.get(lane.services[service].url("/health"))

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "service": service,
        "version": "local",
        "models": ["line-counts@1", "sentiment@1"],
        "device": "cpu",
        "gpu": False,
    }


def test_health_is_not_answered_before_the_models_are_loaded(cloud, tmp_path):
    (tmp_path / "late.py").write_text(LATE)
    folders = os.pathsep.join([str(tmp_path), str(REPOSITORY / "tests" / "services")])
    service = Service("inference", cloud.storage, tmp_path, MODELS="late:Late", PYTHONPATH=folders)
    try:
        service.wait_for("loading")
        with pytest.raises(requests.ConnectionError):
            requests.get(service.url("/health"), timeout=10)

        (tmp_path / "weights").touch()

        service.wait_until_ready()
    finally:
        service.process.kill()
        service.process.wait()


def test_health_is_answered_and_other_work_refused_while_an_instance_is_at_work(lane):
    service = lane.services["inference"]
    slow, _ = lane.prepare("slow.lines", b"slow 3")
    other, _ = lane.prepare("other.lines", b"one")
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(service.ask, lane.predict_body(slow))
        service.wait_for("slow 3: begins")
        health = requests.get(service.url("/health"))
        busy = service.ask(lane.predict_body(other))
        done_before = working.done()

    assert not done_before
    assert (health.status_code, working.result().status_code) == (200, 200)
    assert busy.status_code == 503
    assert busy.json()["error"]["retry"] is True
    assert int(busy.headers["Retry-After"]) > 0
    assert service.ask(lane.predict_body(other)).status_code == 200


def test_an_instance_works_on_as_many_requests_at_once_as_its_setting_says(lane, cloud, tmp_path):
    bodies = [lane.predict_body(lane.prepare(f"slow-{each}.lines", b"slow 3")[0]) for each in range(3)]
    with started("inference", cloud.storage, tmp_path, AT_ONCE="2") as service, ThreadPoolExecutor(2) as pool:
        working = [pool.submit(service.ask, body) for body in bodies[:2]]
        deadline = time.monotonic() + 20
        while service.text().count("slow 3: begins") < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        busy = service.ask(bodies[2])
        statuses = [each.result().status_code for each in working]

    assert statuses == [200, 200]
    assert busy.status_code == 503


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"),
        ("X-Cloud-Trace-Context", f"{TRACE.upper()}/1;o=1"),
    ],
)
def test_each_request_ends_in_a_log_line_with_its_ids(lane, cloud, tmp_path, header, value):
    generation = lane.upload("day.txt", b"a good day")
    body = lane.preprocess_body("day.txt", generation, request_id="e-7/preprocess")
    with started("preprocess", cloud.storage, tmp_path, GOOGLE_CLOUD_PROJECT="p") as service:
        answer = service.ask(body, **{header: value})
        other = lane.preprocess_body("day.txt", "17")
        service.ask(other, **{"X-Request-Id": "e-8/preprocess"})
        service.ask(b"{", **{"X-Request-Id": "e-9/pre\x01process"})
        done, missing, damaged = service.lines()[1:]

    assert answer.headers["X-Request-Id"] == "e-7/preprocess"
    expected = {
        "severity": "INFO",
        "service": "preprocess",
        "request_id": "e-7/preprocess",
        "execution_id": "e-7",
        "run_key": f"day.txt-{generation}",
        "model": "sentiment@1",
        "units": 1,
        "event": "done",
        "logging.googleapis.com/trace": f"projects/p/traces/{TRACE}",
    }
    assert {name: done[name] for name in expected} == expected
    assert done["seconds"] >= 0
    assert (missing["event"], missing["status"], missing["severity"]) == ("refused", 404, "WARNING")
    assert (missing["execution_id"], damaged["execution_id"]) == ("e-8", "e-9")
    assert "day.txt#17: no such object" in missing["message"]
    assert "stack_trace" not in {**missing, **damaged}


def test_the_device_is_on_the_log_line_of_a_prediction(lane):
    lane.run("day.txt", b"a good day")

    line = lane.services["inference"].lines()[-1]

    assert (line["device"], line["event"], line["skipped"]) == ("cpu", "done", False)


def test_a_result_names_the_device_that_a_model_used_not_the_one_it_was_offered(lane, tmp_path, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", lane.cloud.storage)
    monkeypatch.syspath_prepend(REPOSITORY / "tests" / "services")
    gpu = Device("cuda", "cuda: NVIDIA L4")
    handler = Inference(Settings("inference"), load_plugins(MODELS), Objects(), tmp_path, gpu)
    handler.load()

    devices = []
    for name in ("a.lines", "day.txt"):
        body = lane.predict_body(lane.prepare(name, b"a good day")[0])
        devices.append(handler.handle(PredictRequest(**body)).device)

    assert devices == ["cuda: NVIDIA L4", "cpu"]


class Driver:
    """NVIDIA's driver, as far as it is asked; `refuses` is a function that fails with code 100, no device."""

    def __init__(self, refuses=""):
        self._refuses = refuses

    def __getattr__(self, function):
        def answer(*arguments):
            if function == "cuDeviceGetName":
                arguments[0].value = b"NVIDIA L4"
            return 100 if function == self._refuses else 0

        return answer


def test_the_device_is_the_gpu_that_the_driver_names(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())

    assert choose_device("auto") == choose_device("cuda") == Device("cuda", "cuda: NVIDIA L4")
    assert choose_device("cpu") == Device("cpu", "cpu")


def test_a_driver_without_a_device_is_no_gpu(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver("cuInit"))

    with pytest.raises(UserError, match="no GPU: cuInit of the NVIDIA driver answers with error 100"):
        choose_device("cuda")

    assert choose_device("auto") == Device("cpu", "cpu")


@pytest.mark.parametrize("service", PATHS)
def test_a_service_that_must_have_a_gpu_does_not_start_without_one(tmp_path, service):
    started = Service(service, "http://127.0.0.1:9", tmp_path, DEVICE="cuda")

    code = started.process.wait(20)

    (line,) = started.lines()
    assert code == 2
    assert line["severity"] == "ERROR"
    assert line["message"].startswith("DEVICE=cuda, but there is no GPU: ")
    assert "libcuda.so.1" in line["message"] or "NVIDIA driver" in line["message"]


def test_a_wrong_setting_is_one_line_and_exit_code_2(tmp_path):
    service = Service("inference", "http://127.0.0.1:9", tmp_path, DEVICE="gpu")

    code = service.process.wait(20)

    (line,) = service.lines()
    assert code == 2
    assert line["message"] == 'DEVICE="gpu": use auto, cpu, cuda (did you mean "cpu"?)'
    assert "stack_trace" not in line


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"SERVICE": ""}, 'SERVICE="": use preprocess, inference, postprocess'),
        ({"SERVICE": "inferense"}, 'did you mean "inference"?'),
        ({"PORT": "eighty"}, 'PORT="eighty": use a whole number'),
        ({"MOST_UPLOAD_MIB": "0"}, 'MOST_UPLOAD_MIB="0"'),
        ({"ENGINE_THREADS": "two"}, 'ENGINE_THREADS="two"'),
        ({"AT_ONCE": "0"}, 'AT_ONCE="0": use a whole number from 1'),
        ({"MODELS": "services.models.nothing:X"}, "no module named services.models.nothing"),
        ({"MODELS": "services.models.sentiment:Feeling"}, "has no class Feeling"),
        ({"MODELS": "services.models.sentiment"}, "is not module:class"),
        ({"MODELS": "pathlib:Path"}, "is not a model: version"),
        ({"MODELS": f"{SENTIMENT},{SENTIMENT}"}, "each once"),
        ({"MODELS": ","}, "name one model"),
    ],
)
def test_each_wrong_setting_is_named(variables, words):
    with pytest.raises(UserError) as raised:
        load_plugins(read_settings({"SERVICE": "inference", **variables}).models)

    assert words in str(raised.value)


def test_damaged_weights_are_named_as_the_service_starts(lane, cloud, tmp_path):
    lane.upload("sentiment/weights.json", b'{"bias": 1', bucket=lane.input)

    service = Service("inference", cloud.storage, tmp_path, MODELS=SENTIMENT, MODELS_BUCKET=lane.input)

    assert service.process.wait(20) == 2
    assert "weights.json of sentiment is damaged" in service.lines()[-1]["message"]


def test_a_service_waits_for_the_role_that_lets_it_read_its_models(cloud, tmp_path):
    models = create_bucket(cloud)
    listing = {"method": "GET", "path": f"/b/{models}/o", "status": 403, "message": "no right", "times": 2}
    order_faults(cloud, listing)
    try:
        with started("inference", cloud.storage, tmp_path, MODELS_BUCKET=models) as service:
            said = [line for line in service.lines() if line["message"].endswith("; asking again")]
    finally:
        requests.delete(f"{cloud.apis}/_emulator/faults", timeout=10).raise_for_status()

    assert len(said) == 2
    assert all(MAY_NOT_COUNT_YET in line["message"] for line in said)


def test_a_denial_that_stays_ends_the_start_with_its_reason(monkeypatch):
    monkeypatch.setattr(main, "PATIENCE_SECONDS", 0)
    tries = []

    def load():
        tries.append("load")
        raise AccessDenied("gs://models/: access denied")

    with pytest.raises(AccessDenied, match="access denied"):
        main.load_once_allowed(load)

    assert tries == ["load"]


def test_sigterm_lets_a_request_end_and_takes_no_other(lane, cloud, tmp_path):
    prepared, _ = lane.prepare("slow.lines", b"slow 1.5")
    with started("inference", cloud.storage, tmp_path) as service, ThreadPoolExecutor(1) as pool:
        working = pool.submit(service.ask, lane.predict_body(prepared))
        service.wait_for("slow 1.5: begins")
        code = service.stop()
        answer = working.result()

    assert (answer.status_code, code) == (200, 0)
    assert service.lines()[-1]["event"] == "done"
    assert list(tmp_path.glob("service-*")) == []
    with pytest.raises(requests.ConnectionError):
        service.ask({})


def test_a_request_that_does_not_end_holds_a_service_for_less_than_10_seconds(lane, cloud, tmp_path):
    prepared, _ = lane.prepare("slow.lines", b"slow 30")
    with started("inference", cloud.storage, tmp_path) as service, ThreadPoolExecutor(1) as pool:
        working = pool.submit(service.ask, lane.predict_body(prepared))
        service.wait_for("slow 30: begins")
        begun = time.monotonic()
        service.stop()
        seconds = time.monotonic() - begun

        assert seconds < 10
        answer = working.result()
        assert (answer.status_code, answer.json()["error"]["retry"]) == (503, True)
        line = service.lines()[-1]
        assert (line["event"], line["execution_id"]) == ("failed", "execution-1")
    assert not [name for name in lane.names() if "shard" in name]


@pytest.mark.parametrize(("service", "most"), [("preprocess", 2), ("postprocess", 2), ("inference", 6)])
def test_a_cold_start_with_every_model_is_short(cloud, tmp_path, service, most):
    with started(service, cloud.storage, tmp_path, MODELS="") as cold:
        cold.process.kill()
        _, _, usage = os.wait4(cold.process.pid, 0)

    assert usage.ru_utime + usage.ru_stime <= most  # seconds, as on a machine that does nothing else
