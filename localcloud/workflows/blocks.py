"""A parsed workflow: routines of blocks of steps, the ways out of a step, and what a step may ask for.

Steps and expressions know the strand that runs them only as a `Walker`, so none of them imports strand.py.
What the steps do is in actions.py, loops.py, attempts.py and parallel.py; parser.py builds all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from localcloud.identity import Identity
    from localcloud.times import Clock
    from localcloud.workflows.call_log import CallLog
    from localcloud.workflows.callbacks import Callbacks
    from localcloud.workflows.errors import WorkflowError
    from localcloud.workflows.http_client import HttpClient

MAIN = "main"


@dataclass(frozen=True, slots=True)
class Signal:
    """Where to go on: at the step `target`, or as BREAK, CONTINUE and END say."""

    target: str


@dataclass(frozen=True, slots=True)
class Return:
    """The routine ends, with a value."""

    value: Any


BREAK, CONTINUE, END = Signal("break"), Signal("continue"), Signal("end")
RESERVED = {signal.target: signal for signal in (BREAK, CONTINUE, END)}


class Action(Protocol):
    """What a step does; a signal it returns replaces the step's own `next`."""

    def execute(self, strand: Walker) -> Signal | Return | None: ...


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    line: int
    action: Action
    next: Signal | None = None


@dataclass(slots=True)
class Block:
    """Steps in order; a jump goes to the innermost enclosing block that has the step."""

    steps: Sequence[Step]
    positions: Mapping[str, int] = field(init=False)

    def __post_init__(self):
        self.positions = {step.name: number for number, step in enumerate(self.steps)}


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    is_required: bool = True
    default: Any = None


@dataclass(frozen=True, slots=True)
class Routine:
    """The main workflow or a subworkflow."""

    name: str
    parameters: Sequence[Parameter]
    block: Block


Program = Mapping[str, Routine]


class Variables(Protocol):
    """The variables that are visible at a step. scopes.py implements it."""

    lock: AbstractContextManager | None  # held while branches assign to variables they share

    def has(self, name: str) -> bool: ...

    def get(self, name: str) -> Any: ...

    def owner(self, name: str) -> Variables:
        """Return the scope that an assignment to a variable changes."""

    def set(self, name: str, value: Any) -> None: ...

    def set_part(self, name: str, keys: Sequence[Any], value: Any) -> None: ...

    def share(self, names: Collection[str], lock: AbstractContextManager) -> None: ...


class BranchSlots(Protocol):
    """How many branches of an execution may run at once. parallel.py implements it."""

    def taken(self) -> AbstractContextManager: ...

    def given_back(self, has_one: bool) -> AbstractContextManager: ...


class SharedState(Protocol):
    """What all strands of an execution share. run.py implements it."""

    environment: Mapping[str, str]
    clock: Clock
    http: HttpClient
    call_log: CallLog
    identity: Identity
    token: str
    callbacks: Callbacks
    slots: BranchSlots

    def wake_all(self) -> None: ...


class StopFlag(Protocol):
    """A group of branches, which stops all of them at once."""

    is_stopped: bool


class Walker(Protocol):
    """What a step, an expression or a library function may ask of its strand. strand.py implements it."""

    run: SharedState
    scope: Variables

    @property
    def parallel_depth(self) -> int:
        """Return how many parallel steps are around this one."""

    @property
    def is_stopped(self) -> bool: ...

    def run_block(self, block: Block) -> Signal | Return | None: ...

    def inner_scope(self) -> AbstractContextManager[Variables]: ...

    def look_up(self, name: str) -> Any: ...

    def call(self, name: str, arguments: Sequence[Any]) -> Any:
        """Call by position, as an expression does."""

    def call_step(self, name: str, arguments: Any) -> Any:
        """Call by name, as a call step does."""

    def sleep(self, seconds: float) -> None: ...

    def wait_for(self, is_there: Callable[[], bool], seconds: float) -> bool: ...

    def count_step(self) -> None: ...

    def check_stopped(self) -> None: ...

    def note_caught(self, caught: WorkflowError) -> None: ...

    def branch(self, group: StopFlag, shared: Sequence[str]) -> Walker: ...

    def end(self) -> None: ...
