"""Stage A of a forecast from surveillance data: vintages and history become one workload."""

import datetime
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modeling.build.csv_table import find_file
from modeling.build.history import how_to_fetch, read_history
from modeling.build.surveillance import FETCH, NoVintage, Vintages, open_vintages
from modeling.build.surveillance_doubts import doubts, left_out
from modeling.failures import UserError, listed
from modeling.forecast_checks import doubt_line, few_locations_note, left_out_lines, strict_problem
from modeling.forecast_records import WEEK, ForecastWorkload, History, Surveillance
from modeling.hubs import FLUSIGHT, hub_names, hub_populations
from modeling.populations import Location, expand_all, find_location, locations_by_fips
from modeling.populations import locations as known_locations
from modeling.vocabulary.experiment import ForecastExperiment

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Data:
    """What a forecast is made from; `refused` are locations that cannot be forecast, with the reason."""

    vintages: Vintages  # of the locations that can be forecast
    known: Surveillance
    refused: dict[str, str]
    notes: list[str]


def build_forecast(
    experiment: ForecastExperiment,
    data_roots: list[Path],
    reference_date: datetime.date | None = None,
    strict: bool = False,
) -> ForecastWorkload:
    """Return the one workload of a forecast.

    Parameters
    ----------
    data_roots : list of Path
        Folders that paths in the YAML are relative to, searched in order.
    reference_date : date, optional
        Replaces that of the experiment. Without either, the first Saturday on or after the day of the newest
        vintage.
    strict : bool
        Whether a location that is left out, or has a fault in its data, fails the run.

    Raises
    ------
    UserError
        A location that the hub does not have, missing or damaged data, no vintage for the reference date, no
        location that can be forecast, or with `strict` any that cannot.
    """
    vintages = vintages_of(experiment, data_roots, locations_of(experiment))
    day = reference_date or experiment.forecast.reference_date or _newest_reference_date(vintages)
    _check_reference_dates_agree(experiment, day)
    data = _read(vintages, day)
    found = doubts(data.vintages, data.known.as_of)
    if strict and (problem := strict_problem(data.refused, found)):
        raise UserError(problem)
    for doubt in found:
        log.warning("%s", doubt_line(doubt))
    locations = data.vintages.locations
    code, name = _named_together(locations)
    previous, notes_of_previous = _previous(data.vintages, day)
    history, note = history_of(experiment, data_roots, day)
    few = few_locations_note(experiment.forecast.method, len(locations), history is not None)
    notes_of_method = [each for each in (note, few) if each]
    for each in notes_of_method:
        log.warning("%s", each)
    return ForecastWorkload(
        population=code,
        population_name=name,
        method=experiment.forecast.method,
        locations=locations,
        people=np.array([hub_populations()[each] for each in locations]),
        known=data.known,
        previous=previous,
        history=history,
        later=data.vintages.later(day),
        left_out=data.refused,
        notes=[*data.notes, *notes_of_previous, *notes_of_method],
        doubts=found,
        is_strict=strict,
    )


def locations_of(experiment: ForecastExperiment) -> list[str]:
    """Return the locations of an experiment; raises as `hub_locations`."""
    names = experiment.forecast.population_names
    places = [experiment.where("forecast", "population_names", index) for index in range(len(names))]
    return hub_locations(names, places)


def hub_locations(names: Sequence[str], places: Sequence[str]) -> list[str]:
    """Return the FIPS codes of populations, or US, in the order of the hub's list.

    Parameters
    ----------
    places : sequence of str
        Where each of the names is written, for messages.

    Raises
    ------
    UserError
        A population is unknown, or the hub does not have it.
    """
    codes: set[str] = set()
    for name, where in zip(names, places, strict=True):
        try:
            found = [find_location(iso) for iso in expand_all([name])]
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        for location in found:
            if location.fips not in hub_populations():
                raise UserError(f"{where}: {not_of_the_hub(location)}")
            codes.add(location.fips)
    return [each for each in hub_populations() if each in codes]


def not_of_the_hub(location: Location) -> str:
    """Return why a location cannot be forecast for the hub, and which one may be meant."""
    state = known_locations().get(f"US-{location.iso}")  # MA is Morocco
    instead = f"{state.name} is {state.iso}" if state else "remove it"
    return (
        f"{location.iso}: {location.name} is not a location of the FluSight hub, which has the United "
        f"States, its states, DC and Puerto Rico; {instead}"
    )


