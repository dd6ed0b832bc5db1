"""The records that pass between the stages: workloads (A -> B) and results (B -> C), as plain arrays.

They hold no object of a library but numpy arrays, so a result loads in milliseconds and can be read after an
upgrade of epydemix. scripts/pipeline/pickles.py writes them to files, under the name of this module:
modeling.workload must stay its name. result_checks.py checks results.
"""

import datetime
from dataclasses import dataclass, field, is_dataclass

import numpy as np

WORKLOAD_FORMAT = 2
READABLE_WORKLOADS = (1, 2)
NEW = {"since": 2}  # of a field that an older record does not have
RESULT_FORMAT = 2
EIGENVALUE = "eigenvalue"  # in calculated parameters: the largest of the contact matrix over all layers


@dataclass(frozen=True)
class Flow:
    """One rate of a transition, or a vaccination.

    Attributes
    ----------
    rate : float or str
        A number [1/day] or an expression of parameters; "" for a vaccination.
    mediator : str or None
        Compartment of the people who cause a mediated transition.
    eligible : list of str or None
        Compartments whose people share the doses of the schedule; None for any other transition.
    """

    source: str
    target: str
    rate: float | str
    mediator: str | None = None
    eligible: list[str] | None = field(default=None, metadata=NEW)

    @property
    def name(self) -> str:
        return f"{self.source}_to_{self.target}"


@dataclass(frozen=True)
class Wave:
    """A factor of a parameter that moves between a minimum and a maximum over the season.

    The factor at a time point is minimum + (maximum - minimum) * shape.

    Attributes
    ----------
    shape : ndarray of float, shape (points,)
        0 at the minimum, 1 at the maximum.
    minimum : float or str
        A number, or the parameter that holds it, which may be drawn.
    """

    parameter: str
    shape: np.ndarray
    minimum: float | str
    maximum: float


@dataclass(frozen=True)
class Schedule:
    """What changes over time in a model, on one axis of time points.

    A time point is a time step where steps are shorter than a day, else a day. Step i of a trajectory that
    starts n days after `first_day` is at point n * points_per_day + i * max(1, delta_t_days).

    Attributes
    ----------
    first_day : date
        Earliest first day of a trajectory.
    wave : Wave or None
        Seasonality.
    factors : dict of str to ndarray of float, shape (points,)
        By parameter; they multiply its value, also one that is calculated.
    overrides : dict of str to ndarray of float, shape (points,)
        By parameter; they replace its value, whatever its factors. nan where it keeps it.
    contact_factors : dict of str to ndarray of float, shape (points,)
        By layer of contacts.
    doses : ndarray of float, shape (days, groups), or None
        Vaccine doses on each day from `first_day` on.
    doses_before : ndarray of float, shape (groups,), or None
        Doses of all days before `first_day` together.
    closed_schools : ndarray of float, shape (points,), or None
        Which part of the schools is closed, by people: 0 to 1.
    """

    first_day: datetime.date
    points_per_day: int
    wave: Wave | None
    factors: dict[str, np.ndarray]
    overrides: dict[str, np.ndarray]
    contact_factors: dict[str, np.ndarray]
    doses: np.ndarray | None
    doses_before: np.ndarray | None
    closed_schools: np.ndarray | None = field(default=None, metadata=NEW)


@dataclass(frozen=True)
class ModelPlan:
    """A compartmental model over one population, as the engine needs it.

    Attributes
    ----------
    sizes : ndarray of int, shape (groups,)
        People by age group.
    contacts : dict of str to ndarray, shape (groups, groups)
        Contacts by layer [1/day].
    parameters : dict
        Fixed values: a float, or an ndarray of shape (groups,).
    calculated : list of (name, expression)
        Each one after those that it uses.
    initial : dict
        By compartment: "default", a number of people (1 and more), a share (below 1), a list with one such
        value an age group, "sampled" or "calibrated", or None for nobody.
    delta_t_days : float
    resample_frequency : str or None
    schedule : Schedule or None
        None for a model that does not change over time.
    """

    name: str
    age_groups: list[str]
    sizes: np.ndarray
    contacts: dict[str, np.ndarray]
    compartments: list[str]
    flows: list[Flow]
    parameters: dict[str, float | np.ndarray]
    calculated: list[tuple[str, str]]
    initial: dict[str, object]
    delta_t_days: float
    resample_frequency: str | None
    schedule: Schedule | None = field(default=None, metadata=NEW)

    @property
    def transitions(self) -> list[str]:
        return list(dict.fromkeys(flow.name for flow in self.flows))

    @property
    def compartment_series(self) -> list[str]:
        return [f"{c}_{g}" for c in self.compartments for g in (*self.age_groups, "total")]

    @property
    def transition_series(self) -> list[str]:
        return [f"{t}_{g}" for t in self.transitions for g in (*self.age_groups, "total")]


