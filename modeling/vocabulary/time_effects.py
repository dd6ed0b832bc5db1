"""Changes of a model over time: vaccination, seasonality, interventions."""

from typing import Literal

from pydantic import Field, model_validator

from modeling.failures import listed
from modeling.vocabulary.base import Day, NotNegative, Number, Piece, Positive, Problems
from modeling.vocabulary.transitions import Transition, no_compartment


class Vaccination(Piece):
    """Doses by day and age group, and who shares them."""

    scenario_data_path: str | None = Field(
        None,
        description="CSV of cumulative coverage [% of an age group] by week, in the layout of the Scenario "
        "Modeling Hub; path in the forecasting repository",
    )
    preprocessed_vaccination_data_path: str | None = Field(
        None,
        description="instead of scenario_data_path: CSV of daily doses [people], with a column for each age "
        "group of the model; path in the forecasting repository",
    )
    scenario: str | None = Field(
        None,
        description="scenario of the file, e.g. A_B for column flu.coverage.rd2425.sc_A_B; required where "
        "the file has several",
    )
    origin_compartment: str = Field(
        description="compartment that people are vaccinated from: the source of the vaccination transition"
    )
    eligible_compartments: list[str] = Field(
        min_length=1,
        description="compartments whose people share the doses in proportion to their number; a dose moves "
        "only people of origin_compartment",
    )

    @model_validator(mode="after")
    def _one_source(self) -> "Vaccination":
        paths = [self.scenario_data_path, self.preprocessed_vaccination_data_path]
        if sum(p is not None for p in paths) != 1:
            raise ValueError("give either scenario_data_path or preprocessed_vaccination_data_path")
        return self

    def problems(self, compartments: list[str]) -> Problems:
        """Yield compartments that are unknown or listed twice, and an origin that is not eligible."""
        eligible = self.eligible_compartments
        if self.origin_compartment not in compartments:
            yield ("origin_compartment",), no_compartment(self.origin_compartment, compartments)
        elif self.origin_compartment not in eligible:
            yield (
                ("origin_compartment",),
                f"origin_compartment {self.origin_compartment} must be one of eligible_compartments "
                f"({listed(eligible)})",
            )
        for index, compartment in enumerate(eligible):
            at = ("eligible_compartments", index)
            if compartment not in compartments:
                yield at, no_compartment(compartment, compartments)
            if compartment in eligible[:index]:
                yield at, f'duplicate eligible compartment "{compartment}"; keep one'

    def transition_problems(self, transitions: list[Transition]) -> Problems:
        """Yield what is wrong with the vaccination transitions: none, several, or another source."""
        own = [index for index, t in enumerate(transitions) if t.type == "vaccination"]
        if not own:
            yield ("vaccination",), "a vaccination section needs a transition of type vaccination"
        for index in own[1:]:
            yield (
                ("transitions", index),
                "a second transition of type vaccination; keep one, for there is one schedule of doses",
            )
        for index in own:
            if (source := transitions[index].source) != self.origin_compartment:
                yield (
                    ("transitions", index, "source"),
                    f"the vaccination transition leaves {source}, but origin_compartment is "
                    f"{self.origin_compartment}; make them equal",
                )


class Seasonality(Piece):
    """A yearly wave on one parameter (Balcan et al. 2010, eq. 25)."""

    target_parameter: str
    method: Literal["balcan"]
    seasonality_max_date: Day
    seasonality_min_date: Day | None = None
    max_value: Positive
    min_value: NotNegative

    @model_validator(mode="after")
    def _ordered(self) -> "Seasonality":
        if self.min_value > self.max_value:
            raise ValueError("min_value must not be above max_value")
        if self.seasonality_min_date and self.seasonality_min_date < self.seasonality_max_date:
            raise ValueError("seasonality_min_date must not be before seasonality_max_date")
        return self


class Intervention(Piece):
    """A temporary change of a parameter or of contacts."""

    type: Literal["school_closure", "parameter", "contact_matrix"]
    scaling_factor: NotNegative | None = None
    override_value: Number | None = None
    contact_matrix_layer: str | None = None
    target_parameter: str | None = None
    start_date: Day | None = None
    end_date: Day | None = None

    @model_validator(mode="after")
    def _fields_fit_type(self) -> "Intervention":
        if self.type == "parameter":
            if not self.target_parameter:
                raise ValueError("a parameter intervention needs target_parameter")
            if (self.scaling_factor is None) == (self.override_value is None):
                raise ValueError("give either scaling_factor or override_value")
        elif self.scaling_factor is None:
            raise ValueError(f"a {self.type} intervention needs scaling_factor")
        if (self.type == "contact_matrix") != (self.contact_matrix_layer is not None):
            raise ValueError("contact_matrix_layer belongs to interventions of type contact_matrix")
        dated = self.start_date is not None and self.end_date is not None
        if self.type != "school_closure" and not dated:
            raise ValueError(f"a {self.type} intervention needs start_date and end_date")
        if dated and self.end_date < self.start_date:
            raise ValueError(f"end_date {self.end_date} is before start_date {self.start_date}")
        return self
