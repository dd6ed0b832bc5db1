"""The machines of a run, as who started its parts described them in RUN_SETUP, and what their time has cost.

Only a run in the cloud has RUN_SETUP. What is unknown is left out of run_metadata.json. A run may be resumed
with other settings, so each task keeps in its summary what it was given about its own machine, and stage C
adds that up. Batch tries a task again as a whole, with all its inputs; each input reports the attempt it ran
in, and an input that is killed reports nothing.
"""

import json
import math
from dataclasses import dataclass, field
from typing import Any


@dataclass
class TaskTries:
    """The tries of one task."""

    attempts: set[int] = field(default_factory=set)  # that were told of, the first is 0
    told_seconds: float = 0.0
    last_seconds: float = 0.0  # of the input that was told of last

    def add(self, attempt: int, seconds: float) -> None:
        self.attempts.add(attempt)
        self.told_seconds += seconds
        self.last_seconds = seconds

    @property
    def number(self) -> int:
        return 1 + max(self.attempts, default=-1)

    @property
    def busy_seconds(self) -> float:
        """Those that were told; a try that was killed before its first input ended is as long as the last."""
        return self.told_seconds + (self.number - len(self.attempts)) * self.last_seconds


@dataclass
class JobTries:
    """The tries of all tasks of a job.

    Inputs come in their order, and so those of a task one behind the other: only that task is kept.
    """

    tasks: int = 0
    _task: int | None = None
    _tries: TaskTries = field(default_factory=TaskTries)  # of that task
    _earlier_tries: int = 0  # of the tasks before it
    _earlier_seconds: float = 0.0

    def add(self, task: int | None, attempt: int, seconds: float) -> None:
        """Add an input, by its task; a stage of one task has no number for it."""
        if not self.tasks or task != self._task:
            self._earlier_tries, self._earlier_seconds = self.tries, self.busy_seconds
            self._task, self._tries = task, TaskTries()
            self.tasks += 1
        self._tries.add(attempt, seconds)

    @property
    def tries(self) -> int:
        return self._earlier_tries + self._tries.number

    @property
    def retries(self) -> int:
        return self.tries - self.tasks

    @property
    def busy_seconds(self) -> float:
        """How long tasks kept their machines busy, but for their starts."""
        return self._earlier_seconds + self._tries.busy_seconds


NUMBERS = ("max_parallelism", "machine_start_seconds")
STAGE_NUMBERS = ("tasks_per_machine", "usd_machine_hour")
TASK_START = "task_start_seconds"  # of each try; older versions do not tell it
UNSAID = (*NUMBERS, TASK_START)  # not of the machine, and needed for its cost alone


def parse_run_setup(text: str) -> dict[str, Any]:
    """Return RUN_SETUP; ValueError where it is not what ops/runs/run_setup.py writes."""
    try:
        setup = json.loads(text)
        stages = setup["stages"].values()
        numbers = [setup[name] for name in NUMBERS] + [s[name] for s in stages for name in STAGE_NUMBERS]
        numbers.append(setup.get(TASK_START, 0))
    except (ValueError, TypeError, KeyError, AttributeError):
        numbers = [None]
    if not _are_numbers(numbers):
        raise ValueError("JSON of the machines of a run, as `invoke run --cloud` writes it")
    return setup


def setup_of_task(setup: dict[str, Any] | None, stage: str, job: str) -> dict[str, Any]:
    """Return what a task of a stage knows of its own machine, for its summary; empty where nobody told."""
    told = (setup or {}).get("stages", {}).get(stage)
    if not told:
        return {}
    common = {name: value for name, value in setup.items() if name != "stages"}
    return common | told | {"job": job}


@dataclass
class MachineUse:
    """The jobs of a stage that ran on machines of one kind, under the same limits and prices."""

    told: dict[str, Any]
    jobs: dict[str, JobTries] = field(default_factory=dict)

    def usd(self) -> float:
        return sum(self._job_usd(job) for job in self.jobs.values())

    def describe(self) -> dict[str, Any]:
        """Return the machine for run_metadata.json; an empty type, which Batch chose, is left out."""
        kept = {name: value for name, value in self.told.items() if name not in UNSAID and value != ""}
        return kept | {
            "jobs": len(self.jobs),
            "tasks": sum(job.tasks for job in self.jobs.values()),
            "usd": round(self.usd(), 6),
        }

    def _job_usd(self, job: JobTries) -> float:
        side_by_side = max(1, min(job.tasks, self.told["tasks_per_machine"]))
        at_once = max(1, min(job.tasks, self.told["max_parallelism"]))
        started = math.ceil(at_once / side_by_side) * self.told["machine_start_seconds"]
        busy = job.busy_seconds + job.tries * self.told.get(TASK_START, 0)
        return (busy / side_by_side + started) / 3600 * self.told["usd_machine_hour"]


@dataclass
class StageMachines:
    """On what the tasks of a stage ran, added up; nothing is kept task by task."""

    kinds: dict[str, MachineUse] = field(default_factory=dict)
    unknown: dict[str, JobTries] = field(default_factory=dict)  # jobs that nobody told of their machines
    unknown_tries: int = 0  # of their inputs, those that told

    @property
    def retries(self) -> int:
        jobs = [job for kind in self.kinds.values() for job in kind.jobs.values()]
        return sum(job.retries for job in (*jobs, *self.unknown.values()))

    def add(self, used: dict[str, Any], task: int | None) -> None:
        """Take note of a try of an input, by its task."""
        told = used.get("setup", {})
        needed = [told.get(name) for name in (*NUMBERS, *STAGE_NUMBERS)] + [told.get(TASK_START, 0)]
        if _are_numbers(needed):
            kind = {name: value for name, value in told.items() if name != "job"}
            jobs = self.kinds.setdefault(json.dumps(kind, sort_keys=True), MachineUse(kind)).jobs
        else:
            jobs = self.unknown
            self.unknown_tries += 1
        job = jobs.setdefault(told.get("job", ""), JobTries())
        job.add(task, used.get("retry_attempt", 0), used.get("wall_seconds", 0.0))


def estimated_cost(machines: dict[str, StageMachines], inputs_without_record: int) -> dict[str, Any]:
    """Return what the machines of the stages have cost at least, by the time that their tasks told."""
    known = {name: each for name, each in machines.items() if each.kinds}
    stages = {name: round(sum(kind.usd() for kind in each.kinds.values()), 6) for name, each in known.items()}
    kinds = [kind.told for each in known.values() for kind in each.kinds.values()]
    if not kinds:
        return {}
    left_out = {
        "tries_left_out": sum(each.unknown_tries for each in machines.values()),
        "inputs_without_record": inputs_without_record,
    }
    return {
        "currency": "USD",
        "prices_as_of": sorted({told.get("prices_as_of", "") for told in kinds}),
        "stages_usd": stages,
        "total_usd": round(sum(stages.values()), 6),
        "rests_on": (
            f"seconds that tasks told of, {_each(kinds, 'machine_start_seconds')} s to start each machine "
            f"and {_each(kinds, TASK_START)} s each try, at the prices of ops/cloud/prices.json"
        ),
        "lower_bound_without": (
            "tries that were killed and never followed by one that could tell, stages A and C that failed; "
            "storage, logs, taxes and discounts"
        ),
        **{name: number for name, number in left_out.items() if number},
    }


def _each(kinds: list[dict[str, Any]], name: str) -> str:
    return " or ".join(str(number) for number in sorted({told.get(name, 0) for told in kinds}))


def _are_numbers(values) -> bool:
    return all(type(value) in (int, float) and value >= 0 for value in values)
