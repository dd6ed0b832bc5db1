"""`modelset.calibration`: priors, observed data, strategy and projection."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from modeling.bounds import LARGEST_COUNT
from modeling.distributions import MOST_WHOLE_NUMBERS
from modeling.failures import UserError, did_you_mean
from modeling.vocabulary.base import Day, Location, Piece, Problems
from modeling.vocabulary.marked_names import name_problems
from modeling.vocabulary.model import Model
from modeling.vocabulary.priors import DateParameter, Distribution, unit_problems
from modeling.vocabulary.strategy import Strategy
from modeling.vocabulary.user_function import UserFunction

Metric = Literal["rmse", "wmape", "mae", "mape"]
# by the type of the value, so that a mistake in a mapping is not reported as an unknown metric
MetricOrFunction = Annotated[
    Annotated[Metric, Tag("metric")] | Annotated[UserFunction, Tag("function")],
    Discriminator(lambda given: "function" if isinstance(given, (dict, UserFunction)) else "metric"),
]


class Comparison(Piece):
    """The observed column, and the transitions whose sum is compared with it."""

    observed_value_column: str = Field(description="column of the counts [people in a reported interval]")
    observed_date_column: str = Field(description="column of the dates, written as 2025-01-04")
    observed_location_column: str = Field(
        "geo_value", description="column of the places: ISO, FIPS or postal codes, or names"
    )
    simulation: list[str] = Field(
        min_length=1, description="transitions to add up, e.g. [I_to_R_total] or [I_to_R_65+]"
    )


class FittingWindow(Piece):
    """The observed dates that are compared."""

    start_date: Day = Field(description="first date that is compared")
    end_date: Day = Field(description="last date that is compared")

    @model_validator(mode="after")
    def _ordered(self) -> "FittingWindow":
        if self.end_date <= self.start_date:
            raise ValueError(f"end_date {self.end_date} must be after start_date {self.start_date}")
        return self


class Prior(Piece):
    """The distribution of a value before it is calibrated."""

    prior: Distribution = Field(description="distribution that draws of the value come from")


class Projection(Piece):
    """Trajectories from the posterior to the model's last day."""

    n_trajectories: int = Field(ge=1, le=1_000_000, description="trajectories drawn from the posterior")
    generation_number: int | None = Field(
        None,
        ge=0,
        le=LARGEST_COUNT,
        description="SMC generation to draw from, counted from 0; the last without it",
    )


