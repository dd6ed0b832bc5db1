"""Stage A: a validated experiment and its data become self-contained workloads."""

import datetime
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modeling.build.changes.schedule import build_schedule
from modeling.build.comparisons import last_fitted_day, observed_series
from modeling.build.csv_table import NoRows
from modeling.build.data_frequency import with_frequency_of_data
from modeling.build.first_day import (
    calibrated_start,
    check_drawn_people,
    check_first_people,
    check_reported,
    check_steps,
    sampled_start,
    warn_of_empty_priors,
)
from modeling.build.hub_inputs import HubInputs
from modeling.build.parameter_sets import parameter_sets
from modeling.build.plan import PopulationModel, build_plan
from modeling.build.rates import check_rates, warn_of_durations
from modeling.build.size import RunSize, check_size, size_warnings
from modeling.build.user_functions import read_distance, read_transformation, refuse_functions
from modeling.build.warnings import experiment_warnings, tell_once, warn_once
from modeling.change_sentences import change_sentences
from modeling.failures import UserError, listed
from modeling.populations import expand_all, find_location, is_all, load_population
from modeling.vocabulary.experiment import Experiment
from modeling.vocabulary.strategy import Strategy
from modeling.workload import Calibrate, Simulate, Workload

log = logging.getLogger(__name__)

MOST_DESCRIBED = 3  # populations whose changes over time are logged; the report has those of each


@dataclass(frozen=True)
class DataPlaces:
    """Folders of an experiment's data.

    Attributes
    ----------
    data_roots : list of Path
        Folders that paths in the YAML are relative to, searched in order.
    population_folders : list of Path
        Folders in the layout of epydemix-data, searched in order.
    cache_folder : Path or None
        Where downloaded populations are kept; None downloads none.
    functions_allowed : bool
        Whether functions in scripts of these folders may run.
    """

    data_roots: list[Path]
    population_folders: list[Path]
    cache_folder: Path | None
    functions_allowed: bool = True


def build_workloads(
    experiment: Experiment,
    places: DataPlaces,
    seed: int,
    count: int | None = None,
    refused: dict[str, UserError] | None = None,
) -> Iterator[Workload]:
    """Yield the workloads of an experiment, in order.

    A population of "all" that a table of data does not have is left out, with a warning.

    Parameters
    ----------
    seed : int
        Root of every random draw of the run.
    count : int, optional
        Number of workloads that share the one ensemble of a model-only experiment with one population.
    refused : dict of str to UserError, optional
        Takes the mistake in each other population that cannot be built, by its code, while the others are
        built; without it the first one ends the build.

    Raises
    ------
    UserError
        Unknown populations, unusable data, a count that the experiment cannot have, a run that is too
        large, or a function that may not run.
    """
    warn_once.cache_clear()  # each build warns anew
    tell_once.cache_clear()
    names = _population_codes(experiment)
    codes = expand_all(names)
    _check_count(experiment, len(codes), count)
    if not places.functions_allowed:
        refuse_functions(experiment)
    experiment = with_frequency_of_data(experiment, codes, places.data_roots)
    size = RunSize(experiment, len(codes), count or 1)
    check_size(size)
    for kind, at, message in (*experiment_warnings(experiment), *size_warnings(size)):
        log.warning("%s: %s", experiment.where(kind, *at), message)
    sets = _parameter_sets(experiment, seed)
    hub = HubInputs(experiment, places.data_roots)
    build = _Build(experiment, places, seed, count or 1, sets, _earliest_day(experiment, sets), hub)
    named = set(expand_all([name for name in names if not is_all(name)]))
    left_out: dict[str, UserError] = {}
    refused, keeps_on = ({}, False) if refused is None else (refused, True)
    for position, code in enumerate(codes):
        order = position - len(left_out) - len(refused)
        try:
            # all of a population or none, so that the indices have no gaps
            yield from list(_of_population(build, code, order))
        except UserError as error:
            if isinstance(error, NoRows) and code not in named:
                left_out[code] = error
            elif keeps_on:
                refused[code] = error
            else:
                raise
    if len(refused) + len(left_out) == len(codes):
        raise [*refused.values(), *left_out.values()][0]
    _warn_of_left_out(experiment, left_out)


@dataclass(frozen=True)
class _Build:
    """What all populations of a run share: as build_workloads has it, the parameter sets, the first day."""

    experiment: Experiment
    places: DataPlaces
    seed: int
    parts: int
    sets: list[dict[str, float]]
    first_day: datetime.date
    hub: HubInputs


def _of_population(build: _Build, code: str, order: int) -> Iterator[Workload]:
    """Yield the workloads of one population."""
    model = _population_model(build, code, order)
    if build.experiment.workflow == "simulation":
        yield from _simulations(model, build.parts)
    elif build.experiment.workflow == "sampling":
        yield from _samples(model, build.sets)
    else:
        yield _calibration(model, build.places.data_roots, build.hub)


def _warn_of_left_out(experiment: Experiment, left_out: dict[str, UserError]) -> None:
    """Warn of the populations of "all" without data."""
    if left_out:
        where, first = experiment.where("modelset", "population_names"), next(iter(left_out.values()))
        log.warning("%s: left out of all: %s; the first: %s", where, listed(left_out), first)


