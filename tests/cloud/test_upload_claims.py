"""One execution at a time works on an upload: duplicates, claims, and how a claim passes to the next."""

import threading

import pytest

from modeling.refusals import MAY_NOT_COUNT_YET
from tests.emulated import order_faults, post, request
from tests.null_clouds import wait_until
from tests.upload_lane import PATHS, error_of, result_of

DEAD = "0b9c1d2e-0000-4000-8000-000000000000"


def test_of_five_deliveries_of_an_event_one_makes_the_result(lane, services, cloud):
    post(f"{cloud.apis}/_emulator/eventarc", {"deliveries": {"a.txt": 5}})
    others_ended = threading.Event()
    services.order("/preprocess", others_ended)

    generation = lane.upload("a.txt")
    wait_until(lambda: sum(each["state"] == "SUCCEEDED" for each in lane.executions()) == 4)
    others_ended.set()
    executions = lane.all_ended(5)

    results = {each["name"].rpartition("/")[2]: result_of(each) for each in executions}
    [first] = [name for name, result in results.items() if result["status"] == "done"]
    others = [result for name, result in results.items() if name != first]
    assert (
        others == [{"status": "duplicate", "duplicate_of": first, "key": lane.key("a.txt", generation)}] * 4
    )
    assert [len(services.bodies(path)) for path in PATHS] == [1, 3, 1]


def test_a_delivery_after_the_result_names_the_execution_that_made_it(lane, services):
    generation = lane.upload("a.txt")
    [made] = lane.all_ended(1)
    first = made["name"].rpartition("/")[2]

    for _ in range(2):
        result = result_of(lane.run(bucket=lane.input, name="a.txt", generation=generation))

        assert result == {
            "status": "done",
            "key": lane.key("a.txt", generation),
            "result": result_of(made)["result"],
            "duplicate_of": first,
        }
    assert [len(services.bodies(path)) for path in PATHS] == [3, 3, 1]
    claim = lane.claim("a.txt", generation)
    assert (claim["first"], claim["result"]) == (first, result["result"])


def test_an_execution_that_only_looks_for_the_result_is_not_named_by_another(lane, services):
    generation = lane.upload("a.txt")
    [made] = lane.all_ended(1)
    first = made["name"].rpartition("/")[2]
    late = threading.Event()
    services.order("/preprocess", late)
    argument = {"bucket": lane.input, "name": "a.txt", "generation": generation}

    looking = lane.start(**argument)
    wait_until(lambda: len(services.bodies("/preprocess")) == 2)
    told_meanwhile = result_of(lane.run(**argument))
    late.set()

    assert told_meanwhile["duplicate_of"] == result_of(lane.ended(looking))["duplicate_of"] == first


def test_a_result_that_was_deleted_is_made_again(lane, services):
    generation = lane.upload("a.txt")
    lane.all_ended(1)
    services.results.clear()

    again = lane.start(bucket=lane.input, name="a.txt", generation=generation)
    result = result_of(lane.ended(again))

    assert "duplicate_of" not in result
    assert lane.claim("a.txt", generation)["first"] == again


def test_executions_that_begin_together_make_one_result(lane, services):
    generation = "17"
    argument = {"input": f"gs://{lane.input}/a.txt", "generation": generation}

    started = [lane.start(**argument) for _ in range(8)]
    results = {name: result_of(lane.ended(name)) for name in started}

    [first] = [name for name, result in results.items() if "duplicate_of" not in result]
    assert {result.get("duplicate_of", first) for result in results.values()} == {first}
    assert [len(services.bodies(path)) for path in PATHS[1:]] == [3, 1]


def test_the_claim_of_a_cancelled_execution_is_taken_over(lane, services):
    late = threading.Event()
    services.order("/preprocess", late)
    generation = lane.upload("a.txt")
    wait_until(lambda: services.calls)
    [first] = [each["name"].rpartition("/")[2] for each in lane.executions()]
    at_work = result_of(lane.run(bucket=lane.input, name="a.txt", generation=generation))
    lane.cancel(first)
    left = lane.claim("a.txt", generation)
    late.set()

    taken = result_of(lane.run(bucket=lane.input, name="a.txt", generation=generation))

    assert at_work["duplicate_of"] == left["execution"] == first
    assert (taken["status"], taken["units"]) == ("done", 6)
    assert "duplicate_of" not in taken


def test_of_executions_that_find_a_dead_claim_one_takes_it_over(lane, services):
    lane.put_claim("a.txt", "17", {"execution": DEAD})
    argument = {"input": f"gs://{lane.input}/a.txt", "generation": "17"}

    started = [lane.start(**argument) for _ in range(5)]
    results = [result_of(lane.ended(name)) for name in started]

    assert sum("duplicate_of" not in result for result in results) == 1
    assert [len(services.bodies(path)) for path in PATHS[1:]] == [3, 1]


