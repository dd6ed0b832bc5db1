"""Top-level key `output`: the tables that stage C writes."""

import datetime
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from modeling import hubs
from modeling.failures import UserError, did_you_mean
from modeling.vocabulary.base import CountFrom0, Meta, Number, Piece, Problems, Saturday, repeated
from modeling.vocabulary.calibration import Calibration
from modeling.vocabulary.model import Model

HUB_SECTIONS = ("flusight_format", "covid19_format", "flusmh_format")


class Selection(Piece):
    """Series of a table: true for all, or names such as I_total and I_to_R_total."""

    compartments: list[str] | bool = Field(
        False, description="people in compartments: true for all series, or names such as I_total, I_0-4"
    )
    transitions: list[str] | bool = Field(
        False,
        description="people who moved since the date before: true for all series, or names such as "
        "I_to_R_total",
    )

    def problems(self, compartments: list[str], transitions: list[str], may_add: bool = False) -> Problems:
        """Yield names that are unknown, unless a function may add series."""
        for field, known in (("compartments", compartments), ("transitions", transitions)):
            chosen = getattr(self, field)
            for name in chosen if isinstance(chosen, list) else []:
                if name not in known and not may_add:
                    yield (field,), f'"{name}" is not among the {field}{did_you_mean(name, known)}'

    def repeated_names(self) -> Problems:
        """Yield names that are repeated."""
        for field in ("compartments", "transitions"):
            chosen = getattr(self, field)
            for name in repeated(chosen) if isinstance(chosen, list) else []:
                yield (field,), f'duplicate "{name}"; keep one'


class Quantiles(Selection):
    """Quantiles over the trajectories, date by date."""

    selections: list[Number] = Field(
        default_factory=lambda: list(hubs.QUANTILES),
        min_length=1,
        description="levels between 0 and 1; without it, or null, the 23 of the forecast hubs",
    )

    @field_validator("selections", mode="before", json_schema_input_type=list[Number] | None)
    @classmethod
    def _default(cls, levels):
        return list(hubs.QUANTILES) if levels is None else levels

    @field_validator("selections")
    @classmethod
    def _inside_unit_interval(cls, levels: list[float]) -> list[float]:
        for level in levels:
            if not 0 < level < 1:
                raise ValueError(f"quantile {level:g} is not between 0 and 1")
        for level in repeated(levels):
            raise ValueError(f"duplicate quantile {level:g}; keep one")
        return sorted(levels)


class Trajectories(Selection):
    """Every trajectory, date by date."""


class Posteriors(Piece):
    """Particles of a calibration."""

    generations: list[CountFrom0] | None = Field(
        None, description="SMC generations, counted from 0; the last one without it"
    )


class RateTrends(Piece):
    """Observed admissions, from which the changes of FluSight's rate-change target are measured."""

    observed_data_path: str = Field(
        description="CSV file of weekly admissions, relative to the forecasting repository; needs the week "
        "before the reference date"
    )
    observed_value_column: str = Field(description="column of the weekly admissions (people)")
    observed_date_column: str = Field(description="column of the Saturdays that end the weeks")
    observed_location_column: str = Field(description="column of the places: ISO or FIPS codes, or names")

    @property
    def source(self) -> str:
        """File and columns in words, the same for the same series."""
        columns = (self.observed_value_column, self.observed_date_column, self.observed_location_column)
        return f"{self.observed_data_path} ({', '.join(columns)})"


class HubFormat(Piece):
    """A table for a forecast hub, from the projections of a calibration."""

    hub: ClassVar[hubs.Hub]
    reference_date: Saturday | None = None
    team: str | None = Field(
        None,
        description="name of the team at the hub: letters, digits, _ and +, at most 16 characters; with "
        "model, the file of a submission is written; our addition to the vocabulary",
    )
    model: str | None = Field(
        None,
        description="name of the model at the hub, like that of the team; our addition to the vocabulary",
    )

    @field_validator("team", "model")
    @classmethod
    def _as_the_hub_writes_names(cls, name: str | None) -> str | None:
        if name is not None and (problem := hubs.name_problem(name)):
            raise ValueError(problem)
        return name

    @property
    def has_submission(self) -> bool:
        """Whether the file of a submission is asked for."""
        return self.team is not None and self.model is not None

    def own_problems(self) -> Problems:
        """Yield a team without a model, or the reverse."""
        for given, other in (("team", "model"), ("model", "team")):
            if getattr(self, given) is not None and getattr(self, other) is None:
                yield (given,), f"{given} without {other}; give both for the file of a submission, or neither"


class FlusightFormat(HubFormat):
    """Quantiles of weekly admissions for the FluSight forecast hub, and the categories of their change."""

    hub: ClassVar[hubs.Hub] = hubs.FLUSIGHT
    reference_date: Saturday | None = Field(
        None,
        description="Saturday of the week in which the forecast is submitted; required unless the experiment "
        "has the key forecast",
    )
    rate_trends: RateTrends | None = Field(
        None, description="with it, also the probabilities of the hub's rate-change categories"
    )


class Covid19Format(HubFormat):
    """Quantiles of weekly admissions for the COVID-19 Forecast Hub."""

    hub: ClassVar[hubs.Hub] = hubs.COVID19
    reference_date: Saturday | None = Field(
        None,
        description="Saturday of the week in which the forecast is submitted; without it the Saturday after "
        "the last fitted date; our addition to the vocabulary",
    )


class FlusmhFormat(Piece):
    """Accepted, but nothing is written for it, as in epymodelingsuite."""


class ModelMeta(Piece):
    """What to add to the table of metadata, which is always written."""

    projection_parameters: bool = Field(False, description="the particle behind every projection")


