"""What travels between the stages: workloads (A -> B) and results (B -> C), as plain arrays.

No library object is inside, so a result loads in milliseconds and outlives an upgrade of
epydemix or numpy. How records become files is in scripts/pipeline/pickles.py.
"""

import datetime
import math
import re
from dataclasses import dataclass, field

import numpy as np

from modeling.bounds import EARLIEST_DAY, LARGEST_NUMBER, LATEST_DAY
from modeling.calendars import FREQUENCY, step_count
from modeling.failures import UserError

MOST_PARTICLE = 1e18  # of a parameter; a perturbed one may be beyond the bounds of the vocabulary
BYTES_OF_THE_REST = 64 << 20  # of a result, besides its large arrays: names, parameters, data
WORKLOAD_FORMAT = 1
RESULT_FORMAT = 2
EIGENVALUE = "eigenvalue"  # in calculated parameters: that of the contact matrix over all layers


@dataclass(frozen=True)
class Flow:
    """One rate of a transition. `mediator` is None for a spontaneous one."""

    source: str
    target: str
    rate: float | str
    mediator: str | None = None

    @property
    def name(self) -> str:
        return f"{self.source}_to_{self.target}"


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
        Each after those it uses.
    initial : dict
        By compartment: "default", people (1 and more), a share (below 1), a list with one an age
        group, "sampled" or "calibrated", or None for nobody.
    delta_t_days : float
    resample_frequency : str or None
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
    """

    label: str
    series: list[str]
    dates: np.ndarray
    values: np.ndarray
    fitted: np.ndarray

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
class Calibrate:
    """Approximate Bayesian computation, then projections from its posterior.

    `priors` hold (scipy name, args, kwargs). A calibrated start date counts days from the workload's.
    """

    strategy: str
    options: dict
    max_seconds: float | None
    distance: str
    priors: dict[str, tuple[str, list, dict]]
    observed: list[Observed]
    fit_end: datetime.date
    projections: int
    generation: int | None


@dataclass(frozen=True)
class Workload:
    """One input of stage B: self-contained, so that a runner needs no network but the bucket."""

    index: int
    primary_id: int  # the ensemble it belongs to; equal for the parts of a split one
    population: str
    population_name: str
    seed: int
    entropy: tuple[int, ...]  # of the random streams: differs between workloads, not between splits
    plan: ModelPlan
    start_date: datetime.date
    end_date: datetime.date
    task: Simulate | Calibrate
    set_index: int = 0  # which parameter set of the population
    set_count: int = 1
    format: int = WORKLOAD_FORMAT


@dataclass(frozen=True)
class ForeignWorkload:
    """One input built by another suite, as its own dill bytes."""

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
        People who moved since the date before.
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
        return sum(self.series(name).astype(np.int64) for name in names)


@dataclass(frozen=True)
class Generation:
    """One population of accepted particles.

    Attributes
    ----------
    particles : ndarray, shape (particles, parameters)
    weights, distances : ndarray, shape (particles,)
    """

    number: int
    particles: np.ndarray
    weights: np.ndarray
    distances: np.ndarray


@dataclass(frozen=True)
class Fit:
    """Simulated values of one observed series for the particles of the last generation.

    `values` has shape (particles, dates of `observed` that are fitted).
    """

    observed: Observed
    values: np.ndarray


@dataclass(frozen=True)
class Expected:
    """What a right result must look like, so that stage C can check it without the input.

    `dates` are the reported dates of `frequency`, and `groups` the age groups before each total; without
    them (another suite's result) dates are checked by their ends and totals not at all.
    """

    trajectories: int
    first_date: datetime.date
    last_date: datetime.date
    people: int | None
    dates: np.ndarray | None = None
    frequency: str | None = None
    groups: int = 0


@dataclass(frozen=True)
class Result:
    """One output of stage B.

    A simulation has `trajectories`; a calibration has `generations`, `fits` and, when it
    projects, `trajectories` with the `projected` particles behind them, shape (trajectories,
    parameters).
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
    first_trajectory: int = 0  # its number in the ensemble
    set_index: int = 0
    set_count: int = 1
    parameter_names: list[str] = field(default_factory=list)
    generations: list[Generation] = field(default_factory=list)
    fits: list[Fit] = field(default_factory=list)
    projected: np.ndarray | None = None
    simulations: int = 0
    stopped_by: str = ""  # "" or the limit that ended the calibration early: search.py
    format: int = RESULT_FORMAT


# every kind of record that a file of a run may hold
RECORDS = (
    Calibrate,
    Expected,
    Fit,
    Flow,
    ForeignWorkload,
    Generation,
    ModelPlan,
    Observed,
    Result,
    Simulate,
    Trajectories,
    Workload,
)


def check_result(result: Result) -> None:
    """Raise where a result cannot be right, before it leaves stage B and again before stage C uses it.

    Raises
    ------
    UserError
        Indices outside the run, arrays of a wrong type or shape, wrong number of trajectories, wrong
        dates, counts that are negative or not finite, people who vanish or appear, weights that are no
        distribution.
    """
    where = f"result {result.index} ({result.population})"
    if result.format != RESULT_FORMAT:
        raise UserError(f"{where}: format {result.format} is not {RESULT_FORMAT}")
    _check_facts(result, where)
    if (result.trajectories is None) != (result.expected.trajectories == 0):
        raise UserError(f"{where}: {result.expected.trajectories} trajectories expected, and none there")
    if result.kind == "calibration" and not (result.generations and result.fits):
        raise UserError(f"{where}: no posterior")
    if result.trajectories is not None:
        _check_trajectories(result.trajectories, result.expected, result.delta_t_days, where)
    if result.kind == "simulation":
        _check_place_in_ensemble(result, where)
    _check_names(result.parameter_names, "parameters", where)
    for generation in result.generations:
        _check_generation(generation, len(result.parameter_names), where)
    numbers = [generation.number for generation in result.generations]
    if numbers != sorted(set(numbers)):
        raise UserError(f"{where}: generations {numbers[:10]}, which do not increase")
    for fit in result.fits:
        _check_fit(fit, result, where)
    if result.projected is not None:
        _check_array(result.projected, "iuf", 2, f"{where}: projected particles")
        if result.projected.shape[1] != len(result.parameter_names):
            raise UserError(f"{where}: projected particles of shape {result.projected.shape}")


_DAY = np.timedelta64(1, "D")


def _check_facts(result: Result, where: str) -> None:
    """Check the numbers and texts of a result, outside its arrays."""
    if result.kind not in ("simulation", "calibration"):
        raise UserError(f"{where}: {result.kind[:40]!r} is no kind of result")
    expected = result.expected
    counts = {name: getattr(result, name) for name in ("index", "primary_id", "set_index", "simulations")}
    counts |= {"first_trajectory": result.first_trajectory, "ensemble_total": result.ensemble_total}
    counts |= {name: getattr(expected, name) for name in ("trajectories", "groups", "people")}
    for name, value in counts.items():
        if value is not None and not 0 <= value < LARGEST_NUMBER:
            raise UserError(f"{where}: {name} is {value}")
    if not result.set_index < result.set_count < LARGEST_NUMBER:
        raise UserError(f"{where}: parameter set {result.set_index} of {result.set_count}")
    if not 0 < result.delta_t_days < LARGEST_NUMBER:
        raise UserError(f"{where}: time steps of {result.delta_t_days} days")
    if expected.frequency is not None and not re.fullmatch(FREQUENCY, expected.frequency):
        raise UserError(f"{where}: {expected.frequency[:40]!r} is no frequency")
    for name, value in result.parameters.items():
        if isinstance(value, np.ndarray):
            _check_array(value, "iuf", 1, f"{where}: {name[:80]}")
    if expected.first_date > expected.last_date:
        raise UserError(f"{where}: dates {expected.first_date} to {expected.last_date}")


def _check_place_in_ensemble(result: Result, where: str) -> None:
    if result.trajectories is None:
        raise UserError(f"{where}: a simulation without trajectories")
    last = result.first_trajectory + result.trajectories.count
    if last > result.ensemble_total:
        raise UserError(f"{where}: trajectories up to {last} of an ensemble of {result.ensemble_total}")


def _check_fit(fit: Fit, result: Result, where: str) -> None:
    observed, what = fit.observed, f"{where}: fit to {fit.observed.label[:80]}"
    for name, kinds in (("dates", "M"), ("values", "iuf"), ("fitted", "b")):
        _check_array(getattr(observed, name), kinds, 1, f"{what}: {name}")
    if not len(observed.dates) == len(observed.values) == len(observed.fitted) or not observed.fitted.any():
        raise UserError(f"{what}: dates, values and fitted flags have different lengths, or none is fitted")
    _check_dates(observed.dates, what)
    _check_array(fit.values, "iuf", 2, what)
    _check_counts(fit.values, what)
    wanted = (len(result.generations[-1].weights), int(observed.fitted.sum()))
    if fit.values.shape != wanted:
        raise UserError(f"{where}: fit of shape {fit.values.shape} instead of {wanted}")
    if result.trajectories is not None:
        known = {*result.trajectories.transitions, *result.trajectories.compartments}
        unknown = [name for name in observed.series if name not in known]
        if unknown or not observed.series:
            name = unknown[0][:80] if unknown else "nothing"
            raise UserError(f"{what}: it is compared with {name!r}, which is not simulated")


def _check_array(array: np.ndarray, kinds: str, dimensions: int, what: str) -> None:
    """Refuse an array of another kind (a letter of numpy's) or number of dimensions."""
    if array.dtype.kind not in kinds or array.ndim != dimensions:
        raise UserError(f"{what}: an array of {array.dtype} with {array.ndim} dimensions")


def _check_dates(dates: np.ndarray, where: str) -> None:
    if len(dates) == 0 or np.isnat(dates).any() or not (np.diff(dates) > np.timedelta64(0, "s")).all():
        raise UserError(f"{where}: its dates do not go forward")
    if dates[0] < np.datetime64(EARLIEST_DAY) or dates[-1] > np.datetime64(LATEST_DAY):
        raise UserError(f"{where}: dates {dates[0]} to {dates[-1]}, which are not of 1900 to 2200")


def _check_names(names: list[str], what: str, where: str) -> None:
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{where}: duplicate {twice[:80]!r} among its {what}")


def _check_trajectories(
    trajectories: Trajectories, expected: Expected, delta_t_days: float, where: str
) -> None:
    _check_kinds(trajectories, expected, where)
    if trajectories.count != expected.trajectories:
        raise UserError(f"{where}: {trajectories.count} trajectories instead of {expected.trajectories}")
    dates = trajectories.dates
    _check_dates(dates, where)
    if expected.dates is not None and not np.array_equal(dates, expected.dates):
        raise UserError(
            f"{where}: {len(dates)} dates {dates[0]} to {dates[-1]} instead of "
            f"{len(expected.dates)} dates {expected.dates[0]} to {expected.dates[-1]}"
        )
    if expected.dates is None:
        _check_ends(dates, expected, delta_t_days, where)
    for counts, names in (
        (trajectories.in_compartments, trajectories.compartments),
        (trajectories.by_transition, trajectories.transitions),
    ):
        if counts.shape != (trajectories.count, len(names), len(dates)):
            raise UserError(
                f"{where}: counts of shape {counts.shape} for {len(names)} series, {len(dates)} dates"
            )
        _check_counts(counts, where)
        if expected.groups:
            if len(names) % (expected.groups + 1):
                raise UserError(
                    f"{where}: {len(names)} series of {expected.groups} age groups and a total each"
                )
            by_group = counts.reshape(len(counts), -1, expected.groups + 1, len(dates))
            if (by_group[:, :, :-1].sum(axis=2) != by_group[:, :, -1]).any():
                raise UserError(f"{where}: age groups that do not add up to their total")
    if expected.people is not None:
        totals = [i for i, name in enumerate(trajectories.compartments) if name.endswith("_total")]
        people = trajectories.in_compartments[:, totals].sum(axis=1, dtype=np.int64)
        if (people != expected.people).any():
            wrong = int(people[people != expected.people][0])
            raise UserError(f"{where}: {wrong} people in its compartments instead of {expected.people}")


def _check_ends(dates: np.ndarray, expected: Expected, delta_t_days: float, where: str) -> None:
    """Check the first and the last date where not all are known."""
    # a bin of a resampled series is labelled by its first or its last day, and months differ
    bin_days = 1.2 * np.diff(dates).max() / _DAY if len(dates) > 1 else 366
    days_off = (dates[[0, -1]] - np.array([expected.first_date, expected.last_date], "datetime64[s]")) / _DAY
    if (np.abs(days_off) > bin_days + delta_t_days).any():
        raise UserError(
            f"{where}: dates {dates[0]} to {dates[-1]} "
            f"instead of {expected.first_date} to {expected.last_date}"
        )


def _check_kinds(trajectories: Trajectories, expected: Expected, where: str) -> None:
    """Check types and dimensions of the arrays, and the names."""
    for array in (trajectories.in_compartments, trajectories.by_transition):
        _check_array(array, "iuf", 3, f"{where}: counts")
    for dates in (trajectories.dates, expected.dates):
        if dates is not None:
            _check_array(dates, "M", 1, f"{where}: dates")
    if expected.dates is not None:
        _check_dates(expected.dates, where)
    _check_names(trajectories.compartments, "compartments", where)
    _check_names(trajectories.transitions, "transitions", where)


def _check_generation(generation: Generation, parameters: int, where: str) -> None:
    what = f"{where}: posterior of generation {generation.number}"
    for array, dimensions in ((generation.particles, 2), (generation.weights, 1), (generation.distances, 1)):
        _check_array(array, "iuf", dimensions, what)
    count = len(generation.weights)
    if generation.particles.shape != (count, parameters) or generation.distances.shape != (count,):
        raise UserError(f"{what} has a wrong shape")
    finite = np.isfinite(generation.particles).all() and np.isfinite(generation.distances).all()
    if (
        not finite
        or (np.abs(generation.particles) > MOST_PARTICLE).any()
        or (generation.weights < 0).any()
        or not math.isclose(generation.weights.sum(), 1, rel_tol=1e-6)
    ):
        raise UserError(f"{what} is no distribution")


def _check_counts(counts: np.ndarray, where: str) -> None:
    if not np.isfinite(counts).all():
        raise UserError(f"{where}: counts that are not finite")
    if counts.size and counts.min() < 0:
        raise UserError(f"{where}: negative counts (lowest {counts.min()})")
    if counts.size and counts.max() > LARGEST_NUMBER:
        raise UserError(f"{where}: counts up to {counts.max():g}, which are none")


def most_result_bytes(workload: Workload) -> int:
    """Return an upper bound of the bytes of an input's result, above which none is unpacked.

    Its large arrays are the trajectories, the particles of all generations and their simulated values, with
    8 bytes a number at most.
    """
    plan, task = workload.plan, workload.task
    series = len(plan.compartment_series) + len(plan.transition_series)
    days = (workload.end_date - workload.start_date).days + 2
    dates = max(days, step_count(workload.start_date, workload.end_date, plan.delta_t_days))
    if isinstance(task, Simulate):
        numbers = task.count * series * dates
    else:
        fitted = sum(len(observed.dates) for observed in task.observed)
        particles = task.options.get("num_particles", task.options.get("Nsim", 0))
        generations = task.options.get("num_generations", 1) + 1
        numbers = task.projections * (series * dates + len(task.priors))
        numbers += particles * (generations * (len(task.priors) + 2) + fitted)
    return BYTES_OF_THE_REST + 8 * numbers
