"""What an execution has gone through lately: a bounded history of its steps."""

import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from localcloud import times

MAX_RECORDS = 1000  # an execution; the oldest go first


@dataclass(slots=True)
class StepRecord:
    """A step that was begun; `error` is what went wrong in it, caught later or not."""

    routine: str
    step: str
    number: int = 0
    started: float = field(default_factory=time.time)
    error: str | None = None

    def resource(self) -> dict[str, Any]:
        started = times.at(self.started)
        shown = {"number": self.number, "routine": self.routine, "step": self.step, "startTime": started}
        return shown | ({"error": self.error} if self.error else {})


# Called with the execution's id at each step it begins.
OnStep = Callable[[str, StepRecord], None]


class History:
    """The newest steps, oldest first."""

    def __init__(self):
        self._records: deque[StepRecord] = deque(maxlen=MAX_RECORDS)

    def add(self, record: StepRecord) -> None:
        self._records.append(record)

    def resource(self, after: int = 0) -> list[dict[str, Any]]:
        return [record.resource() for record in self._records.copy() if record.number > after]


def print_step(execution: str, record: StepRecord) -> None:
    """Show a step on a terminal as it begins."""
    clock = datetime.fromtimestamp(record.started).strftime("%H:%M:%S")
    print(f"{clock}  {execution[:8]}  {record.routine} / {record.step}", file=sys.stderr, flush=True)
