"""How what changes over time fits the model, and each change the others; each alone is in changes.py."""

from collections.abc import Iterable
from graphlib import CycleError
from itertools import combinations

import numpy as np

from modeling.expressions import evaluate_text, names_in, parse_expression
from modeling.failures import UserError, did_you_mean, listed
from modeling.vocabulary.base import Location, Problems
from modeling.vocabulary.changes import SEASONALITY_MIN, Intervention


def change_problems(model) -> Problems:
    """Yield what is wrong with the vaccination, the seasonality and the interventions of a model.

    Parameters
    ----------
    model : Model
    """
    yield from _vaccination_problems(model)
    if model.seasonality is not None:
        at: Location = ("seasonality",)
        yield from _below(at, model.seasonality.problems())
        yield from _below(at, _target_problems(model, model.seasonality.target_parameter))
        yield from _lowest_factor_problems(model)
    for index, intervention in enumerate(model.interventions or []):
        at = ("interventions", index)
        yield from _below(at, intervention.problems())
        if intervention.type == "parameter" and intervention.target_parameter is not None:
            yield from _below(at, _target_problems(model, intervention.target_parameter))
        end = model.timespan.end_date
        if intervention.start_date and intervention.start_date > end:
            yield (
                (*at, "start_date"),
                f"the intervention starts on {intervention.start_date}, after the model's end_date {end}",
            )
    yield from _below(("interventions",), _contradictions(model.interventions or []))


def _vaccination_problems(model) -> Problems:
    """Yield why the section and the transition of a vaccination do not go together."""
    if model.vaccination is not None:
        yield from _below(("vaccination",), model.vaccination.problems(model.compartment_ids))
        yield from model.vaccination.transition_problems(model.transitions)
    elif any(vaccinating := [t.type == "vaccination" for t in model.transitions]):
        at = ("transitions", vaccinating.index(True))
        yield at, 'a vaccination transition needs the section "vaccination"'


def _target_problems(model, target: str) -> Problems:
    """Yield why a change of this parameter over time would change nothing."""
    if target not in model.parameters:
        known = model.parameters
        yield (
            ("target_parameter",),
            f'"{target}" is not a parameter{did_you_mean(target, known)}; there are {listed(known, 30)}',
        )
        return
    try:
        used = set(_names(str(rate) for t in model.transitions for _, rate in t.rates()))
        order = model.calculation_order()
    except (UserError, CycleError):
        return  # reported elsewhere
    if target in used:
        return
    known = {target}
    for name in order:
        if known & set(_names([str(model.parameters[name].value)])):
            known.add(name)
    if affected := [name for name in order if name in known & used]:
        advice = f"target {listed(affected)}, which is calculated from it"
    else:
        advice = f"the rates use {listed(n for n in model.parameters if n in used) or 'no parameter'}"
    yield (
        ("target_parameter",),
        f'no rate uses "{target}" directly, and calculated parameters do not change over time with it, so '
        f"nothing would change; {advice}",
    )


def _names(expressions: Iterable[str]) -> list[str]:
    return [name for text in expressions for name in names_in(parse_expression(text))]


def _lowest_factor_problems(model) -> Problems:
    """Yield what is wrong with the parameter that replaces min_value."""
    parameter, highest = model.parameters.get(SEASONALITY_MIN), model.seasonality.max_value
    if parameter is None or highest is None:
        return
    at = ("parameters", SEASONALITY_MIN)
    if parameter.type == "age_varying":
        yield at, f"{SEASONALITY_MIN} replaces min_value of the seasonality and must be one number"
    elif parameter.type == "scalar" and parameter.value is not None:
        try:
            lowest = evaluate_text(parameter.value)
        except UserError:
            return  # reported elsewhere
        if np.ndim(lowest) == 0 and not 0 <= lowest <= highest:
            yield (
                at,
                f"{SEASONALITY_MIN} replaces min_value of the seasonality and must be from 0 to max_value "
                f"{highest:g}, not {lowest:g}",
            )


def _contradictions(interventions: list[Intervention]) -> Problems:
    """Yield interventions that cannot both be meant."""
    for (first, a), (second, b) in combinations(enumerate(interventions), 2):
        overrides = {a.override_value, b.override_value}
        if a == b:
            yield (second,), f"intervention {second + 1} is the same as intervention {first + 1}; keep one"
        elif a.type == b.type == "school_closure":
            yield (second,), "more than one school_closure; keep one"
        elif None not in overrides and len(overrides) == 2 and a.meets(b):
            yield (
                (second, "override_value"),
                f"on {max(a.start_date, b.start_date)} {b.target_parameter} would be {b.override_value:g} "
                f"and, by intervention {first + 1}, {a.override_value:g}; change the dates of one",
            )


def _below(at: Location, problems: Problems) -> Problems:
    """Yield the problems of a piece that is at this place."""
    for where, message in problems:
        yield (*at, *where), message
