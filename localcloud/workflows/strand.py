"""One walk through the steps of an execution: main's, or that of a parallel branch.

Knows where it is, which variables it sees, and how a subworkflow or a function of the library is called. What
all strands of an execution have in common is in run.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from localcloud.workflows import connectors, library
from localcloud.workflows.blocks import Block, Return, Routine, Signal, Step
from localcloud.workflows.errors import Stopped, TraceElement, WorkflowError, error
from localcloud.workflows.expressions import FunctionReference
from localcloud.workflows.history import StepRecord
from localcloud.workflows.limits import CALL_DEPTH
from localcloud.workflows.scopes import Scope

if TYPE_CHECKING:
    from localcloud.workflows.parallel import Group
    from localcloud.workflows.run import Run


class Frame:
    """A routine that is being walked through; `record` is that of its current step."""

    __slots__ = ("caller", "record", "routine", "step")

    def __init__(self, routine: str, caller: Frame | None):
        self.routine, self.caller = routine, caller
        self.step: Step | None = None
        self.record: StepRecord | None = None

    def trace(self) -> list[TraceElement]:
        frames = [self]
        while frames[-1].caller:
            frames.append(frames[-1].caller)
        return [TraceElement(each.routine, each.step.name, each.step.line) for each in frames if each.step]


class Strand:
    """`groups` are those of the parallel steps it is a branch of, `depth` that of its calls."""

    def __init__(self, run: Run, frame: Frame, scope: Scope, groups: Sequence[Group] = (), depth: int = 0):
        self.run, self.scope, self.groups = run, scope, groups
        self.frame = frame
        self._depth = depth
        run.add_strand(self)

    @property
    def parallel_depth(self) -> int:
        return len(self.groups)

    @property
    def is_stopped(self) -> bool:
        return self.run.is_cancelled or any(group.is_stopped for group in self.groups)

    def branch(self, group: Group, shared: Sequence[str]) -> Strand:
        """Make a strand that goes on from this step, with copies of all variables but the shared."""
        frame = Frame(self.frame.routine, self.frame.caller)
        frame.step = self.frame.step
        return Strand(self.run, frame, self.scope.inner(shared), [*self.groups, group], self._depth)

    def end(self) -> None:
        self.scope.release()
        self.run.remove_strand(self)

    def run_block(self, block: Block) -> Signal | Return | None:
        """Walk through steps; return a signal that leads out of them."""
        steps, at = block.steps, 0
        while at < len(steps):
            signal = self._run_step(steps[at])
            if signal is None:
                at += 1
            elif isinstance(signal, Signal) and signal.target in block.positions:
                at = block.positions[signal.target]
            else:
                return signal
        return None

    def _run_step(self, step: Step) -> Signal | Return | None:
        frame = self.frame
        frame.step = step
        record = frame.record = StepRecord(frame.routine, step.name)
        try:
            self.count_step(record)
            return step.action.execute(self) or step.next
        except WorkflowError as failed:
            failed.trace = failed.trace or frame.trace()
            record.error = failed.message
            raise

    def count_step(self, record: StepRecord | None = None) -> None:
        """Count a step, a poll or another attempt; not to be gone on from if all is to stop."""
        self.check_stopped()
        self.run.count_step(record)

    def note_caught(self, caught: WorkflowError) -> None:
        """Have the step that tried show what it caught."""
        if self.frame.record:
            self.frame.record.error = caught.message

    def check_stopped(self) -> None:
        if self.is_stopped:
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """Let time of the execution pass."""
        self.run.wait_for(self, lambda: False, seconds)

    @contextmanager
    def inner_scope(self) -> Iterator[Scope]:
        outer = self.scope
        self.scope = outer.inner()
        try:
            yield self.scope
        finally:
            self.scope.release()
            self.scope = outer

    def look_up(self, name: str) -> Any:
        """Return a variable; or else a function, or a constant of the library."""
        if self.scope.has(name):
            return self.scope.get(name)
        if name in library.CONSTANTS:
            return library.CONSTANTS[name]
        if name in self.run.program or name in library.FUNCTIONS:
            return FunctionReference(name)
        return self.scope.get(name.partition(".")[0])  # which tells that it is missing

    def call(self, name: str, arguments: Sequence[Any]) -> Any:
        """Call by position, as expressions do."""
        routine = self.run.program.get(name)
        if routine:
            return self._call_routine(routine, _by_name(routine, arguments))
        if name in library.FUNCTIONS:
            return library.FUNCTIONS[name].call_by_position(self, arguments)
        return connectors.call_by_position(self, name, arguments)

    def call_step(self, name: str, arguments: Any) -> Any:
        """Call by name, as a call step does; such calls are logged."""
        with self.run.logged_call(self.frame, name, arguments) as logged:
            logged.result = self._call_by_name(name, arguments)
        return logged.result

    def _call_by_name(self, name: str, arguments: Any) -> Any:
        if not isinstance(arguments, dict):
            raise error("TypeError", f"the args of {name} are a map")
        routine = self.run.program.get(name)
        if routine:
            return self._call_routine(routine, arguments)
        if name in library.FUNCTIONS:
            return library.FUNCTIONS[name].call_by_name(self, arguments)
        return connectors.call(self, name, arguments)

    def _call_routine(self, routine: Routine, arguments: dict[str, Any]) -> Any:
        if self._depth >= CALL_DEPTH:
            raise error("RecursionError", f"calls may be {CALL_DEPTH} deep")
        outer_frame, outer_scope = self.frame, self.scope
        self._depth += 1
        self.frame, self.scope = Frame(routine.name, outer_frame), Scope(self.run.memory)
        try:
            return self.run_routine(routine, arguments)
        finally:
            self.scope.release()
            self.frame, self.scope = outer_frame, outer_scope
            self._depth -= 1

    def run_routine(self, routine: Routine, arguments: dict[str, Any]) -> Any:
        """Walk through a routine, in the frame and scope made for it; return its value."""
        for parameter in routine.parameters:
            if parameter.name in arguments:
                self.scope.set(parameter.name, arguments[parameter.name])
            elif parameter.is_required:
                raise error("TypeError", f"{routine.name} needs the argument {parameter.name}")
            else:
                self.scope.set(parameter.name, parameter.default)
        known = {parameter.name for parameter in routine.parameters}
        if unknown := arguments.keys() - known:
            raise error("TypeError", f"{routine.name} has no parameter {', '.join(sorted(unknown))}")
        signal = self.run_block(routine.block)
        return signal.value if isinstance(signal, Return) else None


def _by_name(routine: Routine, arguments: Sequence[Any]) -> dict[str, Any]:
    if len(arguments) > len(routine.parameters):
        raise error("TypeError", f"{routine.name} takes {len(routine.parameters)} arguments at most")
    return {parameter.name: value for parameter, value in zip(routine.parameters, arguments, strict=False)}
