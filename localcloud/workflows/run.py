"""A running execution: what its strands share, from memory to connections.

strand.py runs the steps; the record that remains of an execution is in executions.py.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from localcloud.identity import Identity
from localcloud.times import Clock
from localcloud.workflows.blocks import Program, Walker
from localcloud.workflows.call_log import CallLog, LoggedCall
from localcloud.workflows.callbacks import Callbacks
from localcloud.workflows.errors import limit_error
from localcloud.workflows.history import Frame, History, OnStep, StepRecord
from localcloud.workflows.http_client import HttpClient
from localcloud.workflows.limits import STEPS
from localcloud.workflows.parallel import Slots
from localcloud.workflows.scopes import Memory

ACCOUNT = "GOOGLE_CLOUD_SERVICE_ACCOUNT_NAME"  # variable with its e-mail
TOKEN = "localcloud"  # of nobody
_LONGEST_WAIT_SECONDS = 86_400.0  # real time, before the clock is read again


class Positioned(Walker, Protocol):
    """A strand whose current step can be shown."""

    frame: Frame


class Run:
    """The state of one execution; `cancel` ends it from outside, even in the middle of a sleep."""

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
        identity: Identity | None = None,
        token: str = TOKEN,
    ):
        """Build it; `token` is the access token of the workflow's account."""
        self.execution_id = execution_id
        self.program, self.environment, self.clock, self.http = program, environment, clock, http
        self.call_log, self.identity, self.token = call_log, identity or Identity(), token
        self.callbacks = Callbacks(callbacks_url)
        self.memory, self.slots, self.history = Memory(), Slots(), History()
        self.is_cancelled = False
        self._on_step = on_step
        self._numbers = itertools.count(1)
        self._strands: list[Positioned] = []
        self._wake = threading.Condition()

    def cancel(self) -> None:
        self.is_cancelled = True
        self.wake_all()
        self.http.interrupt()

    def current_steps(self) -> list[dict[str, str]]:
        """Return the innermost step of each strand, as the API shows it."""
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

    def add_strand(self, strand: Positioned) -> None:
        self._strands.append(strand)

    def remove_strand(self, strand: Positioned) -> None:
        self._strands.remove(strand)

    def wake_all(self) -> None:
        """Wake every waiting strand to check its condition again."""
        with self._wake:
            self._wake.notify_all()

    def wait_for(self, strand: Walker, is_there: Callable[[], bool], seconds: float) -> bool:
        """Wait up to `seconds` of the execution's clock; return whether `is_there`. Stops with the strand."""
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
