"""Checks of a model's first day: which day it may be, and who is where on it.

The day must fit the time steps and the reported intervals, and the people must fit into their age groups.
"""

import datetime
from collections.abc import Mapping

import numpy as np

from modeling.bounds import FIRST_DAY, LAST_DAY
from modeling.build.plan import PopulationModel
from modeling.build.warnings import warn_once
from modeling.calendars import intervals
from modeling.failures import UserError, listed
from modeling.initial import initial_people
from modeling.vocabulary.experiment import Experiment
from modeling.workload import ModelPlan

People = Mapping[str, np.ndarray]  # by compartment: ndarray of int, shape (groups,)
Inits = Mapping[str, object]  # as ModelPlan.initial


# -- which day


def sampled_start(experiment: Experiment, days: float) -> datetime.date:
    """Return the first day of a parameter set.

    Parameters
    ----------
    days : float
        Drawn days after the reference date.

    Raises
    ------
    UserError
        The day is outside 1900 to 2200, or after the model's last.
    """
    reference = experiment.modelset.sampling.start_date.reference_date
    end = experiment.model.timespan.end_date
    where = experiment.where("modelset", "sampling", "start_date")
    if not (FIRST_DAY - reference).days <= days <= (LAST_DAY - reference).days:
        raise UserError(
            f"{where}: a sampled start date, {days:g} days after {reference}, is not between {FIRST_DAY} "
            f"and {LAST_DAY}; use a narrower distribution"
        )
    start = reference + datetime.timedelta(days=int(days))
    if start > end:
        raise UserError(f"{where}: a sampled start date, {start}, is after the model's end_date {end}")
    return start


def calibrated_start(model: PopulationModel) -> datetime.date | None:
    """Return the earliest first day of a calibration; None where it is fixed.

    Raises
    ------
    UserError
        The reported dates would move with the start date, but every trajectory needs the same ones.
    """
    start_date = model.experiment.calibration.start_date
    if start_date is None:
        return None
    if model.plan.delta_t_days > 1:
        raise UserError(
            f"{model.where('model', 'timespan', 'delta_t')}: steps of {model.plan.delta_t_days:g} days "
            "depend on the start date, which is calibrated; use 1, 0.5, 0.25, ..."
        )
    if (model.plan.resample_frequency or "D")[0].isdigit():
        raise UserError(
            f"{model.where('model', 'simulation', 'resample_frequency')}: {model.plan.resample_frequency} "
            "depends on the start date, which is calibrated; use W-SAT or D"
        )
    earliest = start_date.reference_date
    if earliest <= model.experiment.model.timespan.end_date:
        check_steps(model.experiment, earliest)
    return earliest


def check_steps(experiment: Experiment, start: datetime.date) -> None:
    """Refuse time steps that do not fit a drawn start date; a fixed one was checked before."""
    if problem := experiment.model.step_problem(start):
        raise UserError(f"{experiment.where('model', 'timespan', 'delta_t')}: {problem}")


def check_reported(experiment: Experiment, start: datetime.date) -> None:
    """Refuse a model that simulates no whole interval, so that nothing would be reported."""
    end, frequency = experiment.model.timespan.end_date, experiment.model.resample_frequency
    if frequency is None or start > end:
        return
    reported = intervals(start, end, experiment.model.timespan.delta_t, frequency)
    if not any(start <= first and last <= end for first, last in reported):
        raise UserError(
            f"{experiment.where('model', 'simulation', 'resample_frequency')}: no interval of {frequency} "
            f"is simulated whole from {start} to {end}; end the model later, or report days (D)"
        )


# -- who is where


def check_first_people(model: PopulationModel) -> None:
    """Check the compartments that the model fills itself.

    Warns of mediators that nobody is in, unless some compartments are sampled or calibrated.

    Raises
    ------
    UserError
        More people are placed than there are, so no draw can be right.
    """
    plan = model.plan
    known = {c: 0 if init in ("sampled", "calibrated") else init for c, init in plan.initial.items()}
    where = f"{model.where('model', 'compartments')}: {model.population.iso}"
    try:
        people = initial_people(known, plan.sizes, {}, plan.age_groups)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    if known == plan.initial:
        _warn_of_empty_mediators(plan, people, known, where)


def check_drawn_people(model: PopulationModel, draw: Mapping[str, float], is_warned: bool) -> bool:
    """Check the compartments of one parameter set; warn of the first that starts with nobody.

    Parameters
    ----------
    is_warned : bool
        An earlier set of the population was warned of.

    Returns
    -------
    bool
        `is_warned`, or True after a warning.

    Raises
    ------
    UserError
        More people are placed than there are.
    """
    plan = model.plan
    inits = {c: draw.get(c, init) for c, init in plan.initial.items()}
    where = f"{model.where('modelset', 'sampling', 'compartments')}: {model.population.iso}"
    try:
        people = initial_people(inits, plan.sizes, {}, plan.age_groups)
    except UserError as error:
        raise UserError(f"{where}: {error}; narrow the ranges") from None
    if is_warned or inits == plan.initial:
        return is_warned
    return _warn_of_empty_mediators(plan, people, inits, where)


def warn_of_empty_priors(model: PopulationModel) -> None:
    """Warn of a prior whose highest draw is less than half a person."""
    everybody = model.plan.sizes.sum()
    for name, prior in (model.experiment.calibration.compartments or {}).items():
        highest = float(prior.prior.frozen().ppf(1 - 1e-6))
        if 0 < highest < 1 and highest * everybody < 0.5:
            where = model.where("modelset", "calibration", "compartments", name)
            warn_once(
                f"{where}: {model.population.iso}: the highest share of {name}, {highest:.3g}, is less than "
                f"half a person of {everybody:,}, so it starts with nobody; widen the prior"
            )


def _warn_of_empty_mediators(plan: ModelPlan, people: People, inits: Inits, where: str) -> bool:
    """Warn of mediators that nobody is in; return whether there is one."""
    if all(init is None for init in inits.values()):
        return False  # epydemix's own start has somebody in each mediator
    found = _empty_mediators(plan, people, inits)
    for message in found:
        warn_once(f"{where}: {message}")
    return bool(found)


def _empty_mediators(plan: ModelPlan, people: People, inits: Inits) -> list[str]:
    """Return a message for each mediator that infects nobody, because nobody is in it."""
    reached = _reached(plan, people)
    found = []
    for mediator in dict.fromkeys(flow.mediator for flow in plan.flows if flow.mediator):
        if np.any(inits[mediator]) and not people[mediator].any():
            found.append(
                f"init {_shown(inits[mediator])} of {mediator} is less than half a person of "
                f"{plan.sizes.sum():,}, so it starts with nobody; write a number of people (1 and more)"
            )
        elif mediator not in reached:
            infected = listed(dict.fromkeys(f.name for f in plan.flows if f.mediator == mediator))
            found.append(
                f"{mediator} starts with nobody and nobody ever enters it, so there is no {infected}; "
                "give it an init"
            )
    return found


def _reached(plan: ModelPlan, people: People) -> set[str]:
    """Return the compartments that somebody is in, or can enter."""
    reached = {compartment for compartment, placed in people.items() if placed.any()}
    while (
        added := {
            flow.target
            for flow in plan.flows
            if flow.source in reached and (flow.mediator is None or flow.mediator in reached)
        }
        - reached
    ):
        reached |= added
    return reached


def _shown(init: float | list[float]) -> str:
    return f"[{', '.join(f'{v:g}' for v in init)}]" if isinstance(init, list) else f"{init:g}"
