"""The machines of a run as who started its parts described them in RUN_SETUP, and what their time has cost.

Only a run in the cloud has one: what is not told is not known, and left out of run_metadata.json. A run may
go on with other settings, so each task keeps in its summary what it was told of its own machine, and stage C
adds that up.
"""

import json
import math
from dataclasses import dataclass, field
from typing import Any

NUMBERS = ("max_parallelism", "machine_start_seconds")
STAGE_NUMBERS = ("tasks_per_machine", "usd_machine_hour")
OF_A_JOB = ("job", "inputs_per_task")
UNSAID = ("max_parallelism", "machine_start_seconds")  # not of the machine, and needed for its cost alone


def parse_run_setup(text: str) -> dict[str, Any]:
    """Return RUN_SETUP; ValueError where it is not what ops/runs/run_setup.py writes."""
    try:
        setup = json.loads(text)
        stages = setup["stages"].values()
        numbers = [setup[name] for name in NUMBERS] + [s[name] for s in stages for name in STAGE_NUMBERS]
    except (ValueError, TypeError, KeyError, AttributeError):
        numbers = [None]
    if not _are_numbers(numbers):
        raise ValueError("JSON of the machines of a run, as `invoke run --cloud` writes it")
    return setup


def setup_of_task(
    setup: dict[str, Any] | None, stage: str, job: str, inputs_per_task: int | None
) -> dict[str, Any]:
    """Return what a task of a stage knows of its own machine, for its summary; empty where nobody told."""
    told = (setup or {}).get("stages", {}).get(stage)
    if not told:
        return {}
    common = {name: value for name, value in setup.items() if name != "stages"}
    return common | told | {"job": job, "inputs_per_task": inputs_per_task or 1}


@dataclass
class JobUse:
    """The tasks of one job: of how many inputs, and for how long they kept its machines busy."""

    inputs_per_task: int
    inputs: int = 0
    busy_seconds: float = 0.0

    @property
    def tasks(self) -> int:
        return math.ceil(self.inputs / self.inputs_per_task)


@dataclass
class MachineUse:
    """The jobs of a stage that ran on machines of one kind, under the same limits and prices."""

    told: dict[str, Any]
    jobs: dict[str, JobUse] = field(default_factory=dict)

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

    def _job_usd(self, job: JobUse) -> float:
        side_by_side = max(1, min(job.tasks, self.told["tasks_per_machine"]))
        at_once = max(1, min(job.tasks, self.told["max_parallelism"]))
        started = math.ceil(at_once / side_by_side) * self.told["machine_start_seconds"]
        return (job.busy_seconds / side_by_side + started) / 3600 * self.told["usd_machine_hour"]


@dataclass
class StageMachines:
    """On what the tasks of a stage ran, added up; nothing is kept task by task."""

    kinds: dict[str, MachineUse] = field(default_factory=dict)
    unknown_tries: int = 0  # of tasks that nobody told of their machines

    def add(self, tries_by_job: list[list[dict[str, Any]]]) -> None:
        """Take note of the tries of one task, those of a job together."""
        for tries in tries_by_job:
            told = tries[-1].get("setup", {})
            if not _are_numbers(told.get(name) for name in (*NUMBERS, *STAGE_NUMBERS, "inputs_per_task")):
                self.unknown_tries += len(tries)
                continue
            kind = {name: value for name, value in told.items() if name not in OF_A_JOB}
            use = self.kinds.setdefault(json.dumps(kind, sort_keys=True), MachineUse(kind))
            in_job = use.jobs.setdefault(told.get("job", ""), JobUse(max(1, told["inputs_per_task"])))
            in_job.inputs += 1
            seconds = [each.get("wall_seconds", 0.0) for each in tries]
            # those that were killed before they could tell are taken to be as long as the last one
            unseen = max(0, tries_of(tries) - len(tries))
            in_job.busy_seconds += sum(seconds) + unseen * seconds[-1]


def tries_of(tries: list[dict[str, Any]]) -> int:
    """Return how often a task was tried in one job, by what its tries say of themselves."""
    return 1 + max(each.get("retry_attempt", 0) for each in tries)


def estimated_cost(machines: dict[str, StageMachines]) -> dict[str, Any]:
    """Return what the machines of the stages have cost, by the time that their tasks took."""
    known = {name: each for name, each in machines.items() if each.kinds}
    stages = {name: round(sum(kind.usd() for kind in each.kinds.values()), 6) for name, each in known.items()}
    kinds = [kind.told for each in known.values() for kind in each.kinds.values()]
    if not kinds:
        return {}
    starts = " or ".join(str(number) for number in sorted({told["machine_start_seconds"] for told in kinds}))
    cost = {
        "currency": "USD",
        "prices_as_of": sorted({told.get("prices_as_of", "") for told in kinds}),
        "stages_usd": stages,
        "total_usd": round(sum(stages.values()), 6),
        "rests_on": (
            f"seconds of tasks and {starts} s to start each machine, at the prices "
            "of ops/costs/prices.json; without storage, logs, taxes and discounts"
        ),
    }
    without = sum(each.unknown_tries for each in machines.values())
    return cost | ({"tries_left_out": without} if without else {})


def _are_numbers(values) -> bool:
    return all(type(value) in (int, float) and value >= 0 for value in values)
