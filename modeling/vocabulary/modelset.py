"""Top-level key `modelset`: which populations, and either `sampling` or `calibration`."""

import datetime
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from modeling.failures import UserError, did_you_mean, listed
from modeling.vocabulary.base import Meta, Piece, Problems
from modeling.vocabulary.distribution import DateParameter, Distribution, frozen_distribution
from modeling.vocabulary.model import Model

_SHARES_AND_PEOPLE = "goes from shares of the people (below 1) to numbers of people (1 and more); keep to one"
MOST_WHOLE_NUMBERS = 100_000
_SECONDS = {"s": 1, "m": 60, "t": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_duration_seconds(text: str) -> float:
    """Return the seconds of "30m", "1h30m", "2D" or "W".

    Raises
    ------
    ValueError
        The text is no fixed length of time.
    """
    if re.search("M(?![iI])", text):  # months, as pandas reads it
        raise ValueError(f'"{text}" is not a duration: months differ; write m for minutes')
    parts = re.findall(r"(\d+(?:\.\d+)?)?\s*(min|[smthdw])", text.strip().lower())
    if not parts or "".join(n + u for n, u in parts) != re.sub(r"\s", "", text.lower()):
        raise ValueError(f'"{text}" is not a duration; write 45s, 30m, 1h30m or 2D')
    seconds = sum(float(number or 1) * _SECONDS[unit] for number, unit in parts)
    if seconds <= 0:
        raise ValueError(f'"{text}" must be longer than nothing')
    return seconds


def _duration(text: Any) -> str | None:
    if text is not None:
        parse_duration_seconds(str(text))
    return None if text is None else str(text)


Duration = Annotated[str | None, BeforeValidator(_duration)]


class SmcOptions(Piece):
    """ABC with sequential Monte Carlo."""

    num_particles: int = Field(1000, ge=2)
    num_generations: int = Field(10, ge=1)
    epsilon_schedule: list[float] | None = Field(None, min_length=1)
    epsilon_quantile_level: float = Field(0.5, gt=0, lt=1)
    minimum_epsilon: float | None = Field(None, gt=0)
    max_time: Duration = None
    total_simulations_budget: int | None = Field(None, ge=1)
    verbose: bool = True

    @model_validator(mode="after")
    def _schedule_is_long_enough(self) -> "SmcOptions":
        if self.epsilon_schedule and len(self.epsilon_schedule) < self.num_generations:
            raise ValueError(
                f"epsilon_schedule has {len(self.epsilon_schedule)} values "
                f"for {self.num_generations} generations"
            )
        return self


class RejectionOptions(Piece):
    """ABC by rejection."""

    epsilon: float = Field(0.1, gt=0)
    num_particles: int = Field(1000, ge=1)
    max_time: Duration = None
    total_simulations_budget: int | None = Field(None, ge=1)
    verbose: bool = True
    progress_update_interval: int = Field(1000, ge=1)


class TopFractionOptions(Piece):
    """The best share of simulations from the prior."""

    top_fraction: float = Field(0.05, gt=0, le=1)
    Nsim: int = Field(100, ge=1)
    verbose: bool = True

    @model_validator(mode="after")
    def _keeps_someone(self) -> "TopFractionOptions":
        if self.top_fraction * self.Nsim < 1:
            raise ValueError(f"top_fraction {self.top_fraction:g} of {self.Nsim} simulations keeps none")
        return self


_OPTIONS = {"smc": SmcOptions, "rejection": RejectionOptions, "top_fraction": TopFractionOptions}


class Strategy(Piece):
    """How to calibrate; the options are those of epydemix's ABCSampler.calibrate."""

    name: Literal["smc", "rejection", "top_fraction"]
    options: SmcOptions | RejectionOptions | TopFractionOptions = Field({}, validate_default=True)

    @field_validator("name", mode="before")
    @classmethod
    def _any_case(cls, name: Any) -> Any:
        if str(name).lower() not in _OPTIONS:
            near = did_you_mean(str(name).lower(), _OPTIONS)
            raise ValueError(f'"{name}" is not a strategy{near}; use {listed(_OPTIONS)}')
        return name.lower()

    @field_validator("options", mode="before")
    @classmethod
    def _options_of_strategy(cls, options: Any, info: ValidationInfo) -> Any:
        if "name" not in info.data:
            return SmcOptions()  # the name is wrong, which was said
        return _OPTIONS[info.data["name"]].model_validate({} if options is None else options)

    @property
    def max_seconds(self) -> float | None:
        text = getattr(self.options, "max_time", None)
        return None if text is None else parse_duration_seconds(text)


class Comparison(Piece):
    """Which observed column the sum of which transitions is compared with."""

    observed_value_column: str
    observed_date_column: str
    observed_location_column: str = "geo_value"
    simulation: list[str] = Field(min_length=1, description="e.g. [I_to_R_total]")


class FittingWindow(Piece):
    start_date: datetime.date
    end_date: datetime.date

    @model_validator(mode="after")
    def _ordered(self) -> "FittingWindow":
        if self.end_date <= self.start_date:
            raise ValueError(f"end_date {self.end_date} must be after start_date {self.start_date}")
        return self


class Prior(Piece):
    prior: Distribution


class Projection(Piece):
    n_trajectories: int = Field(ge=1, le=1_000_000, description="trajectories drawn from the posterior")
    generation_number: int | None = Field(None, ge=0, description="SMC generation; the last without it")


class Calibration(Piece):
    """Priors, observed data, strategy and projection."""

    strategy: Strategy
    distance_function: Literal["rmse", "wmape", "mae", "mape"] = "rmse"
    observed_data_path: str
    comparison: list[Comparison] = Field(min_length=1)
    start_date: DateParameter | None = None
    parameters: dict[str, Prior] | None = None
    compartments: dict[str, Prior] | None = None
    fitting_window: FittingWindow
    projection: Projection | None = None

    def priors(self) -> dict[str, Distribution]:
        """Return every prior by name: parameters, compartments, then start_date."""
        found = {name: p.prior for name, p in (self.parameters or {}).items()}
        found |= {name: p.prior for name, p in (self.compartments or {}).items()}
        if self.start_date is not None and self.start_date.prior is not None:
            found["start_date"] = self.start_date.prior
        return found

    def problems(self, model: Model) -> Problems:
        yield from _name_problems(model, "calibrated", self.parameters, self.compartments, self.start_date)
        if not self.priors():
            yield (), "nothing to calibrate: give a prior to a parameter, a compartment or start_date"
        for section in ("parameters", "compartments"):
            for name, prior in (getattr(self, section) or {}).items():
                yield from self._prior_problems(prior.prior, (section, name, "prior"))
        for name, prior in (self.compartments or {}).items():
            yield from _unit_problems(prior.prior, ("compartments", name, "prior"))
        yield from self._start_date_problems(model)
        transitions = [
            f"{t}_{g}" for t in model.transition_names for g in (*model.population.age_groups, "total")
        ]
        for index, comparison in enumerate(self.comparison):
            for position, name in enumerate(comparison.simulation):
                if name in comparison.simulation[:position]:
                    yield ("comparison", index, "simulation"), f'"{name}" stands twice; keep one'
                if name not in transitions:
                    yield (
                        ("comparison", index, "simulation"),
                        (
                            f'"{name}" is not a transition of the model{did_you_mean(name, transitions)}; '
                            "write source_to_target_total"
                        ),
                    )
        window = self.fitting_window
        if window.end_date > model.timespan.end_date:
            yield (
                ("fitting_window", "end_date"),
                (
                    f"the fitting window ends {window.end_date}, "
                    f"after the model's end_date {model.timespan.end_date}"
                ),
            )
        generation = self.projection.generation_number if self.projection else None
        generations = getattr(self.strategy.options, "num_generations", 1)
        if generation is not None and generation >= generations:
            yield (
                ("projection", "generation_number"),
                f"generation {generation} of {generations}; they count from 0",
            )

    def _prior_problems(self, prior: Distribution, at: tuple) -> Problems:
        try:
            frozen = frozen_distribution(prior)
        except UserError as error:
            yield at, str(error)
            return
        low, high = frozen.support()
        # epydemix's perturbation of whole numbers lists every one that can be
        if self.strategy.name == "smc" and not hasattr(frozen, "pdf") and high - low > MOST_WHOLE_NUMBERS:
            yield at, f"{prior.name} has too many values for smc ({low:g} to {high:g}); use a bounded prior"

    def _start_date_problems(self, model: Model) -> Problems:
        if self.start_date is None:
            return
        if self.start_date.prior is None:
            yield ("start_date",), 'a calibrated start_date needs "prior"'
            return
        if problems := list(self._prior_problems(self.start_date.prior, ("start_date", "prior"))):
            yield from problems
            return
        low, high = frozen_distribution(self.start_date.prior).support()
        if low < 0:
            yield ("start_date", "prior"), f"days after the reference date cannot be negative ({low:g})"
            return
        days_left = (self.fitting_window.end_date - self.start_date.reference_date).days
        if high > days_left:
            yield (
                ("start_date", "prior"),
                (
                    f"the start date can be {high:g} days after {self.start_date.reference_date}, "
                    f"past the end of the fitting window {self.fitting_window.end_date}; "
                    f"lower the prior's upper bound to {days_left}"
                ),
            )


class Range(Piece):
    min: float = Field(ge=0)
    max: float

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.max <= self.min:
            raise ValueError(f"max {self.max:g} must be above min {self.min:g}")
        if self.min < 1 < self.max:
            raise ValueError(f"{self.min:g} to {self.max:g} {_SHARES_AND_PEOPLE}")
        return self


class SampledParameter(Piece):
    """A distribution (Latin hypercube) or a list of values (grid)."""

    distribution: Distribution | None = None
    values: list[float] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one_kind(self) -> "SampledParameter":
        if (self.distribution is None) == (self.values is None):
            raise ValueError('give either "distribution" or "values"')
        return self


class Sampler(Piece):
    strategy: Literal["grid", "LHS"]
    n_samples: int | None = Field(None, ge=1)
    parameters: list[str] = Field(default_factory=list)
    compartments: list[str] | None = None

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

    samplers: list[Sampler] = Field(min_length=1, max_length=2)
    compartments: dict[str, Range] | None = None
    parameters: dict[str, SampledParameter] = Field(default_factory=dict)
    start_date: DateParameter | None = None

    @property
    def grid(self) -> Sampler | None:
        return next((s for s in self.samplers if s.strategy == "grid"), None)

    @property
    def hypercube(self) -> Sampler | None:
        return next((s for s in self.samplers if s.strategy == "LHS"), None)

    def problems(self, model: Model) -> Problems:
        yield from _name_problems(model, "sampled", self.parameters, self.compartments, self.start_date)
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
                yield from _distribution_problems(
                    self.start_date.distribution, ("start_date", "distribution")
                )
            if "start_date" not in used:
                yield ("start_date",), '"start_date" is in no sampler; add it to the parameters of one'

    def _sampler_problems(self, index: int, sampler: Sampler) -> Problems:
        at = ("samplers", index)
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
                yield from _distribution_problems(given.distribution, ("parameters", name, "distribution"))
        for name in sampler.compartments or []:
            if name not in (self.compartments or {}):
                yield (*at, "compartments"), f'"{name}" is sampled but not in "compartments"'


class Modelset(Piece):
    """Populations and what varies over them."""

    meta: Meta | None = None
    population_names: list[str] = Field(min_length=1, description='ISO 3166 codes, or "all"')
    sampling: Sampling | None = None
    calibration: Calibration | None = None

    def problems(self, model: Model) -> Problems:
        if (self.sampling is None) == (self.calibration is None):
            yield (), 'give either "sampling" or "calibration"'
            return
        section = "sampling" if self.sampling else "calibration"
        for at, message in (self.sampling or self.calibration).problems(model):
            yield (section, *at), message
        for index, name in enumerate(self.population_names):
            if model.population.name and name not in (model.population.name, "all"):
                yield (
                    ("population_names", index),
                    f"{name} is not the model's population {model.population.name}; drop one",
                )
            if name in self.population_names[:index]:  # the same place under another name runs once
                yield ("population_names", index), f"{name} stands twice; keep one"


def _name_problems(model: Model, word: str, parameters, compartments, start_date) -> Problems:
    """What the model marks as sampled or calibrated must be given here, and nothing else."""
    given = {*(parameters or {}), *(compartments or {})} | ({"start_date"} if start_date else set())
    marked = model.marked(word)
    for section, names, known in (
        ("parameters", parameters or {}, model.parameters),
        ("compartments", compartments or {}, model.compartment_ids),
    ):
        for name in names:
            if name not in known:
                kind = section.removesuffix("s")
                yield (section, name), f'"{name}" is not a {kind} of the model{did_you_mean(name, known)}'
            elif name not in marked:
                key = "type" if section == "parameters" else "init"
                yield (section, name), f'"{name}" is given here, so the model must say "{key}: {word}"'
    if start_date and "start_date" not in marked:
        yield (
            ("start_date",),
            f'start_date is given here, so the model\'s timespan must say "start_date: {word}"',
        )
    for name in sorted(marked - given):
        yield (), f'the model says that "{name}" is {word}, but it is not given here'


def _distribution_problems(distribution: Distribution, at: tuple) -> Problems:
    try:
        frozen_distribution(distribution)
    except UserError as error:
        yield at, str(error)


def _unit_problems(distribution: Distribution, at: tuple) -> Problems:
    """A start of 0.99 is nearly everybody and one of 1.01 a single person: no prior may hold both."""
    try:
        low, high = frozen_distribution(distribution).ppf([1e-6, 1 - 1e-6])
    except UserError:
        return  # said above
    if low < 1 < high:
        yield at, f"{low:.3g} to {high:.3g} {_SHARES_AND_PEOPLE}"
