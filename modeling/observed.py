"""Observed data: one CSV column of one population, checked, as dates and values."""

import csv
import datetime
import logging
import math
from functools import cache
from pathlib import Path

import numpy as np

from modeling.failures import UserError, did_you_mean, listed
from modeling.populations import Location
from modeling.vocabulary.modelset import Comparison, FittingWindow
from modeling.workload import Observed

log = logging.getLogger(__name__)


def read_observed(
    path: Path, comparison: Comparison, window: FittingWindow, location: Location, where: str
) -> Observed:
    """Return the observed series of a location.

    Parameters
    ----------
    where : str
        "file:line" of the comparison, for messages.

    Raises
    ------
    UserError
        No file, column, row for the location or row in the window; a date or value that is none,
        a negative value, a date twice.
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
    missing = 0
    for line, row in found:
        day = _date(row[comparison.observed_date_column], f"{path.name}:{line}")
        value = _value(row[comparison.observed_value_column], f"{path.name}:{line}")
        if day in values:
            raise UserError(f"{path.name}:{line}: {day} stands twice for {location.iso}")
        if value is None:
            missing += 1
        else:
            values[day] = value
    days = sorted(values)
    fitted = np.array([window.start_date <= day <= window.end_date for day in days], dtype=bool)
    if not fitted.any():
        span = f"{days[0]} to {days[-1]}" if days else "no values"
        raise UserError(
            f"{where}: {path.name} has nothing for {location.iso} in the fitting window "
            f"{window.start_date} to {window.end_date}; it has {span}"
        )
    if missing:
        log.warning("%s: %d dates of %s have no value and are left out", path.name, missing, location.iso)
    return Observed(
        label=comparison.observed_value_column,
        series=list(comparison.simulation),
        dates=np.array(days, dtype="datetime64[D]"),
        values=np.array([values[day] for day in days]),
        fitted=fitted,
    )


@cache
def _rows(path: Path, where: str) -> list[dict[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{where}: observed data {path} cannot be read ({error})") from None
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
