"""Warnings of stage A: what an experiment may ask for, but hardly means.

What is certainly wrong is in the `problems` of each piece of the vocabulary; what is too large is in size.py.
"""

import datetime
import logging
import math
from collections.abc import Iterator
from functools import cache

from modeling.bounds import MOST_TRAJECTORIES
from modeling.calendars import intervals
from modeling.expressions import names_in, parse_expression
from modeling.failures import listed
from modeling.hubs import FLUSMH_NOTE
from modeling.populations import is_all, locations
from modeling.vocabulary.base import Location
from modeling.vocabulary.changes import SEASONALITY_MIN
from modeling.vocabulary.experiment import Experiment
from modeling.vocabulary.timespan import Timespan

log = logging.getLogger(__name__)

# kind of file, place in it, message
Warnings = Iterator[tuple[str, Location, str]]


def experiment_warnings(experiment: Experiment) -> Warnings:
    """Yield a warning for each thing that an experiment asks for, but hardly means."""
    yield from _unused_start(experiment)
    yield from _all_beside_a_name(experiment)
    yield from _unused_parameters(experiment)
    yield from _doses_of_the_vaccinated(experiment)
    yield from _unknown_keywords(experiment)
    yield from _partial_intervals(experiment)
    yield from _ambiguous_codes(experiment)
    yield from _ambiguous_inits(experiment)
    yield from _extreme_quantiles(experiment)
    yield from _ignored_outputs(experiment)


@cache
def warn_once(message: str) -> None:
    """Log a warning, unless this build has logged the same one."""
    log.warning("%s", message)


@cache
def tell_once(message: str) -> None:
    """Log a line, unless this build has logged the same one."""
    log.info("%s", message)


def _unused_start(experiment: Experiment) -> Warnings:
    """Warn of a fixed start date beside one that is calibrated or sampled."""
    fixed, drawn = experiment.model.timespan.start_date, experiment.drawn_start
    if drawn is not None and isinstance(fixed, datetime.date):
        word = "calibrated" if experiment.calibration else "sampled"
        yield (
            "model",
            ("timespan", "start_date"),
            f"start_date {fixed} is not used, because the modelset draws the start from "
            f'{drawn.reference_date} on; write "start_date: {word}"',
        )


def _all_beside_a_name(experiment: Experiment) -> Warnings:
    """Warn of "all" in the modelset of a model that names its population, and so runs in that one alone."""
    name, modelset = experiment.model.population.name, experiment.modelset
    for index, given in enumerate(modelset.population_names if modelset and name else ()):
        if is_all(given):
            yield (
                "modelset",
                ("population_names", index),
                f"the model names its population, so it runs in {name} alone; for all, leave population.name "
                "out of the model",
            )


def _unused_parameters(experiment: Experiment) -> Warnings:
    """Warn of parameters that no rate depends on, unless a function of the user's may read them."""
    model, calibration = experiment.model, experiment.calibration
    if calibration is not None and calibration.post_hoc_transformation is not None:
        return
    rates = [rate for transition in model.transitions for _, rate in transition.rates()]
    used = {name for rate in rates for name in _names(rate)}
    if model.seasonality is not None:
        used.add(SEASONALITY_MIN)
    for name in reversed(model.calculation_order()):
        if name in used:
            used.update(_names(model.parameters[name].value))
    if unused := [name for name in model.parameters if name not in used]:
        they, them = ("it changes", "it") if len(unused) == 1 else ("they change", "them")
        yield (
            "model",
            ("parameters", unused[0]),
            f"no rate depends on {listed(unused)}, so {they} nothing; use {them} in a rate, or remove {them}",
        )


def _names(expression: str | float) -> list[str]:
    return names_in(parse_expression(str(expression)))


def _doses_of_the_vaccinated(experiment: Experiment) -> Warnings:
    """Warn if people whom the vaccination has moved share its doses again."""
    vaccination = experiment.model.vaccination
    for transition in experiment.model.transitions if vaccination is not None else ():
        if transition.type == "vaccination" and transition.target in vaccination.eligible_compartments:
            at = vaccination.eligible_compartments.index(transition.target)
            yield (
                "model",
                ("vaccination", "eligible_compartments", at),
                f"{transition.target} holds the vaccinated: their share of the doses moves nobody, so fewer "
                "people are vaccinated than the file says; leave it out",
            )


def _unknown_keywords(experiment: Experiment) -> Warnings:
    """Warn of keyword arguments that a sampled distribution does not have, and that are ignored."""
    sampling = experiment.modelset.sampling if experiment.modelset else None
    sampled = {("parameters", n): p.distribution for n, p in sampling.parameters.items()} if sampling else {}
    if sampling and sampling.start_date:
        sampled[("start_date",)] = sampling.start_date.distribution
    for at, distribution in sampled.items():
        if unknown := distribution.unknown_keywords if distribution else []:
            yield (
                "modelset",
                ("sampling", *at, "distribution", "kwargs"),
                f"{distribution.name} has no {listed(unknown)}, which is ignored; leave it out",
            )