def vintages_of(experiment: ForecastExperiment, roots: list[Path], locations: list[str]) -> Vintages:
    """Return the vintages that an experiment names, found in the first of the folders that has them.

    Raises
    ------
    UserError
        There are none, or they are damaged.
    """
    where = experiment.where("forecast", "observed_data_path")
    command = "invoke data-update" + (f" --exp-id {exp_id}" if (exp_id := _exp_id(roots)) else "")
    hint = f"fetch the data with `{command}`"
    path = find_file(experiment.forecast.observed_data_path, roots, where, hint, or_folder=True)
    return open_vintages(path, locations, where)


def _exp_id(roots: list[Path]) -> str:
    """Return the name of the experiment whose folder is the last root; "" outside a repository."""
    experiments, own = roots[0] / "experiments", roots[-1]
    return own.relative_to(experiments).as_posix() if own.is_relative_to(experiments) else ""


def _newest_reference_date(vintages: Vintages) -> datetime.date:
    """Return the first Saturday on or after the day of the newest vintage; warn if it has passed."""
    day, today = vintages.default_reference_date, datetime.datetime.now(datetime.UTC).date()
    if day < today:
        log.warning(
            "the reference date is %s, which has passed: the newest data are of %s and today is %s; %s",
            day,
            vintages.newest,
            today,
            FETCH,
        )
    return day


def _check_reference_dates_agree(experiment: ForecastExperiment, day: datetime.date) -> None:
    section = experiment.output.flusight_format
    given = section.reference_date if section is not None else None
    if given is not None and given != day:
        where = experiment.where("output", FLUSIGHT.section, "reference_date")
        raise UserError(f"{where}: {given} is not the reference date of the forecast, {day}; leave it out")


def _read(vintages: Vintages, day: datetime.date) -> _Data:
    """Return the data of a reference date, of the locations that can be forecast."""
    choice = vintages.choice(day)
    refused = left_out(vintages, choice.as_of)
    for line in left_out_lines(refused):
        log.warning("%s", line)
    vintages = without_left_out(vintages, refused, choice.as_of)
    notes = []
    if choice.note:
        log.warning("%s", choice.note)
        notes.append(choice.note)
    release = vintages.release(choice.as_of)
    if release.unknown_places:
        notes.append(f"rows of {listed(release.unknown_places)} are ignored: no locations of the hub")
        log.info("%s: %s", release.name, notes[-1])
    return _Data(vintages, vintages.known(day), refused, notes)


def without_left_out(vintages: Vintages, refused: dict[str, str], as_of: datetime.date) -> Vintages:
    """Return the vintages of the locations that can be forecast from that of a day; UserError for none."""
    if kept := [each for each in vintages.locations if each not in refused]:
        return vintages.only(kept)
    location, reason = next(iter(refused.items()))
    others = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
    raise UserError(
        f"{vintages.where}, as of {as_of}: no location can be forecast; {hub_names()[location]}: "
        f"{reason}{others}"
    )


def _previous(vintages: Vintages, day: datetime.date) -> tuple[Surveillance | None, list[str]]:
    """Return what was known a week earlier, and why it is not used; None where it is not."""
    try:
        choice = vintages.choice(day - WEEK)
    except NoVintage:
        return None, []
    refused = left_out(vintages, choice.as_of)
    if refused:
        location, reason = next(iter(refused.items()))
        return None, [f"last week's forecast is not made again: {hub_names()[location]} had {reason}"]
    return vintages.known(day - WEEK), []


def history_of(
    experiment: ForecastExperiment, roots: list[Path], day: datetime.date
) -> tuple[History | None, str]:
    """Return the history before the season of a day, if the experiment names one, and a note on it."""
    relative = experiment.forecast.history_path
    if relative is None:
        return None, ""
    where = experiment.where("forecast", "history_path")
    path = find_file(relative, roots, where, how_to_fetch(_exp_id(roots)))
    return read_history(path, where, day)


def _named_together(locations: list[str]) -> tuple[str, str]:
    """Return code and name of all locations together, for messages."""
    if len(locations) == 1:
        only = locations_by_fips()[locations[0]]
        return only.iso, only.name
    return "US", f"{len(locations)} locations"
