"""What is around a step while a source is read: where its `next` may lead, and what may not be left.

How far out `next` may lead could not be checked: here to any step around it, but not out of a branch or turn
of parallel, which takes no break, no end and no return either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from localcloud.workflows.blocks import BREAK, CONTINUE, END, RESERVED, Signal
from localcloud.workflows.limits import PARALLEL_NESTING
from localcloud.workflows.source import SourceError

_LOOP, _BRANCH = "for", "branch"


class Surroundings:
    def __init__(self):
        self._visible: list[set[str]] = []  # the steps of the blocks around, outermost first
        self._around: list[str] = []  # the loops and branches around

    @contextmanager
    def block(self, names: set[str]) -> Iterator[None]:
        """Read the steps of a block, which may lead to each other."""
        self._visible.append(names)
        try:
            yield
        finally:
            self._visible.pop()

    @contextmanager
    def loop(self) -> Iterator[None]:
        self._around.append(_LOOP)
        try:
            yield
        finally:
            self._around.pop()

    @contextmanager
    def branch(self, node: yaml.Node) -> Iterator[None]:
        """Read what runs in parallel: no step outside of it is seen."""
        if self._around.count(_BRANCH) >= PARALLEL_NESTING:
            raise SourceError(f"parallel steps may be {PARALLEL_NESTING} deep", node)
        outer, self._visible = self._visible, []
        self._around.append(_BRANCH)
        try:
            yield
        finally:
            self._visible = outer
            self._around.pop()

    def check_return(self, node: yaml.Node) -> None:
        if _BRANCH in self._around:
            raise SourceError("a return inside of parallel", node)

    def signal(self, target: str, node: yaml.Node) -> Signal:
        """Return what `next: target` does."""
        signal = RESERVED.get(target) or Signal(target)
        if signal in (BREAK, CONTINUE) and not self._around:
            raise SourceError(f"next: {target} is not inside of for", node)
        if signal is BREAK and self._around[-1] == _BRANCH:
            raise SourceError("next: break cannot end a parallel step", node)
        if signal is END and _BRANCH in self._around:
            raise SourceError("next: end inside of parallel", node)
        if target not in RESERVED and not any(target in names for names in self._visible):
            raise SourceError(f'next leads to the step "{target}", which is not there or not around', node)
        return signal
