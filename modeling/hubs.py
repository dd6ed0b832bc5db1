"""The forecast hubs: what a table for one of them holds, in dates, quantiles, places and series.

Facts of FluSight 2025-26 (github.com/cdcepi/FluSight-forecast-hub: model-output/README.md and
hub-config/tasks.json) and of the COVID-19 Forecast Hub (github.com/CDCgov/covid19-forecast-hub, the same
files). The populations in hub_locations.csv are those of FluSight's auxiliary-data/locations.csv (commit
92469693f911; Census, vintage 2024), from which it computes rates. Both hubs have the same 53 places.
"""

import csv
import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from modeling.failures import UserError, listed
from modeling.weeks import DAY, WEEK, saturday_after

QUANTILES = [0.01, 0.025, *(round(0.05 * i, 2) for i in range(1, 20)), 0.975, 0.99]
MEDIAN = QUANTILES.index(0.5)
HORIZONS = range(-1, 4)  # weeks from the reference date to the end of the forecast week
FEWEST_TRAJECTORIES = 100  # with fewer, the outer quantiles are a guess: 0.01 is one trajectory of 100
WEEKS = ("W-SAT", "1W-SAT")  # resample frequencies of the hubs' weeks, Sunday to Saturday
SERIES = "hospitalizations"  # the compared column that is forecast, as in epymodelingsuite
COLUMNS = [
    "reference_date",
    "target",
    "horizon",
    "target_end_date",
    "location",
    "output_type",
    "output_type_id",
    "value",
]
NATION = "US"
MOST_IN_A_NAME = 16  # characters
_NAME = re.compile(rf"[A-Za-z0-9_+]{{1,{MOST_IN_A_NAME}}}")
_SUBMISSION = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}-{_NAME.pattern}-{_NAME.pattern}\.csv")
NO_DATE = '"reference_date" is missing; a model needs it'
FLUSMH_NOTE = "flusmh_format: nothing is written for the Flu Scenario Modeling Hub"


@dataclass(frozen=True)
class Hub:
    """One hub.

    Attributes
    ----------
    section : str
        Key of the output configuration that asks for its table.
    target : str
        The hub's name for weekly hospital admissions.
    """

    section: str
    table: str
    target: str


FLUSIGHT = Hub("flusight_format", "hub_flusight", "wk inc flu hosp")
COVID19 = Hub("covid19_format", "hub_covid19", "wk inc covid hosp")


def is_submission(name: str) -> bool:
    """Return whether a file has the name of a submission: <reference date>-<team>-<model>.csv."""
    return _SUBMISSION.fullmatch(name) is not None


def name_problem(name: str) -> str:
    """Return why a hub does not take a name of a team or a model; "" if it does."""
    if _NAME.fullmatch(name):
        return ""
    return (
        f'"{name}" is not a name that the hub takes: letters, digits, _ and +, from 1 to {MOST_IN_A_NAME} '
        "characters"
    )


def target_dates(reference: datetime.date) -> dict[int, datetime.date]:
    """Return the last day of the forecast week by horizon."""
    return {horizon: reference + horizon * WEEK for horizon in HORIZONS}


def week_before(reference: datetime.date) -> datetime.date:
    """Return the last day of the last week that is observed when the forecast is made."""
    return reference - WEEK


def horizons_within(reference: datetime.date, first: datetime.date, last: datetime.date) -> list[int]:
    """Return the horizons whose week is simulated whole by a model from `first` to `last`."""
    ends = target_dates(reference).items()
    return [horizon for horizon, end in ends if first <= end - 6 * DAY and end <= last]


def named_horizons(reference: datetime.date, horizons: Iterable[int]) -> str:
    """Return horizons with their dates, for messages."""
    dates = target_dates(reference)
    return listed(f"{horizon} ({dates[horizon]})" for horizon in horizons)


class ReferenceDate:
    """The one reference date of a run.

    Parameters
    ----------
    given : date or None
        Without it, the Saturday after the last fitted date.
    """

    def __init__(self, given: datetime.date | None):
        self.given, self._found = given, given
        self._first_place = ""

    def for_place(self, last_fitted: datetime.date, place: str) -> datetime.date:
        """Return the reference date of the next place.

        Raises
        ------
        UserError
            It is not given, and that of another place was another one.
        """
        if self.given is not None:
            return self.given
        own = saturday_after(last_fitted)
        if self._found is None:
            self._found, self._first_place = own, place
        if own != self._found:
            raise UserError(
                f"the Saturday after the last fitted date is {self._found} for {self._first_place}, "
                f"but {own} for {place}; set reference_date"
            )
        return own


def forecast_series(columns: list[str]) -> int:
    """Return which of the compared columns is forecast.

    Raises
    ------
    UserError
        There are several, and none has the name that decides.
    """
    if SERIES in columns:
        return columns.index(SERIES)
    if len(columns) == 1:
        return 0
    raise UserError(f"which of {listed(columns)} is forecast? Call its column {SERIES}")


@cache
def hub_populations() -> dict[str, int]:
    """Return the people in each place of the hubs by its FIPS code, or US."""
    return {row["location"]: int(row["population"]) for row in _places()}


@cache
def hub_names() -> dict[str, str]:
    """Return the name of each place of the hubs by its FIPS code, or US."""
    return {row["location"]: row["name"] for row in _places()}


def _places() -> list[dict[str, str]]:
    with open(Path(__file__).with_name("hub_locations.csv"), newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
