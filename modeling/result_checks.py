"""What a right result looks like: checks of one record, and the most bytes that it may have.

Used where a result leaves stage B, and again where it is read: a file may be damaged or of another run.
"""

import math
import re

import numpy as np

from modeling.bounds import EARLIEST_DAY, LARGEST_NUMBER, LATEST_DAY
from modeling.calendars import FREQUENCY, step_count
from modeling.change_sentences import MOST_CHARACTERS, MOST_SENTENCES
from modeling.failures import UserError
from modeling.forecast_checks import check_forecast_result
from modeling.forecast_records import ForecastResult, ForecastWorkload
from modeling.workload import (
    RESULT_FORMAT,
    Checkpoint,
    Expected,
    Fit,
    Generation,
    HubCounts,
    Result,
    Simulate,
    Trajectories,
    Workload,
)

MOST_ADDED_SERIES = 100  # by a user function
MOST_PARTICLE = 1e18  # of a parameter; a perturbed one may be beyond the bounds of the vocabulary
BYTES_OF_THE_REST = 64 << 20  # of a result, besides its large arrays: names, parameters, data
_DAY = np.timedelta64(1, "D")


def check_result(result: Result | ForecastResult) -> None:
    """Refuse a result that cannot be right; that of a forecast by check_forecast_result.

    Raises
    ------
    UserError
        Numbers outside their bounds, arrays of a wrong type or shape, a wrong number of trajectories, wrong
        dates, counts that are negative, not finite or not whole, age groups or compartments with a wrong
        total, weights that are not a distribution.
    """
    if isinstance(result, ForecastResult):
        check_forecast_result(result)
        return
    where = f"result {result.index} ({result.population})"
    if result.format != RESULT_FORMAT:
        raise UserError(f"{where}: format {result.format} is not {RESULT_FORMAT}")
    _check_facts(result, where)
    if (result.trajectories is None) != (result.expected.trajectories == 0):
        found = "none" if result.trajectories is None else "some"
        raise UserError(
            f"{where}: {result.expected.trajectories} trajectories expected, but there are {found}"
        )
    if result.kind == "calibration" and not (result.generations and result.fits):
        raise UserError(f"{where}: a calibration without posterior or fit")
    if result.trajectories is not None:
        _check_trajectories(result.trajectories, result.expected, result.delta_t_days, where)
        _check_whole(result, where)
    if result.kind == "simulation":
        _check_place_in_ensemble(result, where)
    _check_names(result.parameter_names, "parameters", where)
    for generation in result.generations:
        _check_generation(generation, len(result.parameter_names), where)
    numbers = [generation.number for generation in result.generations]
    if numbers != sorted(set(numbers)):
        raise UserError(f"{where}: generations {numbers[:10]}, which do not increase")
    for fit in result.fits:
        _check_fit(fit, result, where)
    if result.projected is not None:
        _check_array(result.projected, "iuf", 2, f"{where}: projected particles")
        if result.projected.shape[1] != len(result.parameter_names):
            raise UserError(f"{where}: projected particles of shape {result.projected.shape}")


def check_checkpoint(checkpoint: Checkpoint, workload: Workload, values: int) -> None:
    """Refuse a checkpoint that a calibration of the workload cannot have left.

    Parameters
    ----------
    values : int
        Number of observed values that are compared.

    Raises
    ------
    UserError
        Too few or too many generations, arrays of a wrong type or shape, or weights that are not a
        distribution.
    """
    where = f"checkpoint of input {workload.index}"
    options, generations = workload.task.options, checkpoint.generations
    if [each.number for each in generations] != list(range(len(generations))) or not generations:
        raise UserError(f"{where}: its generations are not 0, 1, 2 and so on")
    if len(generations) > options.get("num_generations", 0):
        raise UserError(f"{where}: more generations than the calibration has")
    for generation in generations:
        _check_generation(generation, len(workload.task.priors), where)
        if len(generation.weights) != options.get("num_particles"):
            raise UserError(f"{where}: {len(generation.weights)} particles in a generation")
    _check_array(checkpoint.values, "f", 2, where)
    _check_counts(checkpoint.values, where)
    if checkpoint.values.shape != (options["num_particles"], values):
        raise UserError(f"{where}: simulated values of shape {checkpoint.values.shape}")
    if not (checkpoint.simulations >= 1 and 0 <= checkpoint.seconds < LARGEST_NUMBER):
        raise UserError(f"{where}: {checkpoint.simulations} simulations in {checkpoint.seconds} seconds")


