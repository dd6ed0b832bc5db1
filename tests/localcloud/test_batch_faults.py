"""Faults set for the emulated Batch: lost machines, and queues that do not move."""

import json
import math
import time

import pytest

from tests.localcloud.jobs import exit_codes, job, null, says, shell

RETRIED = {
    "maxRetryCount": 3,
    "lifecyclePolicies": [{"action": "RETRY_TASK", "actionCondition": {"exitCodes": [50001, 50002, 50006]}}],
}


def test_chosen_attempts_of_chosen_tasks_are_preempted_and_the_next_succeed(jobs):
    jobs.order(
        {"job": "preempted", "tasks": [1, 3], "attempts": [0], "exit_code": 50001},
        {"job": "preempted", "tasks": [3], "attempts": [1], "exit_code": 50006},
    )

    ended = jobs.run(job(shell("echo $BATCH_TASK_INDEX"), count=4, spec=RETRIED), "preempted")

    assert ended["status"]["state"] == "SUCCEEDED"
    assert [exit_codes(task) for task in jobs.tasks(ended)] == [[], [50001], [], [50001, 50006]]
    assert sorted(jobs.lines(ended)) == list("0123")
    assert any("the Spot VM was preempted" in line for line in jobs.lines(ended, "batch_agent_logs"))


def test_a_preemption_kills_a_running_task(jobs):
    jobs.order({"attempts": [0], "exit_code": 50002, "after_seconds": 0.5})
    text = '[ "$BATCH_TASK_RETRY_ATTEMPT" = 1 ] || { echo begun; sleep 600; }'

    ended = jobs.run(job(shell(text), spec=RETRIED))

    assert ended["status"]["state"] == "SUCCEEDED"
    assert jobs.lines(ended) == ["begun"]
    assert exit_codes(jobs.tasks(ended)[0]) == [50002]


def test_a_seed_decides_which_tasks_are_preempted(jobs):
    def struck(seed, name):
        jobs.clear_faults()
        jobs.order({"exit_code": 50001, "probability": 0.2, "seed": seed})
        tasks = jobs.tasks(jobs.run(job(null(), count=500), name))
        jobs.delete({"name": f"/{name}"})
        return {index for index, task in enumerate(tasks) if exit_codes(task)}

    first = struck(1, "seeded")

    assert struck(1, "seeded") == first != struck(2, "seeded")
    assert 60 < len(first) < 140


def test_null_tasks_take_the_time_and_have_the_exit_codes_of_the_rules(jobs):
    jobs.order({"job": "slow", "null_seconds": 0.4}, {"job": "slow", "tasks": [2], "exit_code": 9})
    begun = time.monotonic()

    ended = jobs.run(job(null(), count=4, parallelism=2), "slow")
    late = jobs.run(job(null(), spec={"maxRunDuration": "0.1s"}), "slow-and-late")

    assert 0.8 <= time.monotonic() - begun < 10
    assert [exit_codes(task) for task in jobs.tasks(ended)] == [[], [], [9], []]
    assert exit_codes(jobs.tasks(late)[0]) == [50005]


def test_a_shortage_of_machines_limits_the_tasks_that_run_at_once(jobs):
    jobs.order({"job": "short", "null_seconds": 100}, {"job": "short", "at_once": 2})

    made = jobs.create(job(null(), count=5, parallelism=5), "short")

    deadline = time.monotonic() + 20
    while _counts(jobs, made) != {"PENDING": 3, "RUNNING": 2}:
        assert time.monotonic() < deadline, _counts(jobs, made)
        time.sleep(0.02)
    time.sleep(0.3)
    assert _counts(jobs, made) == {"PENDING": 3, "RUNNING": 2}


def _counts(jobs, made) -> dict[str, int]:
    groups = jobs.get(made)["status"].get("taskGroups", {})
    counts = groups.get("group0", {}).get("counts", {})
    return {state: int(number) for state, number in counts.items() if int(number)}


@pytest.mark.parametrize("seconds", [0.5, None])
def test_a_queue_that_does_not_move_keeps_a_job_queued_and_says_why(jobs, seconds):
    jobs.order({"job": "stuck", "queue": "CODE_GCE_QUOTA_EXCEEDED", "seconds": seconds})

    made = jobs.create(job(null()), f"stuck-{seconds}".replace(".", "-").lower())

    time.sleep(0.3)
    waiting = jobs.get(made)
    assert waiting["status"]["state"] == "QUEUED"
    assert says(waiting, "CODE_GCE_QUOTA_EXCEEDED")
    if seconds is None:
        time.sleep(0.5)
        assert jobs.state(made) == "QUEUED"
        jobs.clear_faults()
    assert jobs.wait(made)["status"]["state"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            {"exit_code": 50007},
            "exit_code 50007; it takes a whole number from 1 to 255 or from 50000 to 50006.",
        ),
        ({"exit_code": 0}, "exit_code 0"),
        ({"exit_code": 1, "task": [1]}, "has no field task; it has job, tasks"),
        ({"job": "("}, "needs one of exit_code, queue, at_once, null_seconds."),
        ({"exit_code": 1, "job": "("}, "job '('; it takes a regular expression."),
        ({"queue": ""}, "queue ''; it takes the text of an event."),
        ({"queue": "x", "seconds": -1}, "seconds -1; it takes a number of at least 0, or null for no end."),
        ({"exit_code": 1, "tasks": 3}, "tasks 3; it takes a list of whole numbers of at least 0."),
        ({"exit_code": 1, "after_seconds": math.inf}, "Infinity is not a number"),
        ("x", "must be a JSON object"),
    ],
)
def test_a_rule_with_a_mistake_is_refused(api, rule, said):
    answer = api("POST", "/_emulator/batch/faults", data=json.dumps([rule]))

    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


def test_rules_are_shown_and_cleared(jobs, api):
    rule = {"job": "none", "exit_code": 137}
    jobs.order(rule)

    assert api("GET", "/_emulator/batch/faults").json() == [rule]
    assert api("DELETE", "/_emulator/batch/faults").json() == []
