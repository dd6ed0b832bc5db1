"""A strand: one thread of control through the steps, that of main or of a parallel branch.

It knows its position and its variables, and calls subworkflows and library functions. What all strands of an
execution share is in run.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from localcloud.workflows import connectors, library
from localcloud.workflows.blocks import MAIN, Block, Return, Routine, Signal, Step, StopFlag
from localcloud.workflows.errors import Stopped, WorkflowError, error
from localcloud.workflows.expressions import FunctionReference
from localcloud.workflows.history import Frame, StepRecord
from localcloud.workflows.limits import CALL_DEPTH
from localcloud.workflows.run import Run
from localcloud.workflows.scopes import Scope


def run_main(run: Run, argument: Any) -> Any:
    """Run the main workflow to its end and return its value.

    Raises
    ------
    WorkflowError
        An error that no step caught.
    Stopped
        The run was cancelled.
    """
    main = run.program[MAIN]
    strand = Strand(run, Frame(MAIN, None), Scope(run.memory))
    names = [parameter.name for parameter in main.parameters]
    try:
        value = strand.run_routine(main, dict.fromkeys(names, argument))
        run.memory.size_of(value)  # refuses a value that no variable could hold
        return value
    finally:
        run.http.close()


class Strand:
    """`groups` are the parallel steps it is a branch of; `depth` is the number of nested calls."""

    def __init__(self, run: Run, frame: Frame, scope: Scope, groups: Sequence[StopFlag] = (), depth: int = 0):
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

    def branch(self, group: StopFlag, shared: Sequence[str]) -> Strand:
        """Return a strand that starts at this step, with copies of all variables except the shared ones."""
        frame = Frame(self.frame.routine, self.frame.caller)
        frame.step = self.frame.step
        return Strand(self.run, frame, self.scope.inner(shared), [*self.groups, group], self._depth)

    def end(self) -> None:
        self.scope.release()
        self.run.remove_strand(self)

    def run_block(self, block: Block) -> Signal | Return | None:
        """Run steps in order; return a signal that leads out of the block."""
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
        """Count a step, a poll or another attempt; raise Stopped if the strand is to stop."""
        self.check_stopped()
        self.run.count_step(record)

    def note_caught(self, caught: WorkflowError) -> None:
        """Show a caught error in the record of the step that caught it."""
        if self.frame.record:
            self.frame.record.error = caught.message

    def check_stopped(self) -> None:
        if self.is_stopped:
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """Wait, in seconds of the execution's clock."""
        self.wait_for(lambda: False, seconds)

    def wait_for(self, is_there: Callable[[], bool], seconds: float) -> bool:
        """Wait until `is_there` or the seconds have passed; return whether it is."""
        return self.run.wait_for(self, is_there, seconds)

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
        """Return the variable, library constant or function of this name."""
        if self.scope.has(name):
            return self.scope.get(name)
        if name in library.CONSTANTS:
            return library.CONSTANTS[name]
        if name in self.run.program or name in library.FUNCTIONS:
            return FunctionReference(name)
        return self.scope.get(name.partition(".")[0])  # raises: no such variable

    def call(self, name: str, arguments: Sequence[Any]) -> Any:
        """Call by position, as an expression does."""
        routine = self.run.program.get(name)
        if routine:
            return self._call_routine(routine, _by_name(routine, arguments))
        if name in library.FUNCTIONS:
            return library.FUNCTIONS[name].call_by_position(self, arguments)
        return connectors.call_by_position(self, name, arguments)

    def call_step(self, name: str, arguments: Any) -> Any:
        """Call by name, as a call step does, and log the call."""
        with self.run.logged_call(self.frame, name, arguments) as logged:
            logged.result = self._call_by_name(name, arguments)
        return logged.result

    def _call_by_name(self, name: str, arguments: Any) -> Any:
        if not isinstance(arguments, dict):
            raise error("TypeError", f"the args of {name} must be a map")
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
        """Run a routine in its own frame and scope and return its value."""
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
