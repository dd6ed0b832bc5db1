"""Top-level key `forecast`: a weekly forecast from surveillance data, without a compartmental model.

It is an experiment of its own, so it excludes `model` and `modelset`. Our addition to the vocabulary.
"""

from typing import Literal

from pydantic import Field

from modeling.vocabulary.base import Meta, Piece, Problems, Saturday
from modeling.vocabulary.output import Output

# tables of models; a forecast writes its own
_OF_MODELS = ("quantiles", "trajectories", "posteriors", "covid19_format", "flusmh_format")
FORECAST_DATA = "data/flusight/vintages"  # where `invoke data-update` puts them


class SurveillanceForecast(Piece):
    """Weekly hospital admissions, forecast in all populations at once from the newest surveillance data.

    The file is an experiment of its own, without `model` and `modelset`; `output` may be beside it.
    """

    meta: Meta | None = Field(None, description="notes about the file; nothing reads them")
    method: Literal["growth_regression", "random_walk"] = Field(
        description="growth_regression learns from all places and seasons; random_walk is the reference that "
        "it should beat"
    )
    population_names: list[str] = Field(
        min_length=1,
        description='ISO 3166 codes, e.g. US-MA; "all" is the United States, its states, DC and Puerto Rico',
    )
    observed_data_path: str = Field(
        description="weekly admissions as known on several days: a folder of files NAME_YYYY-MM-DD.csv or "
        f".csv.gz, such as {FORECAST_DATA}, or one file with a column as_of; relative to the forecasting "
        "repository. Columns: date or target_end_date (Saturdays), location (FIPS code or US), value or "
        "observation (people)",
    )
    history_path: str | None = Field(
        None,
        description="CSV file of another surveillance series of past seasons, such as influenza-like "
        "illness, with columns date, location and one of values",
    )
    reference_date: Saturday | None = Field(
        None,
        description="Saturday of the week in which the forecast is submitted; --reference-date replaces it; "
        "without either, the first one on or after the day of the newest data",
    )

    def problems(self) -> Problems:
        """Yield what is wrong with the forecast, beyond its types."""
        for index, name in enumerate(self.population_names):
            if name in self.population_names[:index]:
                yield ("population_names", index), f"duplicate population {name}; keep one"
        for key in ("observed_data_path", "history_path"):
            if getattr(self, key) == "":
                yield (key,), f"{key} is empty; write a path, such as {FORECAST_DATA}"


def output_problems(output: Output) -> Problems:
    """Yield the sections of an output that a forecast from surveillance data cannot write."""
    for section in _OF_MODELS:
        if getattr(output, section) != Output.model_fields[section].default:
            yield (section,), f"a forecast from surveillance data has no {section}; leave it out"
    if output.model_meta.projection_parameters:
        yield ("model_meta",), "a forecast from surveillance data has no projection; leave it out"
    if output.rate_trends is not None:
        yield (
            ("flusight_format", "rate_trends"),
            "a forecast from surveillance data measures changes from its own data; leave rate_trends out",
        )


# used without an output file
FORECAST_OUTPUT = Output()
