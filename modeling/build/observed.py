"""Observed data: one CSV column of one population, checked, as dates and values.

csv_table.py reads the file, vintages.py chooses among vintages.
"""

import datetime
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modeling.bounds import LARGEST_NUMBER
from modeling.build.csv_table import Row, Table, date_of, read_table, shown, without_line_break
from modeling.build.spacing import Reporting, spacing_problem, sparse_values
from modeling.build.vintages import Vintages
from modeling.calendars import WEEKDAYS
from modeling.failures import UserError, listed
from modeling.populations import Location
from modeling.vocabulary.calibration import Calibration, Comparison, FittingWindow
from modeling.workload import Observed

log = logging.getLogger(__name__)
_DAY = datetime.timedelta(days=1)
MISSING = ("", "na", "n/a", "nan", "null", ".")
NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?|[+-]?(inf|infinity)"
NEIGHBOURS = 3  # dates on either side of a short fitting window that also show the spacing
FEWEST_DATES = 4  # with fewer, one missing date would make a week look like two


@dataclass(frozen=True)
class _Source:
    """A table with the columns, location and window to read, and the date of each line."""

    table: Table
    date_column: int
    value_column: int
    location_column: int
    dates: dict[int, datetime.date]
    location: Location
    window: FittingWindow
    where: str

    def is_fitted(self, day: datetime.date) -> bool:
        return self.window.start_date <= day <= self.window.end_date


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
        No file, column, row for the location or row in the window; a damaged row, an invalid or duplicate
        date, several vintages; in the fitting window a value that is not a count, a date that the model does
        not report, or dates of another spacing than the reported ones.
    """
    source = _source(read_table(path, where), calibration, comparison, location, where)
    of_day = _by_day(source, calibration.observed_data_as_of)
    values = _values(source, of_day)
    days = sorted(values)
    fitted_days = [day for day in days if source.is_fitted(day)]
    if not fitted_days:
        span = f"{days[0]} to {days[-1]}" if days else "no values"
        raise UserError(
            f"{where}: {path.name} has nothing for {location.iso} in the fitting window "
            f"{source.window.start_date} to {source.window.end_date}; it has {span}"
        )
    _check_spacing(source, sorted(of_day), reporting)
    for day in fitted_days:
        if not _is_reported(day, reporting.frequency):
            raise UserError(
                f"{path.name}:{of_day[day].line}: {day} ({day:%A}) is not reported with resample_frequency "
                f"{reporting.frequency}, so {where} cannot compare it; {_agreed(fitted_days, reporting)}"
            )
    _warn_of_gaps(source, fitted_days, of_day, reporting)
    _warn_of_sparse_values(source, fitted_days, reporting)
    if not any(values[day] for day in fitted_days):
        log.warning("%s: all %d fitted values of %s are 0", path.name, len(fitted_days), location.iso)
    return Observed(
        label=comparison.observed_value_column,
        series=list(comparison.simulation),
        dates=np.array(days, dtype="datetime64[D]"),
        values=np.array([values[day] for day in days]),
        fitted=np.array([source.is_fitted(day) for day in days], dtype=bool),
    )


def _source(
    table: Table, calibration: Calibration, comparison: Comparison, location: Location, where: str
) -> _Source:
    """Find the columns; refuse invalid dates and stray quotes in any row."""
    location_column = table.column(comparison.observed_location_column, where)
    date_column = table.column(comparison.observed_date_column, where)
    value_column = table.column(comparison.observed_value_column, where)
    dates = table.parsed(date_column, date_of)
    table.parsed(value_column, without_line_break)
    table.parsed(location_column, without_line_break)
    window = calibration.fitting_window
    return _Source(table, date_column, value_column, location_column, dates, location, window, where)


def _by_day(source: _Source, as_of: datetime.date | None) -> dict[datetime.date, Row]:
    """Return the row of each date; of a file of vintages, as known on the day `as_of`."""
    used = [source.date_column, source.value_column, source.location_column]
    vintages = Vintages(source.table, source.dates, used, source.where)
    found: dict[datetime.date, Row] = {}
    for row in vintages.chosen(_rows_of_place(source), as_of, source.location.iso):
        day = source.dates[row.line]
        if day in found:
            raise UserError(
                f"{source.table.name}:{row.line}: duplicate date {day} for {source.location.iso} "
                f"(first in line {found[day].line}){vintages.hint}"
            )
        found[day] = row
    return found


def _rows_of_place(source: _Source) -> list[Row]:
    """Return the rows of the place, whatever it is called, in the order of the file."""
    table, location = source.table, source.location
    groups = table.grouped(source.location_column)
    found = [row for name, rows in groups.items() if location.is_called(name) for row in rows]
    if not found:
        column = shown(table.header[source.location_column])
        raise UserError(
            f"{source.where}: {table.name} has no rows for {location.iso} in column {column}; "
            f"it has {listed(shown(name) for name in sorted(groups))}"
        )
    return sorted(found, key=lambda row: row.line)


def _values(source: _Source, of_day: dict[datetime.date, Row]) -> dict[datetime.date, float]:
    """Return the counts by date; outside the fitting window, values that are not counts are left out."""
    values, missing, odd = {}, 0, []
    name, iso = source.table.name, source.location.iso
    for day, row in of_day.items():
        try:
            value = _count(row.fields[source.value_column])
        except ValueError as error:
            problem = source.table.error(row, source.value_column, error)
            if source.is_fitted(day):
                raise UserError(f"{problem}; {_advice(row.fields[source.value_column])}") from None
            odd.append(problem)
            continue
        if value is None:
            missing += 1
        else:
            values[day] = value
    if missing:
        log.warning("%s: %d dates of %s have no value and are left out", name, missing, iso)
    if odd:
        more = f" (and {len(odd) - 1} more)" if len(odd) > 1 else ""
        log.warning("%s%s; outside the fitting window, so it is left out", odd[0], more)
    return values


def _check_spacing(source: _Source, days: list[datetime.date], reporting: Reporting) -> None:
    """Refuse dates of another spacing than those that the model reports."""
    inside = [i for i, day in enumerate(days) if source.is_fitted(day)]
    near = days[inside[0] : inside[-1] + 1]
    if len(near) < FEWEST_DATES:
        near = days[max(0, inside[0] - NEIGHBOURS) : inside[-1] + NEIGHBOURS + 1]
    known, subject = [near], f"the dates of {source.location.iso} in"
    if len(near) < FEWEST_DATES:
        known += _dates_elsewhere(source)
        subject = "the dates in"
    if problem := spacing_problem(known, reporting):
        raise UserError(f"{source.where}: {subject} {source.table.name} are {problem}")
    if all(len(days) == 1 for days in known):
        log.warning(
            "%s: a single date for %s does not show whether it is a day or a week; the model reports %s",
            source.table.name,
            source.location.iso,
            reporting,
        )


def _dates_elsewhere(source: _Source) -> list[list[datetime.date]]:
    """Return the sorted dates of each other place in the file."""
    return [
        sorted({source.dates[row.line] for row in rows})
        for name, rows in source.table.grouped(source.location_column).items()
        if not source.location.is_called(name)
    ]


def _warn_of_gaps(
    source: _Source, fitted_days: list[datetime.date], of_day: dict, reporting: Reporting
) -> None:
    gaps = [day for day in _gaps(fitted_days, source.window, reporting.spacing_days) if day not in of_day]
    if gaps:
        log.warning(
            "%s: the fitting window has no row of %s for %s; the fit goes without",
            source.table.name,
            source.location.iso,
            listed(gaps),
        )


def _warn_of_sparse_values(source: _Source, fitted_days: list[datetime.date], reporting: Reporting) -> None:
    """Doubt weekly totals in a column of a daily file, whose other days are empty."""
    if days := sparse_values(fitted_days, reporting):
        log.warning(
            "%s: the values of %s (column %s) are %d days apart, with empty ones between, and are fitted as "
            "counts of %s; if each is a total of %d days, change simulation.resample_frequency (%s)",
            source.table.name,
            source.location.iso,
            shown(source.table.header[source.value_column]),
            days,
            reporting.interval,
            days,
            reporting.where,
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


def _agreed(days: list[datetime.date], reporting: Reporting) -> str:
    """Return how to have all days reported: another setting, where they have one weekday, or other dates."""
    weekdays = {WEEKDAYS[day.weekday()] for day in days}
    if (reporting.frequency or "").startswith("W") and len(weekdays) == 1:
        return f"set simulation.resample_frequency ({reporting.where}) to W-{weekdays.pop()}"
    return "correct the date"


def _gaps(days: list[datetime.date], window: FittingWindow, spacing_days: int | None) -> list[datetime.date]:
    """Return the days that a daily or weekly series has no row of, inside the window and at its ends."""
    if spacing_days not in (1, 7):
        return []
    step = spacing_days * _DAY
    back, ahead = (days[0] - window.start_date) // step, (window.end_date - days[0]) // step
    regular = [days[0] + number * step for number in range(-back, ahead + 1)]
    return [day for day in regular if day not in days]


def _advice(text: str) -> str:
    """Return what to write in place of a value that is no count."""
    if re.fullmatch(r"[0-9]{1,3}([ ,'_][0-9]{3})+(\.[0-9]*)?", text.strip()):
        return "write it without separators"
    return "leave the field empty where the count is missing or suppressed"


def _count(text: str) -> float | None:
    """Return a count; None for a missing value, ValueError for any other text."""
    text = text.strip()
    if text.lower() in MISSING:
        return None
    if not re.fullmatch(NUMBER, text, re.IGNORECASE | re.ASCII):
        raise ValueError(f'"{shown(text)}" is not a number')
    value = float(text)
    if not 0 <= value <= LARGEST_NUMBER:
        raise ValueError(f"{shown(text)} is not a count; it must be from 0 to {LARGEST_NUMBER:g}")
    return value