@dataclass(frozen=True)
class HubCounts:
    """Observed counts from which a forecast hub's rate changes are measured.

    Attributes
    ----------
    source : str
        File and columns that they come from.
    dates : ndarray of datetime64[D], shape (dates,)
    values : ndarray of float, shape (dates,)
    """

    source: str
    dates: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Observed:
    """One observed series of one population.

    Attributes
    ----------
    label : str
        The column it comes from.
    series : list of str
        Transitions whose sum it is compared with.
    dates : ndarray of datetime64[D], shape (dates,)
    values : ndarray of float, shape (dates,)
    fitted : ndarray of bool, shape (dates,)
        Inside the fitting window.
    hub_counts : HubCounts or None
        Of the series that a hub's table forecasts, where the output asks for rate changes.
    """

    label: str
    series: list[str]
    dates: np.ndarray
    values: np.ndarray
    fitted: np.ndarray
    hub_counts: HubCounts | None = field(default=None, metadata=NEW)

    @property
    def last_fitted(self) -> datetime.date:
        return self.dates[self.fitted][-1].item()


@dataclass(frozen=True)
class Simulate:
    """Trajectories `first` to `first + count - 1` of an ensemble of `total`, with fixed parameters."""

    first: int
    count: int
    total: int
    draw: dict[str, float]  # sampled parameters and compartments


@dataclass(frozen=True)
class UserFunction:
    """A function of the experiment's author, with the whole text of its script."""

    script: str  # its path in the forecasting repository
    name: str
    source: str


@dataclass(frozen=True)
class Calibrate:
    """Approximate Bayesian computation, then projections from its posterior.

    `priors` hold (scipy name, args, kwargs). A calibrated start date counts days from the workload's.
    `distance` is the name of one of epydemix's metrics, or a function. `post_hoc` changes trajectories.
    """

    strategy: str
    options: dict
    max_seconds: float | None
    distance: str | UserFunction
    priors: dict[str, tuple[str, list, dict]]
    observed: list[Observed]
    fit_end: datetime.date
    projections: int
    generation: int | None
    post_hoc: UserFunction | None = field(default=None, metadata=NEW)

    @property
    def functions(self) -> list[UserFunction]:
        return [each for each in (self.distance, self.post_hoc) if isinstance(each, UserFunction)]


@dataclass(frozen=True)
class Workload:
    """One input of stage B; self-contained, so that a runner needs only the bucket."""

    index: int
    primary_id: int  # of its ensemble; the same for all parts of a split one
    population: str
    population_name: str
    seed: int
    entropy: tuple[int, ...]  # of the random streams; the same for all parts of a split ensemble
    plan: ModelPlan
    start_date: datetime.date
    end_date: datetime.date
    task: Simulate | Calibrate
    set_index: int = 0  # which parameter set of the population
    set_count: int = 1
    format: int = WORKLOAD_FORMAT


@dataclass(frozen=True)
class ForeignWorkload:
    """One input of stage B that another suite built, as its own dill bytes."""

    index: int
    primary_id: int
    population: str
    suite: str
    payload: bytes
    seed: int | None = None
    format: int = WORKLOAD_FORMAT


