"""Stage A's work: a validated experiment and its data become self-contained workloads."""

import ast
import datetime
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from modeling.bounds import FIRST_DAY, LAST_DAY
from modeling.build.observed import read_observed
from modeling.build.parameter_sets import parameter_sets
from modeling.build.spacing import Reporting
from modeling.build.warnings import check_size, doubts, empty_mediators
from modeling.calendars import interval_end, interval_start, intervals, reported_days
from modeling.expressions import check_shape, evaluate, evaluate_text, names_in, parse_expression
from modeling.failures import UserError, listed
from modeling.initial import initial_people
from modeling.populations import Population, expand_all, find_location, load_population
from modeling.randomness import name_number
from modeling.vocabulary.experiment import Experiment
from modeling.workload import EIGENVALUE, Calibrate, Flow, ModelPlan, Observed, Simulate, Workload

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DataPlaces:
    """Where an experiment's data are looked for.

    `data_roots` hold the paths written in the YAML; `population_folders` are in the layout of
    epydemix-data; `cache_folder` keeps what is downloaded.
    """

    data_roots: list[Path]
    population_folders: list[Path]
    cache_folder: Path


def build_workloads(
    experiment: Experiment, places: DataPlaces, seed: int, count: int | None = None
) -> Iterator[Workload]:
    """Yield the workloads of an experiment, in order.

    Parameters
    ----------
    seed : int
        Root of every random draw of the run.
    count : int, optional
        Split the one ensemble of a model-only experiment into this many workloads.

    Raises
    ------
    UserError
        Unknown populations, unusable data, a count that cannot be.
    """
    _check_count(experiment, count)
    codes = expand_all(_population_codes(experiment))
    check_size(experiment, len(codes), count or 1)
    for kind, at, doubt in doubts(experiment, len(codes), count or 1):
        log.warning("%s: %s", experiment.where(kind, *at), doubt)
    for order, code in enumerate(codes):
        population = load_population(
            code, experiment.model.population.age_groups, places.population_folders, places.cache_folder
        )
        plan = _plan(experiment, population)
        build = {"simulation": _simulations, "sampling": _samples, "calibration": _calibration}
        yield from build[experiment.workflow](experiment, places, population, plan, seed, order, count)


def _check_count(experiment: Experiment, count: int | None) -> None:
    if count is None:
        return
    if experiment.workflow != "simulation":
        raise UserError(
            f"COUNT={count} splits a model-only experiment; this one has a modelset with "
            f"{experiment.workflow}, whose number of workloads follows from it: leave COUNT out"
        )
    trajectories = experiment.model.trajectories
    if not 1 <= count <= trajectories:
        where = experiment.where("model", "simulation", "n_sims")
        raise UserError(f"{where}: {trajectories} trajectories cannot be split into COUNT={count} workloads")


def _population_codes(experiment: Experiment) -> list[str]:
    model, modelset = experiment.model, experiment.modelset
    names = modelset.population_names if modelset else [model.population.name]
    kind = ("modelset", "population_names") if modelset else ("model", "population", "name")
    for index, name in enumerate(names):
        if name.strip().casefold() != "all":
            try:
                find_location(name)
            except UserError as error:
                at = (*kind, index) if modelset else kind
                raise UserError(f"{experiment.where(*at)}: {error}") from None
    # a model that names its population keeps it, also under "all"
    return [model.population.name] if model.population.name else names


def _plan(experiment: Experiment, population: Population) -> ModelPlan:
    model = experiment.model
    plan = ModelPlan(
        name=model.name or "model",
        age_groups=list(model.population.age_groups),
        sizes=population.sizes,
        contacts=population.contacts,
        compartments=model.compartment_ids,
        flows=_flows(experiment),
        parameters=_fixed_parameters(experiment),
        calculated=[(n, str(model.parameters[n].value)) for n in model.calculation_order()],
        initial={c.id: c.init for c in model.compartments},
        delta_t_days=model.timespan.delta_t,
        resample_frequency=model.resample_frequency,
    )
    _check_fixed(experiment, plan, population)
    return plan


