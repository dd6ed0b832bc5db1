"""The schedule of a plan over the time steps of a trajectory, as arrays.

They follow from the first day. Both engines use them, with the values of over_time.py for each draw.
"""

import datetime
from dataclasses import dataclass, replace

import numpy as np

from modeling.engine.doses import doses_by_step
from modeling.workload import ModelPlan, Wave


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
        contacts, matrix_of_step = different_contacts(plan.contacts, {}, num_steps)
        return StepSchedule(None, {}, {}, contacts, matrix_of_step, np.zeros((num_steps, len(plan.sizes))))
    days_after = (start - schedule.first_day).days
    if days_after < 0:
        raise ValueError(f"a start on {start}, before the first day of the schedule, {schedule.first_day}")
    points_a_step = max(1, round(plan.delta_t_days))
    points = days_after * schedule.points_per_day + np.arange(num_steps) * points_a_step
    contacts, matrix_of_step = different_contacts(
        plan.contacts, {layer: each[points] for layer, each in schedule.contact_factors.items()}, num_steps
    )
    return StepSchedule(
        wave=schedule.wave and replace(schedule.wave, shape=schedule.wave.shape[points]),
        factors={name: each[points] for name, each in schedule.factors.items()},
        overrides={name: each[points] for name, each in schedule.overrides.items()},
        contacts=contacts,
        matrix_of_step=matrix_of_step,
        doses=doses_by_step(plan, start, num_steps),
    )


def different_contacts(
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
