"""Null tasks, which run nothing, so that a job may have 100,000 of them.

A task is a null task if its job's image is named `null`, or if the emulator runs all tasks as null tasks. The
rules of faults.py decide how long it takes and its exit code; without a rule it succeeds at once. It logs
nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.batch.definition import JobSpec, spec_of
from localcloud.batch.faults import BatchFaults
from localcloud.batch.retries import OVER_TIME

IMAGE = "null"


@dataclass(frozen=True)
class Outcome:
    seconds: float  # of the emulator's clock
    exit_code: int


def is_null(spec: JobSpec) -> bool:
    return IMAGE in spec.images


def is_null_definition(definition: Mapping[str, Any]) -> bool:
    """Return whether the tasks of a job that is not created yet would be null tasks."""
    return is_null(spec_of(definition))


def outcome_of(spec: JobSpec, faults: BatchFaults, job_id: str, index: int, attempt: int) -> Outcome:
    """Return how an attempt ends: success, time limit or fault, whichever is first."""
    ends = [(faults.null_seconds(job_id), 0)]
    if spec.max_run_seconds is not None:
        ends.append((spec.max_run_seconds, OVER_TIME))
    if fault := faults.of_task(job_id, index, attempt):
        ends.append((fault.after_seconds, -fault.exit_code))
    # In a tie, the fault wins over success, and success over the time limit.
    seconds, exit_code = min(ends)
    return Outcome(seconds, abs(exit_code))
