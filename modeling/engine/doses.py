"""Vaccine doses over the time steps of a trajectory: when they are due, and what they do."""

import datetime
from dataclasses import dataclass

import numpy as np

from modeling.over_time import doses_from
from modeling.workload import ModelPlan

_ALMOST_ALL = 1 - np.finfo(float).eps  # a chance of 1 would be an infinite hazard


def doses_by_step(plan: ModelPlan, start: datetime.date, num_steps: int) -> np.ndarray:
    """Return the doses of each step, shape (steps, groups): of all its days, or a part of its day's."""
    if plan.schedule.doses is None:
        return np.zeros((num_steps, len(plan.sizes)))
    if plan.delta_t_days < 1:
        steps_a_day = round(1 / plan.delta_t_days)
        by_day = doses_from(plan.schedule, start, -(-num_steps // steps_a_day))
        return np.repeat(by_day / steps_a_day, steps_a_day, axis=0)[:num_steps]
    days_a_step = round(plan.delta_t_days)
    by_day = doses_from(plan.schedule, start, num_steps * days_a_step)
    return by_day.reshape(num_steps, days_a_step, -1).sum(axis=1)


def vaccination_hazard(doses: np.ndarray, eligible: np.ndarray, delta_t_days: float) -> np.ndarray:
    """Return the hazard at which each eligible person is vaccinated in a time step [1/day], shape (groups,).

    Its chance over the step is doses / eligible, so that the expected number of vaccinated people is the
    number of doses: the hazard doses / eligible / delta_t_days would lose half of doses / eligible of them.

    Parameters
    ----------
    doses, eligible : ndarray, shape (groups,)
        Doses of the step, and people who share them.
    """
    chance = np.divide(doses, eligible, out=np.zeros(len(doses)), where=eligible > 0)
    return -np.log1p(-np.minimum(chance, _ALMOST_ALL)) / delta_t_days


@dataclass
class UnusedDoses:
    """Doses of many trajectories that are due when fewer people are eligible.

    Attributes
    ----------
    simulated, trajectories : int
        Number of all trajectories, and of those with such doses.
    doses : float
        In all trajectories together.
    first : datetime64 or None
        Earliest time step with such doses.
    """

    simulated: int = 0
    trajectories: int = 0
    doses: float = 0.0
    first: np.datetime64 | None = None

    def count(self, due: np.ndarray, eligible: np.ndarray, dates: np.ndarray) -> None:
        """Count those of one trajectory.

        Parameters
        ----------
        due, eligible : ndarray, shape (steps, groups)
            Doses, and people at the beginning of each step.
        dates : ndarray of datetime64, shape (steps,)
        """
        unused = np.maximum(due - eligible, 0).sum(axis=1)
        self.simulated += 1
        if unused.any():
            first = dates[np.argmax(unused > 0)]
            self.first = first if self.first is None else min(self.first, first)
            self.trajectories += 1
            self.doses += float(unused.sum())

    def add(self, other: "UnusedDoses") -> None:
        """Count those of another ensemble, too."""
        firsts = [first for first in (self.first, other.first) if first is not None]
        self.simulated += other.simulated
        self.trajectories += other.trajectories
        self.doses += other.doses
        self.first = min(firsts, default=None)
