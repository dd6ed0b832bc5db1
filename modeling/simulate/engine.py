"""Trajectories simulated by epydemix, one at a time."""

import datetime
from ast import unparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from epydemix.model import EpiModel, simulate
from epydemix.population import Population
from epydemix.utils import compute_simulation_dates

from modeling.calendars import step_count
from modeling.expressions import check_shape, evaluate, names_in, parse_expression
from modeling.failures import UserError
from modeling.initial import InfeasibleDraw, initial_people
from modeling.workload import EIGENVALUE, ModelPlan


@dataclass(frozen=True)
class Path:
    """One trajectory.

    Attributes
    ----------
    dates : ndarray of datetime64[s], shape (dates,)
    in_compartments : ndarray of int, shape (compartment series, dates)
    by_transition : ndarray of int, shape (transition series, dates)
    initial : ndarray of int, shape (compartment series,)
        People on the first day.
    """

    dates: np.ndarray
    in_compartments: np.ndarray
    by_transition: np.ndarray
    initial: np.ndarray


class _Calendar(NamedTuple):
    """The days of a simulation.

    Attributes
    ----------
    dates : sequence of timestamps
        Start of each time step.
    contacts : list of dict
        epydemix's contact matrices of each time step.
    reported : ndarray of datetime64[s], shape (dates,)
    last_steps : ndarray of int, shape (dates,)
        Last time step of each reported date.
    """

    dates: Sequence
    contacts: list
    reported: np.ndarray
    last_steps: np.ndarray