@dataclass(frozen=True)
class Trajectories:
    """Simulated counts on one date axis.

    Attributes
    ----------
    dates : ndarray of datetime64[s], shape (dates,)
    compartments, transitions : list of str
        Names of the series, e.g. "I_total", "S_to_I_0-4".
    in_compartments : ndarray of int, shape (trajectories, compartments, dates)
        People.
    by_transition : ndarray of int, shape (trajectories, transitions, dates)
        People who moved since the date before. A user function may turn both into arrays of float.
    """

    dates: np.ndarray
    compartments: list[str]
    transitions: list[str]
    in_compartments: np.ndarray
    by_transition: np.ndarray

    @property
    def count(self) -> int:
        return len(self.in_compartments)

    def series(self, name: str) -> np.ndarray:
        """Return one series, shape (trajectories, dates)."""
        if name in self.transitions:
            return self.by_transition[:, self.transitions.index(name)]
        return self.in_compartments[:, self.compartments.index(name)]

    def summed(self, names: list[str]) -> np.ndarray:
        """Return the sum of several series, shape (trajectories, dates)."""
        wide = [self.series(name) for name in names]
        return sum(each if each.dtype.kind == "f" else each.astype(np.int64) for each in wide)


@dataclass(frozen=True)
class Generation:
    """One population of accepted particles.

    Attributes
    ----------
    particles : ndarray, shape (particles, parameters)
    weights, distances : ndarray, shape (particles,)
    epsilon : float or None
        What the distances are below; None where nothing limits them, and in results of epydemix.
    simulations : int
        Simulated draws of this generation; 0 where they were not counted.
    """

    number: int
    particles: np.ndarray
    weights: np.ndarray
    distances: np.ndarray
    epsilon: float | None = field(default=None, metadata=NEW)
    simulations: int = field(default=0, metadata=NEW)


@dataclass(frozen=True)
class Checkpoint:
    """A calibration after a whole generation, from which another attempt goes on.

    Attributes
    ----------
    generations : list of Generation
        All so far, in order.
    values : ndarray, shape (particles, observed values)
        Simulated values of the last generation.
    simulations : int
        Of all generations.
    seconds : float
        Time spent, of all attempts together.
    """

    generations: list[Generation]
    values: np.ndarray
    simulations: int
    seconds: float


@dataclass(frozen=True)
class Fit:
    """Simulated values of one observed series for the particles of the last generation.

    `values` has shape (particles, dates of `observed` that are fitted).
    """

    observed: Observed
    values: np.ndarray


@dataclass(frozen=True)
class Expected:
    """Facts that a right result agrees with, so that stage C can check it without the input.

    Attributes
    ----------
    people : int or None
        People in all compartments together.
    dates : ndarray of datetime64[s], shape (dates,), or None
        Reported dates. Without them, as in another suite's result, only the first and last date are checked.
    groups : int
        Number of age groups before each total; 0 where totals are not checked.
    """

    trajectories: int
    first_date: datetime.date
    last_date: datetime.date
    people: int | None
    dates: np.ndarray | None = None
    frequency: str | None = None
    groups: int = 0
    added_compartments: int = field(default=0, metadata=NEW)  # series, the last, by a user function
    added_transitions: int = field(default=0, metadata=NEW)


@dataclass(frozen=True)
class Result:
    """One output of stage B.

    A simulation has `trajectories`; a calibration has `generations`, `fits` and, when it
    projects, `trajectories` and the `projected` particle of each, shape (trajectories, parameters).
    """

    index: int
    primary_id: int
    population: str
    population_name: str
    seed: int | None
    delta_t_days: float
    kind: str  # "simulation" or "calibration"
    expected: Expected
    trajectories: Trajectories | None
    parameters: dict[str, float | np.ndarray] = field(default_factory=dict)
    initial: dict[str, int] = field(default_factory=dict)
    ensemble_total: int = 0
    first_trajectory: int = 0  # number of the first trajectory in the ensemble
    set_index: int = 0
    set_count: int = 1
    parameter_names: list[str] = field(default_factory=list)
    generations: list[Generation] = field(default_factory=list)
    fits: list[Fit] = field(default_factory=list)
    projected: np.ndarray | None = None
    simulations: int = 0
    stopped_by: str = ""  # "" or the limit that ended the calibration early: progress.py
    transformed_by: str = field(default="", metadata=NEW)  # the user function that changed the trajectories
    changes: tuple[str, ...] = field(default=(), metadata=NEW)  # over time: change_sentences.py
    format: int = RESULT_FORMAT


# the only classes that a file of a run may hold: those of this module
RECORDS = tuple(
    kind for kind in list(globals().values()) if is_dataclass(kind) and kind.__module__ == __name__
)
