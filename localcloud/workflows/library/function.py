"""A library function, called by expressions and call steps; its annotations are the types it accepts."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any, Union

from localcloud.workflows.errors import error
from localcloud.workflows.values import type_name

_MISSING = object()


class Function:
    """A function of the library; with `blocks`, it can be called by a call step only.

    `call` gets the strand as its first argument if its first parameter is named `strand`.
    """

    def __init__(self, name: str, call: Callable[..., Any], *, blocks: bool = False):
        parameters = list(inspect.signature(call).parameters.values())
        hints = typing.get_type_hints(call)
        self.name, self.blocks = name, blocks
        self._call = call
        self._takes_strand = parameters[:1] != [] and parameters[0].name == "strand"
        self._parameters = [
            (
                each.name,
                _MISSING if each.default is inspect.Parameter.empty else each.default,
                _types(hints.get(each.name, Any)),
            )
            for each in parameters[self._takes_strand :]
        ]
        self.parameter_names = [name for name, *_ in self._parameters]

    def call_by_position(self, strand: Any, arguments: Sequence[Any]) -> Any:
        if len(arguments) > len(self._parameters):
            raise error("TypeError", f"{self.name} takes {len(self._parameters)} arguments at most")
        return self.call_by_name(strand, dict(zip(self.parameter_names, arguments, strict=False)))

    def call_by_name(self, strand: Any, arguments: dict[str, Any]) -> Any:
        if unknown := arguments.keys() - set(self.parameter_names):
            raise error("TypeError", f"{self.name} has no parameter {', '.join(sorted(unknown))}")
        values = [self._value(arguments, *parameter) for parameter in self._parameters]
        return self._call(strand, *values) if self._takes_strand else self._call(*values)

    def _value(self, arguments: dict[str, Any], name: str, default: Any, types: tuple[type, ...]) -> Any:
        value = arguments.get(name, default)
        if value is _MISSING:
            raise error("TypeError", f"{self.name} needs the argument {name}")
        if types and value is not default and type(value) not in types:
            raise error("TypeError", f"{self.name} does not take a {type_name(value)} as its {name}")
        return value


def _types(hint: Any) -> tuple[type, ...]:
    """Return the types that a value may have, none meaning any; an integer is accepted as a double."""
    if hint is Any:
        return ()
    union = typing.get_origin(hint) in (Union, type(int | str))
    options = typing.get_args(hint) if union else (hint,)
    types = [typing.get_origin(option) or option for option in options]
    return (*types, int) if float in types else tuple(types)


class Library(dict[str, Function]):
    """Functions by the names that workflows use."""

    def function(
        self, name: str, *, blocks: bool = False
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def register(call: Callable[..., Any]) -> Callable[..., Any]:
            self[name] = Function(name, call, blocks=blocks)
            return call

        return register
