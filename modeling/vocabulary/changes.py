"""What changes over time in a model: vaccination, seasonality, interventions; each by itself."""

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


SEASONALITY_MIN = "seasonality_min"  # a parameter of this name replaces min_value
BALCAN = ("seasonality_max_date", "seasonality_min_date", "max_value", "min_value")
FROM_FILE = ("data_path", "date_column", "value_column", "location_column")


class Seasonality(Piece):
    """A factor of one parameter that changes over the year: a wave, or values from a file."""

    target_parameter: str = Field(description="parameter that is multiplied; a rate must use it directly")
    method: Literal["balcan", "data_driven"] = Field(
        description="balcan: a sine wave (Balcan et al. 2010, eq. 25); data_driven: factors from a file"
    )
    seasonality_max_date: Day | None = Field(None, description="balcan: a day of the highest factor")
    seasonality_min_date: Day | None = Field(
        None, description="balcan: the next day of the lowest factor; half a year later by default"
    )
    max_value: Positive | None = Field(None, description="balcan: highest factor [1]")
    min_value: NotNegative | None = Field(
        None, description="balcan: lowest factor [1]; a parameter seasonality_min replaces it"
    )
    data_path: str | None = Field(None, description="data_driven: CSV with a factor for each date")
    date_column: str = Field("date", description="data_driven: column of the dates")
    value_column: str = Field("value", description="data_driven: column of the factors [1], 0 or more")
    location_column: str | None = Field(
        None, description="data_driven: column of the populations; without it every row is used"
    )

    def problems(self) -> Problems:
        """Yield keys that are missing or that the method does not have, and a season that cannot be."""
        used, other = (BALCAN, FROM_FILE) if self.method == "balcan" else (FROM_FILE, BALCAN)
        for key in used:
            is_optional = key in ("seasonality_min_date", "location_column")
            if getattr(self, key) is None and not is_optional:
                yield (), f'seasonality of method {self.method} needs "{key}"'
        for key in other:
            if key in self.model_fields_set and getattr(self, key) is not None:
                yield (key,), f'seasonality of method {self.method} has no "{key}"; remove it'
        if None not in (self.min_value, self.max_value) and self.min_value > self.max_value:
            yield ("min_value",), f"min_value {self.min_value:g} is above max_value {self.max_value:g}"
        highest, lowest = self.seasonality_max_date, self.seasonality_min_date
        if highest and lowest == highest:
            yield (
                ("seasonality_min_date",),
                f"seasonality_min_date and seasonality_max_date are both {highest}, a season of length zero; "
                "leave the former out for a period of 365 days",
            )
        elif highest and lowest and lowest < highest:
            yield (
                ("seasonality_min_date",),
                f"seasonality_min_date {lowest} is before seasonality_max_date {highest}; give the first "
                "minimum after the maximum",
            )


# the keys of each type of intervention, beside scaling_factor
INTERVENTION_KEYS = {
    "parameter": ("target_parameter", "override_value", "start_date", "end_date"),
    "contact_matrix": ("contact_matrix_layer", "start_date", "end_date"),
    "school_closure": ("calendar_path",),
}
OPTIONAL_KEYS = ("override_value", "calendar_path")


class Intervention(Piece):
    """A temporary change of a parameter or of contacts."""

    type: Literal["school_closure", "parameter", "contact_matrix"] = Field(
        description="school_closure: contacts at school on closed days; parameter; contact_matrix: a layer"
    )
    scaling_factor: NotNegative | None = Field(
        None, description="factor of the parameter or of the contacts [1]; 0 switches them off"
    )
    override_value: Number | None = Field(
        None, description="parameter: its value on these days, instead of a factor; in the parameter's unit"
    )
    contact_matrix_layer: str | None = Field(
        None, description="contact_matrix: school, work, home or community"
    )
    target_parameter: str | None = Field(
        None, description="parameter: the one that changes; a rate must use it directly"
    )
    start_date: Day | None = Field(None, description="parameter, contact_matrix: first day")
    end_date: Day | None = Field(None, description="parameter, contact_matrix: last day, included")
    calendar_path: str | None = Field(
        None,
        description="school_closure: CSV of closed days (location, start_date, end_date) in place of ours",
    )

    def problems(self) -> Problems:
        """Yield keys that are missing or that the type does not have, and dates in the wrong order."""
        used = INTERVENTION_KEYS[self.type]
        for key in used:
            if getattr(self, key) is None and key not in OPTIONAL_KEYS:
                yield (), f'an intervention of type {self.type} needs "{key}"'
        for key in dict.fromkeys(k for keys in INTERVENTION_KEYS.values() for k in keys):
            if key not in used and getattr(self, key) is not None:
                yield (key,), f'an intervention of type {self.type} has no "{key}"; remove it'
        if self.type != "parameter" and self.scaling_factor is None:
            yield (), f'an intervention of type {self.type} needs "scaling_factor"'
        if self.type == "parameter" and (self.scaling_factor is None) == (self.override_value is None):
            yield (), "a parameter intervention needs either scaling_factor or override_value"
        if self.start_date and self.end_date and self.end_date < self.start_date:
            yield ("end_date",), f"end_date {self.end_date} is before start_date {self.start_date}"

    def meets(self, other: "Intervention") -> bool:
        """Return whether both change the same parameter on a day that they have in common."""
        dates = (self.start_date, self.end_date, other.start_date, other.end_date)
        if {self.type, other.type} != {"parameter"} or None in dates:
            return False
        if self.target_parameter != other.target_parameter:
            return False
        return self.start_date <= other.end_date and other.start_date <= self.end_date