def _partial_intervals(experiment: Experiment) -> Warnings:
    model = experiment.model
    end, frequency = model.timespan.end_date, model.resample_frequency
    own_start = experiment.first_day
    if frequency is None:
        yield from _last_step(model.timespan, own_start)
        return
    if own_start is None and frequency[0].isdigit():
        return  # each parameter set has intervals of its own
    start = own_start or experiment.drawn_start.reference_date
    if start > end:
        return
    reported = intervals(start, end, model.timespan.delta_t, frequency)
    early, late = own_start is not None and reported[0][0] < start, reported[-1][1] > end
    if early + late in (0, len(reported)):
        return  # all are whole, or none is, which is refused
    cut = [reported[0]] * early + [reported[-1]] * late
    spans = " and ".join(f"{a} to {b}" for a, b in cut)
    earlier = f"start on {cut[0][0]}"
    if experiment.drawn_start is not None:
        earlier = f"set reference_date of the calibrated start_date to {cut[0][0]}"
    weeks = frequency.partition("W")[0]
    if weeks.isdigit() and int(weeks) > 1:  # the first of several weeks together is always cut
        earlier = f"use resample_frequency {7 * int(weeks)}D"
    remedy = [earlier] * early + [f"end on {cut[-1][1]}"] * late
    yield (
        "model",
        ("timespan",),
        f"the model runs from {start} to {end} and holds only a part of {spans} "
        f"(resample_frequency {frequency}); tables, charts and headline leave that out; "
        f"to have it whole, {' and '.join(remedy)}",
    )


def _last_step(timespan: Timespan, start: datetime.date | None) -> Warnings:
    """Warn of steps of several days where the last one runs past the model's end."""
    beyond = -((timespan.end_date - start).days + 1) % timespan.delta_t if start else 0
    if start and start <= timespan.end_date and timespan.delta_t > 1 and beyond:
        end = timespan.end_date + datetime.timedelta(days=beyond)
        yield (
            "model",
            ("timespan",),
            f"the last step of {timespan.delta_t:g} days is simulated to {end}, past end_date "
            f"{timespan.end_date}; end on {end}",
        )


def _ambiguous_codes(experiment: Experiment) -> Warnings:
    """Warn of codes such as MA: Morocco in ISO 3166, Massachusetts in postal codes."""
    named = [("model", ("population", "name"), experiment.model.population.name)]
    if experiment.modelset:
        names = enumerate(experiment.modelset.population_names)
        named = [("modelset", ("population_names", index), name) for index, name in names]
    for kind, at, given in named:
        name = str(given).strip().upper()
        state = locations().get(f"US-{name}")
        if state is not None and name in locations():
            yield kind, at, f"{name} is {locations()[name].name}; for {state.name} write US-{name}"


def _ambiguous_inits(experiment: Experiment) -> Warnings:
    """Warn of 1.0, which is one person and not everybody, and of shares beside numbers of people."""
    for index, compartment in enumerate(experiment.sources["model"].data["model"]["compartments"]):
        init = compartment.get("init")
        values = [v for v in (init if isinstance(init, list) else [init]) if isinstance(v, (int, float))]
        shares, people = [v for v in values if 0 < v < 1], [v for v in values if v > 1]
        if shares and people:
            yield (
                "model",
                ("compartments", index, "init"),
                f"init of {compartment['id']} has shares ({listed(shares)}) and people ({listed(people)}): "
                "below 1 are shares, 1 and more are people; check whether both are meant",
            )
        if any(isinstance(v, float) and v == 1 for v in values):
            yield (
                "model",
                ("compartments", index, "init"),
                f"init 1.0 of {compartment['id']} means one person, not everybody: 1 and more are people, "
                "below 1 are shares; write 1 for a person, default for everybody who is not elsewhere",
            )


def _extreme_quantiles(experiment: Experiment) -> Warnings:
    wanted, calibration = experiment.output.quantiles, experiment.calibration
    if wanted is None:
        return
    count, source = experiment.model.trajectories, "simulation.n_sims"
    if calibration is not None:
        if calibration.projection is None:
            return
        count, source = calibration.projection.n_trajectories, "projection.n_trajectories"
    extreme = [q for q in wanted.selections if 0 < q < 1 and min(q, 1 - q) * count < 1 - 1e-9]
    if extreme:
        rarest = min(min(q, 1 - q) for q in extreme)
        remedy = "leave them out"
        if rarest >= 1 / MOST_TRAJECTORIES:
            remedy = f"set {source} to {math.ceil(1 / rarest - 1e-9)} or more, or {remedy}"
        named = "output" in experiment.sources
        yield (
            "output" if named else "model",
            ("quantiles", "selections") if named else ("simulation",),
            f"quantiles {listed(f'{q:g}' for q in extreme)} of {count} trajectories depend on "
            f"the lowest or highest trajectory alone; {remedy}",
        )


def _ignored_outputs(experiment: Experiment) -> Warnings:
    """Warn of tables that nothing is written for."""
    output, workflow = experiment.output, experiment.workflow
    if output.hub_format is not None and workflow != "calibration":
        section = output.hub_format.hub.section
        yield (
            "output",
            (section,),
            f"{section} takes the projections of a calibration; this is a {workflow}, so its table is not "
            "written",
        )
    if output.flusmh_format is not None:
        yield "output", ("flusmh_format",), FLUSMH_NOTE
    yield from _without_projection(experiment)


def _without_projection(experiment: Experiment) -> Warnings:
    """Warn of tables that only a projection has; a simulation has quantiles and trajectories of its own."""
    output, calibration = experiment.output, experiment.calibration
    if "output" not in experiment.sources or (calibration is not None and calibration.projection is not None):
        return
    asked: list[Location] = []
    for section in ("quantiles", "trajectories") if calibration is not None else ():
        selection = getattr(output, section)
        if selection is not None and (selection.compartments or selection.transitions):
            asked.append((section,))
    if output.model_meta.projection_parameters:
        asked.append(("model_meta", "projection_parameters"))
    if asked:
        names = " and ".join(at[-1] for at in asked)
        yield "output", asked[0], f"there is no projection, so no table of {names} is written"
