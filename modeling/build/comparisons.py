"""The observed series that a calibration compares with, checked against what the model simulates."""

import datetime
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from modeling.build.csv_table import find_file
from modeling.build.observed import SeriesRequest, read_observed
from modeling.build.plan import PopulationModel
from modeling.build.spacing import Reporting
from modeling.build.warnings import warn_once
from modeling.calendars import interval_end, interval_start, reported_days
from modeling.failures import UserError, listed
from modeling.populations import find_location
from modeling.workload import Observed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Simulation:
    """The simulation that one series is compared with.

    Attributes
    ----------
    start : date
        First simulated day; the earliest where it is calibrated.
    where : str
        "file:line" of the comparison, for messages.
    """

    model: PopulationModel
    start: datetime.date
    where: str

    @property
    def end(self) -> datetime.date:
        return self.model.experiment.model.timespan.end_date

    @property
    def frequency(self) -> str | None:
        return self.model.plan.resample_frequency

    @property
    def is_start_calibrated(self) -> bool:
        return self.model.experiment.calibration.start_date is not None


def observed_series(model: PopulationModel, data_roots: list[Path], start: datetime.date) -> list[Observed]:
    """Return the series to compare with, one a comparison.

    Parameters
    ----------
    data_roots : list of Path
        Folders that observed_data_path is relative to; the first that has the file counts.
    start : date
        First simulated day; the earliest where it is calibrated.

    Raises
    ------
    UserError
        The file or a series is unusable (read_observed), or a fitted date is not simulated or reported.
    """
    calibration = model.experiment.calibration
    where = model.where("modelset", "calibration", "observed_data_path")
    path = find_file(calibration.observed_data_path, data_roots, where)
    comparisons = calibration.comparison
    return [_checked_series(model, path, start, index) for index in range(len(comparisons))]


def last_fitted_day(series: list[Observed], frequency: str | None) -> datetime.date:
    """Return the last day of the last interval that is fitted."""
    return max(interval_end(each.last_fitted, frequency) for each in series)


def _checked_series(model: PopulationModel, path: Path, start: datetime.date, index: int) -> Observed:
    where = model.where("modelset", "calibration", "comparison", index)
    simulation = _Simulation(model, start, where)
    series = read_observed(_request(model, path, index, where))
    if simulation.is_start_calibrated:
        series = _without_part_interval(series, simulation)
    _check_simulated_span(series, simulation)
    if not simulation.is_start_calibrated:
        _check_reported(series, simulation)
    _check_metric(series, simulation)
    return series


def _request(model: PopulationModel, path: Path, index: int, where: str) -> SeriesRequest:
    calibration = model.experiment.calibration
    setting = model.where("model", "simulation", "resample_frequency")
    return SeriesRequest(
        path=path,
        comparison=calibration.comparison[index],
        window=calibration.fitting_window,
        as_of=calibration.observed_data_as_of,
        location=find_location(model.population.iso),
        reporting=Reporting(model.plan.resample_frequency, model.plan.delta_t_days, setting),
        where=where,
        where_data=model.where("modelset", "calibration", "observed_data_path"),
    )


def _without_part_interval(series: Observed, simulation: _Simulation) -> Observed:
    """Leave the interval of the earliest calibrated start out of the fit, as out of the projection."""
    start, frequency, where = simulation.start, simulation.frequency, simulation.where
    dates = series.dates.tolist()
    is_cut = np.array([interval_start(d, frequency) < start <= interval_end(d, frequency) for d in dates])
    cut = series.dates[series.fitted & is_cut]
    if not len(cut):
        return series
    first = interval_start(cut[0].item(), frequency)
    fitted = series.fitted & ~is_cut
    if not fitted.any():
        raise UserError(
            f"{where}: the only fitted date, {cut[0]}, covers days from {first} on, before the earliest "
            f"start {start}; set start_date.reference_date to {first}, or end the fitting window later"
        )
    warn_once(
        f"{where}: fitted date {cut[0]} covers days from {first} on, and the model starts on {start} or "
        f"later; it is left out of the fit; to fit it, set start_date.reference_date to {first}"
    )
    return replace(series, fitted=fitted)


def _check_simulated_span(series: Observed, simulation: _Simulation) -> None:
    """Refuse observed dates that are simulated in part or not at all: they would count as nothing."""
    start, end, where = simulation.start, simulation.end, simulation.where
    first, last = series.dates[series.fitted][0].item(), series.last_fitted
    if last < start:
        raise UserError(f"{where}: the last fitted date, {last}, is before the start {start}; change either")
    begin = interval_start(first, simulation.frequency)
    if begin < start and not simulation.is_start_calibrated:
        days = "is" if first < start else f"covers days from {begin} on,"
        raise UserError(
            f"{where}: fitted date {first} {days} before the model's start_date {start}; "
            "begin the fitting window later, or the model earlier"
        )
    finish = interval_end(last, simulation.frequency)
    if finish > end:
        raise UserError(
            f"{where}: fitted date {last} covers days up to {finish}, after the model's end_date {end}; "
            "end the fitting window earlier, or the model later"
        )
    delta_t_days = simulation.model.plan.delta_t_days
    if simulation.frequency is None and delta_t_days < 1:
        raise UserError(
            f"{where}: observed days cannot be compared with steps of {delta_t_days:g} days; "
            "set simulation.resample_frequency to D or W-SAT"
        )


def _check_reported(series: Observed, simulation: _Simulation) -> None:
    """Refuse observed dates that a model with a fixed start does not report."""
    delta_t_days = simulation.model.plan.delta_t_days
    reported = set(reported_days(simulation.start, simulation.end, delta_t_days, simulation.frequency))
    for day in series.dates[series.fitted].tolist():
        if day not in reported:
            near = ", ".join(str(d) for d in sorted(reported, key=lambda d: abs(d - day))[:2])
            raise UserError(
                f"{simulation.where}: fitted date {day} is not among those that the model reports "
                f"(nearest: {near}); begin the model on another day, or set simulation.resample_frequency as "
                "in the data"
            )


def _check_metric(series: Observed, simulation: _Simulation) -> None:
    """Refuse a relative distance from nothing but zeros, and warn of those that mape leaves out."""
    metric = simulation.model.experiment.calibration.distance_function
    if metric in ("mape", "wmape") and not series.values[series.fitted].any():
        raise UserError(
            f"{simulation.where}: all values in the fitting window are 0, for which {metric} "
            "is not defined; use rmse or mae"
        )
    zeros = series.dates[series.fitted & (series.values == 0)].astype(str).tolist()
    if metric == "mape" and zeros:
        log.warning(
            "%s: mape leaves out %d of %d fitted values of %s, which are 0: %s; wmape, mae and rmse use them",
            simulation.where,
            len(zeros),
            int(series.fitted.sum()),
            simulation.model.population.iso,
            listed(zeros),
        )
