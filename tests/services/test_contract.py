"""What is refused, with which status, in one line; and what is left behind, which is nothing."""

import gzip
import json
import random
import threading
import time
from collections.abc import Callable

import pytest
import requests

from modeling.failures import DeviceLost, UserError
from services.app import create_app
from services.failures import failure_of
from services.messages import HealthAnswer
from services.objects import Objects
from services.plugins import load_plugins
from services.preprocess import Preprocess
from services.settings import Settings
from tests.web_services import PATHS, SENTIMENT, Lane, served

HEALTH = HealthAnswer(service="preprocess", version="1", models=[], device="cpu", gpu=False)
BODIES: dict[str, Callable[[Lane], dict]] = {
    "preprocess": lambda lane: lane.preprocess_body("day.txt", lane.upload("day.txt", b"a good day")),
    "inference": lambda lane: lane.predict_body(lane.prepare("day.txt", b"a good day")[0]),
    "postprocess": lambda lane: _postprocess(lane),
}


def _postprocess(lane: Lane) -> dict:
    prepared, generation = lane.prepare("day.txt", b"a good day")
    shard = lane.ask("inference", lane.predict_body(prepared))["out"]
    return lane.postprocess_body(prepared, "day.txt", generation, [shard])


def refused(answer: requests.Response, status: int, *words: str) -> dict:
    """Return the error of an answer, which is one line and says whether another attempt may succeed."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "retry", "where"}
    assert error["retry"] is (status in (429, 503))
    assert "\n" not in error["message"]
    assert "Traceback" not in answer.text
    for word in words:
        assert word in error["message"]
    return error


@pytest.mark.parametrize("service", PATHS)
def test_each_field_that_must_be_there_is_named_where_it_is_missing(lane, service):
    body = BODIES[service](lane)
    optional = {"options"}

    for field in set(body) - optional:
        answer = lane.services[service].ask({name: value for name, value in body.items() if name != field})

        assert refused(answer, 400, field)["where"] == field


@pytest.mark.parametrize(
    ("service", "field", "value"),
    [
        *((service, "request_id", 7) for service in PATHS),
        *((service, "not_in_the_contract", 1) for service in PATHS),
        ("preprocess", "input", "day.txt"),
        ("preprocess", "input", "gs://Bucket/day.txt"),
        ("preprocess", "generation", 17),
        ("preprocess", "generation", "-1"),
        ("preprocess", "work", "gs://bucket/no-slash"),
        ("preprocess", "options", []),
        ("inference", "first", -1),
        ("inference", "count", 0),
        ("inference", "count", 2**70),
        ("inference", "seed", "x"),
        ("inference", "sha256", "abc"),
        ("inference", "model", None),
        ("inference", "model", "sentimental@1"),
        ("postprocess", "shards", []),
        ("postprocess", "shards", ["shard"]),
        ("postprocess", "result", "gs://bucket/results"),
    ],
)
def test_a_field_of_another_kind_is_refused_by_its_name(lane, service, field, value):
    body = {**BODIES[service](lane), field: value}

    refused(lane.services[service].ask(body), 400, str(value) if field == "model" and value else field)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"a": ' * 5000, b'"\\ud800"'])
def test_what_is_no_json_object_is_refused(lane, body):
    refused(lane.services["preprocess"].ask(body), 400)


@pytest.mark.parametrize("size", [(64 << 10) + 1, 10 << 20])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_64_kb_is_refused(lane, size, chunked):
    body = b" " * size
    url = lane.services["inference"].url("/predict")

    answer = requests.post(url, data=iter([body[: size // 2], body[size // 2 :]]) if chunked else body)

    refused(answer, 400, "65,536 bytes")


def test_200_damaged_bodies_are_refused_or_taken_but_none_is_a_bug(lane):
    rng = random.Random(5)
    for service in PATHS:
        body, statuses = json.dumps(BODIES[service](lane)).encode(), []
        for _ in range(200):
            damaged = bytearray(body)
            for _ in range(rng.randint(1, 8)):
                place = rng.randrange(len(damaged))
                damaged[place : place + rng.choice((0, 1, 1, 5))] = rng.randbytes(rng.choice((0, 1, 1, 3)))
            begun = time.monotonic()
            answer = lane.services[service].ask(bytes(damaged))

            assert time.monotonic() - begun < 10
            if answer.status_code != 200:
                refused(answer, answer.status_code)
            statuses.append(answer.status_code)

        assert set(statuses) <= {200, 400, 404, 409, 422}
        assert statuses.count(400) > 150


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/nowhere", 404), ("GET", "/preprocess", 405), ("POST", "/health", 405)],
)
def test_another_path_or_method_is_refused_in_the_same_form(lane, method, path, status):
    refused(requests.request(method, lane.services["preprocess"].url(path)), status, path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("photo.png", b"\x89PNG", ["photo.png: no model takes this file", ".lines (line-counts)", ".txt"]),
        ("no-suffix", b"x", ["no model takes this file"]),
        ("empty.txt", b"", ["empty.txt: the file is empty"]),
        ("large.txt", b"x" * ((1 << 20) + 1), ["large.txt", "1,048,577 bytes", "at most 1,048,576"]),
        ("latin.txt", "schön".encode("latin-1"), ["latin.txt: byte 4 is not UTF-8"]),
        ("blank.txt", b" \n!", ["blank.txt: there is no word in it"]),
        ("a//b.txt", b"good", ["a//b.txt", "a part of the name is empty"]),
        ("a/../b.txt", b"good", ["a/../b.txt", "a part of the name is empty, . or .."]),
    ],
)
def test_a_file_that_is_the_users_mistake_is_refused_and_leaves_nothing(lane, name, content, words):
    body = lane.preprocess_body(name, lane.upload(name, content))

    refused(lane.services["preprocess"].ask(body), 422, *words)

    assert lane.names() == []


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (gzip.compress(bytes(2 << 20)), "unpacks to more than 1,048,576 bytes"),
        (gzip.compress(b"a good day")[:-9], "damaged"),
        (gzip.compress(bytes(1 << 20)) + gzip.compress(b"x"), "unpacks to more than 1,048,576 bytes"),
        (gzip.compress(b"a good day") + b"and more", "damaged"),
        (b"no gzip", "damaged"),
    ],
)
def test_what_was_stored_with_gzip_has_the_same_limit_and_must_be_whole(lane, stored, words):
    generation = lane.upload("day.txt", stored, contentEncoding="gzip")

    refused(lane.services["preprocess"].ask(lane.preprocess_body("day.txt", generation)), 422, words)

    assert lane.names() == []


@pytest.mark.parametrize(
    ("options", "words"), [({"seed": -1}, "seed"), ({"seed": "1"}, "seed"), ({"loud": 1}, "loud")]
)
def test_an_option_that_no_model_has_is_refused(lane, options, words):
    body = lane.preprocess_body("day.txt", lane.upload("day.txt", b"a good day"), options=options)

    refused(lane.services["preprocess"].ask(body), 422, words)


def test_objects_that_are_not_there_are_named(lane):
    generation = lane.upload("day.txt", b"a good day")
    lane.upload("day.txt", b"a better day")
    prepared, newer = lane.prepare("night.txt", b"a good night")
    nowhere = f"gs://{lane.output}/work/nowhere"
    bodies = [
        ("preprocess", lane.preprocess_body("day.txt", generation), f"day.txt#{generation}: no such object"),
        ("preprocess", lane.preprocess_body("week.txt", "17"), "week.txt#17: no such object"),
        ("inference", lane.predict_body(prepared, inputs=nowhere), nowhere),
        ("postprocess", lane.postprocess_body(prepared, "night.txt", newer, [nowhere]), nowhere),
    ]

    for service, body, words in bodies:
        refused(lane.services[service].ask(body), 404, words)


def test_what_was_made_from_something_else_is_not_taken(lane):
    prepared, generation = lane.prepare("a.lines", b"one\ntwo")
    lane.ask("inference", lane.predict_body(prepared))
    other, _ = lane.prepare("b.lines", b"one\ntwo")
    foreign = lane.upload("foreign", b"not ours", bucket=lane.output)
    out = f"gs://{lane.output}/foreign"
    preprocess = lane.preprocess_body("a.lines", generation)
    shard_of_other = lane.ask("inference", lane.predict_body(other))["out"]
    conflicts = [
        ("preprocess", {**preprocess, "options": {"seed": 1}}),
        ("preprocess", {**preprocess, "work": other["inputs"].removesuffix("inputs")}),
        ("inference", lane.predict_body(prepared, sha256="0" * 64, out=f"{out}-2")),
        ("inference", lane.predict_body(prepared, seed=1)),
        ("inference", lane.predict_body(prepared, count=1)),
        ("inference", lane.predict_body(prepared, out=out)),
        ("inference", lane.predict_body(prepared, model="line-counts@2")),
        ("postprocess", lane.postprocess_body(prepared, "a.lines", generation, [shard_of_other])),
        ("postprocess", lane.postprocess_body(prepared, "a.lines", generation, [out])),
    ]

    for service, body in conflicts:
        refused(lane.services[service].ask(body), 409)

    unknown = lane.services["inference"].ask(lane.predict_body(prepared, model="other@1"))
    refused(unknown, 400, 'no model "other@1", only line-counts@1, sentiment@1; MODELS must name it')
    assert foreign
    assert lane.names("results/") == []


@pytest.mark.parametrize("kind", ["damaged", "of another upload"])
def test_a_result_json_that_is_not_the_uploads_own_is_no_result_of_it(lane, kind):
    other = lane.run("day.txt", b"a good day")
    generation = lane.upload("day.txt", b"a bad day")
    content = json.dumps(other).encode() if kind == "of another upload" else b"{"
    lane.upload(f"results/day.txt/{generation}/result.json", content, bucket=lane.output)

    answer = lane.services["preprocess"].ask(lane.preprocess_body("day.txt", generation))

    words = "is no result of these" if kind == "damaged" else f"is a result of {other['input']}#"
    refused(answer, 409, f"/{generation}/result.json {words}")


@pytest.mark.parametrize("damaged", ["inputs", "shard"])
def test_a_single_changed_byte_between_the_services_is_noticed(lane, damaged):
    prepared, generation = lane.prepare("day.txt", b"a good day")
    shard = lane.ask("inference", lane.predict_body(prepared))["out"]
    reference = prepared["inputs"] if damaged == "inputs" else shard
    content = lane.content_of(reference)
    name = reference.removeprefix(f"gs://{lane.output}/")
    again = ("preprocess", lane.preprocess_body("day.txt", generation))
    if damaged == "shard":
        again = ("postprocess", lane.postprocess_body(prepared, "day.txt", generation, [shard]))

    for place in (20, len(content) - 3):
        changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        lane.upload(name, changed, bucket=lane.output)
        refused(lane.services[again[0]].ask(again[1]), 409, reference, "is damaged")

    assert lane.names("results/") == []


def test_a_result_is_found_again_where_its_inputs_are_damaged(lane):
    result = lane.run("day.txt", b"a good day")
    lane.upload(f"work/day.txt-{result['generation']}/inputs", b"damaged", bucket=lane.output)

    assert lane.ask("preprocess", lane.preprocess_body("day.txt", result["generation"]))["status"] == "done"


def test_an_option_that_a_complete_result_was_not_made_with_is_refused(lane):
    result = lane.run("day.txt", b"a good day")
    body = lane.preprocess_body("day.txt", result["generation"], options={"seed": 1})

    refused(lane.services["preprocess"].ask(body), 409, "with other options")


def test_a_name_too_long_for_the_names_of_its_results_is_refused_at_once(lane):
    name = f"{'x' * 980}.txt"
    body = lane.preprocess_body(name, lane.upload(name, b"a good day"), work=f"gs://{lane.output}/work/k/")

    refused(lane.services["preprocess"].ask(body), 422, "too long", "shorten it")

    assert lane.names() == []


def test_a_result_without_each_unit_once_is_not_made(lane):
    prepared, generation = lane.prepare("a.lines", b"one\ntwo\nthree")
    parts = [lane.ask("inference", lane.predict_body(prepared, *part))["out"] for part in ((0, 1), (1, 2))]
    wrong = [parts[:1], parts[1:], [parts[0], parts[0], parts[1]]]

    for shards in wrong:
        body = lane.postprocess_body(prepared, "a.lines", generation, shards)
        refused(lane.services["postprocess"].ask(body), 400, "3 units")
    beyond = lane.predict_body(prepared, 2, 2)

    refused(lane.services["inference"].ask(beyond), 400, "units 2 to 3", "3 of line-counts@1")
    of_another_seed = lane.predict_body(prepared, 2, 1, seed=7)
    refused(lane.services["inference"].ask(of_another_seed), 400, "seed: 7")
    assert lane.names("results/") == []


def test_a_file_of_a_result_with_other_content_is_kept_and_named(lane):
    prepared, generation = lane.prepare("a.lines", b"one")
    shard = lane.ask("inference", lane.predict_body(prepared))["out"]
    lane.upload(f"results/a.lines/{generation}/a.txt", b"mine", bucket=lane.output)

    body = lane.postprocess_body(prepared, "a.lines", generation, [shard])

    refused(lane.services["postprocess"].ask(body), 409, "a.txt", "exists with other content")
    assert lane.content(f"results/a.lines/{generation}/a.txt") == b"mine"
    assert f"results/a.lines/{generation}/result.json" not in lane.names()


def test_where_every_unit_failed_the_answer_has_the_reason_of_the_first(lane):
    prepared, generation = lane.prepare("a.lines", b"bad\nbad")
    predicted = lane.ask("inference", lane.predict_body(prepared))

    body = lane.postprocess_body(prepared, "a.lines", generation, [predicted["out"]])

    refused(lane.services["postprocess"].ask(body), 422, "no unit has a result; line 1: it is bad")
    assert lane.names("results/") == []


@pytest.mark.parametrize(
    ("service", "method"), [("preprocess", "prepare"), ("inference", "predict"), ("postprocess", "finish")]
)
def test_a_bug_of_a_model_is_one_line_and_its_traceback_is_in_the_log_alone(lane, service, method):
    text = f"one\n{method}".encode()
    if service == "preprocess":
        body = lane.preprocess_body("a.lines", lane.upload("a.lines", text))
    else:
        prepared, generation = lane.prepare("a.lines", text)
        body = lane.predict_body(prepared)
    if service == "postprocess":
        shard = lane.ask("inference", body)["out"]
        body = lane.postprocess_body(prepared, "a.lines", generation, [shard])

    answer = lane.services[service].ask(body)

    refused(answer, 500, "KeyError", "bug", "log")
    assert "secret" not in answer.text
    line = lane.services[service].lines()[-1]
    assert (line["severity"], line["event"], line["status"]) == ("ERROR", "failed", 500)
    assert f"secret of {method}" in line["stack_trace"]
    assert lane.names("results/") == []


def test_the_line_of_a_file_that_a_message_begins_with_is_told_apart():
    failure = failure_of(UserError("week.csv:14: admissions is empty; leave the row out"), "/preprocess")

    assert (failure.status, failure.text.where) == (422, "week.csv:14")


def test_a_storage_that_does_not_answer_may_be_asked_again(lane, cloud, tmp_path, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    settings = Settings(service="preprocess", models=SENTIMENT)
    handler = Preprocess(settings, load_plugins(SENTIMENT), Objects(retry_seconds=0.2), tmp_path)

    with served(create_app(handler, HEALTH)) as url:
        answer = requests.post(f"{url}/preprocess", json=lane.preprocess_body("day.txt", "17"))

    refused(answer, 503, "storage does not answer")
    assert int(answer.headers["Retry-After"]) > 0


def test_an_instance_whose_gpu_is_lost_says_so_and_ends_so_that_another_is_started(lane, tmp_path):
    class Lost(Preprocess):
        def handle(self, request):
            raise DeviceLost("NVIDIA L4 failed: CUDA_ERROR_LAUNCH_FAILED")

    ended = threading.Event()
    settings = Settings(service="preprocess", models=SENTIMENT)
    handler = Lost(settings, load_plugins(SENTIMENT), Objects(), tmp_path)

    with served(create_app(handler, HEALTH, end=ended.set)) as url:
        answer = requests.post(f"{url}/preprocess", json=lane.preprocess_body("day.txt", "17"))

    refused(answer, 503, "NVIDIA L4 failed")
    assert int(answer.headers["Retry-After"]) > 0
    assert ended.wait(10)
