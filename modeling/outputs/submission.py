"""The file that a forecast hub takes: one reference date, all locations, <reference date>-<team>-<model>.csv.

Quantiles of every horizon and, for FluSight, probabilities of the rate-change categories. The table of a
calibration, with the same columns, is in hub_table.py.
"""

import datetime
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from modeling import hubs
from modeling.failures import UserError, listed
from modeling.forecast_records import WEEK, ForecastResult, Quantiles
from modeling.outputs.rate_changes import CATEGORIES, RATE_CHANGE, THRESHOLDS, probabilities_from_quantiles
from modeling.outputs.submission_checks import LEVELS, Row, check_submission

_MOST_REVISED = 0.6  # log(count + 1); a nowcast that differs by more is no revision
_FIRST = hubs.HORIZONS.index(min(THRESHOLDS))  # row of the first horizon that has rate changes


def write_submission(
    folder: Path,
    forecast: Quantiles,
    locations: Sequence[str],
    people: np.ndarray,
    before: np.ndarray,
    team: str,
    model: str,
    *,
    left_out: Collection[str] = (),
    hub: hubs.Hub = hubs.FLUSIGHT,
    probabilities: np.ndarray | None = None,
) -> Path:
    """Write the submission of one reference date, checked, whole or not at all; return its path.

    Parameters
    ----------
    forecast : Quantiles
    locations : sequence of str
        FIPS codes, and US; the order of the rows.
    people : ndarray of int, shape (locations,)
    before : ndarray of float, shape (locations,)
        Last known count of the week before the reference date, from which rate changes are measured; where
        it is nan, the median of horizon -1 takes its place. known_before() and before_notes() are for it.
    team, model : str
        Names of the hub: letters, digits, _ and +, at most 16 characters each.
    left_out : collection of str
        Locations that were asked for and have no forecast.
    probabilities : ndarray of float, shape (4, locations, 5), optional
        Of the rate-change categories by horizon 0 to 3; without it, from the quantiles.

    Raises
    ------
    UserError
        A name or a value is not one that the hub takes; nothing is written.
    """
    path = folder / file_name(forecast.reference_date, team, model)
    if hub is not hubs.FLUSIGHT:
        probabilities = None
    elif probabilities is None:
        measured = np.where(np.isnan(before), median_before(forecast), before)
        probabilities = probabilities_from_quantiles(forecast.values[_FIRST:], measured, people)
    rows = list(_rows(forecast, locations, probabilities, hub))
    check_submission(rows, [*locations, *left_out], left_out, hub)
    lines = [",".join(row) for row in (hubs.COLUMNS, *rows)]
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def submit_forecast(folder: Path, result: ForecastResult, team: str, model: str) -> tuple[Path, list[str]]:
    """Write the submission of a forecast from surveillance data; return its path, and notes for the report.

    Raises
    ------
    UserError
        As write_submission().
    """
    reference, locations = result.forecast.reference_date, result.locations
    before = known_before(reference, result.first_week, result.counts, result.nowcast)
    path = write_submission(
        folder, result.forecast, locations, result.people, before, team, model, left_out=result.left_out
    )
    return path, before_notes(reference, locations, before)


def file_name(reference: datetime.date, team: str, model: str) -> str:
    """Return the name of a submission.

    Raises
    ------
    UserError
        The hub does not take the name of team or model.
    """
    for kind, name in (("team", team), ("model", model)):
        if problem := hubs.name_problem(name):
            raise UserError(f"{kind}: {problem}")
    return f"{reference}-{team}-{model}.csv"


def known_before(
    reference: datetime.date, first_week: datetime.date, counts: np.ndarray, nowcast: np.ndarray
) -> np.ndarray:
    """Return the known count of the week before the reference date, shape (locations,).

    nan where it is unknown, or the method took it for a fault: the forecast then starts from another count.

    Parameters
    ----------
    first_week : date
        Week of the first row of `counts`.
    counts : ndarray of float, shape (weeks, locations)
    nowcast : ndarray of float, shape (newest weeks, locations)
        What the method took for the newest weeks.
    """
    row = (hubs.week_before(reference) - first_week) // WEEK
    if not 0 <= row < len(counts):
        return np.full(counts.shape[1], np.nan)
    before, age = counts[row], len(counts) - row
    if age > len(nowcast):
        return before
    is_taken = np.abs(np.log1p(nowcast[-age]) - np.log1p(before)) < _MOST_REVISED  # not for nan
    return np.where(is_taken, before, np.nan)


def median_before(forecast: Quantiles) -> np.ndarray:
    """Return the median of horizon -1, shape (locations,): the best guess of an unknown count."""
    return forecast.values[hubs.HORIZONS.index(-1), :, hubs.MEDIAN]


def before_notes(reference: datetime.date, locations: Sequence[str], before: np.ndarray) -> list[str]:
    """Return a note on the locations whose rate changes are not measured from a known count."""
    named = hubs.hub_names()
    unknown = [
        named.get(each, each) for each, count in zip(locations, before, strict=True) if np.isnan(count)
    ]
    if not unknown:
        return []
    whose = "all locations" if len(unknown) == len(locations) else listed(unknown)
    return [
        f"rate changes of {whose} are measured from the median forecast of {hubs.week_before(reference)}, "
        "the week before the reference date, because its count is not known or is a fault"
    ]


def _rows(
    forecast: Quantiles, locations: Sequence[str], probabilities: np.ndarray | None, hub: hubs.Hub
) -> Iterator[Row]:
    """Yield the rows as text, location by location."""
    reference = str(forecast.reference_date)
    ends = {h: str(end) for h, end in hubs.target_dates(forecast.reference_date).items()}
    values = (forecast.values + 0.0).transpose(1, 0, 2).tolist()  # + 0.0 turns -0.0 into 0.0
    for number, location in enumerate(locations):
        for horizon, quantiles in zip(hubs.HORIZONS, values[number], strict=True):
            head = (reference, hub.target, str(horizon), ends[horizon], location, "quantile")
            for level, value in zip(LEVELS, quantiles, strict=True):
                yield (*head, level, f"{value:.15g}")
        if probabilities is None:
            continue
        for horizon, shares in zip(THRESHOLDS, probabilities[:, number].tolist(), strict=True):
            head = (reference, RATE_CHANGE, str(horizon), ends[horizon], location, "pmf")
            for category, share in zip(CATEGORIES, shares, strict=True):
                yield (*head, category, f"{share:.15g}")
