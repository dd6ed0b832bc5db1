"""Interventions: factors and overrides of parameters, and factors of contacts, by time point."""

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import numpy as np

from modeling.bounds import LARGEST_NUMBER
from modeling.build.changes.axis import TimeAxis
from modeling.build.changes.school_closures import closed_share
from modeling.build.warnings import warn_once
from modeling.failures import UserError, did_you_mean, listed
from modeling.populations import Population
from modeling.vocabulary.changes import Intervention
from modeling.vocabulary.experiment import Experiment

SCHOOL = "school"
ByName = dict[str, np.ndarray]  # arrays of shape (points,)


def check_interventions(experiment: Experiment, axis: TimeAxis) -> None:
    """Warn of interventions that change nothing, or that another one replaces.

    Raises
    ------
    UserError
        An intervention ends before the first day of a model that always starts on the same day.
    """
    for index, intervention in _of_type(experiment, "parameter", "contact_matrix"):
        if intervention.end_date < axis.first_day:
            message = (
                f"{experiment.where('model', 'interventions', index, 'end_date')}: the intervention ends on "
                f"{intervention.end_date}, before the model's {{}} {axis.first_day}, and would change nothing"
            )
            if experiment.drawn_start is None:
                raise UserError(message.format("first day") + "; change its dates, or remove it")
            warn_once(message.format("earliest first day"))
    for (over, a), (scale, b) in permutations(_of_type(experiment, "parameter"), 2):
        if a.meets(b) and a.override_value is not None and b.scaling_factor is not None:
            first, last = max(a.start_date, b.start_date), min(a.end_date, b.end_date)
            days = f"on {first}" if first == last else f"from {first} to {last}"
            warn_once(
                f"{experiment.where('model', 'interventions', scale)}: {days} intervention {over + 1} sets "
                f"{b.target_parameter} to {a.override_value:g}, whatever this scaling_factor"
            )


def parameter_changes(experiment: Experiment, axis: TimeAxis) -> tuple[ByName, ByName]:
    """Return the factors and the overrides of parameters; where nothing overrides, nan.

    Raises
    ------
    UserError
        The factors of a parameter multiply to more than LARGEST_NUMBER.
    """
    factors: ByName = {}
    overrides: ByName = {}
    for index, intervention in _of_type(experiment, "parameter"):
        name = intervention.target_parameter
        days = axis.between(intervention.start_date, intervention.end_date)
        _warn_of_long_steps(experiment, index, days, axis)
        if intervention.override_value is not None:
            values = overrides.setdefault(name, np.full(axis.num_points, np.nan))
            values[days] = intervention.override_value
        else:
            factor = np.where(days, intervention.scaling_factor, 1.0)
            factors[name] = _product(experiment, index, factors.get(name), factor)
    return factors, overrides


def contact_factors(
    experiment: Experiment, population: Population, data_roots: list[Path], axis: TimeAxis
) -> tuple[ByName, np.ndarray | None]:
    """Return the factors of contacts by layer, and which part of the schools is closed, shape (points,).

    Factors of one layer on one day multiply. Without a school closure the second is None.

    Raises
    ------
    UserError
        The population has no such layer, there is no school calendar for it, or the factors of a layer
        multiply to more than LARGEST_NUMBER.
    """
    factors: ByName = {}
    closed: np.ndarray | None = None
    for index, intervention in _of_type(experiment, "contact_matrix", "school_closure"):
        layer = SCHOOL if intervention.type == "school_closure" else intervention.contact_matrix_layer
        if layer not in population.contacts:
            where = experiment.where("model", "interventions", index, "contact_matrix_layer")
            known = population.contacts
            hint = did_you_mean(layer, known) or f"; there are {listed(known)}"
            if layer.casefold() in ("all", "overall"):
                hint = f"; write one intervention for each of {listed(known)}"
            raise UserError(f'{where}: "{layer}" is not a layer of contacts{hint}')
        if intervention.type == "school_closure":
            share = closed = closed_share(experiment, index, population.iso, data_roots, axis)
        else:
            share = axis.between(intervention.start_date, intervention.end_date)
        _warn_of_long_steps(experiment, index, share, axis)
        factor = 1 - (1 - intervention.scaling_factor) * share
        factors[layer] = _product(experiment, index, factors.get(layer), factor)
    return factors, closed


def _warn_of_long_steps(experiment: Experiment, index: int, share: np.ndarray, axis: TimeAxis) -> None:
    """Warn of an intervention that lasts longer or shorter in steps of several days than on its own days.

    Parameters
    ----------
    share : ndarray, shape (points,)
        Which part of the intervention holds on each day, from 0 to 1.
    """
    days = round(experiment.model.timespan.delta_t)
    if days <= 1 or experiment.drawn_start is not None:
        return
    in_model = share[: (experiment.model.timespan.end_date - axis.first_day).days + 1]
    own, simulated = float(in_model.sum()), float(in_model[::days].sum()) * days
    if abs(own - simulated) > 1e-9:
        warn_once(
            f"{experiment.where('model', 'interventions', index)}: {own:g} days of the intervention "
            f"become {simulated:g}, because a step of {days} days has the values of its first day; "
            "use a shorter step"
        )


def _product(experiment: Experiment, index: int, others: np.ndarray | None, factor: np.ndarray) -> np.ndarray:
    """Return the factors of an intervention times those of earlier ones, shape (points,)."""
    product = factor if others is None else others * factor
    if (product > LARGEST_NUMBER).any():
        raise UserError(
            f"{experiment.where('model', 'interventions', index, 'scaling_factor')}: with this one, factors "
            f"of the same target multiply to {product.max():.3g}; {LARGEST_NUMBER:g} at most"
        )
    return product


def _of_type(experiment: Experiment, *types: str) -> Iterator[tuple[int, Intervention]]:
    """Yield the interventions of some types with their positions."""
    for index, intervention in enumerate(experiment.model.interventions or []):
        if intervention.type in types:
            yield index, intervention
