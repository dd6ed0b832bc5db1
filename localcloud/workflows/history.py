"""Where an execution is and what it ran last: frames of routines, and a bounded history of steps."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from localcloud import times
from localcloud.workflows.blocks import Step
from localcloud.workflows.errors import TraceElement

MAX_RECORDS = 1000  # of an execution; the oldest are dropped first


@dataclass(slots=True)
class StepRecord:
    """A step that was started; `error` is its error, whether it was caught later or not."""

    routine: str
    step: str
    number: int = 0
    started: float = field(default_factory=time.time)
    error: str | None = None

    def resource(self) -> dict[str, Any]:
        started = times.at(self.started)
        shown = {"number": self.number, "routine": self.routine, "step": self.step, "startTime": started}
        return shown | ({"error": self.error} if self.error else {})


# Called with the execution's id at the start of each step.
OnStep = Callable[[str, StepRecord], None]


class Frame:
    """A routine that is running; `record` belongs to its current step."""

    __slots__ = ("caller", "record", "routine", "step")

    def __init__(self, routine: str, caller: Frame | None):
        self.routine, self.caller = routine, caller
        self.step: Step | None = None
        self.record: StepRecord | None = None

    def trace(self) -> list[TraceElement]:
        """Return the current step of this routine and of each caller, the innermost first."""
        frames = [self]
        while frames[-1].caller:
            frames.append(frames[-1].caller)
        return [TraceElement(each.routine, each.step.name, each.step.line) for each in frames if each.step]


class History:
    """The newest steps, oldest first."""

    def __init__(self):
        self._records: deque[StepRecord] = deque(maxlen=MAX_RECORDS)

    def add(self, record: StepRecord) -> None:
        self._records.append(record)

    def resource(self, after: int = 0) -> list[dict[str, Any]]:
        return [record.resource() for record in self._records.copy() if record.number > after]


def print_step(execution: str, record: StepRecord) -> None:
    """Print a step to standard error as it starts."""
    clock = datetime.fromtimestamp(record.started).strftime("%H:%M:%S")
    print(f"{clock}  {execution[:8]}  {record.routine} / {record.step}", file=sys.stderr, flush=True)
