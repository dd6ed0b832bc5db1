"""The records of a forecast from surveillance data, as they pass between the stages.

Arrays have one column a location, in the order of `locations`: FIPS codes, and "US" for the nation. A week is
named by the Saturday that ends it; row i of `counts` is the week that ends on `first_week` + 7 i days.
Pickled under the name of this module, which must stay; scripts/pipeline/plain_pickle.py reads them.
"""

import datetime
from dataclasses import dataclass, field, is_dataclass

import numpy as np

from modeling.weeks import WEEK

FORECAST_FORMAT = 1
RECENT_WEEKS = 3  # of an earlier vintage: later they are hardly revised
MOST_EARLIER = 23  # vintages before the one in use


@dataclass(frozen=True)
class Vintage:
    """The newest weeks of one earlier release.

    Attributes
    ----------
    as_of : date
        Day on which this was known.
    last_week : date
        Newest week that it has for any location.
    counts : ndarray of float, shape (RECENT_WEEKS, locations)
        Admissions of the weeks that end with `last_week`, oldest first; nan where not reported.
    """

    as_of: datetime.date
    last_week: datetime.date
    counts: np.ndarray


@dataclass(frozen=True)
class Surveillance:
    """Weekly admissions as known when the forecast of a reference date was due.

    Attributes
    ----------
    reference_date : date
        Saturday that ends the week in which the forecast is submitted; horizon 0.
    as_of : date
        Day of the vintage; not after the reference date.
    first_week : date
    counts : ndarray of float, shape (weeks, locations)
        The last row is the newest week that any location has; nan where not reported.
    earlier : list of Vintage
        Releases before `as_of`, oldest first; at most MOST_EARLIER, the newest ones.
    """

    reference_date: datetime.date
    as_of: datetime.date
    first_week: datetime.date
    counts: np.ndarray
    earlier: list[Vintage]

    @property
    def last_week(self) -> datetime.date:
        return self.first_week + (len(self.counts) - 1) * WEEK

    @property
    def weeks_ahead(self) -> int:
        """Weeks from the newest known one to the reference date; 1, but 2 after a missing release."""
        return (self.reference_date - self.last_week).days // 7


@dataclass(frozen=True)
class History:
    """Another surveillance series of past seasons, such as influenza-like illness.

    Attributes
    ----------
    first_week : date
    locations : list of str
        Those of its columns; never "US".
    values : ndarray of float, shape (weeks, locations)
        In any unit that is proportional to illness, such as percent of visits; nan where not reported.
    """

    first_week: datetime.date
    locations: list[str]
    values: np.ndarray


@dataclass(frozen=True)
class Doubt:
    """Something about the data of one location that a person should look at.

    Attributes
    ----------
    kind : str
        "fault" (an implausible jump, or a value that is not a count), "gap" (weeks without a count) or
        "revision" (known weeks that changed a lot).
    sentence : str
        What was found, in which weeks, and what the forecast made of it.
    """

    location: str
    kind: str
    sentence: str


@dataclass(frozen=True)
class Quantiles:
    """The forecast of one reference date.

    Attributes
    ----------
    reference_date : date
    values : ndarray of float, shape (5, locations, 23)
        Admissions by horizon -1 to 3, location and level of modeling.hubs.QUANTILES: whole, not negative,
        not decreasing over the levels.
    """

    reference_date: datetime.date
    values: np.ndarray


@dataclass(frozen=True)
class Forecast:
    """What a method returns.

    Attributes
    ----------
    quantiles : Quantiles
    nowcast : ndarray of float, shape (RECENT_WEEKS, locations)
        Expected final counts of the newest weeks, oldest first; the method's input after its corrections.
    doubts : list of Doubt
    notes : list of str
        What the method found about the data as a whole, such as a single past season.
    """

    quantiles: Quantiles
    nowcast: np.ndarray
    doubts: list[Doubt] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ForecastWorkload:
    """The one input of a forecast from surveillance data; all its locations together.

    Attributes
    ----------
    population, population_name : str
        Of the run, for messages: "US" and "53 locations".
    method : str
        A key of modeling.forecast.methods.METHODS.
    people : ndarray of int, shape (locations,)
    known : Surveillance
    previous : Surveillance or None
        The same for the reference date one week earlier, so that the report can say how that forecast did;
        None where the data have no vintage that early.
    history : History or None
    later : ndarray of float, shape (5, locations)
        Newest known counts of the forecast's weeks, by horizon -1 to 3; nan where not observed yet. For the
        report only: no forecast uses them.
    left_out : dict of str to str
        Locations that were asked for and cannot be forecast, with the reason.
    notes : list of str
        What stage A found about the data as a whole, such as a missing release; the method adds its own.
    doubts : list of Doubt
        What stage A found about single locations: gaps, revisions, and values that are not counts. The
        method adds the jumps that it did not believe.
    is_strict : bool
        Whether a location that is left out, or has a fault in its data, fails the run.
    """

    population: str
    population_name: str
    method: str
    locations: list[str]
    people: np.ndarray
    known: Surveillance
    previous: Surveillance | None
    history: History | None
    later: np.ndarray
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    is_strict: bool = False
    seed: int | None = None
    index: int = 0
    primary_id: int = 0
    format: int = FORECAST_FORMAT


@dataclass(frozen=True)
class ForecastResult:
    """The result of a ForecastWorkload; what it has in common is copied from there.

    Attributes
    ----------
    as_of, first_week, counts
        Of `known`: what the forecast was made from.
    nowcast : ndarray of float, shape (RECENT_WEEKS, locations)
        As the method returned it.
    forecast : Quantiles
    previous : Quantiles or None
        The forecast of one week earlier, by the same method from what was known then.
    """

    population: str
    population_name: str
    method: str
    locations: list[str]
    people: np.ndarray
    as_of: datetime.date
    first_week: datetime.date
    counts: np.ndarray
    nowcast: np.ndarray
    forecast: Quantiles
    previous: Quantiles | None
    later: np.ndarray
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    seed: int | None = None
    index: int = 0
    primary_id: int = 0
    format: int = FORECAST_FORMAT

    @property
    def last_week(self) -> datetime.date:
        return self.first_week + (len(self.counts) - 1) * WEEK


FORECAST_RECORDS = tuple(
    kind for kind in list(globals().values()) if is_dataclass(kind) and kind.__module__ == __name__
)