class Calibration(Piece):
    """Priors, observed data, strategy and projection."""

    strategy: Strategy = Field(description="calibration method and its options")
    distance_function: MetricOrFunction = Field(
        "rmse",
        description="distance of simulated from observed values, over all comparisons: a metric, or a "
        "function of your own",
    )
    post_hoc_transformation: UserFunction | None = Field(
        None, description="a function of your own that changes each trajectory before it is compared or shown"
    )
    observed_data_path: str = Field(
        description="CSV file, relative to the forecasting repository or the experiment's folder"
    )
    observed_data_as_of: Day | None = Field(
        None,
        description="for a file of vintages (column as_of or issue): the newest at or before this date; "
        "without it the newest of all",
    )
    comparison: list[Comparison] = Field(min_length=1, description="observed series, each of another column")
    start_date: DateParameter | None = Field(
        None, description="prior of the first simulated day; replaces a date in the model"
    )
    parameters: dict[str, Prior] | None = Field(None, description="priors of calibrated parameters, by name")
    compartments: dict[str, Prior] | None = Field(
        None, description="priors of who is in a compartment at first [share below 1, or people]"
    )
    fitting_window: FittingWindow = Field(description="dates that are compared")
    projection: Projection | None = Field(None, description="trajectories after the fit; none without it")

    def priors(self) -> dict[str, Distribution]:
        """Return every prior by name: of parameters, of compartments, then of start_date."""
        found = {name: p.prior for name, p in (self.parameters or {}).items()}
        found |= {name: p.prior for name, p in (self.compartments or {}).items()}
        if self.start_date is not None and self.start_date.prior is not None:
            found["start_date"] = self.start_date.prior
        return found

    def problems(self, model: Model) -> Problems:
        """Yield what is wrong with the calibration of this model, beyond its types."""
        yield from name_problems(model, "calibrated", self.parameters, self.compartments, self.start_date)
        if not self.priors():
            yield (), "nothing to calibrate: give a prior to a parameter, a compartment or start_date"
        for section in ("parameters", "compartments"):
            for name, prior in (getattr(self, section) or {}).items():
                yield from self._prior_problems(prior.prior, (section, name, "prior"))
        for name, prior in (self.compartments or {}).items():
            yield from unit_problems(prior.prior, ("compartments", name, "prior"))
        yield from self._start_date_problems(model)
        for index in range(len(self.comparison)):
            yield from self._comparison_problems(index, model)
        yield from self._window_problems(model)
        yield from self._projection_problems()

    def _comparison_problems(self, index: int, model: Model) -> Problems:
        comparison, earlier = self.comparison[index], self.comparison[:index]
        at: Location = ("comparison", index)
        column = comparison.observed_value_column
        if _compared(comparison, model) in [_compared(other, model) for other in earlier]:
            yield at, "duplicate comparison, which would count twice; keep one"
        elif column in [other.observed_value_column for other in earlier]:
            yield (
                (*at, "observed_value_column"),
                f'"{column}" is compared twice, so both series would have that name in tables and charts; '
                "copy the column under another name, or keep one",
            )
        yield from _summed_twice(comparison.simulation, model, (*at, "simulation"))
        groups = (*model.population.age_groups, "total")
        transitions = [f"{transition}_{group}" for transition in model.transition_names for group in groups]
        for position, name in enumerate(comparison.simulation):
            if name in comparison.simulation[:position]:
                yield (*at, "simulation"), f'duplicate "{name}"; keep one'
            if name not in transitions and self.post_hoc_transformation is None:
                yield (
                    (*at, "simulation"),
                    f'"{name}" is not a transition of the model{_meant(name, transitions)}; '
                    "write source_to_target_total",
                )

    def _window_problems(self, model: Model) -> Problems:
        end, model_end = self.fitting_window.end_date, model.timespan.end_date
        if end > model_end:
            yield (
                ("fitting_window", "end_date"),
                f"the fitting window ends {end}, after the model's end_date {model_end}",
            )

    def _projection_problems(self) -> Problems:
        generation = self.projection.generation_number if self.projection else None
        generations = getattr(self.strategy.options, "num_generations", 1)
        if generation is not None and generation >= generations:
            yield (
                ("projection", "generation_number"),
                f"generation {generation} of {generations}; they count from 0",
            )

    def _prior_problems(self, prior: Distribution, at: tuple) -> Problems:
        try:
            frozen = prior.frozen()
            low, high = map(float, frozen.support())
            # epydemix's perturbation of whole numbers lists every possible one
            many = not hasattr(frozen.dist, "pdf") and high - low > MOST_WHOLE_NUMBERS
            if not (many and self.strategy.name == "smc"):
                prior.check()
                return
        except UserError as error:
            yield at, str(error)
            return
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
        low, high = self.start_date.prior.frozen().support()
        if low < 0:
            yield ("start_date", "prior"), f"days after the reference date cannot be negative ({low:g})"
            return
        days_left = (self.fitting_window.end_date - self.start_date.reference_date).days
        if high > days_left:
            remedy = f"lower the prior's upper bound to {days_left}" if days_left > low else "change either"
            yield (
                ("start_date", "prior"),
                (
                    f"the start date can be {high:g} days after {self.start_date.reference_date}, "
                    f"past the end of the fitting window {self.fitting_window.end_date}; {remedy}"
                ),
            )


def _compared(comparison: Comparison, model: Model) -> Comparison:
    """Return a comparison in one spelling: the total instead of all age groups, names in order."""
    names = set(comparison.simulation)
    for transition in model.transition_names:
        groups = {f"{transition}_{g}" for g in model.population.age_groups}
        if groups <= names:
            names = names - groups | {f"{transition}_total"}
    return comparison.model_copy(update={"simulation": sorted(names)})


def _summed_twice(names: list[str], model: Model, at: tuple) -> Problems:
    """Yield a problem for each total beside one of its age groups, which would count twice."""
    for transition in model.transition_names:
        groups = [g for g in model.population.age_groups if f"{transition}_{g}" in names]
        if groups and f"{transition}_total" in names:
            yield (
                at,
                f'"{transition}_total" already includes age group "{groups[0]}", which would count twice; '
                "leave out the total or its age groups",
            )


def _meant(name: str, transitions: list[str]) -> str:
    """Return the hint of did_you_mean, or the total for a transition without an age group."""
    total = f"{name}_total"
    return f' (did you mean "{total}"?)' if total in transitions else did_you_mean(name, transitions)
