"""The machines of a run as RUN_SETUP describes them, and what their time has cost.

Only a run in the cloud has RUN_SETUP. What is unknown is left out of run_metadata.json. A run may be resumed
with other settings, so each task keeps the description of its own machine in its summary, and stage C adds
them up. Batch retries a task as a whole, with all its inputs; each input reports the attempt it ran in, and
an input that is killed reports nothing.
"""

import json
import math
from dataclasses import dataclass, field
from typing import Any

NUMBERS = ("max_parallelism", "machine_start_seconds")
STAGE_NUMBERS = ("tasks_per_machine", "usd_machine_hour")
TASK_START = "task_start_seconds"  # of each attempt; older versions do not report it
NOT_OF_THE_MACHINE = (*NUMBERS, TASK_START)  # needed for the cost alone

# -- RUN_SETUP


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
    """Return the machine of a task of a stage, for the task's summary; empty where it is unknown."""
    of_stage = (setup or {}).get("stages", {}).get(stage)
    if not of_stage:
        return {}
    common = {name: value for name, value in setup.items() if name != "stages"}
    return common | of_stage | {"job": job}


# -- attempts


@dataclass
class TaskAttempts:
    """The attempts of one task."""

    reported: set[int] = field(default_factory=set)  # attempts in which an input ended; the first is 0
    reported_seconds: float = 0.0
    last_seconds: float = 0.0  # of the input that reported last

    def add(self, attempt: int, seconds: float) -> None:
        self.reported.add(attempt)
        self.reported_seconds += seconds
        self.last_seconds = seconds

    @property
    def number(self) -> int:
        return 1 + max(self.reported, default=-1)

    @property
    def busy_seconds(self) -> float:
        """Reported seconds; an attempt that reported none counts as long as the last input."""
        return self.reported_seconds + (self.number - len(self.reported)) * self.last_seconds


@dataclass
class JobAttempts:
    """The attempts of all tasks of a job.

    Inputs are added in order, those of a task one after another, so only the current task is kept.
    """

    tasks: int = 0
    _task: int | None = None
    _current: TaskAttempts = field(default_factory=TaskAttempts)
    _earlier_attempts: int = 0  # of the tasks before it
    _earlier_seconds: float = 0.0

    def add(self, task: int | None, attempt: int, seconds: float) -> None:
        """Add an input, by its task; None for a stage of one task, which has no number."""
        if not self.tasks or task != self._task:
            self._earlier_attempts, self._earlier_seconds = self.attempts, self.busy_seconds
            self._task, self._current = task, TaskAttempts()
            self.tasks += 1
        self._current.add(attempt, seconds)

    @property
    def attempts(self) -> int:
        return self._earlier_attempts + self._current.number

    @property
    def retries(self) -> int:
        return self.attempts - self.tasks

    @property
    def busy_seconds(self) -> float:
        """Seconds that tasks kept their machines busy, without their starts."""
        return self._earlier_seconds + self._current.busy_seconds


# -- machines


@dataclass
class MachineUse:
    """The jobs of a stage on machines of one kind, under the same limits and prices."""

    setup: dict[str, Any]
    jobs: dict[str, JobAttempts] = field(default_factory=dict)

    def usd(self) -> float:
        return sum(self._job_usd(job) for job in self.jobs.values())

    def describe(self) -> dict[str, Any]:
        """Return the machine for run_metadata.json, without its type where Batch chose it."""
        shown = {
            name: value
            for name, value in self.setup.items()
            if name not in NOT_OF_THE_MACHINE and value != ""
        }
        return shown | {
            "jobs": len(self.jobs),
            "tasks": sum(job.tasks for job in self.jobs.values()),
            "usd": round(self.usd(), 6),
        }

    def _job_usd(self, job: JobAttempts) -> float:
        side_by_side = max(1, min(job.tasks, self.setup["tasks_per_machine"]))
        at_once = max(1, min(job.tasks, self.setup["max_parallelism"]))
        started = math.ceil(at_once / side_by_side) * self.setup["machine_start_seconds"]
        busy = job.busy_seconds + job.attempts * self.setup.get(TASK_START, 0)
        return (busy / side_by_side + started) / 3600 * self.setup["usd_machine_hour"]


@dataclass
class StageMachines:
    """The machines of a stage's tasks, added up; nothing is kept task by task."""

    kinds: dict[str, MachineUse] = field(default_factory=dict)
    unknown: dict[str, JobAttempts] = field(default_factory=dict)  # jobs whose machines are unknown
    unknown_attempts: int = 0  # reported attempts of their inputs

    @property
    def retries(self) -> int:
        jobs = [job for kind in self.kinds.values() for job in kind.jobs.values()]
        return sum(job.retries for job in (*jobs, *self.unknown.values()))

    def add(self, used: dict[str, Any], task: int | None) -> None:
        """Add an attempt of an input, by its task."""
        setup = used.get("setup", {})
        needed = [setup.get(name) for name in (*NUMBERS, *STAGE_NUMBERS)] + [setup.get(TASK_START, 0)]
        if _are_numbers(needed):
            kind = {name: value for name, value in setup.items() if name != "job"}
            jobs = self.kinds.setdefault(json.dumps(kind, sort_keys=True), MachineUse(kind)).jobs
        else:
            jobs = self.unknown
            self.unknown_attempts += 1
        job = jobs.setdefault(setup.get("job", ""), JobAttempts())
        job.add(task, used.get("retry_attempt", 0), used.get("wall_seconds", 0.0))


def estimated_cost(machines: dict[str, StageMachines], inputs_without_record: int) -> dict[str, Any]:
    """Return a lower bound of what the machines of the stages have cost, from the reported seconds."""
    known = {name: each for name, each in machines.items() if each.kinds}
    stages = {name: round(sum(kind.usd() for kind in each.kinds.values()), 6) for name, each in known.items()}
    setups = [kind.setup for each in known.values() for kind in each.kinds.values()]
    if not setups:
        return {}
    left_out = {
        "tries_left_out": sum(each.unknown_attempts for each in machines.values()),
        "inputs_without_record": inputs_without_record,
    }
    # keys and wording are those of earlier versions, so that the files of all runs are alike
    return {
        "currency": "USD",
        "prices_as_of": sorted({setup.get("prices_as_of", "") for setup in setups}),
        "stages_usd": stages,
        "total_usd": round(sum(stages.values()), 6),
        "rests_on": (
            f"seconds that tasks told of, {_each(setups, 'machine_start_seconds')} s to start each machine "
            f"and {_each(setups, TASK_START)} s each try, at the prices of ops/cloud/prices.json"
        ),
        "lower_bound_without": (
            "tries that were killed and never followed by one that could tell, stages A and C that failed; "
            "storage, logs, taxes and discounts"
        ),
        **{name: number for name, number in left_out.items() if number},
    }


def _each(setups: list[dict[str, Any]], name: str) -> str:
    return " or ".join(str(number) for number in sorted({setup.get(name, 0) for setup in setups}))


def _are_numbers(values) -> bool:
    return all(type(value) in (int, float) and value >= 0 for value in values)