def _check_facts(result: Result, where: str) -> None:
    """Check the numbers and texts of a result, outside its arrays."""
    if result.kind not in ("simulation", "calibration"):
        raise UserError(f"{where}: {result.kind[:40]!r} is not a kind of result")
    expected = result.expected
    counts = {name: getattr(result, name) for name in ("index", "primary_id", "set_index", "simulations")}
    counts |= {"first_trajectory": result.first_trajectory, "ensemble_total": result.ensemble_total}
    counts |= {name: getattr(expected, name) for name in ("trajectories", "groups", "people")}
    counts |= {name: getattr(expected, name) for name in ("added_compartments", "added_transitions")}
    for name, value in counts.items():
        if value is not None and not 0 <= value < LARGEST_NUMBER:
            raise UserError(f"{where}: {name} is {value}")
    if not result.set_index < result.set_count < LARGEST_NUMBER:
        raise UserError(f"{where}: parameter set {result.set_index} of {result.set_count}")
    if not 0 < result.delta_t_days < LARGEST_NUMBER:
        raise UserError(f"{where}: time steps of {result.delta_t_days} days")
    if expected.frequency is not None and not re.fullmatch(FREQUENCY, expected.frequency):
        raise UserError(f"{where}: {expected.frequency[:40]!r} is not a frequency")
    _check_changes(result.changes, where)
    for name, value in result.parameters.items():
        if isinstance(value, np.ndarray):
            _check_array(value, "iuf", 1, f"{where}: {name[:80]}")
    if expected.first_date > expected.last_date:
        raise UserError(f"{where}: dates {expected.first_date} to {expected.last_date}")


def _check_changes(changes: tuple[str, ...], where: str) -> None:
    """Refuse sentences that stage B does not write: too many, too long, or with control characters."""
    if len(changes) > MOST_SENTENCES:
        raise UserError(f"{where}: {len(changes):,} changes over time, more than {MOST_SENTENCES}")
    for sentence in changes:
        if not (0 < len(sentence) <= MOST_CHARACTERS and sentence.isprintable()):
            raise UserError(f"{where}: {sentence[:40]!a} is not a change over time")


def _check_place_in_ensemble(result: Result, where: str) -> None:
    if result.trajectories is None:
        raise UserError(f"{where}: a simulation without trajectories")
    last = result.first_trajectory + result.trajectories.count
    if last > result.ensemble_total:
        raise UserError(f"{where}: trajectories up to {last} of an ensemble of {result.ensemble_total}")


def _check_fit(fit: Fit, result: Result, where: str) -> None:
    observed, what = fit.observed, f"{where}: fit to {fit.observed.label[:80]}"
    for name, kinds in (("dates", "M"), ("values", "iuf"), ("fitted", "b")):
        _check_array(getattr(observed, name), kinds, 1, f"{what}: {name}")
    if not len(observed.dates) == len(observed.values) == len(observed.fitted) or not observed.fitted.any():
        raise UserError(f"{what}: dates, values and fitted flags have different lengths, or none is fitted")
    _check_dates(observed.dates, what)
    if observed.hub_counts is not None:
        _check_hub_counts(observed.hub_counts, f"{what}: counts of the hub")
    _check_array(fit.values, "iuf", 2, what)
    _check_counts(fit.values, what)
    wanted = (len(result.generations[-1].weights), int(observed.fitted.sum()))
    if fit.values.shape != wanted:
        raise UserError(f"{where}: fit of shape {fit.values.shape} instead of {wanted}")
    if result.trajectories is not None:
        known = {*result.trajectories.transitions, *result.trajectories.compartments}
        unknown = [name for name in observed.series if name not in known]
        if unknown or not observed.series:
            name = unknown[0][:80] if unknown else "nothing"
            raise UserError(f"{what}: it is compared with {name!r}, which is not simulated")


