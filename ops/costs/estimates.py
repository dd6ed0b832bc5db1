"""Estimates of cost and duration of a run in the cloud.

Nothing here asks the cloud: prices come from prices.py, times of tasks from task_times.py. For each stage

    machine hours = (tasks x seconds of a task x (1 + share of retries) + machines x seconds to start) / 3600

and a machine works on `tasks_per_machine` tasks at once. The seconds of a task are those of its inputs and
of its start. The cost of a running run is computed in the same way in spending.py, that of a finished run in
scripts/pipeline/machine_costs.py.
"""

import math
from dataclasses import dataclass

from ops.cloud.deployment import StageLimits, stage_limits
from ops.cloud.prices import Machine, priced_machine, prices
from ops.costs.task_times import Measured, TaskTimes
from ops.manifests import Share
from ops.settings import Settings

MODELS = ("STANDARD", "SPOT")
MEMORY_STEP_MIB = 256
LEAST_MEMORY_MIB = 512
FULL_MEMORY = 0.9  # of the limit of a task: above it the next run may run out of memory
SPARE_MEMORY = 1.5  # times the measured peak: another location or day may need more
ONE_THREAD = 1.2  # CPU seconds per second of a task with one thread, and a little more


@dataclass(frozen=True)
class StageEstimate:
    """One stage on its machines."""

    stage: str
    machine: Machine
    tasks: int
    machines: int
    tasks_per_machine: int
    task_seconds: float  # of a whole task, which may take several inputs
    source: str  # of the seconds
    retry_shares: dict[str, float]

    def machine_hours(self, model: str) -> float:
        busy = math.ceil(self.tasks / self._at_once) * self._seconds(model)
        return (busy + self.machines * _start_seconds()) / 3600

    def usd(self, model: str) -> float:
        return self.machine_hours(model) * self.machine.usd(self._model(model))

    def wall_seconds(self, model: str) -> float:
        rounds = math.ceil(self.tasks / (self.machines * self._at_once))
        return _start_seconds() + rounds * self._seconds(model)

    @property
    def _at_once(self) -> int:
        return min(self.tasks, self.tasks_per_machine)

    def _seconds(self, model: str) -> float:
        return self.task_seconds * (1 + self.retry_shares[self._model(model)])

    def _model(self, model: str) -> str:
        """Return the provisioning model of the stage: stages A and C never use Spot machines."""
        return model if self.stage == "runner" else "STANDARD"


@dataclass(frozen=True)
class RunEstimate:
    """The stages of a run with a number of inputs."""

    workloads: int
    stages: tuple[StageEstimate, ...]
    settings: Settings

    def usd(self, model: str) -> float:
        return sum(stage.usd(model) for stage in self.stages)

    def wall_seconds(self) -> float:
        return sum(stage.wall_seconds(self.settings.provisioning_model) for stage in self.stages)

    def stage(self, name: str) -> StageEstimate:
        return next(stage for stage in self.stages if stage.stage == name)

    def warnings(self) -> list[str]:
        """Return the reasons why prices differ from those of the table, without duplicates."""
        return list(dict.fromkeys(each for stage in self.stages for each in stage.machine.warnings))


def estimate(settings: Settings, workloads: int, measured: Measured) -> RunEstimate:
    """Return the estimate for a number of inputs; without inputs only stages A and C run."""
    limits = stage_limits(settings)
    stages = [_single("builder", settings, limits["builder"], measured)]
    if workloads:
        stages.append(_wide(settings, limits["runner"], workloads, measured.stages["runner"]))
    if settings.run_output_stage:
        stages.append(_single("output", settings, limits["output"], measured))
    return RunEstimate(workloads, tuple(stages), settings)


def _single(stage: str, settings: Settings, limits: StageLimits, measured: Measured) -> StageEstimate:
    assumed = TaskTimes(prices()["assumed"]["seconds"][stage], "assumed")
    times = measured.stages.get(stage, assumed)
    return StageEstimate(
        stage=stage,
        machine=priced_machine(limits, 1, settings.region),
        tasks=1,
        machines=1,
        tasks_per_machine=1,
        task_seconds=times.seconds + prices()["assumed"]["task_start_seconds"],
        source=times.source,
        retry_shares=dict.fromkeys(MODELS, 0.0),
    )


