"""The schedule of a plan over the time steps of a trajectory, as arrays.

They follow from the first day. engine.py simulates them, with the values of over_time.py for each draw.
"""

import datetime
from dataclasses import dataclass, replace

import numpy as np

from modeling.workload import ModelPlan, Schedule, Wave

_WEEK, _SATURDAY = 7, 5
_ALMOST_ALL = 1 - np.finfo(float).eps  # a chance of 1 would be an infinite hazard


@dataclass(frozen=True)
class StepSchedule:
    """What changes over the time steps of the trajectories that start on one day.

    Attributes
    ----------
    wave : Wave or None
        Its shape is (steps,).
    factors, overrides : dict of str to ndarray of float, shape (steps,)
        By parameter, as in Schedule.
    contacts : ndarray of float, shape (matrices, groups, groups)
        The different contact matrices over all layers [1/day].
    matrix_of_step : ndarray of int, shape (steps,)
        Position in `contacts`.
    doses : ndarray of float, shape (steps, groups)
        Vaccine doses in each step.
    """

    wave: Wave | None
    factors: dict[str, np.ndarray]
    overrides: dict[str, np.ndarray]
    contacts: np.ndarray
    matrix_of_step: np.ndarray
    doses: np.ndarray


def schedule_from(plan: ModelPlan, start: datetime.date, num_steps: int) -> StepSchedule:
    """Return the schedule of the trajectories of a plan that start on one day."""
    schedule = plan.schedule
    if schedule is None:
        contacts, matrix_of_step = _contacts(plan.contacts, {}, num_steps)
        return StepSchedule(None, {}, {}, contacts, matrix_of_step, np.zeros((num_steps, len(plan.sizes))))
    days_after = (start - schedule.first_day).days
    if days_after < 0:
        raise ValueError(f"a start on {start}, before the first day of the schedule, {schedule.first_day}")
    points_a_step = max(1, round(plan.delta_t_days))
    points = days_after * schedule.points_per_day + np.arange(num_steps) * points_a_step
    contacts, matrix_of_step = _contacts(
        plan.contacts, {layer: each[points] for layer, each in schedule.contact_factors.items()}, num_steps
    )
    return StepSchedule(
        wave=schedule.wave and replace(schedule.wave, shape=schedule.wave.shape[points]),
        factors={name: each[points] for name, each in schedule.factors.items()},
        overrides={name: each[points] for name, each in schedule.overrides.items()},
        contacts=contacts,
        matrix_of_step=matrix_of_step,
        doses=_doses(plan, start, num_steps),
    )


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


def _contacts(
    layers: dict[str, np.ndarray], factors: dict[str, np.ndarray], num_steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the different contact matrices over all layers, and the position of each step's."""
    unchanged = np.ones(num_steps)
    by_layer = np.stack([factors.get(layer, unchanged) for layer in layers], axis=1)
    distinct, positions = np.unique(by_layer, axis=0, return_inverse=True)
    matrices = [
        np.sum([factor * matrix for factor, matrix in zip(each, layers.values(), strict=True)], axis=0)
        for each in distinct
    ]
    return np.array(matrices), positions.reshape(-1)


def _doses(plan: ModelPlan, start: datetime.date, num_steps: int) -> np.ndarray:
    """Return the doses of each step, shape (steps, groups): of all its days, or a part of its day's."""
    if plan.schedule.doses is None:
        return np.zeros((num_steps, len(plan.sizes)))
    if plan.delta_t_days < 1:
        steps_a_day = round(1 / plan.delta_t_days)
        by_day = _doses_from(plan.schedule, start, -(-num_steps // steps_a_day))
        return np.repeat(by_day / steps_a_day, steps_a_day, axis=0)[:num_steps]
    days_a_step = round(plan.delta_t_days)
    by_day = _doses_from(plan.schedule, start, num_steps * days_a_step)
    return by_day.reshape(num_steps, days_a_step, -1).sum(axis=1)


def _doses_from(schedule: Schedule, start: datetime.date, num_days: int) -> np.ndarray:
    """Return the doses of each day from a first day on, shape (days, groups).

    The doses of all days before it are given evenly from it to the next Saturday.
    """
    days_after = (start - schedule.first_day).days
    from_start = schedule.doses[days_after : days_after + num_days]
    doses = np.zeros((num_days, schedule.doses.shape[1]))
    doses[: len(from_start)] = from_start
    late = schedule.doses[:days_after].sum(axis=0)
    if schedule.doses_before is not None:
        late = late + schedule.doses_before
    days_to_saturday = (_SATURDAY - start.weekday() - 1) % _WEEK + 1  # a week for a Saturday
    doses[: days_to_saturday + 1] += late / (days_to_saturday + 1)
    return doses
