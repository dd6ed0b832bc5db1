"""Observed data: one CSV column of one population, checked, as dates and values.

How a CSV file is read is in csv_table.py; which of several vintages counts, in vintages.py.
"""

import datetime
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modeling.calendars import WEEKDAYS
from modeling.csv_table import Row, Table, date_of, one_line, read_table, shown
from modeling.failures import UserError, listed
from modeling.populations import Location
from modeling.spacing import Reporting, spacing_problem
from modeling.vintages import Vintages
from modeling.vocabulary.calibration import Calibration, Comparison, FittingWindow
from modeling.workload import Observed

log = logging.getLogger(__name__)
_DAY = datetime.timedelta(days=1)
MISSING = ("", "na", "n/a", "nan", "null", ".")
NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?|[+-]?(inf|infinity)"
LARGEST_COUNT = 1e15  # exact as a float, and so are sums of its squares far from infinite
NEIGHBOURS = 3  # dates on either side of the fitting window that show the spacing too
FEWEST_DATES = 4  # fewer show little: one missing date makes a week look like two


@dataclass(frozen=True)
class _Columns:
    """Positions in the header."""

    date: int
    value: int
    location: int


def read_observed(
    path: Path,
    calibration: Calibration,
    comparison: Comparison,
    location: Location,
    reporting: Reporting,
    where: str,
) -> Observed:
    """Return the observed series of a location.

    Parameters
    ----------
    reporting : Reporting
        Fitted dates must be among those that the model reports, and as far apart.
    where : str
        "file:line" of the comparison, for messages.

    Raises
    ------
    UserError
        No file, column, row for the location or row in the window; a damaged row, a date that is none or
        twice, several vintages; in the fitting window a value that is no count, a date that is never
        reported, or dates further apart or closer than those reported.
    """
    table, window = read_table(path, where), calibration.fitting_window
    columns = _Columns(
        location=table.column(comparison.observed_location_column, where),
        date=table.column(comparison.observed_date_column, where),
        value=table.column(comparison.observed_value_column, where),
    )
    dates = table.parsed(columns.date, date_of)
    table.parsed(columns.value, one_line)
    rows = _rows_of(location, table, columns.location, where)
    vintages = Vintages(table, dates, [columns.date, columns.value, columns.location], where)
    rows = vintages.chosen(rows, calibration.observed_data_as_of, location.iso)
    of_day = _by_day(rows, dates, table, location)
    values = _values(of_day, columns.value, table, window, location)
    days = sorted(values)
    fitted_days = [day for day in days if window.start_date <= day <= window.end_date]
    if not fitted_days:
        span = f"{days[0]} to {days[-1]}" if days else "no values"
        raise UserError(
            f"{where}: {table.name} has nothing for {location.iso} in the fitting window "
            f"{window.start_date} to {window.end_date}; it has {span}"
        )
    _check_spacing(sorted(of_day), table, columns, window, location, reporting, where)
    for day in fitted_days:
        if not _is_reported(day, reporting.frequency):
            raise UserError(
                f"{table.name}:{of_day[day].line}: {day} ({day:%A}) is not reported with resample_frequency "
                f"{reporting.frequency}, so {where} cannot compare it; make the two agree"
            )
    if gaps := [day for day in _gaps(fitted_days, window, reporting.spacing_days) if day not in of_day]:
        log.warning(
            "%s: the fitting window has no row of %s for %s; the fit goes without",
            table.name,
            location.iso,
            listed(gaps),
        )
    return Observed(
        label=comparison.observed_value_column,
        series=list(comparison.simulation),
        dates=np.array(days, dtype="datetime64[D]"),
        values=np.array([values[day] for day in days]),
        fitted=np.array([window.start_date <= day <= window.end_date for day in days], dtype=bool),
    )


def _rows_of(location: Location, table: Table, column: int, where: str) -> list[Row]:
    """Return the rows of a place, whatever it is called, in the order of the file."""
    table.parsed(column, one_line)
    groups = table.grouped(column)
    found = [row for name, rows in groups.items() if location.is_called(name) for row in rows]
    if not found:
        raise UserError(
            f"{where}: {table.name} has no rows for {location.iso} in column {shown(table.header[column])}; "
            f"it has {listed(shown(name) for name in sorted(groups))}"
        )
    return sorted(found, key=lambda row: row.line)


