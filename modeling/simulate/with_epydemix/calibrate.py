"""Calibration by approximate Bayesian computation, with epydemix's ABCSampler.

Methods: rejection (Tavaré et al. 1997), best fraction, and sequential Monte Carlo
(Toni et al. 2009, doi 10.1098/rsif.2008.0172), as epydemix implements them.
"""

import datetime
import logging
from dataclasses import dataclass

import numpy as np

from modeling.distributions import frozen_distribution
from modeling.failures import UserError, did_you_mean
from modeling.initial import InfeasibleDraw
from modeling.randomness import CALIBRATION, PROJECTIONS, stream
from modeling.simulate.with_epydemix.progress import Progress
from modeling.simulate.with_epydemix.simulator import Path, Simulator
from modeling.simulate.with_epydemix.transformation import Transformation
from modeling.simulate.with_epydemix.user_functions import LARGEST_DISTANCE, LoadedFunction
from modeling.workload import Calibrate, Fit, Generation, Observed, Trajectories, UserFunction, Workload

log = logging.getLogger(__name__)

MOST_INFEASIBLE_IN_A_ROW = 2_000
MOST_ALIKE_IN_A_ROW = 2_000
MOST_REFUSED_IN_A_ROW = 100_000  # of rejection without a limit of time or simulations
_OPTIONS_OF_PROGRESS = ("minimum_epsilon", "total_simulations_budget", "max_consecutive_rejections")
# count of a draw that cannot be simulated: its square is finite, and its distance above LARGEST_DISTANCE
FAR_AWAY = 1e150


@dataclass(frozen=True)
class Calibrated:
    """The posterior of a calibration.

    Attributes
    ----------
    parameter_names : list of str
        Names of the columns of each generation's particles.
    generations : list of Generation
        Whole generations, in order.
    fits : list of Fit
        Simulated values of the last generation, one a comparison.
    simulations : int
        Number of simulated draws.
    stopped_by : str
        Limit that ended the calibration early; "" if none did.
    """

    parameter_names: list[str]
    generations: list[Generation]
    fits: list[Fit]
    simulations: int
    stopped_by: str


def calibrate(workload: Workload, simulator: Simulator, transformation: Transformation) -> Calibrated:
    """Find the parameters that reproduce the observed data.

    Parameters
    ----------
    transformation : Transformation
        Of every trajectory before it is compared.

    Raises
    ------
    UserError
        No generation was completed within the limits, or too many draws in a row could not be simulated,
        were equally far from the data, or were too far.
    """
    from modeling.simulate.with_epydemix.abc_sampler import StoppingSampler

    task: Calibrate = workload.task
    comparison = _Comparison(workload, simulator, transformation)
    progress = comparison.progress
    sampler = StoppingSampler(
        progress,
        simulation_function=comparison.simulate,
        priors={name: frozen_distribution(*prior) for name, prior in task.priors.items()},
        parameters={},
        observed_data=comparison.observed,
        distance_function=comparison.distance,
        rng=stream(workload.entropy, CALIBRATION),
    )
    options = {name: value for name, value in task.options.items() if name not in _OPTIONS_OF_PROGRESS}
    if task.strategy == "smc":
        options["perturbations"] = sampler.perturbations()
    found = sampler.calibrate(strategy=task.strategy, verbose=False, **options)
    generations, last = _generations(found, sampler.param_names)
    if not generations:
        raise progress.nothing_found()
    calibrated = Calibrated(
        parameter_names=list(sampler.param_names),
        generations=generations,
        fits=comparison.split(last),
        simulations=progress.simulations,
        stopped_by=_stopped_by(task, generations, progress),
    )
    _warn_of_early_end(workload, calibrated)
    return calibrated


