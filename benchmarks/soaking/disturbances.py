"""What goes wrong in a soak: drawn at random from a seed, ordered from the emulated cloud.

The same seed gives the same tasks the same fates. Which request meets a fault depends also on the order in
which requests come, and that on the machine.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

Rules = list[dict[str, Any]]

# taken away, silent, rebooted, not answering, recreated: what Batch says of machines; and our own "try again"
LOST_MACHINES = (50001, 50002, 50003, 50004, 50006)
PASSING_FAULT = 75
KILLED = 137  # by SIGKILL, as for want of memory: Batch does not try that again
LOST_SHARE, LOST_TWICE_SHARE, KILLED_SHARE = 0.12, 0.25, 0.015
FATAL_EXECUTIONS = 2  # in later ones nothing is killed for good, so that there is an end
LATEST_SECONDS = 3.0  # a task takes about as long: some are struck before they begin, some after they wrote
STEPS = 12
EARLY_SECONDS = 0.5  # no stage is done so soon: the simulator alone, or pandas, takes as long to load
GHOST_SHARE, LEAST_GHOSTS = 0.02, 2  # of the tasks, run a second time
REQUESTS_A_TASK = 7  # that stage B reads from storage at least, to which a fault may come
CERTAIN_HITS = 20  # where as many are expected by chance, none comes once in 10^8 runs


def of_tasks(tasks: Sequence[int], execution: int, seed: int) -> Rules:
    """Return the rules of Batch for the tasks of an execution, counted from 0.

    In the first execution one task at least is killed for good, early; stages A and C are lost once in each.
    """
    draw = random.Random(f"{seed}/{execution}")
    struck: defaultdict[tuple[int, int, float], list[int]] = defaultdict(list)
    doomed = {draw.choice(tasks)} if execution == 0 else set()
    for index in tasks:
        if index in doomed:
            struck[KILLED, 0, LATEST_SECONDS / STEPS].append(index)
        elif execution < FATAL_EXECUTIONS and draw.random() < KILLED_SHARE:
            struck[KILLED, 0, _moment(draw)].append(index)
        elif draw.random() < LOST_SHARE:
            struck[draw.choice((*LOST_MACHINES, PASSING_FAULT)), 0, _moment(draw)].append(index)
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
    """Return how tasks of stage B must end at least, by exit code, where the rules of Batch are kept."""
    ends: Counter[int] = Counter()
    for rule in rules:
        if rule["job"] == "runner" and rule["attempts"] == [0] and rule["after_seconds"] <= EARLY_SECONDS:
            ends[rule["exit_code"]] += len(rule["tasks"])
    return ends


def number_of_ghosts(tasks: int) -> int:
    return min(tasks, max(LEAST_GHOSTS, round(GHOST_SHARE * tasks)))


def _moment(draw: random.Random) -> float:
    return round(draw.randrange(STEPS) * LATEST_SECONDS / STEPS, 3)


def of_requests(bucket: str, seed: int) -> Rules:
    """Return the rules for what is asked of storage, of Batch and of Workflows.

    The first requests to make a job or an execution meet one for certain: too few come to leave it to chance.
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
    """Return which of the rules of requests must have struck in a run of so many tasks, and have not.

    Of those of chance each service must have met one, and storage every one that so many tasks must meet.
    The rules are as the emulator tells them, with their hits.
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
    return missed + [f"{service}: nothing by chance" for service in SERVICES if not met[service]]


def kind_of(rule: dict[str, Any]) -> str:
    """Return whom a rule of requests strikes and with what, for a table."""
    return f"{service_of(rule)}: {_TOLD.get(rule['action'], '') or rule['status'] or 'slow'}"


def service_of(rule: dict[str, Any]) -> str:
    return next(name for name, part in SERVICES.items() if part in rule["path"])


SERVICES = {"Batch": "/jobs", "Workflows": "/executions", "storage": ""}  # and what their paths hold


_TOLD = {
    "reset": "cut",
    "reset_after": "answer lost",
    "truncate": "half an answer",
    "duplicate": "delivered twice",
}
