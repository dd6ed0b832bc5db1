"""Observed data: one CSV column of one population, checked, as dates and values."""

import csv
import datetime
import logging
import math
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from modeling.calendars import WEEKDAYS
from modeling.failures import UserError, did_you_mean, listed
from modeling.populations import Location
from modeling.vocabulary.calibration import Comparison, FittingWindow
from modeling.workload import Observed

log = logging.getLogger(__name__)
_DAY = datetime.timedelta(days=1)


def read_observed(
    path: Path,
    comparison: Comparison,
    window: FittingWindow,
    location: Location,
    frequency: str | None,
    where: str,
) -> Observed:
    """Return the observed series of a location.

    Parameters
    ----------
    frequency : str or None
        resample_frequency: fitted dates must be among those that it reports.
    where : str
        "file:line" of the comparison, for messages.

    Raises
    ------
    UserError
        No file, column, row for the location or row in the window; a date or value that is none,
        a negative value, a date twice, or one that is never reported.
    """
    rows = _rows(path, where)
    columns = [comparison.observed_date_column, comparison.observed_value_column]
    if comparison.observed_location_column in rows[0]:
        column = comparison.observed_location_column
        found = [(line, row) for line, row in enumerate(rows, 2) if location.is_called(row[column] or "")]
        if not found:
            names = sorted({row[column] or "" for row in rows})
            raise UserError(
                f"{where}: {path.name} has no rows for {location.iso} in column {column}; "
                f"it has {listed(names)}"
            )
    else:
        columns.append(comparison.observed_location_column)
        found = list(enumerate(rows, 2))
    for column in columns:
        if column not in rows[0]:
            near = did_you_mean(column, rows[0]) or f"; it has {listed(rows[0])}"
            raise UserError(f'{where}: {path.name} has no column "{column}"{near}')
    values: dict[datetime.date, float] = {}
    lines: dict[datetime.date, int] = {}
    for line, row in found:
        day = _date(row[comparison.observed_date_column], f"{path.name}:{line}")
        value = _value(row[comparison.observed_value_column], f"{path.name}:{line}")
        if day in lines:
            raise UserError(f"{path.name}:{line}: {day} stands twice for {location.iso}")
        lines[day] = line
        if value is not None:
            values[day] = value
    days = sorted(values)
    fitted = np.array([window.start_date <= day <= window.end_date for day in days], dtype=bool)
    if not fitted.any():
        span = f"{days[0]} to {days[-1]}" if days else "no values"
        raise UserError(
            f"{where}: {path.name} has nothing for {location.iso} in the fitting window "
            f"{window.start_date} to {window.end_date}; it has {span}"
        )
    fitted_days = [day for day in days if window.start_date <= day <= window.end_date]
    for day in fitted_days:
        if not _is_reported(day, frequency):
            raise UserError(
                f"{path.name}:{lines[day]}: {day} ({day:%A}) is not reported with resample_frequency "
                f"{frequency}, so {where} cannot compare it; make the two agree"
            )
    if missing := len(lines) - len(values):
        log.warning("%s: %d dates of %s have no value and are left out", path.name, missing, location.iso)
    if gaps := [day for day in _gaps(fitted_days, window) if day not in lines]:
        log.warning(
            "%s: the fitting window has no row of %s for %s; the fit goes without",
            path.name,
            location.iso,
            listed(gaps),
        )
    return Observed(
        label=comparison.observed_value_column,
        series=list(comparison.simulation),
        dates=np.array(days, dtype="datetime64[D]"),
        values=np.array([values[day] for day in days]),
        fitted=fitted,
    )


def _is_reported(day: datetime.date, frequency: str | None) -> bool:
    """Tell whether a simulation can report a day, which would silently count as nothing otherwise."""
    if frequency == "MS":
        return day.day == 1
    if frequency == "ME":
        return (day + _DAY).day == 1
    if (frequency or "").startswith("W"):
        return WEEKDAYS[day.weekday()] == (frequency.removeprefix("W").removeprefix("-") or "SUN")
    return True


def _gaps(days: list[datetime.date], window: FittingWindow) -> list[datetime.date]:
    """Return the days that a daily or weekly series lacks inside the window, at its ends too."""
    steps = [later - earlier for earlier, later in pairwise(days)]
    step = max(set(steps), key=steps.count, default=None)
    if step not in (_DAY, 7 * _DAY) or steps.count(step) * 2 < len(steps):
        return []
    back, ahead = (days[0] - window.start_date) // step, (window.end_date - days[0]) // step
    regular = [days[0] + number * step for number in range(-back, ahead + 1)]
    return [day for day in regular if day not in days]


@cache
def _rows(path: Path, where: str) -> list[dict[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header, rows = reader.fieldnames or [""], list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{where}: observed data {path} cannot be read ({error})") from None
    for mark, name in {";": "semicolons", "\t": "tabs"}.items():
        if len(header) == 1 and mark in header[0]:
            raise UserError(f"{where}: the columns of {path} are separated by {name}; commas are needed")
    if not rows:
        raise UserError(f"{where}: observed data {path} have no rows")
    return rows


def _date(text: str | None, where: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat((text or "").strip()[:10])
    except ValueError:
        raise UserError(f'{where}: "{text}" is not a date like 2025-01-04') from None


def _value(text: str | None, where: str) -> float | None:
    text = (text or "").strip()
    if text.lower() in ("", "na", "nan"):
        return None
    try:
        value = float(text)
    except ValueError:
        raise UserError(f'{where}: "{text}" is not a number') from None
    if not math.isfinite(value) or value < 0:
        raise UserError(f"{where}: {text} is not a count; it must be finite and not negative")
    return value
