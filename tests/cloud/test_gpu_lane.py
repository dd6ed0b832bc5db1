"""The GPU lane end to end on an emulated cloud, deployed by the real gcloud: uploads, results, logs."""

import json
import re

import pytest
import requests

from ops.gpu.destroy import destroy
from ops.gpu.found import look
from tests.cloud_runs import PROJECT, REGION
from tests.experiments import sampled
from tests.gpu_lanes import SENTENCE, gpu_lane, until
from tests.operators import Operator


@pytest.fixture(scope="module")
def lane(tmp_path_factory):
    """A lane whose idle instances stop after six seconds, which are a quarter of an hour."""
    with gpu_lane(tmp_path_factory.mktemp("state"), "--clock-speed", "150") as lane:
        yield lane


def test_an_uploaded_sentence_becomes_a_result_by_one_execution(lane, tmp_path):
    file = tmp_path / "test-input.txt"
    file.write_bytes(SENTENCE)

    lane.cloud.read(["storage", "cp", str(file), f"gs://{lane.names.bucket('input')}"], echo=False)
    (execution,) = lane.ended("test-input.txt", number=1)

    assert execution["state"] == "SUCCEEDED", execution.get("error")
    told = json.loads(execution["result"])
    generation = json.loads(execution["argument"])["data"]["generation"]
    place = f"gs://{lane.names.bucket('output')}/results/test-input.txt/{generation}/"
    assert told["result"] == f"{place}result.json"
    result = lane.result("test-input.txt", generation)
    assert (result["summary"]["label"], result["device"], result["units"]) == ("positive", "cpu", 1)
    assert lane.results("test-input.txt") == [
        f"results/test-input.txt/{generation}/{name}" for name in ("result.json", "sentiment.json")
    ]


def test_five_duplicates_of_an_event_give_one_result_by_one_prediction(lane):
    lane.deliver("weekly.txt", 5)

    generation = lane.upload("weekly.txt", SENTENCE)
    executions = lane.ended("weekly.txt", number=5)

    assert [each["state"] for each in executions] == ["SUCCEEDED"] * 5
    told = {each["name"].rpartition("/")[2]: json.loads(each["result"]) for each in executions}
    (first,) = [name for name, answer in told.items() if "duplicate_of" not in answer]
    assert {answer.get("duplicate_of", first) for answer in told.values()} == {first}
    assert len({answer["key"] for answer in told.values()}) == 1
    assert len(lane.predictions(f'jsonPayload.run_key = "{told[first]["key"]}"')) == 1
    assert len(lane.results("weekly.txt", generation)) == 2


def test_an_overwritten_upload_gets_a_result_of_its_own_and_the_first_stays(lane):
    first = lane.upload("again.txt", SENTENCE)
    lane.done("again.txt", first)
    before = {name: lane.output(name) for name in lane.results("again.txt")}

    second = lane.upload("again.txt", b"This is terrible. I hate it.")
    lane.done("again.txt", second)

    assert lane.result("again.txt", second)["summary"]["label"] == "negative"
    assert {name: lane.output(name) for name in before} == before
    assert len(lane.results("again.txt")) == 2 * len(before)


def test_nobody_outside_reaches_a_service_but_the_workflow_tells_their_health(lane):
    host = f"{lane.names.service('inference')}-123456789012.us-central1.run.app"

    outside = requests.get(f"{lane.emulator.apis}/health", headers={"Host": host}, timeout=10)
    health = lane.check()

    assert outside.status_code == 404
    assert {name: answer["status"] for name, answer in health.items()} == {
        "preprocess": "ok",
        "inference": "ok",
        "postprocess": "ok",
    }
    assert {answer["version"] for answer in health.values()} == {"local"}  # an image has its commit
    assert {answer["device"] for answer in health.values()} == {"cpu"}


