"""Progress of a calibration, and when it ends: at a limit, or when no draw can be accepted.

calibrate.py simulates and compares; abc_sampler.py proposes new draws.
"""

import logging
import time

import numpy as np

from modeling.failures import UserError
from modeling.workload import Calibrate

log = logging.getLogger(__name__)

MOST_CONSECUTIVE_REJECTIONS = 10_000  # of SMC; for inputs that were built before this became an option
MOST_OUTSIDE_IN_A_ROW = 1_000_000  # proposals outside a prior, which are not simulated
FIRST_REPORT = 2_000  # draws after which rejection reports the nearest distance
PROGRESS_SECONDS = 30


class Progress:
    """Draws and accepted particles of a calibration so far; decides when it stops early.

    Parameters
    ----------
    population : str
        For messages.
    task : Calibrate
    smallest_distance : float
        Lower bound of any simulation's distance from the data: simulated counts are whole numbers.

    Attributes
    ----------
    simulations : int
    nearest : float
        Smallest distance of a draw; inf before the first draw.
    generation, accepted, epsilon
        Number of the current generation, number of its accepted particles, and the distance that they
        must be below.
    stopped_by : str
        Limit that ended the calibration early; "" if none did.
    """

    def __init__(self, population: str, task: Calibrate, smallest_distance: float):
        self.population, self.task, self.smallest_distance = population, task, smallest_distance
        self.simulations, self.nearest, self.stopped_by = 0, np.inf, ""
        self.generation, self.accepted = 0, 0
        self.epsilon = task.options.get("epsilon", np.inf)
        self.rejected_in_a_row = self._outside_in_a_row = 0
        self._started = self._reported = time.monotonic()

    @property
    def is_limited(self) -> bool:
        return self.task.max_seconds is not None or "total_simulations_budget" in self.task.options

    def begin_generation(self, number: int, epsilon: float) -> bool:
        """Start an SMC generation; return False if no draw can be accepted in it."""
        self.generation, self.accepted, self.epsilon = number, 0, float(epsilon)
        # epydemix accepts a distance equal to epsilon in generation 0, and smaller ones after it
        possible = self.smallest_distance <= epsilon if number == 0 else self.smallest_distance < epsilon
        if not possible:
            self.stopped_by = "smallest_distance"
        return possible

    def count(self, distance: float) -> None:
        """Count a draw by its distance; nan for one that cannot be simulated."""
        self.simulations += 1
        self._outside_in_a_row = 0
        self.nearest = float(np.nanmin([self.nearest, distance]))
        first_of_smc = self.task.strategy == "smc" and self.generation == 0
        is_accepted = distance <= self.epsilon if first_of_smc else distance < self.epsilon
        self.accepted += is_accepted
        self.rejected_in_a_row = 0 if is_accepted else self.rejected_in_a_row + 1
        self._report()

    def must_stop(self, epsilon: float | None) -> bool:
        """Return whether a limit is reached.

        Called before each draw, and after each generation with its epsilon.
        """
        options = self.task.options
        self._outside_in_a_row += 1
        rejections = options.get("max_consecutive_rejections", MOST_CONSECUTIVE_REJECTIONS)
        is_smc = self.task.strategy == "smc"
        limits = {
            "minimum_epsilon": epsilon is not None and epsilon < options.get("minimum_epsilon", 0),
            "max_time": self.task.max_seconds is not None and self._seconds() > self.task.max_seconds,
            "total_simulations_budget": self.simulations > options.get("total_simulations_budget", np.inf),
            "max_consecutive_rejections": is_smc
            and (self.rejected_in_a_row >= rejections or self._outside_in_a_row > MOST_OUTSIDE_IN_A_ROW),
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

    def _nearest(self) -> str:
        if np.isfinite(self.nearest):
            return f"the nearest distance: {self.nearest:.4g}"
        return "none could be simulated" if self.simulations else "the time ended before the first"

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _report(self) -> None:
        is_first = self.task.strategy == "rejection" and self.simulations == FIRST_REPORT
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
