"""A workflow as it is walked through: routines of blocks of steps, and the ways out of a step.

What the steps do is in actions.py, loops.py, attempts.py and parallel.py; how a source becomes these is in
parser.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from localcloud.workflows.strand import Strand

MAIN = "main"


@dataclass(frozen=True, slots=True)
class Signal:
    """Where the walk goes on: at the step `target`, or as BREAK, CONTINUE and END say."""

    target: str


@dataclass(frozen=True, slots=True)
class Return:
    """The routine ends, with a value."""

    value: Any


BREAK, CONTINUE, END = Signal("break"), Signal("continue"), Signal("end")
RESERVED = {signal.target: signal for signal in (BREAK, CONTINUE, END)}


class Action(Protocol):
    """What a step does; a signal it returns is followed instead of the step's own `next`."""

    def execute(self, strand: Strand) -> Signal | Return | None: ...


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    line: int
    action: Action
    next: Signal | None = None


@dataclass(slots=True)
class Block:
    """Steps one after the other; a jump goes to the innermost block around it that has the step."""

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
    """main, or a subworkflow."""

    name: str
    parameters: Sequence[Parameter]
    block: Block


Program = Mapping[str, Routine]
