"""What a calibration found, and what its projections start from, whichever engine simulated.

abc/ and with_epydemix/ calibrate.
"""

import logging
from dataclasses import dataclass

import numpy as np

from modeling.failures import UserError, did_you_mean
from modeling.simulate.progress import Progress
from modeling.workload import Calibrate, Fit, Generation, Observed, Workload

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Calibrated:
    """The posterior of a calibration.

    Attributes
    ----------
    parameter_names : list of str
        Names of the columns of each generation's particles.
    generations : list of Generation
        Whole generations, in order.
    fits : list of Fit
        Simulated values of the last generation, one a comparison.
    simulations : int
        Number of simulated draws.
    stopped_by : str
        Limit that ended the calibration early; "" if none did.
    """

    parameter_names: list[str]
    generations: list[Generation]
    fits: list[Fit]
    simulations: int
    stopped_by: str


def calibrated(
    workload: Workload, generations: list[Generation], values: np.ndarray, progress: Progress
) -> Calibrated:
    """Return the posterior of whole generations, with a warning if SMC ended early.

    Parameters
    ----------
    values : ndarray, shape (particles, observed values)
        Simulated by the particles of the last generation.
    """
    found = Calibrated(
        parameter_names=list(workload.task.priors),
        generations=generations,
        fits=_fits(workload.task, values),
        simulations=progress.simulations,
        stopped_by=_stopped_by(workload.task, generations, progress),
    )
    if progress.infeasible:
        log.warning(
            "%s: %s of %s draws cannot be simulated, so the posterior has none like them (the first: %s); "
            "narrow the priors if that is not meant",
            workload.population,
            f"{progress.infeasible:,}",
            f"{progress.simulations:,}",
            progress.first_infeasible,
        )
    if workload.task.strategy == "smc" and found.stopped_by:
        log.warning(
            "%s: calibration ended with generation %d, the last whole one of %d, stopped by %s",
            workload.population,
            found.generations[-1].number,
            workload.task.options["num_generations"],
            found.stopped_by,
        )
    return found


def generation_to_project(workload: Workload, found: Calibrated) -> Generation:
    """Return the generation whose particles the projections start from.

    Raises
    ------
    UserError
        The calibration ended before it.
    """
    last, asked = found.generations[-1].number, workload.task.generation
    chosen = [g for g in found.generations if g.number == (last if asked is None else asked)]
    if not chosen:
        raise UserError(
            f"{workload.population}: projections from generation {asked}, but the last whole generation is "
            f"{last} (stopped by {found.stopped_by or 'no limit'}); "
            "leave generation_number out to project from the last"
        )
    return chosen[0]


def check_series(population: str, observed: Observed, names: list[str]) -> None:
    """Refuse an observed series that is compared with an unknown transition."""
    for name in observed.series:
        if name not in names:
            raise UserError(
                f'{population}: {observed.label} is compared with "{name}", which is no '
                f"transition of the model and was not added{did_you_mean(name, names)}"
            )


def columns_of(population: str, observed: Observed, calendar: np.ndarray) -> np.ndarray:
    """Return the position of each fitted date in the calendar; -1 for a date before the first day.

    Raises
    ------
    UserError
        A fitted date is not in the calendar.
    """
    wanted = observed.dates[observed.fitted].astype("datetime64[s]")
    columns = np.searchsorted(calendar, wanted)
    early = wanted < calendar[0]
    found = calendar[np.minimum(columns, len(calendar) - 1)] == wanted
    if not (found | early).all():
        missing = wanted[~(found | early)][0].astype("datetime64[D]")
        raise UserError(
            f"{population}: observed date {missing} is not among the simulated dates "
            f"{calendar[0].astype('datetime64[D]')} to {calendar[-1].astype('datetime64[D]')}; "
            "set simulation.resample_frequency to the dates of the data"
        )
    return np.where(early, -1, columns)


def _fits(task: Calibrate, values: np.ndarray) -> list[Fit]:
    """Return one Fit a series."""
    ends = np.cumsum([int(observed.fitted.sum()) for observed in task.observed])[:-1]
    parts = np.split(values, ends, axis=1)
    return [Fit(observed, part) for observed, part in zip(task.observed, parts, strict=True)]


def _stopped_by(task: Calibrate, generations: list[Generation], progress: Progress) -> str:
    """Return the limit that ended a calibration early, or an empty string."""
    if task.strategy == "top_fraction":
        return ""
    asked = task.options.get("num_generations" if task.strategy == "smc" else "num_particles")
    reached = len(generations) if task.strategy == "smc" else len(generations[-1].weights)
    return "" if reached >= asked else progress.stopped_by
