"""Interventions: factors and overrides of parameters, and factors of contacts, by time point."""

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import numpy as np

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
    """Return the factors and the overrides of parameters; where nothing overrides, nan."""
    factors: ByName = {}
    overrides: ByName = {}
    for _, intervention in _of_type(experiment, "parameter"):
        name = intervention.target_parameter
        days = axis.between(intervention.start_date, intervention.end_date)
        if intervention.override_value is not None:
            values = overrides.setdefault(name, np.full(axis.num_points, np.nan))
            values[days] = intervention.override_value
        else:
            factors.setdefault(name, np.ones(axis.num_points))[days] *= intervention.scaling_factor
    return factors, overrides


def contact_factors(
    experiment: Experiment, population: Population, data_roots: list[Path], axis: TimeAxis
) -> tuple[ByName, np.ndarray | None]:
    """Return the factors of contacts by layer, and which part of the schools is closed, shape (points,).

    Factors of one layer on one day multiply. Without a school closure the second is None.

    Raises
    ------
    UserError
        The population has no such layer, or there is no school calendar for it.
    """
    factors: ByName = {}
    closed: np.ndarray | None = None
    for index, intervention in _of_type(experiment, "contact_matrix", "school_closure"):
        layer = intervention.contact_matrix_layer or SCHOOL
        if layer not in population.contacts:
            where = experiment.where("model", "interventions", index, "contact_matrix_layer")
            known = population.contacts
            hint = did_you_mean(layer, known) or f"; there are {listed(known)}"
            if layer.casefold() in ("all", "overall"):
                hint = f"; write one intervention for each of {listed(known)}"
            raise UserError(f'{where}: "{layer}" is not a layer of contacts{hint}')
        if intervention.type == "school_closure":
            share = closed_share(experiment, index, population.iso, data_roots, axis)
            closed = share if closed is None else np.maximum(closed, share)
        else:
            share = axis.between(intervention.start_date, intervention.end_date)
        factor = 1 - (1 - intervention.scaling_factor) * share
        factors[layer] = factors.get(layer, 1) * factor
    return factors, closed


def _of_type(experiment: Experiment, *types: str) -> Iterator[tuple[int, Intervention]]:
    """Yield the interventions of some types with their positions."""
    for index, intervention in enumerate(experiment.model.interventions or []):
        if intervention.type in types:
            yield index, intervention
