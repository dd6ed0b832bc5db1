"""The table for a forecast hub: quantiles of the weekly forecast, and probabilities of its change.

One row a place, horizon and quantile or category, with the columns of a submission (modeling/hubs.py). The
file of a submission itself is written at the end, if the output names team and model.
"""

import datetime
from pathlib import Path

import numpy as np

from modeling import hubs
from modeling.failures import UserError
from modeling.outputs.calibrated_submission import CalibratedSubmission
from modeling.outputs.quantiles import quantiles
from modeling.outputs.rate_changes import RATE_CHANGE, THRESHOLDS, category_probabilities
from modeling.populations import locations
from modeling.vocabulary.output import Output
from modeling.weeks import SATURDAY
from modeling.workload import Fit, Observed, Result

_ONE_WEEK = np.timedelta64(7, "D")


class HubTable:
    """Makes the rows of each calibration, and notes what a reader must know about them.

    Raises
    ------
    UserError
        FluSight's table is asked for without a reference date.
    """

    def __init__(self, output: Output):
        self.wanted, self.rate_trends = output.hub_format, output.rate_trends
        if output.flusight_format is not None and output.flusight_format.reference_date is None:
            raise self._error(hubs.NO_DATE)
        has_submission = self.wanted is not None and self.wanted.has_submission
        self._submission = CalibratedSubmission(self.wanted) if has_submission else None
        self._reference = hubs.ReferenceDate(self.wanted.reference_date if self.wanted else None)
        self._notes: dict[str, None] = {}
        if output.flusmh_format is not None:
            self._note(hubs.FLUSMH_NOTE)

    @property
    def name(self) -> str:
        return self.wanted.hub.table

    @property
    def notes(self) -> list[str]:
        return list(self._notes)

    def finish(self, folder: Path) -> list[Path]:
        """Write the submission, if one is asked for and there is a forecast; return its file."""
        if self._submission is None or not self._submission.locations:
            return []
        path, notes = self._submission.write(folder)
        for note in notes:
            self._note(note)
        return [path]

    def skip(self) -> None:
        """Note that a simulation gives no table."""
        if self.wanted is not None:
            section = self.wanted.hub.section
            self._note(f"{section} takes the projections of a calibration; its table is not written")

    def columns(self, result: Result) -> dict[str, np.ndarray]:
        """Return the rows of one calibration.

        Parameters
        ----------
        result : Result
            With trajectories of whole intervals.

        Raises
        ------
        UserError
            The hub does not have the place, or the projection has too few trajectories, is not weekly, or
            has none of the weeks; or the count before the reference date is not known.
        """
        fit = self._fit(result)
        reference = self._reference_date(fit.observed, result.population)
        location = self._location(result)
        counts = self._counts_by_horizon(result, fit, reference)
        quantile_rows = [
            (self.wanted.hub.target, horizon, "quantile", f"{level:g}", int(np.rint(value)))
            for horizon, each in counts.items()
            for level, value in zip(hubs.QUANTILES, quantiles(each, hubs.QUANTILES), strict=True)
        ]
        change_rows = []
        before = self._count_before(fit.observed, reference, result.population)
        if self._submission is not None:
            try:
                self._submission.add(reference, location, counts, before)
            except UserError as error:
                raise self._error(str(error)) from None
        if self.rate_trends is not None:
            people = hubs.hub_populations()[location]
            change_rows = [
                (RATE_CHANGE, horizon, "pmf", category, share)
                for horizon, each in counts.items()
                if horizon in THRESHOLDS
                for category, share in category_probabilities(each - before, people, horizon).items()
            ]
        dates = hubs.target_dates(reference)
        rows = [
            (str(reference), target, horizon, str(dates[horizon]), location, kind, kind_id, value)
            for target, horizon, kind, kind_id, value in quantile_rows + change_rows
        ]
        columns = zip(hubs.COLUMNS, zip(*rows, strict=True), strict=True)
        return {name: _column(values) for name, values in columns}

    def _fit(self, result: Result) -> Fit:
        try:
            return result.fits[hubs.forecast_series([fit.observed.label for fit in result.fits])]
        except UserError as error:
            raise self._error(str(error)) from None

    def _reference_date(self, observed: Observed, population: str) -> datetime.date:
        try:
            reference = self._reference.for_place(observed.last_fitted, population)
        except UserError as error:
            raise self._error(str(error)) from None
        if self.wanted.reference_date is None:
            self._note(f"{self.name}: reference_date is {reference}, the Saturday after the last fitted date")
        return reference

    def _location(self, result: Result) -> str:
        place = locations().get(result.population)
        if place is None or place.fips not in hubs.hub_populations():
            raise self._error(f"{result.population} is not a place of the hub")
        return place.fips

    def _counts_by_horizon(self, result: Result, fit: Fit, reference: datetime.date) -> dict[int, np.ndarray]:
        """Return the projected counts of each forecast week, shape (trajectories,), that is simulated."""
        paths, place = result.trajectories, result.population
        if paths is None:
            raise self._error(f"{place} has no projection; start a run with projection.n_trajectories")
        if paths.count < hubs.FEWEST_TRAJECTORIES:
            raise self._error(
                f"{place} has {paths.count} projected trajectories, and the hub's quantiles need "
                f"{hubs.FEWEST_TRAJECTORIES}; start a run with as many (projection.n_trajectories)"
            )
        if not _is_weekly(result):
            raise self._error(
                f"the dates of {place} are not weeks that end on Saturday; start a run with "
                "resample_frequency W-SAT"
            )
        days = paths.dates.astype("datetime64[D]").tolist()
        counts = paths.summed(fit.observed.series)
        ends = hubs.target_dates(reference)
        found = {h: counts[:, days.index(end)] for h, end in ends.items() if end in days}
        span = f"the projection has whole weeks from {days[0]} to {days[-1]}" if days else "it has no week"
        missing = hubs.named_horizons(reference, [h for h in ends if h not in found])
        if not found:
            raise self._error(f"{place} has no week of horizons {missing}: {span}; change reference_date")
        if missing:
            self._note(f"{self.name} is without horizon {missing}: {span}")
        return found

    def _count_before(self, observed: Observed, reference: datetime.date, population: str) -> float:
        """Return the observed count of the week before the reference date.

        Without rate_trends, only a submission needs it: the calibrated series, nan if the week is not there.
        """
        week, counts, wanted = hubs.week_before(reference), observed.hub_counts, self.rate_trends
        if wanted is not None and (counts is None or counts.source != wanted.source):
            self._note(
                f"{self.name}: rate changes are measured from {observed.label} as calibrated, because the "
                f"run was built without {wanted.source} of rate_trends"
            )
            counts = None
        if counts is None:
            counts = observed
        at = np.flatnonzero(counts.dates.astype("datetime64[D]") == np.datetime64(week))
        if len(at):
            return float(counts.values[at[0]])
        if wanted is None:
            return np.nan
        raise self._error(
            f"no observed count of {population} for {week}, the week before the reference date, which "
            "rate_trends needs; start a run with data that have it, or change reference_date"
        )

    def _error(self, problem: str) -> UserError:
        return UserError(f"{self.wanted.hub.section}: {problem}")

    def _note(self, note: str) -> None:
        self._notes[note] = None


def _is_weekly(result: Result) -> bool:
    """Return whether each date stands for a week from Sunday to Saturday."""
    if result.expected.frequency is not None:
        return result.expected.frequency in hubs.WEEKS
    # another suite does not say how its results were resampled; a week-long step would begin on its date
    days = result.trajectories.dates.astype("datetime64[D]")
    on_saturday = all(day.weekday() == SATURDAY for day in days.tolist())
    return len(days) > 1 and on_saturday and (np.diff(days) == _ONE_WEEK).all() and result.delta_t_days < 7


def _column(values: tuple) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
