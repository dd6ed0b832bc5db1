"""for: run steps once for each value, in order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from localcloud.workflows.blocks import BREAK, CONTINUE, Block, Return, Signal, Walker
from localcloud.workflows.errors import error
from localcloud.workflows.expressions import Expression
from localcloud.workflows.values import is_integer, is_number, type_name


@dataclass(frozen=True, slots=True)
class Loop:
    """The head of a for; `values` is a list, or the first and last number of a range."""

    value_name: str
    index_name: str | None
    values: Expression
    is_range: bool
    block: Block

    def each(self, strand: Walker) -> Iterator[tuple[int, Any]]:
        found = self.values.evaluate(strand)
        return enumerate(_numbers(found) if self.is_range else _list(found))

    def run_one(self, strand: Walker, index: int, value: Any) -> Signal | Return | None:
        """Run the steps with one value in the strand's current scope."""
        strand.scope.set(self.value_name, value)
        if self.index_name:
            strand.scope.set(self.index_name, index)
        return strand.run_block(self.block)


@dataclass(frozen=True, slots=True)
class For:
    """A variable that an iteration introduces is gone in the next; the documentation leaves that open."""

    loop: Loop

    def execute(self, strand: Walker) -> Signal | Return | None:
        for index, value in self.loop.each(strand):
            with strand.inner_scope():
                signal = self.loop.run_one(strand, index, value)
            if signal is BREAK:
                return None
            if signal is not None and signal is not CONTINUE:
                return signal
        return None


def _list(found: Any) -> list[Any]:
    if isinstance(found, list):
        return found
    raise error("TypeError", f"for goes through a list, not a {type_name(found)}; keys() makes one of a map")


def _numbers(found: Any) -> Iterator[int | float]:
    """Return the numbers from the first to the last, inclusive."""
    if not (isinstance(found, list) and len(found) == 2 and all(map(is_number, found))):
        raise error("TypeError", "a range must be a list of two numbers")
    first, last = found
    if all(map(is_integer, found)):
        return iter(range(first, last + 1))
    return itertools.takewhile(lambda each: each <= last, (first + step for step in itertools.count()))
