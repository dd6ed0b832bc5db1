"""The faults of a soak, drawn at random from a seed and requested from the emulated cloud.

The same seed gives the same faults to the same tasks. Which request meets a fault also depends on the order
of the requests, and so on the machine.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

Rules = list[dict[str, Any]]

# exit codes of Batch for machines: preempted, silent, rebooted, not answering, recreated; and our "try again"
LOST_MACHINES = (50001, 50002, 50003, 50004, 50006)
TEMPORARY_FAULT = 75
KILLED = 137  # by SIGKILL, as without memory; Batch does not retry it
LOST_SHARE, LOST_TWICE_SHARE, KILLED_SHARE = 0.12, 0.25, 0.015
FATAL_EXECUTIONS = 2  # no task is killed in later ones, so that the soak ends
EARLY_SECONDS = 0.05  # no stage ends earlier: bash and Python take as long to start
# about the length of a task: some are hit before they start, some after they have written
MOMENTS = (0, EARLY_SECONDS, *(step / 4 for step in range(1, 12)))  # seconds
DUPLICATE_SHARE, LEAST_DUPLICATES = 0.02, 2  # of the tasks, run a second time
REQUESTS_A_TASK = 7  # stage B reads storage at least this often; a fault may hit each read
CERTAIN_HITS = 20  # expected by chance; then none at all occurs once in 10^8 runs


def of_tasks(tasks: Sequence[int], execution: int, seed: int) -> Rules:
    """Return the faults of Batch for the tasks of an execution; executions count from 0.

    In the first one, at least one task is killed early. Stages A and C are lost once in each.
    """
    draw = random.Random(f"{seed}/{execution}")
    struck: defaultdict[tuple[int, int, float], list[int]] = defaultdict(list)
    doomed = {draw.choice(tasks)} if execution == 0 else set()
    for index in tasks:
        if index in doomed:
            struck[KILLED, 0, EARLY_SECONDS].append(index)
        elif execution < FATAL_EXECUTIONS and draw.random() < KILLED_SHARE:
            struck[KILLED, 0, _moment(draw)].append(index)
        elif draw.random() < LOST_SHARE:
            struck[draw.choice((*LOST_MACHINES, TEMPORARY_FAULT)), 0, _moment(draw)].append(index)
            if draw.random() < LOST_TWICE_SHARE:
                struck[draw.choice(LOST_MACHINES), 1, _moment(draw)].append(index)
    rules = [
        {"job": "runner", "tasks": indices, "attempts": [attempt], "exit_code": code, "after_seconds": after}
        for (code, attempt, after), indices in struck.items()
    ]
    return [
        *rules,
        *(
            {
                "job": stage,
                "attempts": [0],
                "exit_code": draw.choice(LOST_MACHINES),
                "after_seconds": EARLY_SECONDS,
            }
            for stage in ("builder", "output")
        ),
    ]


def certain_ends(rules: Rules) -> Counter[int]:
    """Return the least number of tasks of stage B that must end with each exit code under these rules."""
    ends: Counter[int] = Counter()
    for rule in rules:
        if rule["job"] == "runner" and rule["attempts"] == [0] and rule["after_seconds"] <= EARLY_SECONDS:
            ends[rule["exit_code"]] += len(rule["tasks"])
    return ends


def number_of_duplicates(tasks: int) -> int:
    return min(tasks, max(LEAST_DUPLICATES, round(DUPLICATE_SHARE * tasks)))


def _moment(draw: random.Random) -> float:
    return draw.choice(MOMENTS)


def of_requests(bucket: str, seed: int) -> Rules:
    """Return the faults for requests to storage, Batch and Workflows.

    The first requests that create a job or an execution always get a fault: they are too few for chance.
    """
    objects = f"/b/{bucket}/o"
    jobs, executions = r"/locations/[^/]+/jobs", r"/workflows/[^/]+/executions"
    certain: Rules = [
        {"method": "POST", "path": rf"{executions}$", "status": 503, "times": 1},
        {"method": "POST", "path": rf"{executions}$", "action": "reset_after", "times": 1},
        {"method": "POST", "path": rf"{jobs}\?jobId=builder", "action": "reset_after", "times": 1},
        {"method": "POST", "path": rf"{jobs}\?jobId=runner", "action": "duplicate", "times": 1},
        {"method": "POST", "path": rf"{jobs}\?jobId=output", "status": 503, "times": 2},
        {"method": "POST", "path": rf"{objects}.*execution\.json", "action": "reset_after", "times": 1},
        {"method": "DELETE", "path": rf"{objects}.*execution\.json", "action": "reset_after", "times": 1},
    ]
    chances: Rules = [
        {"path": objects, "status": 503, "probability": 0.02},
        {"path": objects, "status": 429, "probability": 0.01},
        {"path": objects, "action": "reset", "probability": 0.01},
        {"path": objects, "action": "reset_after", "probability": 0.01},
        {"method": "GET", "path": objects, "action": "truncate", "probability": 0.01},
        {"path": objects, "action": "duplicate", "probability": 0.02},
        {"path": objects, "latency_seconds": 0.3, "probability": 0.05},
        {"path": objects, "latency_seconds": 2.0, "probability": 0.003},
        *(
            rule
            for path in (jobs, executions)
            for rule in (
                {"path": path, "status": 503, "probability": 0.05},
                {"path": path, "status": 429, "probability": 0.05},
                {"path": path, "action": "reset_after", "probability": 0.03},
            )
        ),
    ]
    return [*certain, *({**rule, "seed": seed + number} for number, rule in enumerate(chances))]


def unstruck(rules: Rules, tasks: int) -> list[str]:
    """Return the request faults that were certain in a run of this many tasks and did not occur.

    Each service must have had a random fault, and storage every fault that is certain in a run of this size.

    Parameters
    ----------
    rules : list of dict
        As the emulator returns them, with their hits.
    """
    met: Counter[str] = Counter()
    missed = []
    for rule in rules:
        by_chance, service = rule["times"] is None, service_of(rule)
        met[service] += rule["hits"] if by_chance else 0
        expected = REQUESTS_A_TASK * tasks * rule["probability"] if service == "storage" else 0
        least = rule["times"] or int(expected >= CERTAIN_HITS)
        if rule["hits"] < least:
            missed.append(f"{kind_of(rule)}, {rule['hits']} of {least} ({rule['path']})")
    return missed + [f"{service}: no random fault" for service in SERVICES if not met[service]]


def kind_of(rule: dict[str, Any]) -> str:
    """Return service and fault of a rule, for a table."""
    return f"{service_of(rule)}: {_SHOWN.get(rule['action'], '') or rule['status'] or 'slow'}"


def service_of(rule: dict[str, Any]) -> str:
    return next(name for name, part in SERVICES.items() if part in rule["path"])


SERVICES = {"Batch": "/jobs", "Workflows": "/executions", "storage": ""}  # each with a part of its paths


_SHOWN = {
    "reset": "cut",
    "reset_after": "answer lost",
    "truncate": "half an answer",
    "duplicate": "delivered twice",
}
