"""An execution while it runs: what its strands have in common, from memory to connections.

The record that stays of it is in executions.py.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from localcloud.workflows.blocks import MAIN, Program
from localcloud.workflows.call_log import CallLog, LoggedCall
from localcloud.workflows.callbacks import Callbacks
from localcloud.workflows.clock import Clock
from localcloud.workflows.errors import limit_error
from localcloud.workflows.history import History, OnStep, StepRecord
from localcloud.workflows.http_client import HttpClient
from localcloud.workflows.limits import STEPS
from localcloud.workflows.memory import Memory
from localcloud.workflows.parallel import Places
from localcloud.workflows.scopes import Scope
from localcloud.workflows.strand import Frame, Strand

_LONGEST_WAIT_SECONDS = 86_400.0  # of the wall, before the time is looked at again


class Run:
    """Runs main once; `cancel` ends it from outside, also in the middle of a sleep."""

    def __init__(
        self,
        execution_id: str,
        program: Program,
        environment: Mapping[str, str],
        clock: Clock,
        http: HttpClient,
        call_log: CallLog,
        callbacks_url: str = "",
        on_step: OnStep | None = None,
    ):
        self.execution_id = execution_id
        self.program, self.environment, self.clock, self.http = program, environment, clock, http
        self.call_log = call_log
        self.callbacks = Callbacks(callbacks_url)
        self.memory, self.places, self.history = Memory(), Places(), History()
        self.is_cancelled = False
        self._on_step = on_step
        self._numbers = itertools.count(1)
        self._strands: list[Strand] = []
        self._wake = threading.Condition()

    def start(self, argument: Any) -> Any:
        """Run main to its end and return its value.

        Raises
        ------
        WorkflowError
            What no step has caught.
        Stopped
            After `cancel`.
        """
        main = self.program[MAIN]
        strand = Strand(self, Frame(MAIN, None), Scope(self.memory))
        names = [parameter.name for parameter in main.parameters]
        try:
            value = strand.run_routine(main, dict.fromkeys(names, argument))
            self.memory.size_of(value)  # refuses what no variable could have held
            return value
        finally:
            self.http.close()

    def cancel(self) -> None:
        self.is_cancelled = True
        self.wake_all()
        self.http.interrupt()

    def current_steps(self) -> list[dict[str, str]]:
        """Return where each strand is, the innermost step only, as the API tells it."""
        frames = [strand.frame for strand in self._strands.copy()]
        return [{"routine": frame.routine, "step": frame.step.name} for frame in frames if frame.step]

    def count_step(self, record: StepRecord | None) -> None:
        number = next(self._numbers)
        if number > STEPS:
            raise limit_error(f"an execution may have {STEPS} steps")
        if record is None:
            return
        record.number = number
        self.history.add(record)
        if self._on_step:
            self._on_step(self.execution_id, record)

    def add_strand(self, strand: Strand) -> None:
        self._strands.append(strand)

    def remove_strand(self, strand: Strand) -> None:
        self._strands.remove(strand)

    def wake_all(self) -> None:
        """Have everything that waits look again for what it waits for."""
        with self._wake:
            self._wake.notify_all()

    def wait_for(self, strand: Strand, is_there: Callable[[], bool], seconds: float) -> bool:
        """Wait up to a time of the execution; return whether `is_there`. Stops with the strand."""
        until = self.clock.now() + seconds
        with self._wake:
            while not (strand.is_stopped or is_there()):
                left = self.clock.wall_seconds(until - self.clock.now())
                if left <= 0:
                    break
                self._wake.wait(min(left, _LONGEST_WAIT_SECONDS))
        strand.check_stopped()
        return is_there()

    @contextmanager
    def logged_call(self, frame: Frame, name: str, arguments: Any) -> Iterator[LoggedCall]:
        with self.call_log.call(frame.step.name, name, arguments) as logged:
            yield logged
