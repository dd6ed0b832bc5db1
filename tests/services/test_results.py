"""An upload becomes a result once, whatever is repeated, and however it was cut."""

import gzip
import hashlib
import itertools
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from modeling.failures import TemporaryFault
from services.objects import Objects
from tests.web_services import SENTIMENT, started


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("This is a wonderful day, and I love it!", "positive"),
        ("The pump is broken and the service was awful.", "negative"),
        ("This is not good.", "negative"),
        ("The meeting is on Tuesday.", "neutral"),
    ],
)
def test_a_sentence_becomes_a_label_with_its_confidence(lane, text, label):
    result = lane.run("day.txt", text.encode())

    assert result["summary"]["label"] == label
    score = result["summary"]["score"]
    assert result["summary"]["confidence"] == pytest.approx(max(score, 1 - score))


def test_result_json_names_what_a_result_is_and_of_what_it_was_made(lane):
    result = lane.run("a.lines", b"one\nbad\nthree", shards=2)

    folder = f"results/a.lines/{result['generation']}/"
    files = {name: hashlib.sha256(lane.content(folder + name)).hexdigest() for name in result["files"]}
    key = f"{lane.input}/a.lines#{result['generation']}"
    assert files == result["files"]
    assert sorted(files) == ["a.txt", "tables/counts.json"]
    assert sorted(lane.names("results/")) == sorted(folder + name for name in [*files, "result.json"])
    assert (result["status"], result["model"], result["units"]) == ("done", "line-counts@1", 3)
    assert result["failed"] == [{"unit": "line 2", "reason": "it is bad"}]
    assert result["input"] == f"gs://{lane.input}/a.lines"
    assert result["seed"] == int(hashlib.sha256(key.encode()).hexdigest()[:8], 16)
    assert result["device"] == "cpu"
    assert set(result["seconds"]) == {"predict", "postprocess"}
    assert result["versions"]["inference"]["image"] == "local"
    assert {"python", "numpy"} < set(result["versions"]["postprocess"])


def test_the_same_upload_and_seed_give_the_same_bytes_in_any_number_of_shards(lane):
    text = b"\n".join(b"x" * n for n in range(7))

    results = [lane.run(f"{n}.lines", text, n, options={"seed": 7}) for n in (1, 2, 5)]
    other = lane.run("other.lines", text, options={"seed": 8})

    assert results[0]["files"] == results[1]["files"] == results[2]["files"]
    assert results[0]["seed"] == 7
    assert other["files"]["tables/counts.json"] != results[0]["files"]["tables/counts.json"]


def test_whatever_is_asked_again_is_answered_again_and_nothing_is_made_twice(lane):
    prepared, generation = lane.prepare("a.lines", b"one\ntwo")
    predict = lane.predict_body(prepared)

    again = lane.ask("preprocess", lane.preprocess_body("a.lines", generation))
    first, second = lane.ask("inference", predict), lane.ask("inference", predict)
    postprocess = lane.postprocess_body(prepared, "a.lines", generation, [first["out"]])
    finished, finished_again = lane.ask("postprocess", postprocess), lane.ask("postprocess", postprocess)
    done = lane.ask("preprocess", lane.preprocess_body("a.lines", generation))

    assert again == prepared
    assert (first["skipped"], second["skipped"]) == (False, True)
    assert {**second, "skipped": False} == first
    assert finished_again == finished
    assert (done["status"], done["result"]) == ("done", finished["result"])


def test_a_result_that_a_lost_instance_left_half_written_is_finished(lane):
    prepared, generation = lane.prepare("a.lines", b"one")
    shard = lane.ask("inference", lane.predict_body(prepared))["out"]
    lane.upload(f"results/a.lines/{generation}/a.txt", b"text", bucket=lane.output)

    finished = lane.ask("postprocess", lane.postprocess_body(prepared, "a.lines", generation, [shard]))

    assert sorted(finished["files"]) == ["a.txt", "tables/counts.json"]
    assert f"results/a.lines/{generation}/result.json" in lane.names()


def test_a_newer_upload_of_the_same_name_has_a_result_of_its_own(lane):
    first = lane.run("a.lines", b"one")

    second = lane.run("a.lines", b"three")

    assert lane.content_of(f"gs://{lane.output}/results/a.lines/{first['generation']}/result.json")
    assert first["files"] != second["files"]


def test_requests_at_the_same_time_for_one_upload_end_in_one_result(lane):
    generation = lane.upload("a.lines", b"one\ntwo")
    with ThreadPoolExecutor(5) as pool:
        body = lane.preprocess_body("a.lines", generation)
        prepared = list(pool.map(lambda _: lane.ask("preprocess", body), range(5)))
        shard = lane.ask("inference", lane.predict_body(prepared[0]))["out"]
        last = lane.postprocess_body(prepared[0], "a.lines", generation, [shard])
        finished = list(pool.map(lambda _: lane.ask("postprocess", last), range(5)))

    assert all(each == prepared[0] for each in prepared)
    assert all(each == finished[0] for each in finished)
    assert len(lane.names("results/")) == 3


