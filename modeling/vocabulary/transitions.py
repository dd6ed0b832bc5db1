"""`model.transitions`: the flows between compartments, and their rates."""

import ast
import random
from dataclasses import replace
from typing import Literal

from pydantic import Field

from modeling.expressions import evaluate, names_in, parse_expression
from modeling.failures import UserError, did_you_mean, listed
from modeling.vocabulary.base import Location, Number, Piece, Problems
from modeling.workload import Flow


class Mediator(Piece):
    """One rate of a multi-mediated transition and the compartments it counts."""

    rate: Number | str = Field(description="rate [1/day]: a number, a parameter, or arithmetic of parameters")
    source: list[str] = Field(min_length=1, description="compartments whose people are contacted")


class Transition(Piece):
    """A movement between two compartments."""

    type: Literal["spontaneous", "mediated", "multi_mediated", "vaccination"] = Field(
        description="which keys follow: rate; rate and mediator; mediators; or none"
    )
    source: str = Field(description="compartment that people leave")
    target: str = Field(description="compartment that they enter")
    rate: Number | str | None = Field(
        None, description="rate [1/day]: a number, a parameter, or arithmetic of parameters"
    )
    mediator: str | None = Field(
        None, description="compartment whose people are contacted, such as the infectious"
    )
    mediators: list[Mediator] | None = Field(
        None, min_length=1, description="rates and mediators, which add up"
    )

    def problems(self, compartments: list[str]) -> Problems:
        """Yield fields that are missing or that the type does not have, and unknown compartments."""
        needed = {
            "spontaneous": {"rate"},
            "mediated": {"rate", "mediator"},
            "multi_mediated": {"mediators"},
            "vaccination": set(),
        }[self.type]
        for name in ("rate", "mediator", "mediators"):
            if name in needed and getattr(self, name) is None:
                yield (), f'a {self.type} transition needs "{name}"'
            if name not in needed and getattr(self, name) is not None:
                yield (name,), f'a {self.type} transition has no "{name}"'
        named = [("source", self.source), ("target", self.target)]
        named += [] if self.mediator is None else [("mediator", self.mediator)]
        for field, compartment in named:
            if compartment not in compartments:
                yield (field,), no_compartment(compartment, compartments)
        for index, mediator in enumerate(self.mediators or []):
            for compartment in mediator.source:
                if compartment not in compartments:
                    yield ("mediators", index, "source"), no_compartment(compartment, compartments)
        if self.source == self.target:
            yield (), f'transition from "{self.source}" to itself'

    def flows(self) -> list[tuple[Location, Flow]]:
        """Return one flow a rate and mediator, each with the place of its rate below the transition.

        Rates are as written; that of a vaccination is "".
        """
        if self.type == "vaccination":
            return [((), Flow(self.source, self.target, ""))]
        mediators = [m.source for m in self.mediators or []] or [[self.mediator]] * len(self.rates())
        return [
            (at, Flow(self.source, self.target, rate, mediator))
            for (at, rate), sources in zip(self.rates(), mediators, strict=True)
            for mediator in sources
        ]

    def rates(self) -> list[tuple[Location, float | str]]:
        """Return each rate with its place below the transition."""
        if self.mediators:
            return [(("mediators", i, "rate"), m.rate) for i, m in enumerate(self.mediators)]
        return [] if self.rate is None else [(("rate",), self.rate)]


def _normalized_rate(rate: float | str) -> float | str:
    """Return a rate in one spelling: 0.25 for "1/4", "a * b" for "a*b"."""
    try:
        tree = parse_expression(str(rate), calls=False)
        return ast.unparse(tree) if names_in(tree) else evaluate(tree, {})
    except UserError:
        return str(rate)  # reported elsewhere


def with_rate_in_numbers(flow: Flow) -> Flow:
    """Return the flow with an odd value for each parameter, so that "a*b" and "b*a" are equal."""
    try:
        tree = parse_expression(str(flow.rate), calls=False)
        values = {name: random.Random(name).uniform(1, 2) for name in names_in(tree)}
        return replace(flow, rate=float(f"{evaluate(tree, values):.12g}"))
    except UserError:
        return replace(flow, rate=_normalized_rate(flow.rate))


def described(flow: Flow) -> str:
    """Return a flow for a message: "S -> I by I with rate beta"."""
    if flow.rate == "":
        return f"{flow.source} -> {flow.target} by vaccination"
    by = f" by {flow.mediator}" if flow.mediator else ""
    return f"{flow.source} -> {flow.target}{by} with rate {_normalized_rate(flow.rate)}"


def no_compartment(name: str, known: list[str]) -> str:
    """Return the message about a name that is no compartment."""
    return f'"{name}" is not a compartment{did_you_mean(name, known)}; there are {listed(known, 30)}'
