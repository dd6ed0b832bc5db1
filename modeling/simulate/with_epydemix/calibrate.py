"""Calibration by approximate Bayesian computation, with epydemix's ABCSampler.

Methods: rejection (Tavaré et al. 1997), best fraction, and sequential Monte Carlo
(Toni et al. 2009, doi 10.1098/rsif.2008.0172), as epydemix implements them.
"""

import datetime

import numpy as np

from modeling.distributions import frozen_distribution
from modeling.engine.starts import dates_depend_on_start
from modeling.initial import InfeasibleDraw
from modeling.randomness import CALIBRATION, PROJECTIONS, stream
from modeling.simulate.counts import put, reason_of_draw
from modeling.simulate.posterior import (
    Calibrated,
    calibrated,
    check_series,
    columns_of,
    generation_to_project,
)
from modeling.simulate.progress import Progress
from modeling.simulate.with_epydemix.simulator import Path, Simulator
from modeling.simulate.with_epydemix.transformation import Transformation
from modeling.simulate.with_epydemix.user_functions import LARGEST_DISTANCE, LoadedFunction
from modeling.workload import Calibrate, Generation, Observed, Trajectories, UserFunction, Workload

_OPTIONS_OF_PROGRESS = ("minimum_epsilon", "total_simulations_budget", "max_consecutive_rejections")
# count of a draw that cannot be simulated: its square is finite, and its distance above LARGEST_DISTANCE
FAR_AWAY = 1e150


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
    if task.strategy != "smc":
        progress.end_generation(generations[-1].weights)
    return calibrated(workload, generations, last, progress)


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
    workload: Workload, simulator: Simulator, found: Calibrated, transformation: Transformation
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
    chosen = generation_to_project(workload, found)
    calendar = simulator.calendar(workload.start_date, workload.end_date)
    compartments, transitions = transformation.compartments, transformation.transitions
    kind = np.float64 if transformation.is_used else np.int32
    people = np.zeros((task.projections, len(compartments), len(calendar)), dtype=kind)
    moved = np.zeros((task.projections, len(transitions), len(calendar)), dtype=kind)
    particles = np.zeros((task.projections, len(found.parameter_names)))
    for index in range(task.projections):
        rng = stream(workload.entropy, PROJECTIONS, index)
        particles[index] = chosen.particles[rng.choice(len(chosen.weights), p=chosen.weights)]
        draw = dict(zip(found.parameter_names, particles[index].tolist(), strict=True))
        start = start_of(workload, draw)
        path = simulator.run(draw, start, workload.end_date, rng)
        path = transformation.apply(path, draw, start, projection=True)
        before = _steps_before(path, calendar)
        people = put(people, np.s_[index, :, :before], path.initial[:, None])
        people = put(people, np.s_[index, :, before:], path.in_compartments)
        moved = put(moved, np.s_[index, :, before:], path.by_transition)
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
        self.columns = [columns_of(workload.population, o, self.calendar) for o in self.task.observed]
        self.observed = np.concatenate([o.values[o.fitted] for o in self.task.observed])
        self._function = self._metric = None
        if isinstance(self.task.distance, UserFunction):
            self._function = LoadedFunction(self.task.distance)
        else:
            self._metric = {"rmse": rmse, "mae": mae, "mape": mape, "wmape": wmape}[self.task.distance]
        self._infeasible: str | None = None  # why the last draw cannot be simulated
        self.progress = Progress(workload.population, self.task, self._smallest_distance())

    def simulate(self, draw: dict[str, float], rng: np.random.Generator) -> dict:
        """Return {"data": counts}, shape (observed values,).

        The counts of a draw that cannot be simulated are such that it is never accepted.
        """
        start = start_of(self.workload, draw)
        try:
            path = self.simulator.run(draw, start, self.task.fit_end, rng)
        except InfeasibleDraw as error:
            return {"data": self._never_accepted(reason_of_draw(str(error), draw))}
        self._infeasible = None
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
        infeasible = {} if self._infeasible is None else {0: self._infeasible}
        self.progress.count(np.array([np.nan if infeasible else distance]), infeasible)
        return distance

    def _rows(self, observed: Observed) -> list[int]:
        """Return the rows of the transitions that an observed series is compared with."""
        names = self.transformation.transitions
        check_series(self.workload.population, observed, names)
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

    def _never_accepted(self, reason: str) -> np.ndarray:
        self._infeasible = reason
        # nan fails every comparison with epsilon; top_fraction sorts, and needs a number
        worst = FAR_AWAY if self.task.strategy == "top_fraction" else np.nan
        return np.full(len(self.observed), worst)


def _steps_before(path: Path, calendar: np.ndarray) -> int:
    """Return the number of dates in the calendar before the path's first."""
    before = len(calendar) - len(path.dates)
    if before < 0 or (calendar[before:] != path.dates).any():
        raise dates_depend_on_start()
    return before
