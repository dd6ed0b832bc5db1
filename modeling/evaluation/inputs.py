"""From an experiment and its data to the jobs of a sweep: what was known on each reference date."""

import datetime
from dataclasses import dataclass

import numpy as np

from modeling.build.forecasts import history_of, hub_locations, locations_of, vintages_of, without_left_out
from modeling.build.history import read_history
from modeling.build.surveillance import MOST_WEEKS_AHEAD, Vintages
from modeling.build.surveillance_doubts import left_out
from modeling.evaluation.request import BASELINE_METHOD, Request
from modeling.evaluation.sweep import Job, model_name
from modeling.failures import UserError, listed
from modeling.forecast_checks import few_locations_note
from modeling.forecast_records import WEEK, History
from modeling.hubs import NATION, hub_names, hub_populations
from modeling.vocabulary.experiment import ForecastExperiment, load_experiment
from modeling.weeks import saturdays, season_of

TEAM = "local"  # in the names of the hub files, where the experiment has no team


@dataclass(frozen=True)
class Inputs:
    """What a sweep is made from.

    Attributes
    ----------
    methods : list of str
        Those that are evaluated.
    locations : list of str
        FIPS codes, and "US".
    dates, without : list of date
        Reference dates with a vintage, and without one.
    jobs : list of Job
        Of each method and of the baseline method, for each date.
    """

    methods: list[str]
    locations: list[str]
    vintages: Vintages
    dates: list[datetime.date]
    without: list[datetime.date]
    jobs: list[Job]

    @property
    def is_whole(self) -> bool:
        """Whether every state of the hub is evaluated."""
        return set(hub_populations()) - {*self.locations} <= {NATION}


def read_inputs(request: Request) -> Inputs:
    """Return what the experiment and its data give for the dates of a request.

    Raises
    ------
    UserError
        The experiment or the data are wrong, or no reference date has a vintage.
    """
    experiment = load_experiment(request.repository / "experiments" / request.exp_id / "config")
    if not isinstance(experiment, ForecastExperiment):
        raise UserError(
            f'{request.exp_id}: not a forecast from surveillance data; its YAML has no key "forecast"'
        )
    names = request.populations
    locations = hub_locations(names, ["--locations"] * len(names)) if names else locations_of(experiment)
    vintages = vintages_of(experiment, [request.repository], locations)
    asked = list(saturdays(request.first, request.last))
    dates = [date for date in asked if _has_vintage(vintages, date)]
    if not dates:
        raise UserError(
            f"no reference date from {request.first} to {request.last} has a vintage; {vintages.where} has "
            f"vintages from {vintages.days[0]} to {vintages.newest}"
        )
    methods = request.methods or [experiment.forecast.method]
    one_date = {season_of(date): date for date in dates}  # a history ends before the season
    histories = {season: _history(request, experiment, date) for season, date in one_date.items()}
    jobs = [
        job
        for date in dates
        for job in _jobs(request, experiment, methods, date, vintages, histories[season_of(date)])
    ]
    return Inputs(methods, locations, vintages, dates, sorted({*asked} - {*dates}), jobs)


def _has_vintage(vintages: Vintages, date: datetime.date) -> bool:
    """Return whether a forecast could be made then.

    One release may be missing, but not the first of a gap: after a season nobody asks for a forecast.
    """
    before = [day for day in vintages.days if day <= date]
    if not before:
        return False
    ahead = (date - vintages.release(before[-1]).last_week) // WEEK
    goes_on = any(date < day <= date + WEEK for day in vintages.days)
    return ahead < MOST_WEEKS_AHEAD or (ahead == MOST_WEEKS_AHEAD and goes_on)


def _history(request: Request, experiment: ForecastExperiment, date: datetime.date) -> History | None:
    """Return the history as known before the season of a date: --history, or that of the experiment."""
    if request.history is not None:
        return read_history(request.history, "--history", date)[0]
    return history_of(experiment, [request.repository], date)[0]


def _jobs(
    request: Request,
    experiment: ForecastExperiment,
    methods: list[str],
    date: datetime.date,
    vintages: Vintages,
    history: History | None,
) -> list[Job]:
    """Return the jobs of one date: of each method, and of the baseline."""
    hub, own = experiment.output.flusight_format, experiment.forecast.method
    as_of = vintages.choice(date).as_of
    refused = left_out(vintages, as_of)
    kept = without_left_out(vintages, refused, as_of)
    known, people = kept.known(date), np.array([hub_populations()[name] for name in kept.locations])
    return [
        Job(
            method=method,
            known=known,
            locations=kept.locations,
            people=people,
            history=None if method == BASELINE_METHOD else history,
            left_out=list(refused),
            folder=request.folder / method,
            team=(hub and hub.team) or TEAM,
            model=(method == own and hub and hub.model) or model_name(method),
        )
        for method in dict.fromkeys([*methods, BASELINE_METHOD])
    ]


def gap_notes(inputs: Inputs) -> list[str]:
    """Return what a reader must know about dates without a vintage, and locations left out or too few."""
    rows: list[list[datetime.date]] = []
    for date in inputs.without:
        if rows and date - rows[-1][-1] == WEEK:
            rows[-1].append(date)
        else:
            rows.append([date])
    named = [str(row[0]) if len(row) == 1 else f"{row[0]} to {row[-1]} ({len(row)} dates)" for row in rows]
    count = f"{len(inputs.without)} reference dates have no vintage and are"
    if len(inputs.without) == 1:
        count = "1 reference date has no vintage and is"
    notes = [f"{count} skipped: {listed(named)}"] if inputs.without else []
    dates_of: dict[str, list[str]] = {}
    for job in inputs.jobs:
        for name in job.left_out if job.method == BASELINE_METHOD else ():
            dates_of.setdefault(name, []).append(str(job.known.reference_date))
    notes += [f"{hub_names()[name]} is left out: {listed(dates, 4)}" for name, dates in dates_of.items()]
    few = (few_locations_note(j.method, len(j.locations), j.history is not None) for j in inputs.jobs)
    return notes + list(dict.fromkeys(filter(None, few)))[:1]
