"""The workflow of uploads, started by uploads and by hand, with services that a test steers."""

import base64
import json

import pytest
import yaml

from localcloud.workflows.parser import parse_workflow
from modeling.refusals import MAY_NOT_COUNT_YET
from services.messages import MOST_BODY_BYTES
from tests.upload_lane import (
    ACCOUNT,
    PATHS,
    WORKFLOW,
    UploadLane,
    error_of,
    numbers,
    refusal,
    result_of,
)

MOST_LINES_OF_MAIN = 55  # fit a screen
SERVICES = {"/preprocess": "preprocess", "/predict": "inference", "/postprocess": "postprocess"}


def test_every_request_of_the_workflow_has_credentials_and_a_timeout():
    source = WORKFLOW.read_text(encoding="utf-8")

    parse_workflow(source)
    main = source.split("\nmain:\n")[1].split("\n\n")[0]
    calls = [each for each in _maps(yaml.safe_load(source)) if str(each.get("call")).startswith("http.")]

    assert len(main.splitlines()) <= MOST_LINES_OF_MAIN
    assert len(calls) == 5
    for call in calls:
        assert {"url", "auth", "timeout"} <= call["args"].keys(), call
        is_service = "run.urls" in call["args"]["url"]
        assert call["args"]["auth"]["type"] == ("OIDC" if is_service else "OAuth2")


def test_an_upload_becomes_a_result(lane, services):
    generation = lane.upload("week 05/admissions.csv")

    [execution] = lane.all_ended(1)

    result = result_of(execution)
    key = lane.key("week 05/admissions.csv", generation)
    folder = f"gs://{lane.output}/results/week 05/admissions.csv/{generation}/"
    seconds = result.pop("seconds")
    assert result == {
        "status": "done",
        "key": key,
        "result": f"{folder}result.json",
        "model": "m@1",
        "units": 6,
        "failed": [],
    }
    assert isinstance(seconds, int)
    identifier = execution["name"].rpartition("/")[2]
    work = f"gs://{lane.output}/work/{key}/"
    upload = {"input": f"gs://{lane.input}/week 05/admissions.csv", "generation": generation}
    made_of = {"model": "m@1", "inputs": f"{work}inputs", "sha256": "0" * 64}
    assert services.bodies("/preprocess") == [
        {"request_id": f"{identifier}/preprocess", "work": work, "result": folder, **upload}
    ]
    assert sorted(services.bodies("/predict"), key=lambda body: body["first"]) == [
        {
            "request_id": f"{identifier}/predict-{index}",
            "first": first,
            "count": 2,
            "out": f"{work}shard-{first}-2",
            "seed": 7,
            **made_of,
        }
        for index, first in enumerate((0, 2, 4))
    ]
    assert services.bodies("/postprocess") == [
        {
            "request_id": f"{identifier}/postprocess",
            "shards": [f"{work}shard-{first}-2" for first in (0, 2, 4)],
            "result": folder,
            **made_of,
            **upload,
        }
    ]


def test_an_upload_while_the_workflow_is_deployed_anew_is_not_lost(lane, services):
    lane.delete()
    lane.upload("a.txt")
    lane.deploy()

    [execution] = lane.all_ended(1)

    assert result_of(execution)["units"] == 6


def test_services_are_called_as_the_workflows_account_and_by_the_step(lane, services):
    lane.upload("a.txt")
    lane.all_ended(1)

    for (_, body), headers in zip(services.calls, services.headers, strict=True):
        assert headers["x-request-id"] == body["request_id"]
        claims = _claims(headers["authorization"])
        assert (claims["email"], claims["aud"]) == (ACCOUNT.format("workflow"), services.url)


def test_an_upload_is_named_by_hand_in_two_ways(lane, services):
    name = "in/a b.txt"

    by_reference = result_of(lane.run(input=f"gs://{lane.input}/{name}", generation="17"))
    services.results.clear()
    in_parts = result_of(lane.run(bucket=lane.input, name=name, generation=17))

    assert by_reference["key"] == in_parts["key"] == lane.key(name, "17")
    assert by_reference["result"] == in_parts["result"]
    assert [body["input"] for body in services.bodies("/preprocess")] == [f"gs://{lane.input}/{name}"] * 2


@pytest.mark.parametrize(
    ("name", "is_ignored"),
    [
        ("folder/", True),
        ("a/b/", True),
        (".hidden", True),
        ("a/.b/c.csv", True),
        ("a/.c", True),
        ("gcloud/tmp/parallel_composite_uploads/see_gcloud_storage_cp_help_for_details/x_0", True),
        ("a/b.csv", False),
        ("a./b..csv", False),
    ],
)
def test_folders_hidden_files_and_parts_of_files_are_ignored(lane, services, name, is_ignored):
    lane.upload(name)

    [execution] = lane.all_ended(1)

    assert (result_of(execution) == {"status": "ignored", "name": name}) == is_ignored
    assert (not services.calls) == is_ignored


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ({}, "the argument must be an event of Cloud Storage, "),
        ({"input": "gs://b/n"}, "the argument must be "),
        ({"input": "b/n", "generation": "1"}, "the argument must be "),
        ({"input": "gs://b/", "generation": "1"}, "the argument must be "),
        ({"bucket": "b", "name": "n", "generation": "newest"}, "the argument must be "),
        ({"check": False}, "the argument must be "),
        ({"imput": "gs://b/n", "generation": "1"}, "unknown argument imput; the argument must be "),
    ],
    ids=str,
)
def test_an_argument_that_names_no_upload_is_refused(lane, services, argument, said):
    error = error_of(lane.run(**argument))

    assert error["message"].startswith(said)
    assert not services.calls


