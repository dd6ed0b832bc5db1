"""Checks of the rates of a model, as far as they follow from its parameters and a draw."""

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from modeling.build.plan import PopulationModel
from modeling.build.warnings import warn_once
from modeling.expressions import check_shape, evaluate, names_in, parse_expression
from modeling.failures import UserError, listed
from modeling.over_time import Values, values_over_time
from modeling.vocabulary.transitions import Transition
from modeling.workload import EIGENVALUE, Schedule


class _Rate(NamedTuple):
    """A rate whose value is known [1/day]; `where` is its "file:line"."""

    where: str
    transition: Transition
    text: float | str
    value: float | np.ndarray


def check_rates(model: PopulationModel, draw: Mapping[str, float]) -> Values:
    """Return the values of all parameters that are known.

    Parameters
    ----------
    draw : mapping
        Sampled parameters; empty for what is fixed.

    Raises
    ------
    UserError
        A calculated parameter or a rate has no value, or a rate is negative.
    """
    values = _known_values(model, draw)
    for rate in _known_rates(model, values):
        if (lowest := np.min(rate.value)) < 0:
            raise UserError(
                f'{rate.where}: the rate "{rate.text}" of {rate.transition.source} -> '
                f"{rate.transition.target} is negative ({lowest:g})"
            )
        _check_over_time(model, rate, values)
    return values


def _check_over_time(model: PopulationModel, rate: _Rate, values: Values) -> None:
    """Refuse a rate that seasonality or an intervention makes negative, or leaves without a value."""
    if model.plan.schedule is None:
        return
    schedule = _known_changes(model.plan.schedule, values)
    tree = parse_expression(str(rate.text), calls=False)
    try:
        changed = values_over_time(schedule, values, names_in(tree))
    except UserError as error:
        raise UserError(f"{model.where('model', 'seasonality')}: {error}") from None
    if not changed:
        return
    try:
        over_time = evaluate(tree, {**values, **changed})
    except UserError as error:
        raise UserError(f"{rate.where}: with what changes over time, the rate {error}") from None
    by_point = over_time.min(axis=1, initial=0)  # shape (points,)
    if by_point.min(initial=0) < 0:
        day = schedule.first_day + datetime.timedelta(days=int(by_point.argmin()) // schedule.points_per_day)
        raise UserError(
            f'{rate.where}: on {day} the rate "{rate.text}" of {rate.transition.source} -> '
            f"{rate.transition.target} is negative ({by_point.min():g}), because {listed(changed)} changes "
            "over time (seasonality, interventions)"
        )


def _known_changes(schedule: Schedule, values: Values) -> Schedule:
    """Return a schedule without a wave whose minimum is not drawn yet: no draw makes it negative."""
    wave = schedule.wave
    if wave is None or not isinstance(wave.minimum, str) or wave.minimum in values:
        return schedule
    return replace(schedule, wave=None)


def warn_of_durations(model: PopulationModel, values: Values) -> None:
    """Warn of a rate that empties a compartment within a time step: it may be meant as a duration.

    A rate of up to 1 is hardly a duration; there the step is too long.
    """
    step = model.plan.delta_t_days
    for rate in _known_rates(model, values):
        fastest = float(np.max(rate.value))
        if rate.transition.type == "spontaneous" and fastest * step > 1:
            advice = f"if {fastest:g} is meant in days, write 1/{fastest:g}"
            if fastest <= 1:
                advice = f"a step of {step:g} days is longer; lower timespan.delta_t"
            warn_once(
                f"{rate.where}: people leave {rate.transition.source} at a rate of {fastest:g} a day, so "
                f"they stay {1 / fastest:.2g} days; {advice}"
            )


def _known_values(model: PopulationModel, draw: Mapping[str, float]) -> Values:
    """Return the fixed and drawn parameters, and those that are calculated from them alone."""
    values = dict(model.plan.parameters) | dict(draw) | {EIGENVALUE: model.population.eigenvalue}
    for name, text in model.plan.calculated:
        tree = parse_expression(text)
        if set(names_in(tree)) <= values.keys():
            try:
                values[name] = evaluate(tree, values)
                check_shape(values[name], len(model.plan.age_groups), f'"{text}"')
            except UserError as error:
                raise UserError(f"{model.where('model', 'parameters', name)}: {error}") from None
    return values


def _known_rates(model: PopulationModel, values: Values) -> Iterator[_Rate]:
    for index, transition in enumerate(model.experiment.model.transitions):
        for at, text in transition.rates():
            tree = parse_expression(str(text), calls=False)
            if set(names_in(tree)) <= values.keys():
                where = model.where("model", "transitions", index, *at)
                try:
                    value = evaluate(tree, values)
                except UserError as error:
                    raise UserError(f"{where}: {error}") from None
                yield _Rate(where, transition, text, value)
