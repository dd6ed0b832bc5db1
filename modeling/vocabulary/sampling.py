"""`modelset.sampling`: a grid of values, a Latin hypercube, or both."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from modeling.failures import did_you_mean
from modeling.vocabulary.base import Count, NotNegative, Number, Piece, Problems, repeated
from modeling.vocabulary.marked_names import name_problems
from modeling.vocabulary.model import Model
from modeling.vocabulary.priors import SHARES_AND_PEOPLE, DateParameter, Distribution, distribution_problems


class Range(Piece):
    """Who is in a compartment on the first day: from a lowest to a highest value."""

    min: NotNegative = Field(description="lowest value [share up to 1, or people from 1]")
    max: Number = Field(description="highest value, in the unit of min")

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.max <= self.min:
            raise ValueError(f"max {self.max:g} must be above min {self.min:g}")
        if self.min < 1 < self.max:
            raise ValueError(f"{self.min:g} to {self.max:g} {SHARES_AND_PEOPLE}")
        return self


class SampledParameter(Piece):
    """A distribution (Latin hypercube) or a list of values (grid)."""

    distribution: Distribution | None = Field(None, description="for an LHS sampler")
    values: list[Number] | None = Field(None, min_length=1, description="for a grid sampler")

    @model_validator(mode="after")
    def _one_kind(self) -> "SampledParameter":
        if (self.distribution is None) == (self.values is None):
            raise ValueError('give either "distribution" or "values"')
        for value in repeated(self.values or []):
            raise ValueError(f"duplicate grid value {value:g}; keep one")
        return self


class Sampler(Piece):
    """A way to choose values, and what it chooses."""

    strategy: Literal["grid", "LHS"] = Field(
        description="grid: every combination of values; LHS: a Latin hypercube"
    )
    n_samples: Count | None = Field(None, description="number of samples of an LHS sampler")
    parameters: list[str] = Field(
        default_factory=list, description="names of parameters, and start_date for an LHS sampler"
    )
    compartments: list[str] | None = Field(None, description="names of compartments, for an LHS sampler")

    @field_validator("strategy", mode="before")
    @classmethod
    def _any_case(cls, strategy: Any) -> Any:
        return {"lhs": "LHS", "grid": "grid"}.get(str(strategy).lower(), strategy)

    @model_validator(mode="after")
    def _samples_fit_strategy(self) -> "Sampler":
        if self.strategy == "LHS" and self.n_samples is None:
            raise ValueError('an LHS sampler needs "n_samples"')
        if self.strategy == "grid" and (self.n_samples is not None or self.compartments):
            raise ValueError('a grid sampler takes parameters with "values", no n_samples or compartments')
        return self


class Sampling(Piece):
    """A grid, a Latin hypercube, or both: every grid point with every sample."""

    samplers: list[Sampler] = Field(
        min_length=1, max_length=2, description="at most one grid and one Latin hypercube"
    )
    compartments: dict[str, Range] | None = Field(None, description="ranges of sampled compartments, by name")
    parameters: dict[str, SampledParameter] = Field(
        default_factory=dict, description="values or distributions of sampled parameters, by name"
    )
    start_date: DateParameter | None = Field(
        None, description="distribution of the first simulated day; replaces a date in the model"
    )

    @property
    def grid(self) -> Sampler | None:
        return next((s for s in self.samplers if s.strategy == "grid"), None)

    @property
    def hypercube(self) -> Sampler | None:
        return next((s for s in self.samplers if s.strategy == "LHS"), None)

    def problems(self, model: Model) -> Problems:
        """Yield what is wrong with the sampling of this model, beyond its types."""
        yield from name_problems(model, "sampled", self.parameters, self.compartments, self.start_date)
        strategies = [s.strategy for s in self.samplers]
        if len(set(strategies)) < len(strategies):
            yield ("samplers",), f"two samplers of strategy {strategies[0]}; put their parameters into one"
        for index, sampler in enumerate(self.samplers):
            yield from self._sampler_problems(index, sampler)
        used = {n for s in self.samplers for n in (*s.parameters, *(s.compartments or []))}
        for section in ("parameters", "compartments"):
            for name in getattr(self, section) or {}:
                if name not in used:
                    yield (section, name), f'"{name}" is in no sampler; add it to one'
        if self.start_date is not None:
            if self.start_date.distribution is None:
                yield ("start_date",), 'a sampled start_date needs "distribution"'
            else:
                yield from distribution_problems(self.start_date.distribution, ("start_date", "distribution"))
            if "start_date" not in used:
                yield ("start_date",), '"start_date" is in no sampler; add it to the parameters of one'

    def _sampler_problems(self, index: int, sampler: Sampler) -> Problems:
        at = ("samplers", index)
        yield from _duplicates(sampler, at)
        for name in sampler.parameters:
            if name == "start_date":
                if self.start_date is None:
                    yield (*at, "parameters"), 'start_date is sampled, so the section "start_date" is needed'
                elif sampler.strategy == "grid":
                    yield (*at, "parameters"), "start_date has a distribution; sample it with LHS"
                continue
            given = self.parameters.get(name)
            if given is None:
                yield (
                    (*at, "parameters"),
                    f'"{name}" is sampled but not in "parameters"{did_you_mean(name, self.parameters)}',
                )
            elif sampler.strategy == "grid" and given.values is None:
                yield ("parameters", name), f'"{name}" is in a grid and needs "values"'
            elif sampler.strategy == "LHS" and given.distribution is None:
                yield ("parameters", name), f'"{name}" is in an LHS sampler and needs "distribution"'
            elif given.distribution is not None:
                yield from distribution_problems(given.distribution, ("parameters", name, "distribution"))
        for name in sampler.compartments or []:
            if name not in (self.compartments or {}):
                yield (*at, "compartments"), f'"{name}" is sampled but not in "compartments"'


def _duplicates(sampler: Sampler, at: tuple) -> Problems:
    for section in ("parameters", "compartments"):
        for name in repeated(getattr(sampler, section) or []):
            yield (*at, section), f'duplicate "{name}"; keep one'