def test_two_requests_for_a_shard_whose_first_caller_gave_up_leave_one_shard(lane, cloud, tmp_path):
    prepared, _ = lane.prepare("a.lines", b"slow 0.5\ntwo")
    newer = started("inference", cloud.storage, tmp_path, VERSION="2")
    with newer as other, ThreadPoolExecutor(2) as pool:
        body = lane.predict_body(prepared)
        both = list(pool.map(lambda service: service.ask(body).json(), [lane.services["inference"], other]))

    assert sorted(answer["skipped"] for answer in both) == [False, True]
    assert both[0]["seconds"] == both[1]["seconds"]  # of the one that is kept


@pytest.mark.parametrize(
    ("variables", "shards"),
    [
        ({}, [{"index": 0, "first": 0, "count": 25}]),  # a second each
        ({"TIMEOUT_SECONDS": "12"}, [(0, 8), (8, 8), (16, 9)]),  # 25 s / (0.8 x 12 s) -> 3
        ({"SHARD_UNITS": "20"}, [(0, 12), (12, 13)]),
    ],
)
def test_shards_are_as_few_as_fit_into_a_request(lane, cloud, tmp_path, variables, shards):
    generation = lane.upload("a.lines", b"\n".join([b"x"] * 25))

    with started("preprocess", cloud.storage, tmp_path, **variables) as preprocess:
        answer = preprocess.ask(lane.preprocess_body("a.lines", generation)).json()

    expected = [
        each if isinstance(each, dict) else {"index": index, "first": each[0], "count": each[1]}
        for index, each in enumerate(shards)
    ]
    assert answer["shards"] == expected


def test_a_model_has_its_files_from_the_models_bucket(lane, cloud, tmp_path):
    weights = {"bias": 0, "words": {"tuesday": 3}, "negations": []}
    lane.upload("sentiment/weights.json", json.dumps(weights).encode(), bucket=lane.input)
    variables = {"MODELS": SENTIMENT, "MODELS_BUCKET": lane.input}

    with started("inference", cloud.storage, tmp_path, **variables) as inference:
        lane.services = {**lane.services, "inference": inference}
        result = lane.run("day.txt", b"The meeting is on Tuesday.")

    assert result["summary"]["label"] == "positive"


def test_a_result_names_each_version_that_its_shards_were_made_with(lane, cloud, tmp_path):
    prepared, generation = lane.prepare("a.lines", b"one\ntwo")
    outs = [lane.ask("inference", lane.predict_body(prepared, 0, 1))["out"]]
    with started("inference", cloud.storage, tmp_path, VERSION="v2", MODELS_BUCKET=lane.input) as newer:
        outs.append(newer.ask(lane.predict_body(prepared, 1, 1)).json()["out"])

    finished = lane.ask("postprocess", lane.postprocess_body(prepared, "a.lines", generation, outs))

    versions = json.loads(lane.content_of(finished["result"]))["versions"]["inference"]
    assert versions["image"] == "local, v2"
    assert re.fullmatch("[0-9a-f]{16}, none", versions["files"])


def test_a_copy_of_a_folder_that_changes_is_of_one_state_or_none(lane, cloud, tmp_path, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.storage)
    objects, is_over, found = Objects(), threading.Event(), set()

    def write() -> None:
        for number in itertools.takewhile(lambda _: not is_over.is_set(), itertools.count()):
            for name in ("a", "b"):
                lane.upload(f"model/{name}", str(number).encode())

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        for _ in range(40):
            with suppress(TemporaryFault):
                copy = objects.copy_folder(f"gs://{lane.input}/model/", tmp_path)
                found.add(tuple(int((copy / name).read_text()) for name in "ab" if (copy / name).exists()))
        is_over.set()
        writing.result()
    copy = objects.copy_folder(f"gs://{lane.input}/model/", tmp_path)

    assert all(len(pair) < 2 or pair[0] - pair[1] in (0, 1) for pair in found), found
    assert (copy / "a").read_text() == (copy / "b").read_text()


@pytest.mark.parametrize("parts", [[b"What a wonderful day"], [b"What a ", b"wonderful day"]])
def test_a_text_that_was_stored_with_gzip_is_read_unpacked(lane, parts):
    name = "day.txt"
    generation = lane.upload(name, b"".join(map(gzip.compress, parts)), contentEncoding="gzip")

    answer = lane.ask("preprocess", lane.preprocess_body(name, generation))

    assert lane.content_of(answer["inputs"]).endswith(b"What a wonderful day")
