"""The calls a source makes: kept as they are read, and checked once all its routines are known."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import yaml

from localcloud.workflows import library
from localcloud.workflows.blocks import Program
from localcloud.workflows.connectors import CONNECTORS
from localcloud.workflows.expressions import Constant, Expression, Name
from localcloud.workflows.source import SourceError

# What a call is given: so many values by position, values by name, or what only its run will show.
Given = int | Sequence[str] | None


class Calls:
    def __init__(self):
        self._calls: list[tuple[str, Given, yaml.Node]] = []

    def add(self, name: str, given: Given, node: yaml.Node) -> None:
        self._calls.append((name, given, node))

    def add_predicate(self, predicate: Expression, node: yaml.Node) -> None:
        """Add the predicate of a retry: only the first error would tell that it is not there."""
        self.check_policy(predicate, library.FUNCTIONS, node)
        if isinstance(predicate, Name):
            self.add(predicate.name, None, node)

    def check_policy(self, policy: Expression, known: Collection[str], node: yaml.Node) -> None:
        """Refuse what is no policy or predicate, or none of the library's."""
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
        raise SourceError(f"{name} is called by a call step, not in an expression", node)
    if name.startswith("googleapis."):
        raise SourceError(f"localcloud has no connector {name}; http.request reaches the API too", node)
    raise SourceError(f"unknown function {name}", node)
