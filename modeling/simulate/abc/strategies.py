"""The strategies of approximate Bayesian computation: rejection, top fraction, and sequential Monte Carlo.

Tavaré et al. 1997 (doi 10.1093/genetics/145.2.505) and Toni et al. 2009 (doi 10.1098/rsif.2008.0172), as
epydemix implements them. Each has the same four parts: a state, its first value, a step to the next, and a
function that takes the steps until the strategy ends.

A generation is the first accepted proposals in the order of their numbers, and a decision depends on the
proposal alone. So how many are simulated together changes the time that it takes, and nothing else.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np

from modeling.randomness import CALIBRATION, stream
from modeling.simulate.abc.proposals import Perturbed, Priors, Proposals, Queue, Source
from modeling.simulate.progress import MOST_OUTSIDE_IN_A_ROW, Progress, check_weights
from modeling.workload import Checkpoint, Generation

# numbers of proposals that are simulated together, unless fewer are needed
LEAST_TOGETHER, FIRST_TOGETHER, MOST_TOGETHER = 64, 1024, 16_384
BATCH_SECONDS = 1.0  # so that max_time ends a calibration in time
USUAL_ACCEPTANCE = 0.5  # of a generation, as a part of the one before
FIRST_PART = 0.5  # of the proposals that are expected to be needed, while the acceptance is a guess
MARGIN = 1.02  # of proposals over those that are expected to be needed
FAR_AWAY = 1e150  # distance of a draw that cannot be simulated, for the quantile of the top fraction


class Draws(NamedTuple):
    """Simulated proposals.

    Attributes
    ----------
    values : ndarray, shape (proposals, values)
        Whole only where the distance is known.
    distances : ndarray, shape (proposals,)
        nan for a proposal that cannot be simulated, or that was stopped because it is too far.
    infeasible : dict of int to str
        Reasons of those that cannot be simulated, by position.
    """

    values: np.ndarray
    distances: np.ndarray
    infeasible: dict[int, str]


class SimulateProposals(Protocol):
    """A function that simulates proposals of a generation.

    It may stop one early whose distance is above `within`.
    """

    def __call__(self, proposals: Proposals, generation: int, within: float) -> Draws: ...


class Checkpoints(Protocol):
    """Where a calibration leaves its whole generations, for another attempt to go on from."""

    def read(self) -> Checkpoint | None: ...

    def write(self, checkpoint: Checkpoint) -> None: ...


class BatchSize:
    """How many proposals to simulate together: enough for the particles that are missing, not much more."""

    def __init__(self):
        self._seconds_each, self._acceptance = BATCH_SECONDS / FIRST_TOGETHER, 1.0
        self._tried = self._accepted = 0

    def begin_generation(self) -> None:
        """Expect fewer to be accepted than in the generation before."""
        if self._tried:
            self._acceptance = USUAL_ACCEPTANCE * (self._accepted + 1) / (self._tried + 1)
        self._tried = self._accepted = 0

    def learn(self, tried: int, accepted: int, seconds: float) -> None:
        self._tried, self._accepted = self._tried + tried, self._accepted + accepted
        self._seconds_each = max(seconds / tried, 1e-9)

    def next(self, missing: float, most: float) -> int:
        """Return the size of the next batch.

        Parameters
        ----------
        missing : float
            Particles that are still to be accepted.
        most : float
            Proposals after which a limit ends the calibration.
        """
        acceptance = (self._accepted + 1) / (self._tried + 1 / self._acceptance)
        part = MARGIN if self._tried else FIRST_PART
        wanted = min(part * missing / acceptance, BATCH_SECONDS / self._seconds_each, MOST_TOGETHER)
        return int(max(1, min(max(wanted, LEAST_TOGETHER), most)))


@dataclass(frozen=True)
class Setting:
    """What all steps of a strategy need.

    Attributes
    ----------
    values : int
        Number of values that are compared with the data.
    """

    entropy: tuple[int, ...]
    options: dict
    priors: Priors
    simulated: SimulateProposals
    progress: Progress
    values: int
    batch: BatchSize = field(default_factory=BatchSize)

    def queue(self, generation: int, source: Source) -> Queue:
        """Return the proposals of a generation."""
        return Queue(source, self.priors, lambda block: stream(self.entropy, CALIBRATION, generation, block))


@dataclass(frozen=True)
class Accepted:
    """Accepted proposals of one generation so far, in order.

    Attributes
    ----------
    queue : Queue
        The proposals that follow.
    particles : ndarray, shape (accepted, parameters)
    distances : ndarray, shape (accepted,)
    values : ndarray, shape (accepted, values)
    """

    queue: Queue
    particles: np.ndarray
    distances: np.ndarray
    values: np.ndarray

    def generation(self, weights: np.ndarray, progress: Progress) -> Generation:
        """Return the generation that they are."""
        epsilon = float(progress.epsilon) if np.isfinite(progress.epsilon) else None
        simulations = progress.simulations - progress.simulations_before
        return Generation(progress.generation, self.particles, weights, self.distances, epsilon, simulations)


def none_accepted(setting: Setting, source: Source) -> Accepted:
    """Return the state before the first batch of a generation."""
    queue = setting.queue(setting.progress.generation, source)
    return Accepted(
        queue, np.zeros((0, len(setting.priors.names))), np.zeros(0), np.zeros((0, setting.values))
    )


def accept_more(state: Accepted, setting: Setting, count: int) -> Accepted:
    """Return the state after a batch of proposals; the same where no more are made."""
    progress, batch = setting.progress, setting.batch
    proposals = state.queue.take(count)
    if not len(proposals.numbers):
        progress.outside_in_a_row = MOST_OUTSIDE_IN_A_ROW
        return state
    began = time.monotonic()
    draws = setting.simulated(proposals, progress.generation, progress.within)
    batch.learn(
        len(proposals.numbers), int(progress.accepts(draws.distances).sum()), time.monotonic() - began
    )
    accepted = progress.count(draws.distances, draws.infeasible)
    return Accepted(
        state.queue,
        np.concatenate([state.particles, proposals.particles[accepted]]),
        np.concatenate([state.distances, draws.distances[accepted]]),
        np.concatenate([state.values, draws.values[accepted]]),
    )


def accept_all(setting: Setting, source: Source) -> tuple[Accepted, bool]:
    """Accept num_particles proposals, or as many as the limits allow; return them, and whether all were."""
    progress, asked = setting.progress, setting.options["num_particles"]
    state = none_accepted(setting, source)
    while progress.accepted < asked and not progress.must_stop(None):
        count = setting.batch.next(asked - progress.accepted, progress.budget_left)
        state = accept_more(state, setting, count)
    return state, progress.accepted >= asked


def rejection(setting: Setting) -> tuple[list[Generation], np.ndarray]:
    """Draw from the priors until num_particles distances are below epsilon, or a limit is reached.

    Its state, first state and step are Accepted, none_accepted and accept_more.

    Returns
    -------
    list of Generation
        One, or none if nothing was accepted.
    ndarray, shape (particles, values)
        Simulated by its particles.
    """
    state, _ = accept_all(setting, setting.priors)
    return _alone(state, setting.progress)


def top_fraction(setting: Setting) -> tuple[list[Generation], np.ndarray]:
    """Draw Nsim times from the priors, and keep those whose distance is at most a quantile of all.

    State, first state and step are those of rejection, with an epsilon that accepts all draws that can be
    simulated; the others count as farther off than any. It returns what rejection returns.
    """
    progress, total = setting.progress, setting.options["Nsim"]
    state = none_accepted(setting, setting.priors)
    while progress.simulations < total:
        left = total - progress.simulations
        state = accept_more(state, setting, setting.batch.next(left, left))
    distances = np.append(state.distances, np.full(total - len(state.distances), FAR_AWAY))
    threshold = np.quantile(distances, setting.options["top_fraction"])
    kept = state.distances <= threshold
    state = replace(
        state, particles=state.particles[kept], distances=state.distances[kept], values=state.values[kept]
    )
    progress.epsilon = threshold if threshold < FAR_AWAY else np.inf
    return _alone(state, progress)


def _alone(state: Accepted, progress: Progress) -> tuple[list[Generation], np.ndarray]:
    """Return the only generation of a strategy, with equal weights, and its simulated values."""
    count = len(state.distances)
    if not count:
        return [], state.values
    weights = np.full(count, 1 / count)
    progress.end_generation(weights)
    return [state.generation(weights, progress)], state.values


@dataclass(frozen=True)
class Generations:
    """State of sequential Monte Carlo: its whole generations, and the values that the last one simulated."""

    generations: list[Generation]
    values: np.ndarray


def first_generation(setting: Setting) -> Generations | None:
    """Return the first state, whose particles are drawn from the priors; None if a limit came first."""
    schedule = setting.options.get("epsilon_schedule")
    epsilon = np.inf if schedule is None else schedule[0]
    if not setting.progress.begin_generation(0, epsilon):
        return None
    state, is_whole = accept_all(setting, setting.priors)
    weights = np.full(len(state.distances), 1 / max(len(state.distances), 1))
    return _with_generation([], state, weights, setting) if is_whole else None


def next_generation(state: Generations, setting: Setting) -> Generations | None:
    """Return the state with one more generation, from perturbed particles; None if a limit came first."""
    last, options = state.generations[-1], setting.options
    schedule = options.get("epsilon_schedule")
    level = options.get("epsilon_quantile_level", 0.5)
    number = last.number + 1
    epsilon = np.quantile(last.distances, level) if schedule is None else schedule[number]
    if not setting.progress.begin_generation(number, epsilon):
        return None
    setting.batch.begin_generation()
    perturbed = Perturbed(setting.priors, last.particles, last.weights)
    found, is_whole = accept_all(setting, perturbed)
    if not is_whole:
        return None
    weights = perturbed.weights_of(found.particles)
    check_weights(setting.progress, weights)
    return _with_generation(state.generations, found, weights, setting)


def smc(
    setting: Setting, checkpoint: Checkpoint | None, write: Callable[[Checkpoint], None]
) -> tuple[list[Generation], np.ndarray]:
    """Move particles from the priors to the posterior, in generations that accept ever smaller distances.

    Parameters
    ----------
    checkpoint : Checkpoint or None
        Of an earlier attempt that goes on here.
    write : function of Checkpoint
        Called after each whole generation.

    Returns
    -------
    list of Generation
        Whole ones; none if a limit came first.
    ndarray, shape (particles, values)
        Simulated by the particles of the last one.
    """
    progress = setting.progress
    if checkpoint:
        state = _restored(checkpoint)
        progress.go_on(checkpoint.simulations, [each.distances for each in state.generations])
    else:
        state = first_generation(setting)
        _write(state, progress, write)
    found = state
    while found and len(found.generations) < setting.options["num_generations"]:
        if progress.must_stop(found.generations[-1].epsilon):
            break
        found = next_generation(state, setting)
        _write(found, progress, write)
        state = found or state
    return (state.generations, state.values) if state else ([], np.zeros((0, setting.values)))


def _restored(checkpoint: Checkpoint) -> Generations:
    generations = [
        replace(
            each,
            particles=_own(each.particles),
            weights=_own(each.weights),
            distances=_own(each.distances),
        )
        for each in checkpoint.generations
    ]
    return Generations(generations, _own(checkpoint.values))


def _own(array: np.ndarray) -> np.ndarray:
    """Return an array as this attempt would make it, so that its result is the same to the byte.

    The type of an array from a pickle is an object of its own, and the result's pickle would hold it, too.
    """
    own = np.empty(array.shape)
    own[...] = array
    return own


def _with_generation(
    before: list[Generation], state: Accepted, weights: np.ndarray, setting: Setting
) -> Generations:
    setting.progress.end_generation(weights)
    return Generations([*before, state.generation(weights, setting.progress)], state.values)


def _write(state: Generations | None, progress: Progress, write: Callable[[Checkpoint], None]) -> None:
    if state:
        write(Checkpoint(state.generations, state.values, progress.simulations, progress.seconds))