def _by_day(
    rows: list[Row], dates: dict[int, datetime.date], table: Table, location: Location
) -> dict[datetime.date, Row]:
    found: dict[datetime.date, Row] = {}
    for row in rows:
        day = dates[row.line]
        if day in found:
            raise UserError(
                f"{table.name}:{row.line}: duplicate date {day} for {location.iso} "
                f"(first in line {found[day].line})"
            )
        found[day] = row
    return found


def _values(
    of_day: dict[datetime.date, Row], column: int, table: Table, window: FittingWindow, location: Location
) -> dict[datetime.date, float]:
    """Return the counts by date; outside the fitting window, what is no count is left out."""
    values, missing, odd = {}, 0, []
    for day, row in of_day.items():
        try:
            value = _count(row.fields[column])
        except ValueError as error:
            problem = table.error(row, column, error)
            if window.start_date <= day <= window.end_date:
                raise problem from None
            odd.append(problem)
            continue
        if value is None:
            missing += 1
        else:
            values[day] = value
    if missing:
        log.warning("%s: %d dates of %s have no value and are left out", table.name, missing, location.iso)
    if odd:
        more = f" (and {len(odd) - 1} more)" if len(odd) > 1 else ""
        log.warning("%s%s; outside the fitting window, so it is left out", odd[0], more)
    return values


def _check_spacing(
    days: list[datetime.date],
    table: Table,
    columns: _Columns,
    window: FittingWindow,
    location: Location,
    reporting: Reporting,
    where: str,
) -> None:
    """Refuse dates that are further apart or closer than those that the model reports."""
    inside = [i for i, day in enumerate(days) if window.start_date <= day <= window.end_date]
    near = days[max(0, inside[0] - NEIGHBOURS) : inside[-1] + NEIGHBOURS + 1]
    known, subject = [near], f"the dates of {location.iso} in"
    if len(near) < FEWEST_DATES:
        known += _dates_elsewhere(table, columns, location)
        subject = "the dates in"
    if problem := spacing_problem(known, reporting):
        raise UserError(f"{where}: {subject} {table.name} are {problem}")
    if all(len(days) == 1 for days in known):
        log.warning(
            "%s: a single date for %s does not show whether it is a day or a week; the model reports %s",
            table.name,
            location.iso,
            reporting,
        )


def _dates_elsewhere(table: Table, columns: _Columns, location: Location) -> list[list[datetime.date]]:
    """Return the sorted dates of each other place in the file."""
    dates = table.parsed(columns.date, date_of)
    return [
        sorted({dates[row.line] for row in rows})
        for name, rows in table.grouped(columns.location).items()
        if not location.is_called(name)
    ]


def _is_reported(day: datetime.date, frequency: str | None) -> bool:
    """Tell whether a simulation can report a day, which would silently count as nothing otherwise."""
    if frequency == "MS":
        return day.day == 1
    if frequency == "ME":
        return (day + _DAY).day == 1
    if (frequency or "").startswith("W"):
        return WEEKDAYS[day.weekday()] == (frequency.removeprefix("W").removeprefix("-") or "SUN")
    return True


def _gaps(days: list[datetime.date], window: FittingWindow, spacing_days: int | None) -> list[datetime.date]:
    """Return the days that a daily or weekly series has no row of, inside the window and at its ends."""
    if spacing_days not in (1, 7):
        return []
    step = spacing_days * _DAY
    back, ahead = (days[0] - window.start_date) // step, (window.end_date - days[0]) // step
    regular = [days[0] + number * step for number in range(-back, ahead + 1)]
    return [day for day in regular if day not in days]


def _count(text: str) -> float | None:
    """Return a count, None where it is missing; ValueError where it is neither."""
    text = text.strip()
    if text.lower() in MISSING:
        return None
    if not re.fullmatch(NUMBER, text, re.IGNORECASE | re.ASCII):
        raise ValueError(f'"{shown(text)}" is not a number')
    value = float(text)
    if not 0 <= value <= LARGEST_COUNT:
        raise ValueError(f"{shown(text)} is not a count; it must be from 0 to {LARGEST_COUNT:g}")
    return value
