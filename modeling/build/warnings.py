"""Warnings of stage A: what an experiment may ask for, but hardly means. What is too large to run is refused.

What is wrong for certain is in the `problems` of each piece of the vocabulary.
"""

import datetime
import math
from collections.abc import Iterator

import numpy as np

from modeling.bounds import MOST_TRAJECTORIES, MOST_WORKLOADS
from modeling.calendars import intervals
from modeling.failures import UserError, listed
from modeling.populations import locations
from modeling.vocabulary.base import Location
from modeling.vocabulary.model import Model
from modeling.vocabulary.sampling import Sampling
from modeling.workload import ModelPlan

Doubts = Iterator[tuple[str, Location, str]]  # kind of file, where in it, and what

STEP_SECONDS = 1e-4  # of one time step of a small model on one core
LONG_HOURS = 24  # on one core
COUNT_BYTES = 4
STEP_BYTES = 16  # of the trajectory that is being simulated: counts and their sums
LARGE_GIB = 16  # of the trajectories of one workload
MOST_GIB = 1024  # more than a machine has


def doubts(experiment, populations: int, parts: int) -> Doubts:
    """Yield what a person should know about an experiment before it runs.

    Parameters
    ----------
    experiment : modeling.vocabulary.experiment.Experiment
    populations : int
        How many there are, with "all" counted in full.
    parts : int
        Into how many workloads a single ensemble is split.
    """
    yield from _partial_intervals(experiment)
    yield from _codes(experiment)
    yield from _ones(experiment)
    yield from _extreme_quantiles(experiment)
    yield from _much_work(experiment, populations, parts)


def empty_mediators(plan: ModelPlan, people: dict[str, np.ndarray], inits: dict[str, object]) -> list[str]:
    """Return warnings of mediators with nobody in them, which infect nobody.

    Parameters
    ----------
    plan : ModelPlan
    people : dict of str to ndarray of int, shape (groups,)
        Who is where on the first day.
    inits : dict
        As in ModelPlan, with drawn values in place of "sampled" and "calibrated".
    """
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


def _shown(init: float | list[float]) -> str:
    return f"[{', '.join(f'{v:g}' for v in init)}]" if isinstance(init, list) else f"{init:g}"


def check_size(experiment, populations: int, parts: int) -> None:
    """Refuse a run that no machine can hold, before it allocates anything.

    Parameters
    ----------
    experiment, populations, parts
        As those of `doubts`.

    Raises
    ------
    UserError
        Too many time steps, parameter sets or trajectories.
    """
    modelset, steps = experiment.modelset, _steps(experiment)
    if problem := experiment.model.step_count_problem(_first_day(experiment)):
        raise UserError(f"{experiment.where('model', 'timespan', 'delta_t')}: {problem}")
    if parts * populations > MOST_WORKLOADS:
        raise UserError(
            f"COUNT={parts} for {populations} populations is more than {MOST_WORKLOADS:,} workloads; lower it"
        )
    if modelset is not None and modelset.sampling is not None:
        sets = _set_count(modelset.sampling)
        if sets * populations > MOST_WORKLOADS:
            raise UserError(
                f"{experiment.where('modelset', 'sampling')}: {sets:,} parameter sets for {populations} "
                f"populations are more than {MOST_WORKLOADS:,} workloads; sample fewer"
            )
    gibibytes = _gibibytes(experiment, parts)
    if gibibytes > MOST_GIB:
        kind, *at = "model", "simulation", "n_sims"
        if _calibration(experiment):
            kind, *at = "modelset", "calibration", "projection"
        raise UserError(
            f"{experiment.where(kind, *at)}: {_kept(experiment):,} trajectories of {steps:,.0f} time steps "
            f"and {_series(experiment.model):,} series need {gibibytes:,.0f} GiB of memory, more than a "
            "machine has; ask for fewer trajectories, or set simulation.resample_frequency"
        )


def _partial_intervals(experiment) -> Doubts:
    model = experiment.model
    end, frequency = model.timespan.end_date, model.resample_frequency
    own_start = _start(experiment)
    if frequency is None:
        yield from _last_step(model.timespan, own_start)
        return
    if own_start is None and frequency[0].isdigit():
        return  # each parameter set has intervals of its own
    start = own_start or experiment.modelset.sampling.start_date.reference_date
    if start > end:
        return
    reported = intervals(start, end, model.timespan.delta_t, frequency)
    early, late = own_start is not None and reported[0][0] < start, reported[-1][1] > end
    if early + late in (0, len(reported)):
        return  # all are whole, or none is, which is refused
    cut = [reported[0]] * early + [reported[-1]] * late
    spans = " and ".join(f"{a} to {b}" for a, b in cut)
    earlier = f"start on {cut[0][0]}"
    weeks = frequency.partition("W")[0]
    if weeks.isdigit() and int(weeks) > 1:  # the first of several weeks together is always cut
        earlier = f"use resample_frequency {7 * int(weeks)}D"
    mend = [earlier] * early + [f"end on {cut[-1][1]}"] * late
    yield (
        "model",
        ("timespan",),
        f"the model runs from {start} to {end} and holds only a part of {spans} "
        f"(resample_frequency {frequency}); tables, charts and headline leave that out; "
        f"to have it whole, {' and '.join(mend)}",
    )


