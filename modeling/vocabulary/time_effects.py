"""Changes of a model over time: vaccination, seasonality, interventions."""

from typing import Literal

from pydantic import Field, model_validator

from modeling.vocabulary.base import Day, NotNegative, Number, Piece, Positive


class Vaccination(Piece):
    """Doses by date and age group, and who can get them."""

    scenario_data_path: str | None = Field(None, description="CSV in Scenario Modeling Hub format")
    preprocessed_vaccination_data_path: str | None = Field(None, description="CSV of daily doses")
    scenario: str | None = Field(None, description="scenario of the data file")
    origin_compartment: str
    eligible_compartments: list[str] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_source(self) -> "Vaccination":
        paths = [self.scenario_data_path, self.preprocessed_vaccination_data_path]
        if sum(p is not None for p in paths) != 1:
            raise ValueError("give either scenario_data_path or preprocessed_vaccination_data_path")
        if self.origin_compartment not in self.eligible_compartments:
            raise ValueError("origin_compartment must be one of eligible_compartments")
        return self


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
