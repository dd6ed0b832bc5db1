"""What is around a step while a source is read: where its `next` may lead, and what may not be left.

How far out `next` may lead could not be checked: here to any step around it, but not out of a branch or turn
of parallel, which takes no break, no end and no return either. A branch may not assign to a variable from
around it unless it shares it; one is from around it if a step above the parallel one assigns to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import yaml

from localcloud.workflows.blocks import BREAK, CONTINUE, END, RESERVED, Signal
from localcloud.workflows.limits import PARALLEL_NESTING
from localcloud.workflows.source import SourceError

_LOOP, _BRANCH = "for", "branch"


@dataclass(frozen=True, slots=True)
class _Scope:
    """The variables assigned to so far; `shared` as in scopes.py."""

    names: set[str]
    shared: Collection[str] | None


class Surroundings:
    def __init__(self):
        self._visible: list[set[str]] = []  # the steps of the blocks around, outermost first
        self._around: list[str] = []  # the loops and branches around
        self._scopes: list[_Scope] = []  # of variables, outermost first

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

    @contextmanager
    def scope(self, names: Iterable[str], shared: Collection[str] | None = None) -> Iterator[None]:
        """Read what has variables of its own, at first `names`; a branch has those it shares, too."""
        self._scopes.append(_Scope(set(names), shared))
        try:
            yield
        finally:
            self._scopes.pop()

    def check_assignment(self, name: str, node: yaml.Node) -> None:
        """Refuse an assignment of a branch to a variable from around it that it does not share."""
        is_own = True
        for scope in reversed(self._scopes):
            if name in scope.names:
                if is_own:
                    return
                raise SourceError(f'the branch assigns to "{name}", which is not among its shared', node)
            is_own = is_own and (scope.shared is None or name in scope.shared)
        self._scopes[-1].names.add(name)

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