def _last_step(timespan, start: datetime.date | None) -> Doubts:
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


def _start(experiment) -> datetime.date | None:
    """Return the first simulated day; None where each parameter set has its own."""
    start, calibration = experiment.model.timespan.start_date, _calibration(experiment)
    if start == "calibrated" and calibration is not None:
        return calibration.start_date.reference_date
    return start if isinstance(start, datetime.date) else None


def _calibration(experiment):
    return experiment.modelset.calibration if experiment.modelset else None


def _codes(experiment) -> Doubts:
    """Doubt MA: ISO's code of Morocco, and the post's of Massachusetts."""
    named = [("model", ("population", "name"), experiment.model.population.name)]
    if experiment.modelset:
        names = enumerate(experiment.modelset.population_names)
        named = [("modelset", ("population_names", index), name) for index, name in names]
    for kind, at, given in named:
        name = str(given).strip().upper()
        state = locations().get(f"US-{name}")
        if state is not None and name in locations():
            yield kind, at, f"{name} is {locations()[name].name}; for {state.name} write US-{name}"


def _ones(experiment) -> Doubts:
    """Doubt 1.0: shares end below it, so that it is one person and not everybody; and a mixture of both."""
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


def _extreme_quantiles(experiment) -> Doubts:
    wanted, calibration = experiment.output.quantiles, _calibration(experiment)
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
            f"quantiles {listed(f'{q:g}' for q in extreme)} of {count} trajectories say little more than "
            f"the lowest and highest trajectory; {remedy}",
        )


def _much_work(experiment, populations: int, parts: int) -> Doubts:
    calibration = _calibration(experiment)
    steps = _steps(experiment)
    if steps <= 0:
        return
    kept = simulations = _kept(experiment)
    kind, at = "model", ("simulation", "n_sims")
    if calibration is not None:
        options = calibration.strategy.options
        kind, at = "modelset", ("calibration", "strategy")
        # each particle takes one simulation at least; how many are refused is not known yet
        simulations = kept + getattr(options, "Nsim", 0)
        simulations += getattr(options, "num_particles", 0) * getattr(options, "num_generations", 1)
    elif experiment.modelset is not None:
        simulations *= _set_count(experiment.modelset.sampling)
    hours = simulations * populations * steps * STEP_SECONDS / 3600
    if hours > LONG_HOURS:
        yield (
            kind,
            at,
            f"{simulations * populations:,} simulations of {steps:,.0f} steps take about {hours:,.0f} hours "
            "of one core, or more; ask for fewer, or spread them over many machines",
        )
    gibibytes = _gibibytes(experiment, parts)
    if gibibytes > LARGE_GIB:
        yield kind, at, f"the {kept:,} trajectories of one result need about {gibibytes:,.0f} GiB of memory"


def _first_day(experiment) -> datetime.date:
    return _start(experiment) or experiment.modelset.sampling.start_date.reference_date


def _steps(experiment) -> float:
    """Return the number of time steps of a trajectory; 0 or less if it starts after its end."""
    timespan = experiment.model.timespan
    return ((timespan.end_date - _first_day(experiment)).days + 1) / timespan.delta_t


def _kept(experiment) -> int:
    """Return the number of trajectories of a parameter set whose counts are kept."""
    calibration = _calibration(experiment)
    if calibration is None:
        return experiment.model.trajectories
    return calibration.projection.n_trajectories if calibration.projection else 0


def _gibibytes(experiment, parts: int) -> float:
    """Return the memory of the counts of one workload [GiB]."""
    model, steps = experiment.model, max(_steps(experiment), 0)
    frequency, end = model.resample_frequency, model.timespan.end_date
    dates = ()
    if frequency and steps:
        dates = intervals(_first_day(experiment), end, model.timespan.delta_t, frequency)
    kept = _kept(experiment) / parts * (len(dates) or steps) * COUNT_BYTES
    return (kept + steps * STEP_BYTES) * _series(model) / 2**30


def _set_count(sampling: Sampling) -> int:
    named = sampling.grid.parameters if sampling.grid else []
    points = math.prod(len(sampling.parameters[name].values) for name in named)
    return points * (sampling.hypercube.n_samples if sampling.hypercube else 1)


def _series(model: Model) -> int:
    return (len(model.compartments) + len(model.transition_names)) * (len(model.population.age_groups) + 1)
