"""Estimated cost of the machines of a run in the cloud so far, from the times of its tasks.

The cost before a run is in costs/estimates.py; the cost at its end is in its run_metadata.json
(scripts/pipeline/machine_costs.py). All use the same formula: Batch's time of a task includes its start,
which the others add to the time that tasks report.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ops.cloud.deployment import StageLimits
from ops.cloud.jobs import ENDED_JOB
from ops.cloud.prices import Machine, priced_machine, prices


@dataclass(frozen=True)
class Spending:
    """Machine hours and their cost at list prices."""

    machine_hours: float = 0.0
    usd: float = 0.0
    spot_usd: float = 0.0  # part of usd on Spot machines
    is_at_most: bool = False

    def in_a_line(self, so_far: bool) -> str:
        """Return the cost and its basis on one line."""
        usd = f"{'at most' if self.is_at_most else 'about'} ${self.usd:,.2f}{' so far' if so_far else ''}"
        spot = f", Spot at {prices()['spot_factor']:.0%}" if self.spot_usd else ""
        return (
            f"{usd} ({self.machine_hours:,.1f} machine hours with their start, "
            f"list prices of {prices()['as_of']}{spot})"
        )


def together(parts: Iterable[Spending]) -> Spending:
    """Return the cost of all stages of a run."""
    found = list(parts)
    return Spending(
        sum(part.machine_hours for part in found),
        sum(part.usd for part in found),
        sum(part.spot_usd for part in found),
        any(part.is_at_most for part in found),
    )


def spending_of(job: dict[str, Any], region: str, task_seconds: Sequence[float] | None) -> Spending:
    """Return the cost of a job of Batch so far.

    Parameters
    ----------
    task_seconds : sequence of float
        Run time of each task that has begun. None if unknown: then every machine counts for the run time of
        the job.
    """
    group = job["taskGroups"][0]
    on_machine = int(group.get("taskCountPerNode", 1))
    at_once = int(group.get("parallelism", group["taskCount"]))
    start_seconds = prices()["assumed"]["machine_start_seconds"]
    ran = _seconds_run(job["status"])
    if not ran and not task_seconds:
        return Spending()
    if task_seconds is None:
        hours = math.ceil(at_once / on_machine) * (ran + start_seconds) / 3600
    else:
        side_by_side = max(1, min(len(task_seconds), on_machine))
        machines = math.ceil(min(len(task_seconds), at_once) / side_by_side)
        hours = (sum(task_seconds) / side_by_side + machines * start_seconds) / 3600
    machine, model = _machine(job, on_machine, region)
    usd = hours * machine.usd(model)
    return Spending(hours, usd, usd if model == "SPOT" else 0.0, task_seconds is None)


def _seconds_run(status: dict[str, Any]) -> float:
    """Return the run time of a job; before its end, Batch may report only its events."""
    if ran := float(status.get("runDuration", "0s").removesuffix("s")):
        return ran
    events = status.get("statusEvents", [])
    times = [datetime.fromisoformat(event["eventTime"]) for event in events]
    begun = [
        time
        for event, time in zip(events, times, strict=True)
        if re.search(r"\bto RUNNING\b", event.get("description", ""))
    ]
    if not begun:
        return 0.0
    until = times[-1] if status.get("state") in ENDED_JOB else datetime.now(UTC)
    return max(0.0, (until - begun[0]).total_seconds())


def _machine(job: dict[str, Any], on_machine: int, region: str) -> tuple[Machine, str]:
    """Return the machine of a job, and its provisioning model."""
    policy = job["allocationPolicy"]["instances"][0].get("policy", {})
    asked = job["taskGroups"][0]["taskSpec"].get("computeResource", {})
    cpu_milli, memory_mib = int(asked.get("cpuMilli", 2000)), int(asked.get("memoryMib", 2000))
    limits = StageLimits(cpu_milli, memory_mib, policy.get("machineType", ""), 0)
    return priced_machine(limits, on_machine, region), policy.get("provisioningModel", "STANDARD")
