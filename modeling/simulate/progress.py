"""Progress of a calibration, and when it ends: at a limit, or when no draw can be accepted.

Both ways of calibrating use it: abc/ counts batches of draws, with_epydemix/ one draw at a time. A batch
is counted as its draws would be one after another, so that no outcome depends on the size of batches.
"""

import logging
import time
from collections.abc import Iterator, Mapping

import numpy as np

from modeling.failures import UserError
from modeling.workload import Calibrate

log = logging.getLogger(__name__)

MOST_CONSECUTIVE_REJECTIONS = 10_000  # of SMC; for inputs that were built before this became an option
MOST_OUTSIDE_IN_A_ROW = 1_000_000  # proposals outside a prior, which are not simulated
MOST_INFEASIBLE_IN_A_ROW = 2_000
MOST_ALIKE_IN_A_ROW = 2_000
MOST_REFUSED_IN_A_ROW = 100_000  # of rejection without a limit of time or simulations
FIRST_REPORT = 2_000  # draws after which rejection reports the nearest distance
PROGRESS_SECONDS = 30

_Problems = Iterator[tuple[int, str]]  # position of the draw at which one is found, and its message


class Progress:
    """Draws and accepted particles of a calibration so far; decides when it stops early.

    Parameters
    ----------
    population : str
        For messages.
    task : Calibrate
    smallest_distance : float
        Lower bound of any simulation's distance from the data: simulated counts are whole numbers.
    seconds : float
        Time that earlier attempts spent.

    Attributes
    ----------
    simulations : int
    nearest : float
        Smallest distance of a draw; inf before the first draw.
    generation, accepted, epsilon
        Number of the current generation, number of its accepted particles, and the distance that they
        must be below.
    infeasible, first_infeasible
        Number of draws of this attempt that cannot be simulated, and why the first cannot.
    simulations_before : int
        Of the generations before the current one.
    stopped_by : str
        Limit that ended the calibration early; "" if none did.
    """

    def __init__(self, population: str, task: Calibrate, smallest_distance: float, seconds: float = 0.0):
        self.population, self.task, self.smallest_distance = population, task, smallest_distance
        self.simulations, self.nearest, self.stopped_by = 0, np.inf, ""
        self.generation, self.accepted, self.simulations_before = 0, 0, 0
        self.infeasible, self.first_infeasible = 0, ""
        self.epsilon = task.options.get("epsilon", np.inf)
        self.rejected_in_a_row = self.outside_in_a_row = 0
        self._infeasible_in_a_row = self._alike_in_a_row = 0
        self._last_distance, self._all_alike = np.nan, True
        self._reported = self._began = time.monotonic()
        self._started = self._began - seconds

    @property
    def is_limited(self) -> bool:
        return self.task.max_seconds is not None or "total_simulations_budget" in self.task.options

    @property
    def seconds(self) -> float:
        """Time spent, of all attempts together."""
        return time.monotonic() - self._started

    @property
    def within(self) -> float:
        """Distance up to which a draw's exact distance matters: to be accepted, or to be the nearest."""
        return max(self.epsilon, self.nearest)

    @property
    def budget_left(self) -> float:
        """Number of draws until the budget of simulations ends the calibration; inf without one."""
        return self.task.options.get("total_simulations_budget", np.inf) - self.simulations + 1

    def begin_generation(self, number: int, epsilon: float) -> bool:
        """Start an SMC generation; return False if no draw can be accepted in it."""
        self.generation, self.accepted, self.epsilon = number, 0, float(epsilon)
        self.simulations_before, self._began = self.simulations, time.monotonic()
        possible = bool(self.accepts(np.array([self.smallest_distance]))[0])
        if not possible:
            self.stopped_by = "smallest_distance"
        return possible

    def go_on(self, simulations: int, distances: list[np.ndarray]) -> None:
        """Take up a calibration after its whole generations, whose accepted distances are given.

        A generation ends with an accepted draw, so nothing was rejected in a row; and its nearest draw is
        accepted.
        """
        accepted = np.concatenate(distances)
        self.generation, self.simulations, self.nearest = len(distances) - 1, simulations, accepted.min()
        self._last_distance = accepted[-1]
        # a rejected draw is not as far from the data as an accepted one
        self._all_alike = bool(simulations == len(accepted) and (accepted == accepted[0]).all())
        self._alike_in_a_row = simulations - 1 if self._all_alike else 0

    def accepts(self, distances: np.ndarray) -> np.ndarray:
        """Return which distances are near enough: in generation 0 of SMC also one equal to epsilon."""
        first_of_smc = self.task.strategy == "smc" and self.generation == 0
        return distances <= self.epsilon if first_of_smc else distances < self.epsilon

    def count(self, distances: np.ndarray, infeasible: Mapping[int, str] | None = None) -> np.ndarray:
        """Count draws in their order; return the positions of those that are accepted.

        Draws after the one that completes the generation, or after which a limit ends the calibration, are
        not counted.

        Parameters
        ----------
        distances : ndarray, shape (draws,)
            nan for a draw that cannot be simulated, or whose distance is not known because it is
            above `within`.
        infeasible : mapping of int to str
            Reasons of the draws that cannot be simulated, by position.

        Raises
        ------
        UserError
            The calibration would never end.
        """
        self.outside_in_a_row = 0
        is_accepted = self.accepts(distances)
        rejected = _in_a_row(~is_accepted, self.rejected_in_a_row)
        count = self._counted(is_accepted, rejected)
        distances, is_accepted, rejected = distances[:count], is_accepted[:count], rejected[:count]
        nearest = np.fmin.accumulate(np.append(self.nearest, distances))
        problems = [
            *self._infeasible(count, infeasible or {}),
            *self._alike(distances, nearest[:-1]),
            *self._hopeless(rejected, nearest[1:]),
        ]
        if problems:
            raise UserError(f"{self.population}: {min(problems, key=lambda each: each[0])[1]}")
        self._advance(is_accepted, nearest[1:])
        self.rejected_in_a_row = int(rejected[-1])
        return np.flatnonzero(is_accepted)

    def _counted(self, is_accepted: np.ndarray, rejected: np.ndarray) -> int:
        """Return how many of the draws would be simulated, one after another."""
        options, count = self.task.options, len(is_accepted)
        ends = is_accepted & (self.accepted + np.cumsum(is_accepted) >= options.get("num_particles", np.inf))
        ends |= np.arange(1, count + 1) >= self.budget_left
        if self.task.strategy == "smc":
            ends |= rejected >= self._most_rejections
        return int(np.argmax(ends)) + 1 if ends.any() else count

    def _advance(self, is_accepted: np.ndarray, nearest: np.ndarray) -> None:
        """Add draws, and report them when it is time."""
        before, accepted = self.simulations, self.accepted + np.cumsum(is_accepted)
        first, last = FIRST_REPORT - before, len(is_accepted)
        is_first = self.task.strategy == "rejection" and 0 < first <= last
        for count in sorted({first, last}) if is_first else [last]:
            self.simulations = before + count
            self.accepted, self.nearest = int(accepted[count - 1]), float(nearest[count - 1])
            self._report(is_first and count == first)

    def _infeasible(self, count: int, infeasible: Mapping[int, str]) -> _Problems:
        """Find too many draws in a row that cannot be simulated."""
        cannot = np.isin(np.arange(count), list(infeasible))
        if cannot.any() and not self.infeasible:
            self.first_infeasible = infeasible[int(np.argmax(cannot))]
        self.infeasible += int(cannot.sum())
        in_a_row = _in_a_row(cannot, self._infeasible_in_a_row)
        self._infeasible_in_a_row = int(in_a_row[-1])
        for at in np.flatnonzero(in_a_row >= MOST_INFEASIBLE_IN_A_ROW)[:1]:
            yield (
                at,
                (
                    f"{MOST_INFEASIBLE_IN_A_ROW} draws in a row cannot be simulated "
                    f"(the last: {infeasible[int(at)]}); narrow the priors"
                ),
            )

    def _alike(self, distances: np.ndarray, nearest_before: np.ndarray) -> _Problems:
        """Find too many draws in a row that are equally far from the data.

        In later generations of SMC many epidemics may die out; there, all draws so far must be alike. A draw
        beyond `within` is like no other, since its distance is only sometimes known.
        """
        known = np.where(distances <= np.maximum(self.epsilon, nearest_before), distances, np.nan)
        is_alike = known == np.append(self._last_distance, known[:-1])
        in_a_row = _in_a_row(is_alike, self._alike_in_a_row)
        is_alike[0] |= self.simulations == 0
        all_alike = self._all_alike & np.logical_and.accumulate(is_alike)
        self._last_distance, self._alike_in_a_row = known[-1], int(in_a_row[-1])
        self._all_alike = bool(all_alike[-1])
        is_in_smc = self.task.strategy == "smc" and self.generation > 0
        too_many = (in_a_row >= MOST_ALIKE_IN_A_ROW) & (all_alike | (not is_in_smc))
        for at in np.flatnonzero(too_many)[:1]:
            yield (
                at,
                (
                    f"{MOST_ALIKE_IN_A_ROW} draws in a row are equally far from the data "
                    f"({distances[at]:.4g}); check that the compared transitions depend on what is calibrated"
                ),
            )

    def _hopeless(self, rejected: np.ndarray, nearest: np.ndarray) -> _Problems:
        """Find a rejection that would never end, because no draw can be near enough, or none was."""
        if self.task.strategy != "rejection":
            return
        if not self.smallest_distance < self.epsilon:
            yield (
                0,
                (
                    f"epsilon {self.epsilon:g} is not above {self.smallest_distance:.4g}, the smallest "
                    f"possible distance (the nearest distance: {nearest[0]:.4g}); raise epsilon"
                ),
            )
        for at in np.flatnonzero((rejected >= MOST_REFUSED_IN_A_ROW) & (not self.is_limited))[:1]:
            yield (
                at,
                (
                    f"{MOST_REFUSED_IN_A_ROW} draws in a row are farther off than epsilon {self.epsilon:g} "
                    f"(the nearest distance: {nearest[at]:.4g}); raise epsilon"
                ),
            )

    @property
    def _most_rejections(self) -> int:
        return self.task.options.get("max_consecutive_rejections", MOST_CONSECUTIVE_REJECTIONS)

    def must_stop(self, epsilon: float | None) -> bool:
        """Return whether a limit is reached.

        Called before each draw or batch of draws, and after each generation with its epsilon.
        """
        options = self.task.options
        is_smc = self.task.strategy == "smc"
        limits = {
            "minimum_epsilon": epsilon is not None and epsilon < options.get("minimum_epsilon", 0),
            "max_time": self.task.max_seconds is not None and self.seconds > self.task.max_seconds,
            "total_simulations_budget": self.budget_left <= 0,
            "max_consecutive_rejections": is_smc
            and (
                self.rejected_in_a_row >= self._most_rejections
                or self.outside_in_a_row >= MOST_OUTSIDE_IN_A_ROW
            ),
        }
        self.stopped_by = next((name for name, is_reached in limits.items() if is_reached), "")
        return bool(self.stopped_by)

    def nothing_found(self) -> UserError:
        """Return the error of a calibration that ended before its first generation was whole."""
        asked = self.task.options.get("num_particles", 0)
        found = f"only {self.accepted} of {asked} particles" if self.accepted and asked else "no particle"
        remedy = "raise epsilon, max_time or total_simulations_budget"
        if self.stopped_by in ("max_consecutive_rejections", "smallest_distance"):
            remedy = f"raise the first value of epsilon_schedule, {self.epsilon:g}"
            if self.stopped_by == "smallest_distance":
                remedy += f"; no distance can be below {self.smallest_distance:.4g}"
        return UserError(
            f"{self.population}: {found} accepted in {self.simulations} simulations "
            f"({self._nearest()}); {remedy}"
        )

    def end_generation(self, weights: np.ndarray) -> None:
        """Log a whole generation, whose weights add up to 1."""
        simulations = self.simulations - self.simulations_before
        seconds = max(time.monotonic() - self._began, 1e-9)
        asked = self.task.options.get("num_generations", 1)
        number = f"generation {self.generation} of {asked}, " if self.task.strategy == "smc" else ""
        epsilon = f"epsilon {self.epsilon:.4g}, " if np.isfinite(self.epsilon) else ""
        log.info(
            "%s: %s%s%s of %s simulations accepted (%.3g %%), effective sample size %s, "
            "%s simulations a second",
            self.population,
            number,
            epsilon,
            f"{len(weights):,}",
            f"{simulations:,}",
            100 * len(weights) / max(simulations, 1),
            f"{1 / (weights**2).sum():,.0f}",
            f"{simulations / seconds:,.0f}",
        )

    def _nearest(self) -> str:
        if np.isfinite(self.nearest):
            return f"the nearest distance: {self.nearest:.4g}"
        if self.simulations:
            return f"none could be simulated, the first because {self.first_infeasible}"
        return "the time ended before the first"

    def _report(self, is_first: bool) -> None:
        if not is_first and time.monotonic() - self._reported <= PROGRESS_SECONDS:
            return
        self._reported = time.monotonic()
        level = logging.WARNING if is_first and not self.accepted else logging.INFO
        log.log(level, "%s: %s", self.population, self._described())

    def _described(self) -> str:
        text = f"{self.simulations:,} simulations"
        if asked := self.task.options.get("num_particles"):
            text += f", {self.accepted:,} of {asked:,} particles accepted"
            text += f" in generation {self.generation}" if self.task.strategy == "smc" else ""
        below = f", epsilon {self.epsilon:.4g}" if np.isfinite(self.epsilon) else ""
        return f"{text}; {self._nearest()}{below}"


def check_weights(progress: Progress, weights: np.ndarray) -> None:
    """Refuse weights of a generation that are not finite."""
    if not np.isfinite(weights).all():
        raise UserError(
            f"{progress.population}: the particles of generation {progress.generation} have no finite "
            "weight, because the density of a prior or of its proposals is 0 or infinite there; use a wider "
            "prior, or one whose density is finite"
        )


def _in_a_row(flags: np.ndarray, before: int) -> np.ndarray:
    """Return the length of the run of true flags that ends at each position; `before` came earlier."""
    positions = np.arange(len(flags))
    return positions - np.maximum.accumulate(np.where(flags, -1 - before, positions))
