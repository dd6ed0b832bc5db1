"""The time points that a schedule's arrays are on."""

import datetime
import math
from dataclasses import dataclass

import numpy as np

from modeling.workload import Schedule


@dataclass(frozen=True)
class TimeAxis:
    """Time points from the earliest first day to the end of the last step.

    Attributes
    ----------
    num_days : int
        Days with time points.
    points_per_day : int
        1, or the steps a day where they are shorter.
    """

    first_day: datetime.date
    num_days: int
    points_per_day: int

    @classmethod
    def of_model(cls, first_day: datetime.date, end: datetime.date, delta_t_days: float) -> "TimeAxis":
        """Return the axis of a model.

        Parameters
        ----------
        end : date
            Last simulated day; a last step of several days runs past it.
        """
        num_days = max(0, (end - first_day).days + 1) + math.ceil(delta_t_days) - 1
        return cls(first_day, num_days, max(1, round(1 / delta_t_days)))

    @property
    def num_points(self) -> int:
        return self.num_days * self.points_per_day

    @property
    def last_day(self) -> datetime.date:
        return self.first_day + datetime.timedelta(days=self.num_days - 1)

    def days_after(self, day: datetime.date) -> np.ndarray:
        """Return the days from a day at 0:00 to each time point, shape (points,); negative before it."""
        return np.arange(self.num_points) / self.points_per_day - (day - self.first_day).days

    def between(self, first: datetime.date, last: datetime.date) -> np.ndarray:
        """Return whether each time point is on one of the days `first` to `last`, shape (points,)."""
        days = np.arange(self.num_points) // self.points_per_day
        return ((first - self.first_day).days <= days) & (days <= (last - self.first_day).days)

    def steady(self) -> Schedule:
        """Return a schedule in which nothing changes, to be filled with replace()."""
        return Schedule(self.first_day, self.points_per_day, None, {}, {}, {}, None, None)
