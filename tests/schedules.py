"""Plans whose schedule is written by hand, and a vaccination."""

import datetime
from dataclasses import replace

import numpy as np

from modeling.build.changes.axis import TimeAxis
from modeling.simulate.with_epydemix.simulator import Simulator
from modeling.workload import Flow, ModelPlan, Wave
from tests.small_models import START, plan, series

SIX_WEEKS = 42
MANY = np.array([40_000_000, 60_000_000])  # so that chance moves a count by much less than a percent
VACCINATED = [Flow("S", "V", "", eligible=["S"])]


def day(number: int) -> datetime.date:
    """Return the day that is `number` days after START."""
    return START + datetime.timedelta(days=number)


def axis(of: ModelPlan, num_days: int = SIX_WEEKS) -> TimeAxis:
    """Return the axis of a model from START on."""
    return TimeAxis.of_model(START, day(num_days - 1), of.delta_t_days)


def scheduled(of: ModelPlan, num_days: int = SIX_WEEKS, **changes) -> ModelPlan:
    """Return the plan with a schedule from START on, in which only `changes` change."""
    return replace(of, schedule=replace(axis(of, num_days).steady(), **changes))


def in_span(of: ModelPlan, first: int, last: int, value: float, otherwise: float = 1.0) -> np.ndarray:
    """Return an array of a schedule: a value on the days `first` to `last` after START."""
    return np.where(axis(of).between(day(first), day(last)), value, otherwise)


def wave(of: ModelPlan, lowest: float | str = "low") -> Wave:
    """Return a wave of r that is highest on day 10 and lowest on day 30."""
    return Wave("r", (1 + np.cos(np.pi / 20 * axis(of).days_after(day(10)))) / 2, lowest, 1.25)


def leaving(rate: float | str = "r", **changes) -> ModelPlan:
    """Return a plan in which people only leave S, each on its own."""
    fields = {
        "sizes": MANY,
        "flows": [Flow("S", "R", rate)],
        "parameters": {"r": 0.02},
        "initial": {"S": "default", "I": None, "R": 0.0},
    }
    return plan(**fields | changes)


def vaccinating(eligible=("S",), **changes) -> ModelPlan:
    """Return a plan in which people only leave S by vaccination."""
    fields = {
        "sizes": MANY,
        "compartments": ["S", "R", "V"],
        "flows": [Flow("S", "V", "", eligible=list(eligible))],
        "parameters": {},
        "initial": {"S": "default", "R": None, "V": 0.0},
    }
    return plan(**fields | changes)


def path_of(of: ModelPlan, first: int = 0, num_days: int = SIX_WEEKS, seed=1, draw: dict | None = None):
    """Return the series of a trajectory from `first` days after START to the end of the schedule."""
    rng = np.random.default_rng(seed)
    return series(of, Simulator(of).run(draw or {}, day(first), day(num_days - 1), rng))