class Output(Piece):
    """Tables and their contents."""

    meta: Meta | None = Field(None, description="notes about the file; nothing reads them")
    quantiles: Quantiles | None = Field(None, description="quantiles over the trajectories")
    trajectories: Trajectories | None = Field(None, description="every trajectory")
    posteriors: Posteriors | bool = Field(
        False, description="particles of a calibration: true for the last generation, or a choice"
    )
    flusight_format: FlusightFormat | None = Field(None, description="table for the FluSight forecast hub")
    covid19_format: Covid19Format | None = Field(None, description="table for the COVID-19 Forecast Hub")
    flusmh_format: FlusmhFormat | None = Field(
        None, description="Flu Scenario Modeling Hub: accepted, but nothing is written"
    )
    model_meta: ModelMeta = Field(default_factory=ModelMeta, description="additions to the metadata")
    table_formats: list[Literal["csv", "parquet"]] = Field(
        default_factory=lambda: ["csv"],
        min_length=1,
        description="formats of all tables; our addition to the vocabulary",
    )

    @property
    def hub_format(self) -> HubFormat | None:
        """The section of the hub that a table is written for."""
        return self.flusight_format if self.flusight_format is not None else self.covid19_format

    @property
    def rate_trends(self) -> RateTrends | None:
        """What the probabilities of a hub's rate-change categories are measured from."""
        return self.flusight_format.rate_trends if self.flusight_format is not None else None

    @property
    def _hubs_asked(self) -> list[str]:
        return [section for section in HUB_SECTIONS if getattr(self, section) is not None]

    def own_problems(self) -> Problems:
        """Yield what is wrong with the output of any model, beyond its types: what is there twice."""
        for section in ("quantiles", "trajectories"):
            selection = getattr(self, section)
            for at, message in selection.repeated_names() if selection is not None else ():
                yield (section, *at), message
        if self.hub_format is not None:
            for at, message in self.hub_format.own_problems():
                yield (self.hub_format.hub.section, *at), message
        for name in repeated(self.table_formats):
            yield ("table_formats",), f'duplicate "{name}"; keep one'
        for number in repeated(getattr(self.posteriors, "generations", None) or []):
            yield ("posteriors", "generations"), f"duplicate generation {number}; keep one"
        for section in self._hubs_asked[1:2]:
            yield (section,), "more than one hub format; keep one"

    def problems(
        self,
        model: Model,
        calibration: Calibration | None = None,
        first_day: datetime.date | None = None,
    ) -> Problems:
        """Yield what is wrong with the output of this model, beyond its types and own_problems.

        Parameters
        ----------
        first_day : date, optional
            First simulated day of a calibration, the earliest if it is calibrated.
        """
        may_add = calibration is not None and calibration.post_hoc_transformation is not None
        groups = (*model.population.age_groups, "total")
        compartments = [f"{c}_{g}" for c in model.compartment_ids for g in groups]
        transitions = [f"{t}_{g}" for t in model.transition_names for g in groups]
        for section in ("quantiles", "trajectories"):
            selection = getattr(self, section)
            if selection is not None:
                for at, message in selection.problems(compartments, transitions, may_add):
                    yield (section, *at), message
        yield from self._generation_problems(calibration)
        if self.flusight_format is not None and self.flusight_format.reference_date is None:
            yield ("flusight_format",), hubs.NO_DATE
        if self.hub_format is not None and calibration is not None and len(self._hubs_asked) == 1:
            for at, message in _hub_problems(self.hub_format, model, calibration, first_day):
                yield (self.hub_format.hub.section, *at), message

    def _generation_problems(self, calibration: Calibration | None) -> Problems:
        generations = getattr(self.posteriors, "generations", None) or []
        if calibration is not None:
            count = getattr(calibration.strategy.options, "num_generations", 1)
            for number in generations:
                if not 0 <= number < count:
                    yield ("posteriors", "generations"), f"generation {number} of {count}; they count from 0"


def _hub_problems(
    wanted: HubFormat, model: Model, calibration: Calibration, first_day: datetime.date | None
) -> Problems:
    """Yield why a calibration cannot give the table of a hub."""
    try:
        hubs.forecast_series([each.observed_value_column for each in calibration.comparison])
    except UserError as error:
        yield (), str(error)
    count = calibration.projection.n_trajectories if calibration.projection is not None else 0
    fewest, frequency = hubs.FEWEST_TRAJECTORIES, model.resample_frequency
    if not count:
        yield (), f"the calibration has no projection; add projection: {{n_trajectories: {fewest}}}"
    elif count < fewest:
        problem = f"{count} trajectories are too few for the hub's quantiles 0.01 and 0.99"
        yield (), f"{problem}; set projection.n_trajectories to {fewest} or more"
    if frequency not in hubs.WEEKS:
        problem = (
            f"the hub has weeks from Sunday to Saturday, but the model reports {frequency or 'each step'}"
        )
        yield (), f"{problem}; set simulation.resample_frequency to W-SAT"
    day, end = wanted.reference_date, model.timespan.end_date
    if day is not None and first_day is not None and not hubs.horizons_within(day, first_day, end):
        yield (
            ("reference_date",),
            f"no week from {hubs.target_dates(day)[-1]} to {hubs.target_dates(day)[3]} (horizons -1 to 3) is "
            f"simulated whole: the model runs from {first_day} to {end}; change either",
        )


# used without an output file: the tables that are of use for a small experiment
DEFAULT_OUTPUT = Output(quantiles=Quantiles(compartments=True, transitions=True), posteriors=True)
