"""Calibration of a workload on the engine: what is simulated, and how it is compared with the data."""

import logging
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from modeling.engine.observables import DistanceBound, Observables
from modeling.engine.plan import MOST_PARTICLES, Keys, Simulated
from modeling.failures import UserError
from modeling.randomness import CALIBRATION, stream_key
from modeling.result_checks import check_checkpoint
from modeling.simulate.abc.distances import METRICS
from modeling.simulate.abc.proposals import Priors, Proposals
from modeling.simulate.abc.strategies import Checkpoints, Draws, Setting, rejection, smc, top_fraction
from modeling.simulate.counts import reason_of_draw
from modeling.simulate.posterior import (
    Calibrated,
    calibrated,
    check_series,
    columns_of,
)
from modeling.simulate.progress import Progress
from modeling.workload import Calibrate, Checkpoint, Workload

log = logging.getLogger(__name__)

START = "start_date"  # among the priors: days from the workload's start date
ROUNDING = 1e-9  # how much an upper bound of a sum is raised


class Simulates(Protocol):
    """A compiled plan, from the workload's first day on."""

    dates: np.ndarray

    def simulate(
        self,
        parameters: Mapping[str, np.ndarray],
        keys: Keys,
        starts: np.ndarray | None,
        observables: Observables,
        *,
        bound: DistanceBound | None = None,
    ) -> Simulated: ...


def calibrate(workload: Workload, plan: Simulates, checkpoints: Checkpoints | None = None) -> Calibrated:
    """Find the parameters that reproduce the observed data.

    Parameters
    ----------
    plan : Simulates
        Of the workload's model, from its start date to the last fitted day.
    checkpoints : Checkpoints or None
        Of SMC; another attempt goes on from the last whole generation, and finds the same.

    Raises
    ------
    UserError
        No generation was completed within the limits, or too many draws in a row could not be simulated,
        were equally far from the data, or were too far.
    """
    task: Calibrate = workload.task
    comparison = Comparison(workload, plan)
    checkpoint = _found(checkpoints, workload, comparison)
    progress = Progress(
        workload.population,
        task,
        comparison.smallest_distance(),
        seconds=checkpoint.seconds if checkpoint else 0.0,
    )
    setting = Setting(
        workload.entropy,
        task.options,
        comparison.priors,
        comparison.simulated,
        progress,
        len(comparison.observed),
    )
    if task.strategy == "smc":
        generations, values = smc(setting, checkpoint, checkpoints.write if checkpoints else _nowhere)
    else:
        generations, values = {"rejection": rejection, "top_fraction": top_fraction}[task.strategy](setting)
    if not generations:
        raise progress.nothing_found()
    return calibrated(workload, generations, values, progress)


def starts_of(particles: np.ndarray, names: list[str]) -> np.ndarray | None:
    """Return the first simulated day of each particle, in days after the workload's; None if all are 0."""
    return particles[:, names.index(START)].astype(np.int64) if START in names else None


def parameters_of(particles: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
    """Return the drawn parameters and compartments, each of shape (particles,)."""
    columns = np.ascontiguousarray(particles.T)
    return {name: column for name, column in zip(names, columns, strict=True) if name != START}


class Comparison:
    """Simulates proposals, and measures their distance from the observed data.

    Attributes
    ----------
    observed : ndarray, shape (values,)
        Fitted values of all observed series, one after another.
    """

    def __init__(self, workload: Workload, plan: Simulates):
        self.workload, self.plan = workload, plan
        self.task: Calibrate = workload.task
        self.priors = Priors(self.task.priors)
        for observed in self.task.observed:
            check_series(workload.population, observed, workload.plan.transition_series)
        self.observables = Observables([], [list(observed.series) for observed in self.task.observed])
        columns = [columns_of(workload.population, o, plan.dates) for o in self.task.observed]
        self.observed = np.concatenate([o.values[o.fitted] for o in self.task.observed]).astype(float)
        self._metric = METRICS[self.task.distance]
        self._rows = np.repeat(np.arange(len(columns)), [len(each) for each in columns])
        self._columns = np.concatenate(columns)

    def simulated(self, proposals: Proposals, generation: int, within: float) -> Draws:
        """Return the simulated values of proposals, and their distances from the data."""
        names, numbers = self.priors.names, proposals.numbers
        if numbers[-1] >= MOST_PARTICLES:
            raise UserError(
                f"{self.workload.population}: {MOST_PARTICLES:,} draws are too many for a generation"
            )
        done = self.plan.simulate(
            parameters_of(proposals.particles, names),
            Keys(stream_key(self.workload.entropy, CALIBRATION, generation), numbers.astype(np.uint32)),
            starts_of(proposals.particles, names),
            self.observables,
            bound=self.bound(within) if np.isfinite(within) else None,
        )
        # what is observed before the first reported date is compared with 0
        values = np.where(self._columns < 0, 0, done.by_transition[:, self._rows, self._columns])
        values = np.ascontiguousarray(values, dtype=float)
        distances = self._metric.distance(self.observed, values)
        distances[done.stopped] = np.nan
        distances[list(done.infeasible)] = np.nan
        infeasible = {
            position: reason_of_draw(reason, dict(zip(names, proposals.particles[position], strict=True)))
            for position, reason in done.infeasible.items()
        }
        return Draws(values, distances, infeasible)

    def bound(self, within: float) -> DistanceBound:
        """Return the bound of particles whose distance is at most `within`."""
        weights, shape = self._metric.weights(self.observed), (len(self.task.observed), len(self.plan.dates))
        early = self._columns < 0
        fixed = (weights * np.abs(self.observed) ** self._metric.power)[early].sum()
        most = self._metric.most(self.observed, within) * (1 + ROUNDING) - fixed
        data, factors = np.zeros(shape), np.zeros(shape)
        data[self._rows[~early], self._columns[~early]] = self.observed[~early]
        factors[self._rows[~early], self._columns[~early]] = weights[~early]
        return DistanceBound(data, factors, self._metric.power, max(most, 0.0))

    def smallest_distance(self) -> float:
        """Return the distance of the nearest possible counts: whole numbers, 0 before the first day."""
        nearest = np.where(self._columns < 0, 0, np.rint(self.observed))
        return float(self._metric.distance(self.observed, nearest[None])[0])


def _found(checkpoints: Checkpoints | None, workload: Workload, comparison: Comparison) -> Checkpoint | None:
    """Return the checkpoint to go on from, if there is one that fits the workload."""
    checkpoint = checkpoints.read() if checkpoints and workload.task.strategy == "smc" else None
    if checkpoint is None:
        return None
    try:
        check_checkpoint(checkpoint, workload, len(comparison.observed))
    except UserError as error:
        log.warning("%s; the calibration starts from the beginning", error)
        return None
    log.info(
        "%s: goes on after generation %d, from the checkpoint of an earlier attempt",
        workload.population,
        checkpoint.generations[-1].number,
    )
    return checkpoint


def _nowhere(checkpoint: Checkpoint) -> None:
    """Leave no checkpoint."""