def test_an_execution_that_could_not_release_its_claim_is_named_by_the_next(lane, services, cloud):
    release = {"method": "POST", "path": "/upload/.*claim", "status": 403, "skip": 1, "times": 1}
    order_faults(cloud, release)
    generation = lane.upload("a.txt")
    [made] = lane.all_ended(1)
    left = lane.claim("a.txt", generation)

    again = result_of(lane.run(bucket=lane.input, name="a.txt", generation=generation))

    first = made["name"].rpartition("/")[2]
    assert result_of(made)["units"] == 6
    assert (left["execution"], left["result"]) == (first, "")
    assert again["duplicate_of"] == first
    assert len(services.bodies("/postprocess")) == 1


@pytest.mark.parametrize("claim", [{}, [], {"execution": 3}], ids=str)
def test_a_claim_that_names_no_execution_is_refused_by_its_path(lane, services, claim):
    lane.put_claim("a.txt", "17", claim)

    error = error_of(lane.run(input=f"gs://{lane.input}/a.txt", generation="17"))

    path = f"gs://{lane.output}/work/{lane.key('a.txt', '17')}/claim.json"
    assert error["message"] == f"{path} names no execution; delete it and start again"
    assert not services.calls


@pytest.mark.parametrize(
    "fault",
    [
        {"path": "claim", "status": 503, "times": 6},
        {"path": "claim", "status": 429, "times": 6},
        {"path": "claim", "action": "reset_after", "times": 1},
        {"path": "claim", "action": "reset_after", "times": 1, "skip": 1},
        {"path": "claim", "action": "reset", "times": 3},
        {"path": "claim", "action": "truncate", "times": 1},
        {"path": "claim", "tag": "SystemError", "times": 2},
    ],
    ids=str,
)
def test_passing_faults_of_storage_do_not_show(lane, services, cloud, fault):
    order_faults(cloud, fault)

    result = result_of(lane.run(input=f"gs://{lane.input}/a.txt", generation="17"))

    assert result["units"] == 6
    assert lane.claim("a.txt", "17")["result"] == result["result"]
    [rule] = request("GET", f"{cloud.apis}/_emulator/faults").json()
    assert rule["hits"] == fault["times"]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_claim_that_may_not_be_written_ends_the_execution_with_the_reason(lane, services, cloud, status):
    order_faults(cloud, {"path": "claim", "status": status, "message": "no right"})

    error = error_of(lane.run(input=f"gs://{lane.input}/a.txt", generation="17"))

    claim = f"gs://{lane.output}/work/{lane.key('a.txt', '17')}/claim.json"
    perhaps_later = f"; {MAY_NOT_COUNT_YET}" if status == 403 else ""
    assert error["message"] == f"{claim} cannot be written: no right{perhaps_later}"
    assert not services.calls


@pytest.mark.parametrize("status", [403, 404])
def test_a_claim_that_is_gone_when_it_is_read_is_written_whatever_the_answer(lane, services, cloud, status):
    """Who may not list a bucket, as the workflow's account, is answered 403 where an object is missing."""
    order_faults(
        cloud,
        {"method": "POST", "path": "claim", "status": 412, "times": 1},
        {"method": "GET", "path": "claim", "status": status, "times": 1},
    )

    result = result_of(lane.run(input=f"gs://{lane.input}/a.txt", generation="17"))

    assert result["units"] == 6
    assert [rule["hits"] for rule in request("GET", f"{cloud.apis}/_emulator/faults").json()] == [1, 1]


def test_a_claim_that_is_there_and_may_not_be_read_ends_the_execution_with_the_reason(lane, services, cloud):
    lane.put_claim("a.txt", "17", {"execution": DEAD})
    order_faults(cloud, {"method": "GET", "path": "claim", "status": 403, "message": "no right"})

    error = error_of(lane.run(input=f"gs://{lane.input}/a.txt", generation="17"))

    claim = f"gs://{lane.output}/work/{lane.key('a.txt', '17')}/claim.json"
    said = f"{claim} exists, but it can neither be read nor replaced: no right; {MAY_NOT_COUNT_YET}"
    assert error["message"] == said
    assert not services.calls


def test_whether_the_claims_execution_has_ended_is_never_guessed(lane, services, cloud):
    lane.put_claim("a.txt", "17", {"execution": DEAD})
    order_faults(
        cloud, {"method": "GET", "path": f"/executions/{DEAD}", "status": 403, "message": "no right"}
    )

    error = error_of(lane.run(input=f"gs://{lane.input}/a.txt", generation="17"))

    assert (
        f"belongs to execution {DEAD}, and it is unknown whether that has ended: no right" in error["message"]
    )
    assert not services.calls


def test_an_execution_that_is_reported_missing_for_a_moment_keeps_its_claim(lane, services, cloud):
    late = threading.Event()
    services.order("/preprocess", late)
    generation = lane.upload("a.txt")
    wait_until(lambda: services.calls)
    [first] = [each["name"].rpartition("/")[2] for each in lane.executions()]
    order_faults(cloud, {"method": "GET", "path": f"/executions/{first}$", "status": 404, "times": 3})

    second = lane.start(bucket=lane.input, name="a.txt", generation=generation)
    late.set()

    assert result_of(lane.ended(second))["duplicate_of"] == first
