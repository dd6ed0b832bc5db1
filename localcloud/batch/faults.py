"""Faults of Batch that a test sets: lost machines, queues that do not move, tasks that fail.

POST /_emulator/batch/faults takes a JSON list of rules, GET shows them, DELETE or a reset clears them. `job`
is a regular expression, searched in the job's id. There are four kinds of rule:

    {"job": "runner", "tasks": [3, 17], "attempts": [0], "exit_code": 50001, "after_seconds": 0.5}
    {"job": "runner", "probability": 0.1, "seed": 7, "exit_code": 50002}

ends these attempts of these tasks (all, if none are listed) with the code: 50001 is a preemption, 50002 a
machine that no longer reports, 50006 a machine that was recreated, 1 to 255 an exit code of the task itself.
A running task is killed with all its children; after 0 seconds (the default) it is not even started. With a
probability, the seed, job id, task and attempt decide, so that the same job always has the same faults.

    {"job": "builder", "queue": "CODE_GCE_QUOTA_EXCEEDED", "seconds": 30}

keeps a job QUEUED, with an event that contains the text, for this many seconds of the emulator's clock, or,
without `seconds`, until the rule is cleared or the job has waited as long as the service allows.

    {"job": "runner", "at_once": 3}

lets no more than this many tasks of a job run at once, whatever its parallelism: there are too few machines.

    {"job": "runner", "null_seconds": 2.5}

lets null tasks (see null_tasks.py) take this many seconds of the emulator's clock.
"""

import re
import threading
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from localcloud.faults import (
    PATTERN,
    PROBABILITY,
    WHOLE_NUMBER,
    Allowed,
    check_fields,
    check_room,
    is_number,
    is_whole_number,
    rule_list,
)
from localcloud.messages import ApiError


@dataclass(frozen=True)
class TaskFault:
    exit_code: int
    job: str = ""
    tasks: frozenset[int] | None = None
    attempts: frozenset[int] | None = None
    after_seconds: float = 0.0
    probability: float = 1.0
    seed: int = 0

    def strikes(self, job_id: str, index: int, attempt: int) -> bool:
        if self.tasks is not None and index not in self.tasks:
            return False
        if self.attempts is not None and attempt not in self.attempts:
            return False
        if not re.search(self.job, job_id):
            return False
        if self.probability >= 1:
            return True
        drawn = blake2b(f"{self.seed}/{job_id}/{index}/{attempt}".encode(), digest_size=8).digest()
        return int.from_bytes(drawn) < self.probability * 2**64


@dataclass(frozen=True)
class QueueFault:
    queue: str  # text of the event
    job: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Shortage:
    at_once: int  # tasks of a job
    job: str = ""


@dataclass(frozen=True)
class NullDuration:
    null_seconds: float
    job: str = ""


Rule = TaskFault | QueueFault | Shortage | NullDuration


class BatchFaults:
    """The rules in force, in order; the first that applies decides."""

    def __init__(self):
        self._rules: list[Rule] = []
        self._as_sent: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def add(self, rules: Any) -> None:
        """Add rules as a test sends them; one mistake refuses them all."""
        parsed = [_parse(rule) for rule in rule_list(rules, "Faults of Batch")]
        with self._lock:
            check_room(len(self._rules) + len(parsed))
            self._rules = [*self._rules, *parsed]  # a new list, because others may be reading the old one
            self._as_sent += rules

    def clear(self) -> None:
        with self._lock:
            self._rules, self._as_sent = [], []

    def describe(self) -> list[dict[str, Any]]:
        return list(self._as_sent)

    def of_task(self, job_id: str, index: int, attempt: int) -> TaskFault | None:
        for rule in self._rules:
            if isinstance(rule, TaskFault) and rule.strikes(job_id, index, attempt):
                return rule
        return None

    def of_queue(self, job_id: str) -> QueueFault | None:
        return self._of_job(QueueFault, job_id)

    def at_once(self, job_id: str, parallelism: int) -> int:
        """Return the number of tasks of a job that may run at once."""
        found = self._of_job(Shortage, job_id)
        return min(found.at_once, parallelism) if found else parallelism

    def null_seconds(self, job_id: str) -> float:
        found = self._of_job(NullDuration, job_id)
        return found.null_seconds if found else 0.0

    def _of_job(self, kind: type, job_id: str) -> Any:
        matching = (r for r in self._rules if isinstance(r, kind) and re.search(r.job, job_id))
        return next(matching, None)


def _parse(values: dict[str, Any]) -> Rule:
    kind = next((each for name, each in _KINDS.items() if name in values), None)
    if kind is None:
        raise ApiError(400, f"A fault rule of Batch needs one of {', '.join(_KINDS)}.")
    check_fields(values, _FIELDS[kind])
    return kind(**{name: frozenset(v) if isinstance(v, list) else v for name, v in values.items()})


def _are_whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_whole_number, value))


def _is_exit_code(value: Any) -> bool:
    return is_whole_number(value) and (1 <= value <= 255 or 50000 <= value <= 50006)


_WHOLE_NUMBERS = Allowed("a list of whole numbers of at least 0", _are_whole_numbers)
_SECONDS = Allowed("a number of at least 0", is_number)

# The field that decides the kind of a rule, and the fields that each kind may have.
_KINDS = {"exit_code": TaskFault, "queue": QueueFault, "at_once": Shortage, "null_seconds": NullDuration}
_FIELDS: dict[type, dict[str, Allowed]] = {
    TaskFault: {
        "job": PATTERN,
        "tasks": _WHOLE_NUMBERS,
        "attempts": _WHOLE_NUMBERS,
        "exit_code": Allowed("a whole number from 1 to 255 or from 50000 to 50006", _is_exit_code),
        "after_seconds": _SECONDS,
        "probability": PROBABILITY,
        "seed": WHOLE_NUMBER,
    },
    QueueFault: {
        "job": PATTERN,
        "queue": Allowed("the text of an event", lambda value: isinstance(value, str) and bool(value)),
        "seconds": Allowed(
            "a number of at least 0, or null for no end", lambda value: value is None or is_number(value)
        ),
    },
    Shortage: {"job": PATTERN, "at_once": WHOLE_NUMBER},
    NullDuration: {"job": PATTERN, "null_seconds": _SECONDS},
}