def _check_hub_counts(counts: HubCounts, what: str) -> None:
    _check_array(counts.dates, "M", 1, what)
    _check_array(counts.values, "iuf", 1, what)
    if len(counts.dates) != len(counts.values):
        raise UserError(f"{what}: {len(counts.values)} values for {len(counts.dates)} dates")
    _check_dates(counts.dates, what)
    _check_counts(counts.values, what)


def _check_array(array: np.ndarray, kinds: str, dimensions: int, what: str) -> None:
    """Refuse an array of other kinds (numpy's letters) or another number of dimensions."""
    if array.dtype.kind not in kinds or array.ndim != dimensions:
        raise UserError(f"{what}: an array of {array.dtype} with {array.ndim} dimensions")


def _check_dates(dates: np.ndarray, where: str) -> None:
    if len(dates) == 0 or np.isnat(dates).any() or not (np.diff(dates) > np.timedelta64(0, "s")).all():
        raise UserError(f"{where}: its dates do not increase")
    if dates[0] < np.datetime64(EARLIEST_DAY) or dates[-1] > np.datetime64(LATEST_DAY):
        raise UserError(f"{where}: dates {dates[0]} to {dates[-1]} are not within 1900 to 2200")


def _check_names(names: list[str], what: str, where: str) -> None:
    if len(set(names)) != len(names):
        duplicate = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{where}: duplicate {duplicate[:80]!r} among its {what}")


def _check_trajectories(
    trajectories: Trajectories, expected: Expected, delta_t_days: float, where: str
) -> None:
    _check_kinds(trajectories, expected, where)
    if trajectories.count != expected.trajectories:
        raise UserError(f"{where}: {trajectories.count} trajectories instead of {expected.trajectories}")
    dates = trajectories.dates
    _check_dates(dates, where)
    if expected.dates is not None and not np.array_equal(dates, expected.dates):
        raise UserError(
            f"{where}: {len(dates)} dates {dates[0]} to {dates[-1]} instead of "
            f"{len(expected.dates)} dates {expected.dates[0]} to {expected.dates[-1]}"
        )
    if expected.dates is None:
        _check_ends(dates, expected, delta_t_days, where)
    for counts, names, added in (
        (trajectories.in_compartments, trajectories.compartments, expected.added_compartments),
        (trajectories.by_transition, trajectories.transitions, expected.added_transitions),
    ):
        if counts.shape != (trajectories.count, len(names), len(dates)):
            raise UserError(
                f"{where}: counts of shape {counts.shape} for {len(names)} series, {len(dates)} dates"
            )
        _check_counts(counts, where)
        if expected.groups:
            own = len(names) - added
            if own % (expected.groups + 1):
                raise UserError(f"{where}: {own} series of {expected.groups} age groups and a total each")
            by_group = counts[:, :own].reshape(len(counts), -1, expected.groups + 1, len(dates))
            if (by_group[:, :, :-1].sum(axis=2) != by_group[:, :, -1]).any():
                raise UserError(f"{where}: age groups that do not add up to their total")
    if expected.people is not None:
        own = trajectories.compartments[: len(trajectories.compartments) - expected.added_compartments]
        totals = [i for i, name in enumerate(own) if name.endswith("_total")]
        people = trajectories.in_compartments[:, totals].sum(axis=1, dtype=np.int64)
        if (people != expected.people).any():
            wrong = int(people[people != expected.people][0])
            raise UserError(f"{where}: {wrong} people in its compartments instead of {expected.people}")


def _check_whole(result: Result, where: str) -> None:
    """Refuse parts of people, but in what a user function has added or changed."""
    paths, expected = result.trajectories, result.expected
    if result.transformed_by and expected.people is None:
        return
    for counts, added in (
        (paths.in_compartments, expected.added_compartments),
        (paths.by_transition, expected.added_transitions),
    ):
        own = counts[:, : counts.shape[1] - added]
        if own.dtype.kind == "f" and (own != np.rint(own)).any():
            raise UserError(f"{where}: numbers of people that are not whole")


def _check_ends(dates: np.ndarray, expected: Expected, delta_t_days: float, where: str) -> None:
    """Check the first and the last date, if the others are not known."""
    # a bin of a resampled series is labelled by its first or its last day, and months differ
    bin_days = 1.2 * np.diff(dates).max() / _DAY if len(dates) > 1 else 366
    days_off = (dates[[0, -1]] - np.array([expected.first_date, expected.last_date], "datetime64[s]")) / _DAY
    if (np.abs(days_off) > bin_days + delta_t_days).any():
        raise UserError(
            f"{where}: dates {dates[0]} to {dates[-1]} "
            f"instead of {expected.first_date} to {expected.last_date}"
        )