class Simulator:
    """A model over one population, made ready for many draws."""

    def __init__(self, plan: ModelPlan):
        self.plan = plan
        self._eigenvalue = float(np.linalg.eigvals(sum(plan.contacts.values())).real.max())
        self._calculated = [(name, parse_expression(text)) for name, text in plan.calculated]
        self._rates = [parse_expression(f.rate, calls=False) for f in plan.flows if isinstance(f.rate, str)]
        self._model = _epydemix_model(plan)
        self._calendars: dict[tuple[datetime.date, datetime.date], _Calendar] = {}

    def values(self, draw: dict[str, float]) -> dict[str, float | np.ndarray]:
        """Return every parameter's value: a float, or an ndarray of shape (groups,).

        Raises
        ------
        UserError
            A calculated parameter is not finite, or has another shape.
        """
        values = dict(self.plan.parameters) | {k: v for k, v in draw.items() if k not in self.plan.initial}
        values.pop("start_date", None)
        for name, tree in self._calculated:
            values[name] = evaluate(tree, values | {EIGENVALUE: self._eigenvalue})
            check_shape(values[name], len(self.plan.age_groups), f'"{unparse(tree)}"')
        return values

    def run(
        self,
        draw: dict[str, float],
        start: datetime.date,
        end: datetime.date,
        rng: np.random.Generator,
    ) -> Path:
        """Simulate one trajectory.

        Parameters
        ----------
        draw : dict
            Sampled or calibrated parameters and compartments.
        start, end : date
            First and last simulated day.

        Raises
        ------
        InfeasibleDraw
            The draw gives a rate that is negative or not finite, or more people than there are.
        UserError
            The same without a draw.
        """
        people = self._initial({c: v for c, v in draw.items() if c in self.plan.initial})
        self._set_parameters(draw)
        calendar = self._calendar(start, end)
        trajectory = simulate(
            self._model,
            start_date=start,
            end_date=end,
            initial_conditions_dict=people,
            dt=self.plan.delta_t_days,
            resample_frequency=None,
            rng=rng,
            simulation_dates=calendar.dates,
            contact_matrices=calendar.contacts,
        )
        # as epydemix resamples, without the pandas frames that take a fifth of a trajectory's time:
        # the last people of each interval, and everybody who moved in it
        moved = np.cumsum(_counts(trajectory.transitions), axis=1)[:, calendar.last_steps]
        return Path(
            dates=calendar.reported,
            in_compartments=_counts(trajectory.compartments)[:, calendar.last_steps],
            by_transition=np.diff(moved, axis=1, prepend=0),
            initial=_with_totals(people, self.plan),
        )

    def calendar(self, start: datetime.date, end: datetime.date) -> np.ndarray:
        """Return the dates on which a trajectory is reported, datetime64[s], shape (dates,)."""
        return self._calendar(start, end).reported

    def _calendar(self, start: datetime.date, end: datetime.date) -> _Calendar:
        key = (start, end)  # a start date comes back often
        if key not in self._calendars:
            delta_t = self.plan.delta_t_days
            dates = compute_simulation_dates(start, end, step_count(start, end, delta_t) - 1, delta_t)
            self._model.compute_contact_reductions(dates)
            contacts = [self._model.Cs[date] for date in dates]
            last_steps = pd.Series(np.arange(len(dates)), index=dates)
            if self.plan.resample_frequency is not None:
                last_steps = last_steps.resample(self.plan.resample_frequency).last().ffill()
            reported = np.asarray(last_steps.index, dtype="datetime64[s]")
            self._calendars[key] = _Calendar(dates, contacts, reported, last_steps.to_numpy(dtype=int))
        return self._calendars[key]

    def _set_parameters(self, draw: dict[str, float]) -> None:
        """Give epydemix the parameters of a draw."""
        try:
            values = self.values(draw)
            self._refuse_negative_rates(values)
        except UserError as error:
            raise InfeasibleDraw(str(error)) if draw else error from None
        # one row for all time steps: epydemix takes a one-dimensional array for a time series
        self._model.parameters = {
            k: v.reshape(1, -1) if isinstance(v, np.ndarray) else v for k, v in values.items()
        }

    def _initial(self, drawn_people: dict[str, float]) -> dict[str, np.ndarray]:
        if all(init is None for init in self.plan.initial.values()):
            return self._epydemix_default()
        return initial_people(self.plan.initial, self.plan.sizes, drawn_people, self.plan.age_groups)

    def _epydemix_default(self) -> dict[str, np.ndarray]:
        """Return epydemix's own start, 0.05 % infectious; people lost by its rounding are in the largest."""
        people = {
            c: np.asarray(n, dtype=np.int64)
            for c, n in self._model.create_default_initial_conditions().items()
        }
        largest = max(people, key=lambda c: people[c].sum())
        people[largest] = people[largest] + self.plan.sizes - sum(people.values())
        return people

    def _refuse_negative_rates(self, values: dict) -> None:
        for tree in self._rates:
            rate = evaluate(tree, {name: values[name] for name in names_in(tree)})
            if np.min(rate) < 0:
                raise UserError(f'the rate "{unparse(tree)}" is negative ({float(np.min(rate)):g})')


def _epydemix_model(plan: ModelPlan) -> EpiModel:
    model = EpiModel(name=plan.name, compartments=list(plan.compartments))
    population = Population(name=plan.name)
    population.add_population(Nk=plan.sizes, Nk_names=list(plan.age_groups))
    for layer, matrix in plan.contacts.items():
        population.add_contact_matrix(matrix, layer_name=layer)
    model.set_population(population)
    for flow in plan.flows:
        if flow.mediator is None:
            model.add_transition(flow.source, flow.target, kind="spontaneous", params=flow.rate)
        else:
            model.add_transition(flow.source, flow.target, kind="mediated", params=(flow.rate, flow.mediator))
    return model


def _counts(series: dict[str, np.ndarray]) -> np.ndarray:
    """Return the series stacked as integers; 32 bits hold any population but the world's."""
    stacked = np.stack(list(series.values()))
    return stacked.astype(np.int32 if stacked.max(initial=0) < 2**31 else np.int64)


def _with_totals(people: dict[str, np.ndarray], plan: ModelPlan) -> np.ndarray:
    rows = [np.append(people[c], people[c].sum()) for c in plan.compartments]
    return np.concatenate(rows)
