"""What the plain steps do: assign, call, switch, return, raise, steps."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from localcloud.workflows import operators
from localcloud.workflows.blocks import Block, Return, Signal, Walker
from localcloud.workflows.errors import WorkflowError
from localcloud.workflows.expressions import Expression

_NO_LOCK = nullcontext()


@dataclass(frozen=True, slots=True)
class Nothing:
    """A step with nothing but a `next`."""

    def execute(self, strand: Walker) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Target:
    """The target of an assignment: a variable, or the part of it at `keys`."""

    name: str
    keys: Sequence[Expression] = ()

    def assign(self, strand: Walker, value: Expression) -> None:
        """Evaluate and assign, as one atomic operation if branches share the variable."""
        owner = strand.scope.owner(self.name)
        with owner.lock or _NO_LOCK:
            self.set(strand, value.evaluate(strand))

    def set(self, strand: Walker, value: Any) -> None:
        owner = strand.scope.owner(self.name)
        keys = [key.evaluate(strand) for key in self.keys]
        with owner.lock or _NO_LOCK:
            if keys:
                owner.set_part(self.name, keys, value)
            else:
                owner.set(self.name, value)


@dataclass(frozen=True, slots=True)
class Assign:
    assignments: Sequence[tuple[Target, Expression]]

    def execute(self, strand: Walker) -> None:
        for target, value in self.assignments:
            target.assign(strand, value)


@dataclass(frozen=True, slots=True)
class Call:
    callee: str
    arguments: Expression
    result: Target | None

    def execute(self, strand: Walker) -> None:
        value = strand.call_step(self.callee, self.arguments.evaluate(strand))
        if self.result:
            self.result.set(strand, value)


@dataclass(frozen=True, slots=True)
class Case:
    """One condition of a switch, with the action and the `next` that follow if it is true."""

    condition: Expression
    action: Nothing | Assign | Call | Any
    next: Signal | None


@dataclass(frozen=True, slots=True)
class Switch:
    cases: Sequence[Case]

    def execute(self, strand: Walker) -> Signal | Return | None:
        for case in self.cases:
            if operators.truth(case.condition.evaluate(strand)):
                return case.action.execute(strand) or case.next
        return None


@dataclass(frozen=True, slots=True)
class ReturnValue:
    value: Expression

    def execute(self, strand: Walker) -> Return:
        return Return(self.value.evaluate(strand))


@dataclass(frozen=True, slots=True)
class Raise:
    value: Expression

    def execute(self, strand: Walker) -> None:
        raise WorkflowError(self.value.evaluate(strand))


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps inside a step; they share its variables."""

    block: Block

    def execute(self, strand: Walker) -> Signal | Return | None:
        return strand.run_block(self.block)