def _wide(settings: Settings, limits: StageLimits, workloads: int, times: TaskTimes) -> StageEstimate:
    share = Share.of(workloads, settings.workloads_per_task)
    on_machine = settings.task_count_per_node
    at_once = min(share.num_tasks, settings.max_parallelism)
    assumed = prices()["assumed"]
    return StageEstimate(
        stage="runner",
        machine=priced_machine(limits, on_machine, settings.region),
        tasks=share.num_tasks,
        machines=-(-at_once // on_machine),
        tasks_per_machine=on_machine,
        task_seconds=times.seconds * min(share.workloads_per_task, workloads) + assumed["task_start_seconds"],
        source=times.source,
        retry_shares=assumed["retry_share"] | times.retry_shares,
    )


def _start_seconds() -> float:
    return prices()["assumed"]["machine_start_seconds"]


@dataclass(frozen=True)
class Suggestion:
    """Settings that may suit a run better, and why."""

    change: dict[str, int]  # settings by their names
    reason: str

    def __str__(self) -> str:
        return " ".join(f"{name.upper()}={value}" for name, value in self.change.items())

    def applied(self, settings: Settings) -> Settings:
        return settings.model_copy(update=self.change)


def suggestions(found: RunEstimate, measured: Measured) -> list[Suggestion]:
    """Return changes that make a run cheaper, or keep it from running out of memory."""
    if not found.workloads:
        return []
    times = measured.stages["runner"]
    ideas = [
        _longer_tasks(found, times),
        _fuller_machines(found, times),
        _fitting_memory(found.settings, times),
    ]
    return [idea for idea in ideas if idea]


def _longer_tasks(found: RunEstimate, times: TaskTimes) -> Suggestion | None:
    """Suggest more inputs a task if a task is shorter than the start of its machine."""
    runner, start = found.stage("runner"), _start_seconds()
    per_task = min(math.ceil(start / times.seconds), found.workloads)
    if runner.task_seconds >= start or per_task <= found.settings.workloads_per_task:
        return None
    reason = (
        f"a task takes {runner.task_seconds:.0f} s, its machine {start:.0f} s to start: "
        "with more inputs a task less time goes into starting"
    )
    return Suggestion({"workloads_per_task": per_task}, reason)


def _fuller_machines(found: RunEstimate, times: TaskTimes) -> Suggestion | None:
    """Suggest a task for each vCPU if tasks with one thread leave half of them idle."""
    runner, settings = found.stage("runner"), found.settings
    is_single = times.cpu_seconds is not None and times.cpu_seconds <= ONE_THREAD * times.seconds
    busy = settings.task_count_per_node
    if not is_single or runner.tasks == 1 or 2 * busy > runner.machine.vcpus:
        return None
    memory = settings.stage_b_memory_mib
    needed = _needed_mib(times) or memory
    fit = [n for n in range(busy + 1, runner.machine.vcpus + 1) if n * needed <= runner.machine.memory_mib]
    if not fit:
        return None
    on_machine = min(max(fit), runner.tasks)
    change = {"task_count_per_node": on_machine, "stage_b_cpu_milli": 1000}
    if on_machine * memory > runner.machine.memory_mib:
        change["stage_b_memory_mib"] = needed
    reason = (
        f"tasks have one thread, so {runner.machine.vcpus - busy} of {runner.machine.vcpus} vCPUs idle; "
        "two vCPUs are often one core, so tasks that run at the same time take longer: measure it"
    )
    return Suggestion(change, reason)


def _fitting_memory(settings: Settings, times: TaskTimes) -> Suggestion | None:
    """Suggest the measured memory and a reserve, if the setting is far from it."""
    needed, asked, peak = _needed_mib(times), settings.stage_b_memory_mib, times.peak_memory_mib
    if needed is None or (needed > asked / 2 and peak < FULL_MEMORY * asked):
        return None
    how_far = "close to" if peak >= FULL_MEMORY * asked else "much less than"
    return Suggestion(
        {"stage_b_memory_mib": needed},
        f"tasks took {peak:,.0f} MiB at most, {how_far} the {asked:,} that are set",
    )


def _needed_mib(times: TaskTimes) -> int | None:
    if times.peak_memory_mib is None:
        return None
    steps = math.ceil(times.peak_memory_mib * SPARE_MEMORY / MEMORY_STEP_MIB)
    return max(LEAST_MEMORY_MIB, steps * MEMORY_STEP_MIB)