def test_the_logs_of_an_execution_share_its_id_and_its_key(lane):
    generation = lane.upload("logged.txt", SENTENCE)
    told = lane.done("logged.txt", generation)
    (execution,) = lane.executions("logged.txt")
    execution_id = execution["name"].rpartition("/")[2]

    lines = {
        service: lane.log(service, f'jsonPayload.run_key = "{told["key"]}"')
        for service in ("preprocess", "inference", "postprocess")
    }

    asked = [entry["jsonPayload"]["request_id"] for entries in lines.values() for entry in entries]
    assert asked == [f"{execution_id}/{step}" for step in ("preprocess", "predict-0", "postprocess")]
    times = [entry["timestamp"] for entries in lines.values() for entry in entries]
    assert times == sorted(times)
    assert {e["jsonPayload"]["execution_id"] for entries in lines.values() for e in entries} == {execution_id}
    assert all(entry["trace"] for entries in lines.values() for entry in entries)


def test_gpu_logs_prints_the_lines_of_one_upload_in_order_of_time(lane, tmp_path):
    told = lane.done("printed.txt", lane.upload("printed.txt", SENTENCE))
    lane.done("other.txt", lane.upload("other.txt", SENTENCE))
    (execution,) = lane.executions("printed.txt")
    operator = Operator(tmp_path, sampled())
    operator.environ |= {**lane.cloud.shell.environment, "PROJECT_ID": PROJECT, "REGION": REGION}

    newest = operator.invoke("gpu-logs", "--run", told["key"])
    every = operator.invoke("gpu-logs", "--run", told["key"], "--limit", "all")
    nothing = operator.invoke("gpu-logs", "--run", "0123456789abcdef")

    assert newest.exit_code == 0, newest.output
    assert newest.lines[0].startswith(f"upload {told['key']}, services {lane.names.stem}-*, since ")
    line = r"(\S+Z)  (\S+) +INFO     /\w+: done in \d+\.\d\d s  (\S+)"
    times, services, asked = zip(
        *(re.fullmatch(line, each).groups() for each in newest.lines[1:]), strict=True
    )
    assert services == ("preprocess", "inference", "postprocess")
    execution_id = execution["name"].rpartition("/")[2]
    assert asked == tuple(f"{execution_id}/{step}" for step in ("preprocess", "predict-0", "postprocess"))
    assert list(times) == sorted(times)
    assert every.lines[1:] == newest.lines[1:]
    assert nothing.exit_code == 0
    assert nothing.last_line.startswith(
        "no matching lines of upload 0123456789abcdef in the logs of the services"
    )


def test_an_idle_service_has_no_instance_and_the_next_upload_starts_one(lane):
    lane.done("first.txt", lane.upload("first.txt", SENTENCE))
    for _ in until(30):
        if not lane.instances():
            break
    assert lane.instances() == []
    started = len(starts(lane))

    lane.done("second.txt", lane.upload("second.txt", SENTENCE))

    assert len(starts(lane)) == started + 1
    stops = lane.log("inference", 'textPayload = "Shutting down the instance."')
    assert len(stops) == started


def test_a_repeated_deployment_makes_only_what_is_missing_and_waits_for_the_agent_of_eventarc(lane):
    trigger = ["eventarc", "triggers", "delete", lane.names.trigger, *lane.cloud.in_region]
    lane.cloud.read(trigger, echo=False)
    not_yet = {"message": "Permission denied while using the Eventarc Service Agent", "status": 403}

    with lane.faults({"method": "POST", "path": r"/triggers\?", "times": 1, **not_yet}):
        titles = lane.deploy()

    assert titles == ["create the trigger"]
    assert lane.done("repeated.txt", lane.upload("repeated.txt", SENTENCE))["status"] == "done"


def test_a_removal_leaves_nothing_in_the_project_and_the_lane_can_be_deployed_again(lane):
    before = look(lane.cloud, lane.names)

    destroy(lane.cloud, lambda text: None, delete_data=True, tell=lambda title, seconds: None)

    assert [len(each) for each in parts(before)] == [5, 3, 3, 1, 1, 6]
    assert [len(each) for each in parts(look(lane.cloud, lane.names))] == [0] * 6
    assert lane.instances() == []
    lane.add_images()
    lane.deploy()
    assert lane.done("anew.txt", lane.upload("anew.txt", SENTENCE))["status"] == "done"


def parts(found) -> tuple:
    return found.accounts, found.buckets, found.services, found.workflows, found.triggers, found.grants


def starts(lane) -> list:
    return lane.log("inference", 'textPayload : "Starting new instance."')
