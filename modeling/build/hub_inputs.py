"""What the table for a forecast hub needs that stage C does not have: observed counts, and known places.

Stage C has results and an output configuration, and often no file of the forecasting repository. So the
counts of rate_trends are read here, and travel with the calibrated series.
"""

import datetime
from dataclasses import replace
from pathlib import Path

from modeling import hubs
from modeling.build.csv_table import find_file
from modeling.build.observed import SeriesRequest, read_counts
from modeling.build.plan import PopulationModel
from modeling.build.spacing import Reporting
from modeling.build.warnings import warn_once
from modeling.failures import UserError
from modeling.populations import find_location
from modeling.vocabulary.calibration import Comparison, FittingWindow
from modeling.vocabulary.experiment import Experiment
from modeling.vocabulary.output import RateTrends
from modeling.workload import HubCounts, Observed

_DAY = datetime.timedelta(days=1)


class HubInputs:
    """What the hub format of an experiment needs, population by population.

    Parameters
    ----------
    data_roots : list of Path
        Folders that observed_data_path is relative to.
    """

    def __init__(self, experiment: Experiment, data_roots: list[Path]):
        self.experiment, self.data_roots = experiment, data_roots
        self.wanted = experiment.output.hub_format
        self._reference = hubs.ReferenceDate(self.wanted.reference_date if self.wanted else None)

    def with_counts(self, observed: list[Observed], model: PopulationModel) -> list[Observed]:
        """Return the compared series of a population, the forecast one with the counts of rate_trends.

        Raises
        ------
        UserError
            The hub does not have the place, the week before the reference date has no count, a submission
            would miss a horizon, or without a reference_date populations have different ones.
        """
        if self.wanted is None:
            return observed
        section = self.wanted.hub.section
        where, iso = self.experiment.where("output", section), model.population.iso
        if find_location(iso).fips not in hubs.hub_populations():
            raise UserError(
                f"{where}: {iso} is not a place of the hub, which has the United States, its states, DC and "
                "Puerto Rico; leave it out"
            )
        index = hubs.forecast_series([each.label for each in observed])
        series = observed[index]
        reference = self._reference_date(series, iso, where)
        self._check_horizons(reference, where)
        if self.experiment.output.rate_trends is None:
            return observed
        counts = self._rate_trends(self.experiment.output.rate_trends, series, reference, model)
        return [*observed[:index], replace(series, hub_counts=counts), *observed[index + 1 :]]

    def _reference_date(self, series: Observed, iso: str, where: str) -> datetime.date:
        """Return the reference date; warn if the series is fitted to a date on or after it."""
        try:
            reference = self._reference.for_place(series.last_fitted, iso)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        if series.last_fitted >= reference:
            warn_once(
                f"{where}: the last fitted date, {series.last_fitted}, is not before the reference date "
                f"{reference}: the forecast knows a part of what it forecasts; end the fitting window earlier"
            )
        return reference

    def _check_horizons(self, reference: datetime.date, where: str) -> None:
        """Warn of horizons that the model does not reach; a submission needs all of them."""
        first, last = self.experiment.first_day, self.experiment.model.timespan.end_date
        reached = hubs.horizons_within(reference, first, last)
        missing = [horizon for horizon in hubs.HORIZONS if horizon not in reached]
        if not missing:
            return
        named = f"horizon {hubs.named_horizons(reference, missing)}: the model runs from {first} to {last}"
        if self.wanted.has_submission:
            raise UserError(
                f"{where}: the submission would be without {named}; let it run longer, or leave out team and "
                "model"
            )
        warn_once(f"{where}: the hub's table is without {named}")

    def _rate_trends(
        self, wanted: RateTrends, series: Observed, reference: datetime.date, model: PopulationModel
    ) -> HubCounts:
        calibration = self.experiment.calibration
        at = ("output", "flusight_format", "rate_trends")
        where = model.where(*at)
        week = hubs.week_before(reference)
        setting = model.where("model", "simulation", "resample_frequency")
        request = SeriesRequest(
            path=find_file(
                wanted.observed_data_path, self.data_roots, model.where(*at, "observed_data_path")
            ),
            comparison=Comparison(
                observed_value_column=wanted.observed_value_column,
                observed_date_column=wanted.observed_date_column,
                observed_location_column=wanted.observed_location_column,
                simulation=series.series,
            ),
            window=FittingWindow(start_date=week, end_date=week + _DAY),
            as_of=calibration.observed_data_as_of,
            location=find_location(model.population.iso),
            reporting=Reporting(model.plan.resample_frequency, model.plan.delta_t_days, setting),
            where=where,
            where_data=model.where("modelset", "calibration", "observed_data_path"),
        )
        counts = read_counts(request)
        if week not in counts.dates.tolist():
            raise UserError(
                f"{where}: {request.path.name} has {model.population.iso} on {week + _DAY}, not on {week}, "
                "the Saturday before the reference date; date each week by its Saturday"
            )
        return HubCounts(wanted.source, counts.dates, counts.values)