def test_a_new_generation_is_another_upload(lane, services):
    first = lane.upload("a.txt", b"1")
    lane.all_ended(1)
    second = lane.upload("a.txt", b"2")
    executions = lane.all_ended(2)

    folder = f"gs://{lane.output}/results/a.txt/"
    results = [result_of(each)["result"] for each in executions]
    assert results == [f"{folder}{first}/result.json", f"{folder}{second}/result.json"]
    assert len(services.results) == 2


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "passing",
    [
        refusal(429, "busy", retry=True),
        refusal(503, "busy", retry=True),
        (502, "<html>"),
        (504, "<html>"),
        (500, "<html>Error: Server Error"),
        refusal(500, "internal", retry=None),
        "cut",
        "half",
    ],
    ids=str,
)
def test_what_passes_is_repeated(lane, services, path, passing):
    services.order(path, *[passing] * 4)

    lane.upload("a.txt")
    [execution] = lane.all_ended(1)

    assert result_of(execution)["units"] == 6
    usual = {"/preprocess": 1, "/predict": 3, "/postprocess": 1}
    assert {each: len(services.bodies(each)) for each in PATHS} == {**usual, path: usual[path] + 4}


def test_what_does_not_pass_in_ten_minutes_ends_the_execution(lane, services):
    services.order("/preprocess", *[refusal(503, "no instance is free", retry=True)] * 11)

    generation = lane.upload("a.txt")
    [execution] = lane.all_ended(1)

    assert error_of(execution)["message"] == "preprocess: no instance is free"
    assert len(services.calls) == 11
    assert lane.claim("a.txt", generation) is None


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
def test_a_lasting_refusal_ends_the_execution_with_the_services_own_line(lane, services, path, status):
    services.order(path, refusal(status, "row 14: the column value is missing"))

    generation = lane.upload("a.txt")
    [execution] = lane.all_ended(1)

    error = error_of(execution)
    identifier = execution["name"].rpartition("/")[2]
    assert error["message"] == f"{SERVICES[path]}: row 14: the column value is missing"
    assert error["code"] == status
    assert error["request_id"].startswith(f"{identifier}/")
    assert error["key"] == lane.key("a.txt", generation)
    refused = [body for body in services.bodies(path) if body["request_id"] == error["request_id"]]
    assert len(refused) == 1
    assert lane.claim("a.txt", generation) is None
    again = lane.run(bucket=lane.input, name="a.txt", generation=generation)
    assert result_of(again)["units"] == 6


def test_a_refusal_of_the_platform_is_told_by_its_code(lane, services):
    services.order("/preprocess", (403, "<html>Your client does not have permission"))

    lane.upload("a.txt")
    [execution] = lane.all_ended(1)

    said = f"preprocess: HTTP server responded with error code 403; {MAY_NOT_COUNT_YET}"
    assert error_of(execution)["message"] == said
    assert len(services.calls) == 1


def test_an_answer_that_is_no_json_ends_the_execution(lane, services):
    services.order("/preprocess", (200, "<html>Welcome"))

    lane.upload("a.txt")
    [execution] = lane.all_ended(1)

    assert error_of(execution)["message"] == "preprocess: the answer to /preprocess is not JSON"


def test_after_a_shard_that_fails_for_good_no_other_begins(lane, services):
    services.shards = services.units = 12
    services.order("/predict", refusal(422, "shard 0 is odd"))

    lane.upload("a.txt")
    [execution] = lane.all_ended(1)

    assert error_of(execution)["message"] == "inference: shard 0 is odd"
    assert len(services.bodies("/predict")) <= 3
    assert not services.bodies("/postprocess")


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_no_more_shards_are_predicted_at_once_than_the_deployment_allows(cloud, services, limit):
    services.shards = services.units = 12
    lane = UploadLane(cloud, services, next(numbers), MAX_SHARDS_AT_ONCE=str(limit))

    lane.upload("a.txt")
    lane.all_ended(1)

    assert min(limit, 2) <= services.most_at_once["/predict"] <= limit


def test_a_run_of_53_units_stays_far_below_the_limits(lane, services):
    services.shards = services.units = 53
    name = "/".join(["x" * 90] * 10)  # nearly as long as a name may be

    generation = lane.upload(name)
    [execution] = lane.all_ended(1)

    assert result_of(execution)["units"] == 53
    assert lane.peak_bytes(execution) < 100 * 1024
    [body] = services.bodies("/postprocess")
    assert len(json.dumps(body)) < MOST_BODY_BYTES / 4
    key = lane.key(name, generation)
    assert body["shards"] == [f"gs://{lane.output}/work/{key}/shard-{index}-1" for index in range(53)]


def test_a_check_asks_the_three_services_for_their_health(lane, services):
    health = result_of(lane.run(check=True))

    assert health.keys() == {"preprocess", "inference", "postprocess"}
    assert all(each["status"] == "ok" and each["device"] == "cpu" for each in health.values())
    assert [path for path, _ in services.calls] == ["/health"] * 3
    assert {_claims(headers["authorization"])["aud"] for headers in services.headers} == {services.url}


def test_a_check_names_each_service_that_is_not_healthy(lane, services):
    services.order("/health", *[refusal(503, "loading")] * 4, refusal(404, "no such service"))

    error = error_of(lane.run(check=True))

    assert error["message"] == "preprocess: loading; inference: no such service"
    assert error["health"].keys() == {"postprocess"}


def _maps(value):
    """Yield every map within a value."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from _maps(each)


def _claims(authorization):
    payload = authorization.removeprefix("Bearer ").split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