def _flows(experiment: Experiment) -> list[Flow]:
    flows = []
    for index, t in enumerate(experiment.model.transitions):
        mediators = [m.source for m in t.mediators or []] or [[t.mediator]]
        for (at, rate), compartments in zip(t.rates(), mediators, strict=True):
            try:
                flows += [Flow(t.source, t.target, _rate(rate), c) for c in compartments]
            except UserError as error:
                where = experiment.where("model", "transitions", index, *at)
                raise UserError(f"{where}: {error}") from None
    return flows


def _rate(rate: float | str) -> float | str:
    """Return an expression of numbers alone as a number, for epydemix wants a parameter in each.

    Any other is written anew: epydemix takes neither spaces around it nor line breaks.
    """
    if not isinstance(rate, str):
        return rate
    tree = parse_expression(rate, calls=False)
    return ast.unparse(tree) if names_in(tree) else evaluate(tree, {})


def _fixed_parameters(experiment: Experiment) -> dict[str, float | np.ndarray]:
    fixed: dict[str, float | np.ndarray] = {}
    for name, parameter in experiment.model.parameters.items():
        try:
            if parameter.type == "scalar":
                fixed[name] = _number(parameter.value)
            elif parameter.type == "age_varying":
                fixed[name] = np.array([_number(value) for value in parameter.values])
        except UserError as error:
            raise UserError(f"{experiment.where('model', 'parameters', name)}: {error}") from None
    return fixed


def _number(text: float | str) -> float:
    value = evaluate_text(text)
    if np.ndim(value) > 0:
        raise UserError(f'"{text}" is more than one number; use type age_varying')
    return value


def _check_fixed(experiment: Experiment, plan: ModelPlan, population: Population) -> None:
    """Refuse now what no draw can repair: rates below zero and more people than there are."""
    values = dict(plan.parameters) | {EIGENVALUE: population.eigenvalue}
    _check_rates(experiment, plan, values)
    _warn_of_durations(experiment, plan, values)
    known = {c: 0 if init in ("sampled", "calibrated") else init for c, init in plan.initial.items()}
    where = experiment.where("model", "compartments")
    try:
        people = initial_people(known, plan.sizes, {}, plan.age_groups)
    except UserError as error:
        raise UserError(f"{where}: {population.iso}: {error}") from None
    if known == plan.initial:
        _warn_of_empty_mediators(plan, people, known, f"{where}: {population.iso}")


def _warn_of_empty_mediators(
    plan: ModelPlan, people: dict[str, np.ndarray], inits: dict[str, object], where: str
) -> bool:
    """Warn of mediators that nobody is in; return whether there is one."""
    if all(init is None for init in inits.values()):
        return False  # epydemix's own start has somebody in each mediator
    warnings = empty_mediators(plan, people, inits)
    for warning in warnings:
        _warn_once(f"{where}: {warning}")
    return bool(warnings)


@cache
def _warn_once(message: str) -> None:
    log.warning("%s", message)


def _warn_of_durations(
    experiment: Experiment, plan: ModelPlan, values: dict[str, float | np.ndarray]
) -> None:
    """Warn of a rate that empties a compartment within a time step: it may be meant as a duration.

    A rate of up to 1 is hardly a duration; there the step is too long.
    """
    step = plan.delta_t_days
    for where, transition, _, value in _known_rates(experiment, values):
        fastest = float(np.max(value))
        if transition.type == "spontaneous" and fastest * step > 1:
            advice = f"if {fastest:g} is meant in days, write 1/{fastest:g}"
            if fastest <= 1:
                advice = f"a step of {step:g} days is longer; lower timespan.delta_t"
            _warn_once(
                f"{where}: people leave {transition.source} at a rate of {fastest:g} a day, so they stay "
                f"{1 / fastest:.2g} days; {advice}"
            )


def _known_rates(experiment: Experiment, values: dict[str, float | np.ndarray]) -> Iterator[tuple]:
    """Yield place, transition, text and value of every rate that follows from the values."""
    for index, transition in enumerate(experiment.model.transitions):
        for at, rate in transition.rates():
            tree = parse_expression(str(rate), calls=False)
            if set(names_in(tree)) <= values.keys():
                where = experiment.where("model", "transitions", index, *at)
                try:
                    value = evaluate(tree, values)
                except UserError as error:
                    raise UserError(f"{where}: {error}") from None
                yield where, transition, rate, value


