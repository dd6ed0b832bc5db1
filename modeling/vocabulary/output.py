"""Top-level key `output`: the tables that stage C writes."""

from typing import Literal

from pydantic import Field, field_validator

from modeling.failures import did_you_mean
from modeling.vocabulary.base import CountFrom0, Day, Meta, Number, Piece, Problems, repeated
from modeling.vocabulary.calibration import Calibration
from modeling.vocabulary.model import Model

# The 23 levels of the forecast hubs (FluSight-forecast-hub, model-output README).
HUB_QUANTILES = [0.01, 0.025, *(round(0.05 * i, 2) for i in range(1, 20)), 0.975, 0.99]


class Selection(Piece):
    """Series of a table: true for all, or names such as I_total and I_to_R_total."""

    compartments: list[str] | bool = False
    transitions: list[str] | bool = False

    def problems(self, compartments: list[str], transitions: list[str], may_add: bool = False) -> Problems:
        """Yield names that are unknown, unless a function may add series, or that are repeated."""
        for field, known in (("compartments", compartments), ("transitions", transitions)):
            chosen = getattr(self, field)
            for name in repeated(chosen) if isinstance(chosen, list) else []:
                yield (field,), f'duplicate "{name}"; keep one'
            for name in chosen if isinstance(chosen, list) else []:
                if name not in known and not may_add:
                    yield (field,), f'"{name}" is not among the {field}{did_you_mean(name, known)}'


class Quantiles(Selection):
    selections: list[Number] = Field(default_factory=lambda: list(HUB_QUANTILES), min_length=1)

    @field_validator("selections", mode="before")
    @classmethod
    def _default(cls, levels):
        return list(HUB_QUANTILES) if levels is None else levels

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
    pass


class Posteriors(Piece):
    generations: list[CountFrom0] | None = Field(None, description="SMC generations; the last without it")


class RateTrends(Piece):
    observed_data_path: str
    observed_value_column: str
    observed_date_column: str
    observed_location_column: str


class FlusightFormat(Piece):
    reference_date: Day
    rate_trends: RateTrends | None = None


class Covid19Format(Piece):
    pass


class FlusmhFormat(Piece):
    pass


class ModelMeta(Piece):
    projection_parameters: bool = Field(False, description="the parameters of every projection")


class Output(Piece):
    """Tables and their contents."""

    meta: Meta | None = None
    quantiles: Quantiles | None = None
    trajectories: Trajectories | None = None
    posteriors: Posteriors | bool = False
    flusight_format: FlusightFormat | None = None
    covid19_format: Covid19Format | None = None
    flusmh_format: FlusmhFormat | None = None
    model_meta: ModelMeta = Field(default_factory=ModelMeta)
    table_formats: list[Literal["csv", "parquet"]] = Field(
        default_factory=lambda: ["csv"], min_length=1, description="our addition to the vocabulary"
    )

    def problems(self, model: Model, calibration: Calibration | None = None) -> Problems:
        """Yield what is wrong with the output of this model, beyond its types."""
        may_add = calibration is not None and calibration.post_hoc_transformation is not None
        groups = (*model.population.age_groups, "total")
        compartments = [f"{c}_{g}" for c in model.compartment_ids for g in groups]
        transitions = [f"{t}_{g}" for t in model.transition_names for g in groups]
        for section in ("quantiles", "trajectories"):
            selection = getattr(self, section)
            if selection is not None:
                for at, message in selection.problems(compartments, transitions, may_add):
                    yield (section, *at), message
        for name in repeated(self.table_formats):
            yield ("table_formats",), f'duplicate "{name}"; keep one'
        generations = getattr(self.posteriors, "generations", None) or []
        for number in repeated(generations):
            yield ("posteriors", "generations"), f"duplicate generation {number}; keep one"
        hubs = [h for h in ("flusight_format", "covid19_format", "flusmh_format") if getattr(self, h)]
        if len(hubs) > 1:
            yield (hubs[1],), "more than one hub format; keep one"


# used without an output file: the tables that are of use for a small experiment
DEFAULT_OUTPUT = Output(quantiles=Quantiles(compartments=True, transitions=True), posteriors=True)