def _check_kinds(trajectories: Trajectories, expected: Expected, where: str) -> None:
    """Check the types and dimensions of the arrays, and the names."""
    for array in (trajectories.in_compartments, trajectories.by_transition):
        _check_array(array, "iuf", 3, f"{where}: counts")
    for dates in (trajectories.dates, expected.dates):
        if dates is not None:
            _check_array(dates, "M", 1, f"{where}: dates")
    if expected.dates is not None:
        _check_dates(expected.dates, where)
    _check_names(trajectories.compartments, "compartments", where)
    _check_names(trajectories.transitions, "transitions", where)


def _check_generation(generation: Generation, parameters: int, where: str) -> None:
    what = f"{where}: posterior of generation {generation.number}"
    for array, dimensions in ((generation.particles, 2), (generation.weights, 1), (generation.distances, 1)):
        _check_array(array, "iuf", dimensions, what)
    count = len(generation.weights)
    if generation.particles.shape != (count, parameters) or generation.distances.shape != (count,):
        raise UserError(f"{what} has a wrong shape")
    _check_acceptance(generation, what)
    finite = np.isfinite(generation.particles).all() and np.isfinite(generation.distances).all()
    if (
        not finite
        or (np.abs(generation.particles) > MOST_PARTICLE).any()
        or (generation.weights < 0).any()
        or not math.isclose(generation.weights.sum(), 1, rel_tol=1e-6)
    ):
        raise UserError(f"{what} is not a distribution")
    epsilon, simulations = generation.epsilon, generation.simulations
    if not (0 <= (epsilon or 0) < math.inf and 0 <= simulations < LARGEST_NUMBER):
        raise UserError(f"{what}: epsilon {epsilon} after {simulations} simulations")


def _check_acceptance(generation: Generation, what: str) -> None:
    """Check epsilon, and the number of simulations, which is 0 where they were not counted."""
    epsilon, simulations, accepted = generation.epsilon, generation.simulations, len(generation.weights)
    if epsilon is not None and not 0 <= epsilon < math.inf:
        raise UserError(f"{what}: epsilon is {epsilon}")
    if simulations and not accepted <= simulations < LARGEST_NUMBER:
        raise UserError(f"{what}: {accepted} accepted of {simulations} simulations")


def _check_counts(counts: np.ndarray, where: str) -> None:
    if counts.dtype.kind == "f" and not np.isfinite(counts).all():
        raise UserError(f"{where}: counts that are not finite")
    if counts.size and counts.min() < 0:
        raise UserError(f"{where}: negative counts (lowest {counts.min()})")
    if counts.size and counts.max() > LARGEST_NUMBER:
        raise UserError(f"{where}: counts up to {counts.max():g}, above {LARGEST_NUMBER:g}")


def most_result_bytes(workload: Workload | ForecastWorkload) -> int:
    """Return the most bytes that the result of an input may have unpacked.

    The large arrays of a result are trajectories, particles of all generations and their simulated values,
    with at most 8 bytes a number.
    """
    if isinstance(workload, ForecastWorkload):
        return BYTES_OF_THE_REST
    plan, task = workload.plan, workload.task
    series = len(plan.compartment_series) + len(plan.transition_series)
    days = (workload.end_date - workload.start_date).days + 2
    dates = max(days, step_count(workload.start_date, workload.end_date, plan.delta_t_days))
    if isinstance(task, Simulate):
        numbers = task.count * series * dates
    else:
        fitted = sum(len(observed.dates) for observed in task.observed)
        particles = task.options.get("num_particles", task.options.get("Nsim", 0))
        generations = task.options.get("num_generations", 1) + 1
        series += MOST_ADDED_SERIES if task.post_hoc else 0
        numbers = task.projections * (series * dates + len(task.priors))
        numbers += particles * (generations * (len(task.priors) + 2) + fitted)
    return BYTES_OF_THE_REST + 8 * numbers
