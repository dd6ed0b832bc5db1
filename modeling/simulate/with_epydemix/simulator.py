"""Trajectories simulated by epydemix, one at a time.

schedule.py and doses.py have what changes over time as arrays; only here does epydemix simulate.
"""

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
from modeling.default_start import default_start
from modeling.engine.doses import UnusedDoses, vaccination_hazard
from modeling.engine.schedule import StepSchedule, schedule_from
from modeling.expressions import check_shape, evaluate, names_in, parse_expression
from modeling.failures import UserError
from modeling.initial import InfeasibleDraw, initial_people
from modeling.over_time import values_over_time
from modeling.workload import EIGENVALUE, ModelPlan

_DOSES = "doses"  # among epydemix's parameters, which are otherwise the rates by step


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
    schedule : StepSchedule
    contacts : list of dict
        epydemix's contact matrices of each time step.
    reported : ndarray of datetime64[s], shape (dates,)
    last_steps : ndarray of int, shape (dates,)
        Last time step of each reported date.
    """

    dates: Sequence
    schedule: StepSchedule
    contacts: list
    reported: np.ndarray
    last_steps: np.ndarray


class Simulator:
    """A model over one population, made ready for many draws.

    Attributes
    ----------
    unused : UnusedDoses
        Of all trajectories so far.
    """

    def __init__(self, plan: ModelPlan):
        self.plan = plan
        self.unused = UnusedDoses()
        self._eigenvalue = float(np.linalg.eigvals(sum(plan.contacts.values())).real.max())
        self._calculated = [(name, parse_expression(text)) for name, text in plan.calculated]
        self._rates = {
            _rate_name(index): parse_expression(flow.rate, calls=False)
            for index, flow in enumerate(plan.flows)
            if isinstance(flow.rate, str) and flow.eligible is None
        }
        self._eligible = next((flow.eligible for flow in plan.flows if flow.eligible is not None), None)
        self._model = _epydemix_model(plan)
        self._calendars: dict[tuple[datetime.date, datetime.date], _Calendar] = {}

    def values(self, draw: dict[str, float]) -> dict[str, float | np.ndarray]:
        """Return every parameter's unchanged value: a float, or an ndarray of shape (groups,).

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
            The draw gives a rate that is negative or not finite at some step, a wave whose minimum is not
            between 0 and its maximum, or more people than there are.
        UserError
            The same without a draw.
        """
        people = self._initial({c: v for c, v in draw.items() if c in self.plan.initial})
        calendar = self._calendar(start, end)
        self._set_parameters(draw, calendar)
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
        in_compartments = _counts(trajectory.compartments)
        initial = _with_totals(people, self.plan)
        self._count_unused_doses(initial, in_compartments, calendar)
        # as epydemix resamples, without the pandas frames that take a fifth of a trajectory's time:
        # the last people of each interval, and everybody who moved in it
        moved = np.cumsum(_counts(trajectory.transitions), axis=1)[:, calendar.last_steps]
        return Path(
            dates=calendar.reported,
            in_compartments=in_compartments[:, calendar.last_steps],
            by_transition=np.diff(moved, axis=1, prepend=0),
            initial=initial,
        )

    def calendar(self, start: datetime.date, end: datetime.date) -> np.ndarray:
        """Return the dates on which a trajectory is reported, datetime64[s], shape (dates,)."""
        return self._calendar(start, end).reported

    def _calendar(self, start: datetime.date, end: datetime.date) -> _Calendar:
        key = (start, end)  # a start date comes back often
        if key not in self._calendars:
            delta_t = self.plan.delta_t_days
            dates = compute_simulation_dates(start, end, step_count(start, end, delta_t) - 1, delta_t)
            schedule = schedule_from(self.plan, start, len(dates))
            matrices = [{"overall": matrix} for matrix in schedule.contacts]
            contacts = [matrices[position] for position in schedule.matrix_of_step]
            last_steps = pd.Series(np.arange(len(dates)), index=dates)
            if self.plan.resample_frequency is not None:
                last_steps = last_steps.resample(self.plan.resample_frequency).last().ffill()
            reported = np.asarray(last_steps.index, dtype="datetime64[s]")
            last_steps = last_steps.to_numpy(dtype=int)
            self._calendars[key] = _Calendar(dates, schedule, contacts, reported, last_steps)
        return self._calendars[key]

    def _set_parameters(self, draw: dict[str, float], calendar: _Calendar) -> None:
        """Give epydemix the rates of a draw, and the doses, by time step."""
        try:
            rates = self._rates_by_step(self.values(draw), calendar)
        except UserError as error:
            raise InfeasibleDraw(str(error)) if draw else error from None
        self._model.parameters = rates | {_DOSES: calendar.schedule.doses}

    def _rates_by_step(self, values: dict, calendar: _Calendar) -> dict[str, np.ndarray]:
        """Return each rate that is an expression, by its name in epydemix's model, shape (steps, groups)."""
        shape = len(calendar.dates), len(self.plan.age_groups)
        names = dict.fromkeys(name for tree in self._rates.values() for name in names_in(tree))
        changed = values_over_time(calendar.schedule, values, names)
        by_step = {name: np.full(shape, changed.get(name, values[name]), dtype=float) for name in names}
        rates = {name: evaluate(tree, by_step) for name, tree in self._rates.items()}
        for name, rate in rates.items():
            if (rate < 0).any():
                step, text = int(np.argmax((rate < 0).any(axis=1))), unparse(self._rates[name])
                is_steady = changed.keys().isdisjoint(names_in(self._rates[name]))
                on = "" if is_steady else f" on {calendar.dates[step].astype('datetime64[D]')}"
                raise UserError(f'the rate "{text}" is negative ({rate[step].min():g}){on}')
        return rates

    def _count_unused_doses(self, initial: np.ndarray, later: np.ndarray, calendar: _Calendar) -> None:
        """Count the doses of a trajectory that are due when fewer people are eligible.

        Parameters
        ----------
        initial : ndarray, shape (compartment series,)
        later : ndarray, shape (compartment series, steps)
            People at the end of each step.
        """
        if self._eligible is None:
            return
        before = np.column_stack([initial, later[:, :-1]])
        by_group = before.reshape(len(self.plan.compartments), -1, before.shape[1])[:, :-1]  # no totals
        rows = [self.plan.compartments.index(compartment) for compartment in self._eligible]
        self.unused.count(calendar.schedule.doses, by_group[rows].sum(axis=0).T, calendar.dates)

    def _initial(self, drawn_people: dict[str, float]) -> dict[str, np.ndarray]:
        if all(init is None for init in self.plan.initial.values()):
            return dict(zip(self.plan.compartments, default_start(self.plan), strict=True))
        return initial_people(self.plan.initial, self.plan.sizes, drawn_people, self.plan.age_groups)