def _generations(found, names: list[str]) -> tuple[list[Generation], np.ndarray | None]:
    """Return the whole generations, and the simulated values of the last, shape (particles, values)."""
    generations, last = [], None
    for number, particles in sorted(found.posterior_distributions.items()):
        distances = np.asarray(found.distances[number], dtype=float)
        kept = distances <= LARGEST_DISTANCE  # top_fraction keeps draws that cannot be simulated
        if not kept.any():
            break
        weights = np.asarray(found.weights[number], dtype=float)[kept]
        values = particles[names].to_numpy(dtype=float)[kept]
        generations.append(Generation(int(number), values, weights / weights.sum(), distances[kept]))
        paths = found.selected_trajectories[number]
        last = np.stack([path["data"] for path, keep in zip(paths, kept, strict=True) if keep])
    return generations, last


def project(
    workload: Workload, simulator: Simulator, calibrated: Calibrated, transformation: Transformation
) -> tuple[Trajectories, np.ndarray]:
    """Simulate particles drawn from the posterior, to the model's last day.

    Parameters
    ----------
    transformation : Transformation
        Of every trajectory; the one that the calibration used, so that its series are known.

    Returns
    -------
    Trajectories
        All on the calendar of the earliest start date. Before its own start a trajectory is constant:
        people as on its first day, and nobody moves.
    ndarray, shape (trajectories, parameters)
        Particle of each trajectory.

    Raises
    ------
    UserError
        The calibration ended before the generation to project from.
    """
    task: Calibrate = workload.task
    number = calibrated.generations[-1].number if task.generation is None else task.generation
    chosen = [g for g in calibrated.generations if g.number == number]
    if not chosen:
        raise UserError(
            f"{workload.population}: projections from generation {number}, but the last whole generation is "
            f"{calibrated.generations[-1].number} (stopped by {calibrated.stopped_by or 'no limit'}); "
            "leave generation_number out to project from the last"
        )
    calendar = simulator.calendar(workload.start_date, workload.end_date)
    compartments, transitions = transformation.compartments, transformation.transitions
    kind = np.float64 if transformation.is_used else np.int32
    people = np.zeros((task.projections, len(compartments), len(calendar)), dtype=kind)
    moved = np.zeros((task.projections, len(transitions), len(calendar)), dtype=kind)
    particles = np.zeros((task.projections, len(calibrated.parameter_names)))
    for index in range(task.projections):
        rng = stream(workload.entropy, PROJECTIONS, index)
        particles[index] = chosen[0].particles[rng.choice(len(chosen[0].weights), p=chosen[0].weights)]
        draw = dict(zip(calibrated.parameter_names, particles[index].tolist(), strict=True))
        start = start_of(workload, draw)
        path = simulator.run(draw, start, workload.end_date, rng)
        path = transformation.apply(path, draw, start, projection=True)
        before = _steps_before(path, calendar)
        people[index, :, :before] = path.initial[:, None]
        people[index, :, before:] = path.in_compartments
        moved[index, :, before:] = path.by_transition
    if transformation.is_used:
        people, moved = _whole_numbers(people), _whole_numbers(moved)
    return Trajectories(calendar, compartments, transitions, people, moved), particles


def _whole_numbers(counts: np.ndarray) -> np.ndarray:
    """Return counts as integers if all of them are whole."""
    return counts.astype(np.int64) if (counts == np.rint(counts)).all() else counts


def start_of(workload: Workload, draw: dict[str, float]) -> datetime.date:
    """Return the first simulated day of a draw, whose start_date counts days from the earliest start."""
    return workload.start_date + datetime.timedelta(days=int(draw.get("start_date", 0)))


