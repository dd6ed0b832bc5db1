"""First days of a batch, and what follows from each: time steps, reported dates, doses, contacts."""

import datetime
from dataclasses import dataclass

import numpy as np

from modeling.calendars import period_problem, step_count
from modeling.engine.reporting import reported_steps
from modeling.engine.schedule import StepSchedule, different_contacts, schedule_from
from modeling.failures import UserError
from modeling.workload import ModelPlan, Schedule


@dataclass(frozen=True)
class StartTable:
    """The different first days of a batch; arrays as in arrays.Batch.

    Attributes
    ----------
    days : ndarray of int, shape (starts,)
        Days after the plan's first day.
    start : ndarray of int, shape (particles,)
        Number of each particle's first day in `days`.
    first_column : ndarray of int, shape (starts,)
        Column of the first reported date.
    repeated : list of (start, column, earlier column)
        Dates without a step of their own, with the date whose people they repeat.
    """

    days: np.ndarray
    start: np.ndarray
    first_point: np.ndarray
    num_steps: np.ndarray
    column: np.ndarray
    due: np.ndarray
    doses: np.ndarray
    first_column: np.ndarray
    repeated: list[tuple[int, int, int]]


@dataclass(frozen=True)
class _Start:
    """What follows from one first day."""

    schedule: StepSchedule
    num_steps: int
    column: np.ndarray
    due: np.ndarray
    first_column: int
    repeated: list[tuple[int, int]]


class Starts:
    """The period of a plan, and the first days in it.

    Attributes
    ----------
    dates : ndarray of datetime64[s], shape (dates,)
        Reported dates of a trajectory from the plan's first day.
    points_per_day, points_a_step, num_points : int
        The axis of time points as in Schedule, from the plan's first day to the end of the last step.
    contacts : ndarray of float, shape (matrices, groups, groups)
        Different contact matrices over all layers [1/day].
    matrix_of_point : ndarray of int, shape (points,), or (1,) where the contacts do not change
    """

    def __init__(self, model: ModelPlan, first_day: datetime.date, last_day: datetime.date):
        self.model, self.first_day, self.last_day = model, first_day, last_day
        delta_t = model.delta_t_days
        if problem := period_problem(first_day, last_day, delta_t):
            raise UserError(problem)
        self.points_per_day = max(1, round(1 / delta_t))
        self.points_a_step = max(1, round(delta_t))
        self.dates, _ = reported_steps(first_day, last_day, delta_t, model.resample_frequency)
        self.num_points = ((last_day - first_day).days + 1) * self.points_per_day
        self._found: dict[int, _Start] = {}
        if model.schedule is not None:
            _check_schedule(model.schedule, first_day, last_day, self.num_points)
        self.contacts, self.matrix_of_point = self._contacts()

    def table(self, days: np.ndarray) -> StartTable:
        """Return the table of the first days of a batch, shape (particles,), in days after the plan's.

        Raises
        ------
        UserError
            A first day is outside the period, or its reported dates are not those of the plan.
        """
        different, start = np.unique(days, return_inverse=True)
        each = [self._start(int(day)) for day in different]
        most = max((one.num_steps for one in each), default=0)
        column, due = np.full((len(each), most), -1), np.zeros((len(each), most), dtype=np.int64)
        doses = np.zeros((len(each), most, len(self.model.sizes)))
        for row, one in enumerate(each):
            column[row, : one.num_steps] = one.column
            due[row, : one.num_steps] = one.due
            doses[row, : one.num_steps] = one.schedule.doses
        return StartTable(
            days=different,
            start=start.reshape(-1),
            first_point=different * self.points_per_day,
            num_steps=np.array([one.num_steps for one in each]),
            column=column,
            due=due,
            doses=doses,
            first_column=np.array([one.first_column for one in each]),
            repeated=[(row, *pair) for row, one in enumerate(each) for pair in one.repeated],
        )

    def date_of_step(self, day: int, step: int) -> np.datetime64:
        """Return when a step begins, of a particle that starts a number of days after the plan."""
        seconds = round(step * self.model.delta_t_days * 86_400)
        begin = np.datetime64(self.first_day + datetime.timedelta(days=day), "s")
        return begin + np.timedelta64(seconds, "s")

    def _start(self, day: int) -> _Start:
        if day not in self._found:  # a first day comes back often
            self._found[day] = self._new_start(day)
        return self._found[day]

    def _new_start(self, day: int) -> _Start:
        if not 0 <= day <= (self.last_day - self.first_day).days:
            raise UserError(
                f"a first day {day} days after {self.first_day}, outside the model's days to {self.last_day}"
            )
        start = self.first_day + datetime.timedelta(days=day)
        delta_t = self.model.delta_t_days
        num_steps = step_count(start, self.last_day, delta_t)
        dates, last_steps = reported_steps(start, self.last_day, delta_t, self.model.resample_frequency)
        first_column = len(self.dates) - len(dates)
        if first_column < 0 or (self.dates[first_column:] != dates).any():
            raise dates_depend_on_start()
        column = np.full(num_steps, -1)
        ended = np.flatnonzero(np.diff(last_steps, prepend=-1))  # dates that a step of their own ends
        column[last_steps[ended]] = first_column + ended
        repeated = [
            (first_column + date, int(column[last_steps[date]]))
            for date in sorted({*range(len(dates))} - set(ended.tolist()))
        ]
        ends = np.flatnonzero((column >= 0) | (np.arange(num_steps) == num_steps - 1))
        return _Start(
            schedule=schedule_from(self.model, start, num_steps),
            num_steps=num_steps,
            column=column,
            due=ends[np.searchsorted(ends, np.arange(num_steps))],
            first_column=first_column,
            repeated=repeated,
        )

    def _contacts(self) -> tuple[np.ndarray, np.ndarray]:
        schedule, contacts = self.model.schedule, self.model.contacts
        if schedule is None or not schedule.contact_factors:
            return different_contacts(contacts, {}, 1)
        begin = (self.first_day - schedule.first_day).days * schedule.points_per_day
        points = slice(begin, begin + self.num_points)
        factors = {layer: each[points] for layer, each in schedule.contact_factors.items()}
        return different_contacts(contacts, factors, self.num_points)


def dates_depend_on_start() -> UserError:
    """Return the error of a trajectory whose dates are not those of the others."""
    return UserError(
        "a calibrated start date needs dates that do not depend on it; "
        "set simulation.resample_frequency to D or W-SAT"
    )


def _check_schedule(
    schedule: Schedule, first_day: datetime.date, last_day: datetime.date, num_points: int
) -> None:
    """Refuse a period that the changes of a plan do not cover."""
    begin = (first_day - schedule.first_day).days * schedule.points_per_day
    changes = [*schedule.factors.values(), *schedule.overrides.values(), *schedule.contact_factors.values()]
    changes += [schedule.wave.shape] if schedule.wave else []
    end = min(map(len, changes), default=begin + num_points)
    if begin < 0 or begin + num_points > end:
        days = datetime.timedelta(days=end // schedule.points_per_day - 1)
        raise UserError(
            f"the period from {first_day} to {last_day} is not within that of the plan, which has changes "
            f"over time from {schedule.first_day} to {schedule.first_day + days}"
        )
