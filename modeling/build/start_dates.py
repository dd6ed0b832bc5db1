"""Checks of a model's first day: fixed, drawn or calibrated, it must fit the time steps and intervals."""

import datetime

from modeling.bounds import FIRST_DAY, LAST_DAY
from modeling.build.plan import PopulationModel
from modeling.calendars import intervals
from modeling.failures import UserError
from modeling.vocabulary.experiment import Experiment


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
