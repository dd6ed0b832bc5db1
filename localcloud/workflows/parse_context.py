"""What the parser must know besides the step it reads: the steps and variables around it, and all calls.

The documentation does not say how far out `next` may lead. Here it may name any enclosing step, but may not
leave a branch or iteration of a parallel step, where break, end and return are refused, too. A branch may not
assign to a variable from outside unless it shares it; a variable is from outside if a step above the parallel
step assigns to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import yaml

from localcloud.workflows import library
from localcloud.workflows.blocks import BREAK, CONTINUE, END, RESERVED, Program, Signal
from localcloud.workflows.connectors import CONNECTORS
from localcloud.workflows.expressions import Constant, Expression, Name
from localcloud.workflows.limits import PARALLEL_NESTING
from localcloud.workflows.source import SourceError

_LOOP, _BRANCH = "for", "branch"


@dataclass(frozen=True, slots=True)
class _Scope:
    """The variables assigned so far; `shared` as in scopes.py."""

    names: set[str]
    shared: Collection[str] | None


class ParseContext:
    """The blocks, loops, branches and scopes around the step that is parsed."""

    def __init__(self):
        self._visible: list[set[str]] = []  # steps of the enclosing blocks, outermost first
        self._around: list[str] = []  # enclosing loops and branches
        self._scopes: list[_Scope] = []  # enclosing scopes, outermost first

    @contextmanager
    def block(self, names: set[str]) -> Iterator[None]:
        """Parse the steps of a block, whose `next` may name each other."""
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
        """Parse a branch, from which no step outside it is visible."""
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
        """Parse a scope with variables of its own, at first `names`; `shared` are those a branch shares."""
        self._scopes.append(_Scope(set(names), shared))
        try:
            yield
        finally:
            self._scopes.pop()

    def check_assignment(self, name: str, node: yaml.Node) -> None:
        """Refuse an assignment in a branch to an outer variable that it does not share."""
        is_own = True
        for scope in reversed(self._scopes):
            if name in scope.names:
                if is_own:
                    return
                raise SourceError(f'the branch assigns to "{name}", which is not in its shared list', node)
            is_own = is_own and (scope.shared is None or name in scope.shared)
        self._scopes[-1].names.add(name)

    def check_return(self, node: yaml.Node) -> None:
        if _BRANCH in self._around:
            raise SourceError("return is not allowed inside parallel", node)

    def signal(self, target: str, node: yaml.Node) -> Signal:
        """Return the signal of `next: target`, or refuse a target that cannot be reached."""
        signal = RESERVED.get(target) or Signal(target)
        if signal in (BREAK, CONTINUE) and not self._around:
            raise SourceError(f"next: {target} is not inside a for", node)
        if signal is BREAK and self._around[-1] == _BRANCH:
            raise SourceError("next: break cannot end a parallel step", node)
        if signal is END and _BRANCH in self._around:
            raise SourceError("next: end is not allowed inside parallel", node)
        if target not in RESERVED and not any(target in names for names in self._visible):
            raise SourceError(f'next names the step "{target}", which does not exist or is not visible', node)
        return signal


# The arguments of a call: their number, if by position; their names; or None, if only the run will show.
Given = int | Sequence[str] | None


class Calls:
    """The calls of a source, collected while it is parsed and checked once all routines are known."""

    def __init__(self):
        self._calls: list[tuple[str, Given, yaml.Node]] = []

    def add(self, name: str, given: Given, node: yaml.Node) -> None:
        self._calls.append((name, given, node))

    def add_predicate(self, predicate: Expression, node: yaml.Node) -> None:
        """Add the predicate of a retry, which otherwise would be found missing only at the first error."""
        self.check_policy(predicate, library.FUNCTIONS, node)
        if isinstance(predicate, Name):
            self.add(predicate.name, None, node)

    def check_policy(self, policy: Expression, known: Collection[str], node: yaml.Node) -> None:
        """Refuse a retry policy or predicate that is not an expression, or that the library does not have."""
        if isinstance(policy, Constant):
            raise SourceError("a retry takes a policy or predicate in ${}", node)
        name = policy.name if isinstance(policy, Name) else getattr(policy, "dotted", "")
        if name.partition(".")[0] in ("http", "retry") and name not in known:
            of_retries = sorted(each for each in known if "retry" in each)
            raise SourceError(f"unknown {name}; known: {', '.join(of_retries)}", node)

    def check(self, routines: Program) -> None:
        for name, given, node in self._calls:
            parameters = _parameters(name, routines, isinstance(given, int), node)
            if isinstance(given, int) and given > len(parameters):
                raise SourceError(f"{name} takes {len(parameters)} arguments, not {given}", node)
            if isinstance(given, list) and (unknown := set(given) - set(parameters)):
                raise SourceError(f'{name} has no parameter "{sorted(unknown)[0]}"', node)


def _parameters(name: str, routines: Program, in_expression: bool, node: yaml.Node) -> Sequence[str]:
    if name in routines:
        return [parameter.name for parameter in routines[name].parameters]
    if name in library.FUNCTIONS and not (in_expression and library.FUNCTIONS[name].blocks):
        return library.FUNCTIONS[name].parameter_names
    if name in CONNECTORS:
        found = CONNECTORS[name].helper if in_expression else CONNECTORS[name].parameter_names
        if found:
            return found
    if name in library.FUNCTIONS or name in CONNECTORS:
        raise SourceError(f"{name} needs a call step; it cannot be called in an expression", node)
    if name.startswith("googleapis."):
        raise SourceError(f"localcloud has no connector {name}; call the API with http.request", node)
    raise SourceError(f"unknown function {name}", node)
