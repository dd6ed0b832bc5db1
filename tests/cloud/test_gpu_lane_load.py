"""The GPU lane under load and faults: every result is right, none is lost, and none is made twice."""

import json
import random
import threading
import time
from datetime import datetime

import pytest

from ops.gpu.names import SERVICES
from tests.emulated import names_in
from tests.gpu_lanes import PATIENT, gpu_lane
from tests.gpu_models import patient_file, units_of

NUM_FAULTS, UNITS = 1000, 30


@pytest.fixture(scope="module")
def lane(tmp_path_factory):
    """A lane with a model that takes its time; each shard has one unit."""
    arguments = ("--clock-speed", "200", "--idle-seconds", "100000")
    with gpu_lane(tmp_path_factory.mktemp("state"), *arguments, **PATIENT) as lane:
        yield lane


def test_twelve_uploads_at_once_on_three_instances_all_get_their_result(lane):
    names = [f"load-{number:02}.patient" for number in range(12)]
    # the last of four rounds waits longer than Cloud Run lets it, which is 3.5 times a mean start
    seconds = 2 * start_seconds(lane)
    processes = watch(lane)

    generations = {name: lane.upload(name, patient_file(name, seconds=seconds)) for name in names}
    for name, generation in generations.items():
        lane.done(name, generation)

    most = processes()
    assert 2 <= most <= 3
    assert {name: units(lane, name, generations[name]) for name in names} == {n: units_of(n) for n in names}
    refused = [e for e in lane.log("inference") if e.get("httpRequest", {}).get("status") == 429]
    assert refused  # they were asked again


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_instance_is_replaced_and_the_upload_gets_one_whole_result(lane, service):
    name = f"killed-{service}.patient"
    generation = lane.upload(name, patient_file(name, seconds=2, service=service))

    lane.kill(service)
    told = lane.done(name, generation)

    assert units(lane, name, generation) == units_of(name)
    assert [each.rpartition("/")[2] for each in lane.results(name)] == ["result.json", "units.json"]
    work = names_in(lane.emulator, lane.names.bucket("output"), f"work/{told['key']}/")
    assert [each.rpartition("/")[2] for each in work] == ["claim.json", "inputs", "shard-0-1"]
    assert len(lane.log(service, 'textPayload : "terminated on signal 9"')) == 1


def test_duplicates_of_an_event_that_come_while_the_first_is_at_work_name_it(lane):
    name = "five-times.patient"
    lane.deliver(name, 5)

    generation = lane.upload(name, patient_file(name, seconds=1))
    executions = lane.ended(name, number=5)

    told = {each["name"].rpartition("/")[2]: json.loads(each["result"]) for each in executions}
    (first,) = [execution for execution, answer in told.items() if "duplicate_of" not in answer]
    assert sorted(answer["status"] for answer in told.values()) == ["done", *["duplicate"] * 4]
    assert {answer.get("duplicate_of", first) for answer in told.values()} == {first}
    assert len(lane.predictions(f'jsonPayload.run_key = "{told[first]["key"]}"')) == 1
    assert units(lane, name, generation) == units_of(name)


def test_a_thousand_faults_of_calls_and_storage_lose_nothing_and_double_nothing(lane):
    before, hits, sent = len(lane.predictions()), [0], {}
    with lane.faults(*rules()):
        while sum(hits) < NUM_FAULTS:
            batch = [f"fault-{len(sent) + number:03}.patient" for number in range(8)]
            sent |= {name: lane.upload(name, patient_file(name, UNITS)) for name in batch}
            for name in batch:
                lane.ended(name)
            hits = lane.fault_hits()

    for name, generation in sent.items():
        lane.done(name, generation)
        assert units(lane, name, generation) == units_of(name, UNITS)
        assert len(lane.results(name)) == 2
    assert all(hits), dict(zip(map(str, rules()), hits, strict=True))
    assert len(lane.predictions()) == before + len(sent) * UNITS


def rules() -> list[dict]:
    """Return faults of every kind, each at random with a stream of its own."""
    seeds = random.Random(16)
    calls, storage = r"^/(preprocess|predict|postprocess)$", r"/b/ml-pipeline-[0-9a-f]+-output/o"

    def rule(path: str, probability: float, **fault) -> dict:
        return {"path": path, "probability": probability, "seed": seeds.randrange(1000), **fault}

    return [
        rule(calls, 0.07, status=429),
        rule(calls, 0.07, status=503),
        rule(calls, 0.05, action="reset"),
        rule(calls, 0.05, action="reset_after"),
        rule(calls, 0.05, action="truncate"),
        rule(calls, 0.03, tag="TimeoutError"),
        rule(r"/b/ml-pipeline-[0-9a-f]+-input/o/", 0.3, method="GET", status=503),
        rule(storage, 0.02, status=503),
        rule(storage, 0.01, action="reset"),
        rule(storage, 0.01, action="reset_after"),
        rule(storage, 0.01, action="truncate"),
    ]


def units(lane, name: str, generation: str) -> bytes:
    return lane.output(f"results/{name}/{generation}/units.json")


def start_seconds(lane) -> float:
    """Return how long the first instance took to start."""
    texts = ("Starting new instance", "HTTP probe succeeded")
    entries = [lane.log("inference", f'textPayload : "{text}"')[0] for text in texts]
    begun, ready = (datetime.fromisoformat(entry["timestamp"]) for entry in entries)
    return (ready - begun).total_seconds()


def watch(lane):
    """Count the processes of inference from now on; what is returned ends that, and tells the most."""
    counts, is_over = [0], threading.Event()

    def count() -> None:
        while not is_over.is_set():
            counts.append(len(lane.instances("inference")))
            time.sleep(0.1)

    thread = threading.Thread(target=count)
    thread.start()

    def most() -> int:
        is_over.set()
        thread.join()
        return max(counts)

    return most