def _check_count(experiment: Experiment, populations: int, count: int | None) -> None:
    if count is None:
        return
    if experiment.workflow != "simulation":
        raise UserError(
            f"COUNT={count} splits a model-only experiment; this one has a modelset with "
            f"{experiment.workflow}, whose number of workloads follows from it: leave COUNT out"
        )
    if populations > 1:
        raise UserError(
            f"{experiment.where('modelset', 'population_names')}: COUNT={count} splits the trajectories of "
            f"one population; this experiment has {populations}, one workload each: leave COUNT out"
        )
    trajectories = experiment.model.trajectories
    if not 1 <= count <= trajectories:
        where = experiment.where("model", "simulation", "n_sims")
        raise UserError(f"{where}: {trajectories} trajectories cannot be split into COUNT={count} workloads")


def _population_codes(experiment: Experiment) -> list[str]:
    """Return the codes of the populations to build, which may be "all"; refuse unknown ones."""
    model, modelset = experiment.model, experiment.modelset
    names = modelset.population_names if modelset else [model.population.name]
    kind = ("modelset", "population_names") if modelset else ("model", "population", "name")
    for index, name in enumerate(names):
        if not is_all(name):
            try:
                find_location(name)
            except UserError as error:
                at = (*kind, index) if modelset else kind
                raise UserError(f"{experiment.where(*at)}: {error}") from None
    # a model that names its population keeps it, also under "all"
    return [model.population.name] if model.population.name else names


def _parameter_sets(experiment: Experiment, seed: int) -> list[dict[str, float]]:
    """Return the parameter sets of a sampling experiment; none of any other."""
    if experiment.workflow != "sampling":
        return []
    try:
        return parameter_sets(experiment.modelset.sampling, seed)
    except UserError as error:
        raise UserError(f"{experiment.where('modelset', 'sampling')}: {error}") from None


def _earliest_day(experiment: Experiment, sets: list[dict[str, float]]) -> datetime.date:
    """Return the first day of the trajectory that starts first."""
    drawn = [sampled_start(experiment, draw["start_date"]) for draw in sets if "start_date" in draw]
    return min(drawn) if drawn else experiment.first_day


def _population_model(build: _Build, code: str, order: int) -> PopulationModel:
    """Return the model over one population; refuse now what no draw can make right."""
    experiment, places = build.experiment, build.places
    population = load_population(
        code, experiment.model.population.age_groups, places.population_folders, places.cache_folder
    )
    schedule = build_schedule(experiment, population, places.data_roots, build.first_day)
    plan = build_plan(experiment, population, schedule)
    model = PopulationModel(experiment, population, plan, build.seed, order)
    values = check_rates(model, draw={})
    warn_of_durations(model, values)
    check_first_people(model)
    _log_changes(model)
    return model


def _log_changes(model: PopulationModel) -> None:
    """Log what changes over time, a line for each of the first populations."""
    if model.plan.schedule is None or model.order > MOST_DESCRIBED:
        return
    if model.order == MOST_DESCRIBED:
        log.info("the report says what changes over time in the other populations")
        return
    changes = change_sentences(model.plan, model.experiment.model.timespan.end_date)
    log.info("%s changes over time: %s", model.population.iso, "; ".join(changes))


def _simulations(model: PopulationModel, parts: int) -> Iterator[Workload]:
    """Yield the parts of a population's ensemble."""
    start = model.experiment.model.timespan.start_date
    check_reported(model.experiment, start)
    total = model.experiment.model.trajectories
    bounds = [total * part // parts for part in range(parts + 1)]
    for part in range(parts):
        task = Simulate(bounds[part], bounds[part + 1] - bounds[part], total, {})
        yield model.workload(model.order * parts + part, task, start, primary_id=model.order)


def _samples(model: PopulationModel, sets: list[dict[str, float]]) -> Iterator[Workload]:
    """Yield one workload a parameter set."""
    experiment = model.experiment
    total, is_warned = experiment.model.trajectories, False
    for position, draw in enumerate(sets):
        start = experiment.model.timespan.start_date
        if "start_date" in draw:
            start = sampled_start(experiment, draw["start_date"])
        check_steps(experiment, start)
        check_reported(experiment, start)
        check_rates(model, {name: value for name, value in draw.items() if name not in model.plan.initial})
        is_warned = check_drawn_people(model, draw, is_warned)
        index = model.order * len(sets) + position
        yield model.workload(
            index,
            Simulate(0, total, total, draw),
            start,
            primary_id=index,
            stream=(position,),
            set_index=position,
            set_count=len(sets),
        )


def _calibration(model: PopulationModel, data_roots: list[Path], hub: HubInputs) -> Workload:
    calibration = model.experiment.calibration
    start = calibrated_start(model) or model.experiment.model.timespan.start_date
    observed = hub.with_counts(observed_series(model, data_roots, start), model)
    warn_of_empty_priors(model)
    task = Calibrate(
        strategy=calibration.strategy.name,
        options=_strategy_options(calibration.strategy),
        max_seconds=calibration.strategy.max_seconds,
        distance=read_distance(model.experiment, data_roots),
        priors={n: (d.name, list(d.args), dict(d.kwargs)) for n, d in calibration.priors().items()},
        observed=observed,
        fit_end=last_fitted_day(observed, model.plan.resample_frequency),
        projections=calibration.projection.n_trajectories if calibration.projection else 0,
        generation=calibration.projection.generation_number if calibration.projection else None,
        post_hoc=read_transformation(model.experiment, data_roots),
    )
    return model.workload(model.order, task, start, primary_id=model.order)


def _strategy_options(strategy: Strategy) -> dict:
    given = strategy.options.model_dump(exclude={"max_time", "verbose", "progress_update_interval"})
    return {name: value for name, value in given.items() if value is not None}