def _epydemix_model(plan: ModelPlan) -> EpiModel:
    model = EpiModel(name=plan.name, compartments=list(plan.compartments))
    population = Population(name=plan.name)
    population.add_population(Nk=plan.sizes, Nk_names=list(plan.age_groups))
    for layer, matrix in plan.contacts.items():
        population.add_contact_matrix(matrix, layer_name=layer)
    model.set_population(population)
    model.register_transition_kind("vaccination", _vaccination_rate)
    for index, flow in enumerate(plan.flows):
        rate = _rate_name(index) if isinstance(flow.rate, str) else flow.rate
        kind, params = "spontaneous", rate
        if flow.eligible is not None:
            kind, params = "vaccination", [model.compartments_idx[c] for c in flow.eligible]
        elif flow.mediator is not None:
            kind, params = "mediated", (rate, flow.mediator)
        model.add_transition(flow.source, flow.target, kind=kind, params=params)
    return model


def _rate_name(index: int) -> str:
    return f"rate {index}"


def _vaccination_rate(params: list[int], data: dict) -> np.ndarray:
    """Return the rate of a vaccination at a time step, shape (groups,), from what epydemix gives.

    Parameters
    ----------
    params : list of int
        Positions of the eligible compartments.
    """
    doses = data["parameters"][_DOSES][data["t"]]
    return vaccination_hazard(doses, data["pop"][params].sum(axis=0), data["dt"])


def _counts(series: dict[str, np.ndarray]) -> np.ndarray:
    """Return the series stacked as integers; 32 bits hold any population but the world's."""
    stacked = np.stack(list(series.values()))
    return stacked.astype(np.int32 if stacked.max(initial=0) < 2**31 else np.int64)


def _with_totals(people: dict[str, np.ndarray], plan: ModelPlan) -> np.ndarray:
    rows = [np.append(people[c], people[c].sum()) for c in plan.compartments]
    return np.concatenate(rows)