def _check_rates(experiment: Experiment, plan: ModelPlan, values: dict[str, float | np.ndarray]) -> None:
    """Refuse rates that are negative or have no value, as far as they follow from the values."""
    for name, text in plan.calculated:
        tree = parse_expression(text)
        if set(names_in(tree)) <= values.keys():
            try:
                values[name] = evaluate(tree, values)
                check_shape(values[name], len(plan.age_groups), f'"{text}"')
            except UserError as error:
                raise UserError(f"{experiment.where('model', 'parameters', name)}: {error}") from None
    for where, transition, rate, value in _known_rates(experiment, values):
        if (lowest := np.min(value)) < 0:
            raise UserError(
                f'{where}: the rate "{rate}" of {transition.source} -> {transition.target} '
                f"is negative ({lowest:g})"
            )


def _simulations(experiment, places, population, plan, seed, order, count) -> Iterator[Workload]:
    _check_reported(experiment, experiment.model.timespan.start_date)
    total, parts = experiment.model.trajectories, count or 1
    bounds = [total * part // parts for part in range(parts + 1)]
    for part in range(parts):
        yield Workload(
            index=part,
            primary_id=0,
            population=population.iso,
            population_name=population.epydemix_name,
            seed=seed,
            entropy=(seed, name_number(population.iso)),
            plan=plan,
            start_date=experiment.model.timespan.start_date,
            end_date=experiment.model.timespan.end_date,
            task=Simulate(bounds[part], bounds[part + 1] - bounds[part], total, {}),
        )


def _samples(experiment, places, population, plan, seed, order, count) -> Iterator[Workload]:
    sampling = experiment.modelset.sampling
    where = experiment.where("modelset", "sampling")
    try:
        sets = parameter_sets(sampling, seed)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    total, is_warned = experiment.model.trajectories, False
    for position, draw in enumerate(sets):
        index = order * len(sets) + position
        start = experiment.model.timespan.start_date
        if "start_date" in draw:
            start = _sampled_start(experiment, draw["start_date"])
        if start > experiment.model.timespan.end_date:
            raise UserError(
                f"{experiment.where('modelset', 'sampling', 'start_date')}: a sampled start date, "
                f"{start}, is after the model's end_date {experiment.model.timespan.end_date}"
            )
        _check_steps(experiment, start)
        _check_reported(experiment, start)
        is_warned = _check_draw(experiment, plan, population, draw, is_warned)
        yield Workload(
            index=index,
            primary_id=index,
            population=population.iso,
            population_name=population.epydemix_name,
            seed=seed,
            entropy=(seed, name_number(population.iso), position),
            plan=plan,
            start_date=start,
            end_date=experiment.model.timespan.end_date,
            task=Simulate(0, total, total, draw),
            set_index=position,
            set_count=len(sets),
        )


def _sampled_start(experiment: Experiment, days: float) -> datetime.date:
    """Return the reference date plus the drawn days; UserError if it is outside 1900 to 2200."""
    reference = experiment.modelset.sampling.start_date.reference_date
    where = experiment.where("modelset", "sampling", "start_date")
    if not (FIRST_DAY - reference).days <= days <= (LAST_DAY - reference).days:
        raise UserError(
            f"{where}: a sampled start date, {days:g} days after {reference}, is not between {FIRST_DAY} "
            f"and {LAST_DAY}; use a narrower distribution"
        )
    return reference + datetime.timedelta(days=int(days))


def _check_reported(experiment: Experiment, start: datetime.date) -> None:
    """Refuse a span without one whole interval: nothing of it would be reported."""
    end, frequency = experiment.model.timespan.end_date, experiment.model.resample_frequency
    if frequency is None or start > end:
        return
    reported = intervals(start, end, experiment.model.timespan.delta_t, frequency)
    if not any(start <= first and last <= end for first, last in reported):
        raise UserError(
            f"{experiment.where('model', 'simulation', 'resample_frequency')}: no interval of {frequency} "
            f"is simulated whole from {start} to {end}; end the model later, or report days (D)"
        )


def _check_steps(experiment: Experiment, start: datetime.date) -> None:
    """Refuse time steps that do not fit a drawn start date; a fixed one was checked before."""
    if problem := experiment.model.step_problem(start):
        raise UserError(f"{experiment.where('model', 'timespan', 'delta_t')}: {problem}")


def _check_draw(
    experiment: Experiment, plan: ModelPlan, population: Population, draw: dict[str, float], is_warned: bool
) -> bool:
    """Refuse a draw that cannot be simulated; warn of the first that starts with nobody.

    Returns `is_warned`, or True after that warning.
    """
    values = {n: v for n, v in draw.items() if n not in plan.initial}
    _check_rates(experiment, plan, plan.parameters | values | {EIGENVALUE: population.eigenvalue})
    inits = {c: draw.get(c, init) for c, init in plan.initial.items()}
    where = f"{experiment.where('modelset', 'sampling', 'compartments')}: {population.iso}"
    try:
        people = initial_people(inits, plan.sizes, {}, plan.age_groups)
    except UserError as error:
        raise UserError(f"{where}: {error}; narrow the ranges") from None
    if inits != plan.initial and not is_warned:
        return _warn_of_empty_mediators(plan, people, inits, where)
    return is_warned


def _calibration(experiment, places, population, plan, seed, order, count) -> Iterator[Workload]:
    model, calibration = experiment.model, experiment.modelset.calibration
    calibrated_start = calibration.start_date.reference_date if calibration.start_date else None
    if calibrated_start:
        _check_calibrated_start(experiment, plan)
        if calibrated_start <= model.timespan.end_date:
            _check_steps(experiment, calibrated_start)
    start = calibrated_start or model.timespan.start_date
    observed = _observed_series(experiment, places, population, plan, start)
    _warn_of_empty_priors(experiment, plan, population)
    yield Workload(
        index=order,
        primary_id=order,
        population=population.iso,
        population_name=population.epydemix_name,
        seed=seed,
        entropy=(seed, name_number(population.iso)),
        plan=plan,
        start_date=start,
        end_date=model.timespan.end_date,
        task=Calibrate(
            strategy=calibration.strategy.name,
            options=_strategy_options(calibration.strategy),
            max_seconds=calibration.strategy.max_seconds,
            distance=calibration.distance_function,
            priors={n: (d.name, list(d.args), dict(d.kwargs)) for n, d in calibration.priors().items()},
            observed=observed,
            fit_end=max(interval_end(series.last_fitted, plan.resample_frequency) for series in observed),
            projections=calibration.projection.n_trajectories if calibration.projection else 0,
            generation=calibration.projection.generation_number if calibration.projection else None,
        ),
    )


def _warn_of_empty_priors(experiment: Experiment, plan: ModelPlan, population: Population) -> None:
    """Warn of a prior whose highest draw is still nobody."""
    for name, prior in (experiment.modelset.calibration.compartments or {}).items():
        highest = float(prior.prior.frozen().ppf(1 - 1e-6))
        if 0 < highest < 1 and highest * plan.sizes.sum() < 0.5:
            where = experiment.where("modelset", "calibration", "compartments", name)
            _warn_once(
                f"{where}: {population.iso}: the highest share of {name}, {highest:.3g}, is less than half a "
                f"person of {plan.sizes.sum():,}, so it starts with nobody; widen the prior"
            )


def _check_calibrated_start(experiment: Experiment, plan: ModelPlan) -> None:
    """Refuse dates that would move with the start date: every trajectory needs the same ones."""
    if plan.delta_t_days > 1:
        raise UserError(
            f"{experiment.where('model', 'timespan', 'delta_t')}: steps of {plan.delta_t_days:g} days "
            "depend on the start date, which is calibrated; use 1, 0.5, 0.25, ..."
        )
    if (plan.resample_frequency or "D")[0].isdigit():
        raise UserError(
            f"{experiment.where('model', 'simulation', 'resample_frequency')}: {plan.resample_frequency} "
            "depends on the start date, which is calibrated; use W-SAT or D"
        )


def _observed_series(experiment, places, population, plan, start: datetime.date) -> list[Observed]:
    """Return the series to compare with, one a comparison."""
    calibration = experiment.modelset.calibration
    path = _data_file(calibration.observed_data_path, places.data_roots, experiment)
    setting = experiment.where("model", "simulation", "resample_frequency")
    reporting = Reporting(plan.resample_frequency, plan.delta_t_days, setting)
    found = []
    for index, comparison in enumerate(calibration.comparison):
        where = experiment.where("modelset", "calibration", "comparison", index)
        location = find_location(population.iso)
        series = read_observed(path, calibration, comparison, location, reporting, where)
        if calibration.start_date is not None:
            series = _without_part_interval(series, plan.resample_frequency, start, where)
        _check_simulated_span(experiment, series, plan.resample_frequency, start, where)
        if calibration.distance_function in ("mape", "wmape") and not series.values[series.fitted].any():
            raise UserError(
                f"{where}: all values in the fitting window are 0, for which {calibration.distance_function} "
                "is not defined; use rmse or mae"
            )
        if calibration.distance_function == "mape":
            _warn_of_zeros(series, population.iso, where)
        found.append(series)
    return found


def _without_part_interval(
    series: Observed, frequency: str | None, start: datetime.date, where: str
) -> Observed:
    """Leave the interval of the earliest calibrated start out of the fit, as out of the projection."""
    dates = series.dates.tolist()
    is_cut = np.array([interval_start(d, frequency) < start <= interval_end(d, frequency) for d in dates])
    cut = series.dates[series.fitted & is_cut]
    if not len(cut):
        return series
    first = interval_start(cut[0].item(), frequency)
    fitted = series.fitted & ~is_cut
    if not fitted.any():
        raise UserError(
            f"{where}: the only fitted date, {cut[0]}, stands for days from {first} on, before the earliest "
            f"start {start}; set start_date.reference_date to {first}, or end the fitting window later"
        )
    _warn_once(
        f"{where}: fitted date {cut[0]} stands for days from {first} on, and the model starts on {start} or "
        f"later; it is left out of the fit; to fit it, set start_date.reference_date to {first}"
    )
    return replace(series, fitted=fitted)


def _warn_of_zeros(series: Observed, population: str, where: str) -> None:
    zeros = series.dates[series.fitted & (series.values == 0)].astype(str).tolist()
    if zeros:
        log.warning(
            "%s: mape leaves %d of %d fitted values of %s out, which are 0: %s; wmape, mae and rmse use them",
            where,
            len(zeros),
            int(series.fitted.sum()),
            population,
            listed(zeros),
        )


def _check_simulated_span(
    experiment: Experiment, series: Observed, frequency: str | None, start: datetime.date, where: str
) -> None:
    """Refuse observed dates that are simulated in part or not at all: they would count as nothing."""
    first, last = series.dates[series.fitted][0].item(), series.last_fitted
    end = experiment.model.timespan.end_date
    if last < start:
        raise UserError(f"{where}: the last fitted date, {last}, is before the start {start}; change either")
    calibrated = experiment.modelset.calibration.start_date is not None
    begin = interval_start(first, frequency)
    if begin < start and not calibrated:
        days = "is" if first < start else f"stands for days from {begin} on,"
        raise UserError(
            f"{where}: fitted date {first} {days} before the model's start_date {start}; "
            "begin the fitting window later, or the model earlier"
        )
    if interval_end(last, frequency) > end:
        raise UserError(
            f"{where}: fitted date {last} stands for days up to {interval_end(last, frequency)}, "
            f"after the model's end_date {end}; end the fitting window earlier, or the model later"
        )
    if frequency is None and experiment.model.timespan.delta_t < 1:
        raise UserError(
            f"{where}: observed days cannot be compared with steps of {experiment.model.timespan.delta_t:g} "
            "days; set simulation.resample_frequency to D or W-SAT"
        )
    if calibrated:
        return
    reported = set(reported_days(start, end, experiment.model.timespan.delta_t, frequency))
    for day in series.dates[series.fitted].tolist():
        if day not in reported:
            near = ", ".join(str(d) for d in sorted(reported, key=lambda d: abs(d - day))[:2])
            raise UserError(
                f"{where}: fitted date {day} is not among those that the model reports (nearest: {near}); "
                "begin the model on another day, or set simulation.resample_frequency as in the data"
            )


def _strategy_options(strategy) -> dict:
    given = strategy.options.model_dump(exclude={"max_time", "verbose", "progress_update_interval"})
    return {name: value for name, value in given.items() if value is not None}


def _data_file(relative: str, roots: list[Path], experiment: Experiment) -> Path:
    where = experiment.where("modelset", "calibration", "observed_data_path")
    for root in roots:
        try:
            if (root / relative).is_file():
                return root / relative
        except OSError as error:  # a name too long for a file
            raise UserError(f"{where}: {relative[:60]}...: {error.strerror}") from None
    raise UserError(f"{where}: no file {relative} in {listed(roots)}")