class _Comparison:
    """Simulates draws for the sampler, and measures their distance from the observed data."""

    def __init__(self, workload: Workload, simulator: Simulator, transformation: Transformation):
        from epydemix.calibration import mae, mape, rmse, wmape

        self.workload, self.simulator, self.transformation = workload, simulator, transformation
        self.task: Calibrate = workload.task
        self.calendar = simulator.calendar(workload.start_date, self.task.fit_end)
        self.rows: list[list[int]] | None = None  # of each observed series, once all series are known
        self.columns = [self._columns(o) for o in self.task.observed]
        self.observed = np.concatenate([o.values[o.fitted] for o in self.task.observed])
        self._function = self._metric = None
        if isinstance(self.task.distance, UserFunction):
            self._function = LoadedFunction(self.task.distance)
        else:
            self._metric = {"rmse": rmse, "mae": mae, "mape": mape, "wmape": wmape}[self.task.distance]
        self._infeasible_in_a_row = self._alike_in_a_row = 0
        self._last_distance = np.nan
        self._all_alike = True
        self.progress = Progress(workload.population, self.task, self._smallest_distance())

    def simulate(self, draw: dict[str, float], rng: np.random.Generator) -> dict:
        """Return {"data": counts}, shape (observed values,).

        The counts of a draw that cannot be simulated are such that it is never accepted.
        """
        start = start_of(self.workload, draw)
        try:
            path = self.simulator.run(draw, start, self.task.fit_end, rng)
        except InfeasibleDraw as error:
            return {"data": self._never_accepted(error)}
        self._infeasible_in_a_row = 0
        path = self.transformation.apply(path, draw, start, projection=False)
        self.rows = self.rows or [self._rows(observed) for observed in self.task.observed]
        moved = np.zeros((len(path.by_transition), len(self.calendar)))
        moved[:, _steps_before(path, self.calendar) :] = path.by_transition
        counts = [
            np.where(columns < 0, 0, moved[rows].sum(axis=0)[columns])
            for rows, columns in zip(self.rows, self.columns, strict=True)
        ]
        return {"data": np.concatenate(counts)}

    def distance(self, data: dict, simulation: dict) -> float:
        """Return the distance between observed and simulated values.

        Raises
        ------
        UserError
            The calibration would never end.
        """
        distance = self._distance_of(simulation["data"])
        self.progress.count(distance if distance <= LARGEST_DISTANCE else np.nan)
        self._refuse_alike(distance)
        if self.task.strategy == "rejection":
            self._refuse_hopeless()
        return distance

    def split(self, data: np.ndarray) -> list[Fit]:
        """Return one Fit a series from values of shape (particles, observed values)."""
        ends = np.cumsum([int(o.fitted.sum()) for o in self.task.observed])[:-1]
        return [
            Fit(o, part) for o, part in zip(self.task.observed, np.split(data, ends, axis=1), strict=True)
        ]

    def _rows(self, observed: Observed) -> list[int]:
        """Return the rows of the transitions that an observed series is compared with."""
        names = self.transformation.transitions
        for name in observed.series:
            if name not in names:
                raise UserError(
                    f'{self.workload.population}: {observed.label} is compared with "{name}", which is no '
                    f"transition of the model and was not added{did_you_mean(name, names)}"
                )
        return [names.index(name) for name in observed.series]

    def _smallest_distance(self) -> float:
        """Return the distance of the nearest possible counts: whole numbers, 0 before the first day.

        With a function of the user nothing is known of them, so the distance may be 0.
        """
        if self._function or self.transformation.is_used:
            return 0.0
        nearest = np.where(np.concatenate(self.columns) < 0, 0, np.rint(self.observed))
        return self._distance_of(nearest)

    def _distance_of(self, simulated: np.ndarray) -> float:
        """Return the distance of simulated values; mape is not defined where the observed value is 0."""
        if self._function:
            is_simulated = simulated[0] < FAR_AWAY  # else nan, or FAR_AWAY
            return self._function.distance(self.observed, simulated) if is_simulated else simulated[0]
        judged = self.observed != 0 if self.task.distance == "mape" else slice(None)
        return float(self._metric({"data": self.observed[judged]}, {"data": simulated[judged]}))

    def _refuse_alike(self, distance: float) -> None:
        """Refuse many draws in a row that are equally far from the data.

        In later generations of SMC many epidemics may die out; there, all draws so far must be alike.
        """
        is_alike = distance == self._last_distance
        self._alike_in_a_row = self._alike_in_a_row + 1 if is_alike else 0
        self._all_alike &= is_alike or self.progress.simulations == 1
        self._last_distance = distance
        is_in_smc = self.task.strategy == "smc" and self.progress.generation > 0
        if self._alike_in_a_row >= MOST_ALIKE_IN_A_ROW and (self._all_alike or not is_in_smc):
            raise UserError(
                f"{self.workload.population}: {MOST_ALIKE_IN_A_ROW} draws in a row are equally far from the "
                f"data ({distance:.4g}); check that the compared transitions depend on what is calibrated"
            )

    def _refuse_hopeless(self) -> None:
        """Refuse a rejection that would never end, because no draw can be near enough, or none was."""
        progress, epsilon = self.progress, self.task.options["epsilon"]
        if not progress.smallest_distance < epsilon:
            raise UserError(
                f"{self.workload.population}: epsilon {epsilon:g} is not above "
                f"{progress.smallest_distance:.4g}, the smallest possible distance "
                f"(the nearest distance: {progress.nearest:.4g}); raise epsilon"
            )
        if progress.rejected_in_a_row >= MOST_REFUSED_IN_A_ROW and not progress.is_limited:
            raise UserError(
                f"{self.workload.population}: {MOST_REFUSED_IN_A_ROW} draws in a row are farther off "
                f"than epsilon {epsilon:g} (the nearest distance: {progress.nearest:.4g}); raise epsilon"
            )

    def _columns(self, observed: Observed) -> np.ndarray:
        """Return the position of each fitted date in the calendar; -1 for a date before the first day."""
        wanted = observed.dates[observed.fitted].astype("datetime64[s]")
        columns = np.searchsorted(self.calendar, wanted)
        early = wanted < self.calendar[0]
        found = self.calendar[np.minimum(columns, len(self.calendar) - 1)] == wanted
        if not (found | early).all():
            missing = wanted[~(found | early)][0].astype("datetime64[D]")
            raise UserError(
                f"{self.workload.population}: observed date {missing} is not among the simulated dates "
                f"{self.calendar[0].astype('datetime64[D]')} to {self.calendar[-1].astype('datetime64[D]')}; "
                "set simulation.resample_frequency to the dates of the data"
            )
        return np.where(early, -1, columns)

    def _never_accepted(self, error: InfeasibleDraw) -> np.ndarray:
        self._infeasible_in_a_row += 1
        if self._infeasible_in_a_row >= MOST_INFEASIBLE_IN_A_ROW:
            raise UserError(
                f"{self.workload.population}: {MOST_INFEASIBLE_IN_A_ROW} draws in a row cannot be simulated "
                f"(the last: {error}); narrow the priors"
            )
        # nan fails every comparison with epsilon; top_fraction sorts, and needs a number
        worst = FAR_AWAY if self.task.strategy == "top_fraction" else np.nan
        return np.full(len(self.observed), worst)


def _steps_before(path: Path, calendar: np.ndarray) -> int:
    """Return the number of dates in the calendar before the path's first."""
    before = len(calendar) - len(path.dates)
    if before < 0 or (calendar[before:] != path.dates).any():
        raise UserError(
            "a calibrated start date needs dates that do not depend on it; "
            "set simulation.resample_frequency to D or W-SAT"
        )
    return before


def _stopped_by(task: Calibrate, generations: list[Generation], progress: Progress) -> str:
    """Return the limit that ended a calibration early, or an empty string."""
    if task.strategy == "top_fraction":
        return ""
    asked = task.options.get("num_generations" if task.strategy == "smc" else "num_particles")
    reached = len(generations) if task.strategy == "smc" else len(generations[-1].weights)
    return "" if reached >= asked else progress.stopped_by


def _warn_of_early_end(workload: Workload, calibrated: Calibrated) -> None:
    if workload.task.strategy == "smc" and calibrated.stopped_by:
        log.warning(
            "%s: calibration ended with generation %d, the last whole one of %d, stopped by %s",
            workload.population,
            calibrated.generations[-1].number,
            workload.task.options["num_generations"],
            calibrated.stopped_by,
        )
