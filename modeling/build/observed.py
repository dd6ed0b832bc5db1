"""Observed data: one CSV column of one population, checked, as dates and values.

csv_table.py reads the file, vintages.py chooses among vintages, spacing.py compares dates with the model.
"""

import datetime
import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from modeling.bounds import LARGEST_NUMBER
from modeling.build.csv_table import Row, Table, date_of, number_of, read_table, shown, without_line_break
from modeling.build.spacing import Reporting, frequency_of, spacing_problem, sparse_values
from modeling.build.vintages import Vintages
from modeling.calendars import WEEKDAYS
from modeling.failures import UserError, listed
from modeling.populations import Location
from modeling.vocabulary.calibration import Comparison, FittingWindow
from modeling.workload import Observed

log = logging.getLogger(__name__)
_DAY = datetime.timedelta(days=1)
MISSING = ("", "na", "n/a", "nan", "null", ".")
NEIGHBOURS = 3  # dates on either side of a short fitting window that also show the spacing
FEWEST_DATES = 4  # with fewer, one missing date would make a week look like two


@dataclass(frozen=True)
class SeriesRequest:
    """Which series to read, and what it must fit.

    Attributes
    ----------
    as_of : date or None
        Day on which the values were known; None for a file without vintages.
    reporting : Reporting
        Fitted dates must be among those that the model reports, and as far apart.
    where : str
        "file:line" of the comparison, for messages.
    where_data : str
        "file:line" of the calibration's observed_data_path, beside which a vintage is chosen.
    """

    path: Path
    comparison: Comparison
    window: FittingWindow
    as_of: datetime.date | None
    location: Location
    reporting: Reporting
    where: str
    where_data: str

    def is_fitted(self, day: datetime.date) -> bool:
        return self.window.start_date <= day <= self.window.end_date


@dataclass(frozen=True)
class _Source:
    """The table of a request, with the positions of its columns and the date of each line."""

    request: SeriesRequest
    table: Table
    date_column: int
    value_column: int
    location_column: int
    dates: dict[int, datetime.date]

    @property
    def iso(self) -> str:
        return self.request.location.iso


@dataclass(frozen=True)
class _Values:
    """Counts by date, and what was left out: dates without a value, and problems of other dates."""

    counts: dict[datetime.date, float]
    num_missing: int
    problems: list[UserError]


def read_observed(request: SeriesRequest) -> Observed:
    """Return the observed series of a location.

    Raises
    ------
    UserError
        No file, column, row for the location (NoRows) or row in the window; a damaged row, an invalid or
        duplicate date; in the fitting window a value that is not a count, a date that the model does
        not report, or dates of another spacing than the reported ones.
    """
    source = _source(request)
    rows = _rows_by_day(source)
    values = _values(source, rows)
    _warn_of_left_out(source, values)
    fitted = _fitted_days(source, values.counts)
    _check_spacing(source, sorted(rows))
    _check_reported(source, fitted, rows)
    _warn_of_gaps(source, fitted, rows)
    _warn_of_sparse_values(source, fitted)
    if not any(values.counts[day] for day in fitted):
        log.warning("%s: all %d fitted values of %s are 0", source.table.name, len(fitted), source.iso)
    return _observed(request, values.counts)


def read_counts(request: SeriesRequest) -> Observed:
    """Return every count of a location; nothing is fitted to them, but the window needs one.

    A file without vintages is read whole, whatever `as_of` says.

    Raises
    ------
    UserError
        As read_observed, but the dates need not be among the reported ones.
    """
    source = _source(request)
    if not _vintages(source).columns:
        source = replace(source, request=replace(request, as_of=None))
    rows = _rows_by_day(source)
    values = _values(source, rows)
    _fitted_days(source, values.counts, f"in the week to {request.window.start_date}")
    _check_spacing(source, sorted(rows))
    return _observed(request, values.counts)


def _source(request: SeriesRequest) -> _Source:
    """Find the columns; refuse invalid dates and stray quotes in any row."""
    table = read_table(request.path, request.where)
    location_column = table.column(request.comparison.observed_location_column, request.where)
    date_column = table.column(request.comparison.observed_date_column, request.where)
    value_column = table.column(request.comparison.observed_value_column, request.where)
    dates = table.parsed(date_column, date_of)
    table.parsed(value_column, without_line_break)
    table.parsed(location_column, without_line_break)
    return _Source(request, table, date_column, value_column, location_column, dates)


def _observed(request: SeriesRequest, counts: dict[datetime.date, float]) -> Observed:
    days = sorted(counts)
    return Observed(
        label=request.comparison.observed_value_column,
        series=list(request.comparison.simulation),
        dates=np.array(days, dtype="datetime64[D]"),
        values=np.array([counts[day] for day in days]),
        fitted=np.array([request.is_fitted(day) for day in days], dtype=bool),
    )


def _fitted_days(
    source: _Source, counts: dict[datetime.date, float], window: str = ""
) -> list[datetime.date]:
    """Return the dates with a value in the window, in order; refuse a window without one.

    `window` says in words which one it is, if not the fitting window.
    """
    days, fitting = sorted(counts), source.request.window
    window = window or f"in the fitting window {fitting.start_date} to {fitting.end_date}"
    fitted = [day for day in days if source.request.is_fitted(day)]
    if not fitted:
        span = f"{days[0]} to {days[-1]}" if days else "no values"
        raise UserError(
            f"{source.request.where}: {source.table.name} has nothing for {source.iso} {window}; "
            f"it has {span}"
        )
    return fitted


def _vintages(source: _Source) -> Vintages:
    used = [source.date_column, source.value_column, source.location_column]
    return Vintages(source.table, source.dates, used, source.request.where, source.request.where_data)


def _rows_by_day(source: _Source) -> dict[datetime.date, Row]:
    """Return the row of each date; of a file of vintages, as known on the requested day."""
    vintages = _vintages(source)
    place = source.table.rows_of_place(source.location_column, source.request.location, source.request.where)
    rows = vintages.chosen(place, source.request.as_of, source.iso)
    return source.table.row_of_each(rows, source.dates, "date", f" for {source.iso}", vintages.hint)


def _values(source: _Source, rows: dict[datetime.date, Row]) -> _Values:
    """Return the counts by date; refuse a value in the fitting window that is not a count."""
    counts, num_missing, problems = {}, 0, []
    for day, row in rows.items():
        text = row.fields[source.value_column]
        try:
            value = _count(text)
        except ValueError as error:
            problem = source.table.error(row, source.value_column, error)
            if source.request.is_fitted(day):
                raise UserError(f"{problem}; {_advice(text)}") from None
            problems.append(problem)
            continue
        if value is None:
            num_missing += 1
        else:
            counts[day] = value
    return _Values(counts, num_missing, problems)


def _warn_of_left_out(source: _Source, values: _Values) -> None:
    name, problems = source.table.name, values.problems
    if values.num_missing:
        log.warning("%s: %d dates of %s have no value and are left out", name, values.num_missing, source.iso)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        log.warning("%s%s; outside the fitting window, so it is left out", problems[0], more)


def _check_reported(source: _Source, fitted: list[datetime.date], rows: dict[datetime.date, Row]) -> None:
    """Refuse fitted dates that the model does not report."""
    reporting = source.request.reporting
    for day in fitted:
        if not _is_reported(day, reporting.frequency):
            raise UserError(
                f"{source.table.name}:{rows[day].line}: {day} ({day:%A}) is not reported with "
                f"resample_frequency {reporting.frequency}, so {source.request.where} cannot compare it; "
                f"{_how_to_agree(fitted, reporting)}"
            )


def _check_spacing(source: _Source, days: list[datetime.date]) -> None:
    """Refuse dates of another spacing than those that the model reports; warn of a single date."""
    near = _days_near_window(source, days)
    known, subject = [near], f"the dates of {source.iso} in"
    if len(near) < FEWEST_DATES:
        known += _dates_elsewhere(source)
        subject = "the dates in"
    if problem := spacing_problem(known, source.request.reporting):
        raise UserError(f"{source.request.where}: {subject} {source.table.name} are {problem}")
    if all(len(days) == 1 for days in known):
        log.warning(
            "%s: a single date for %s does not show whether it is a day or a week; the model reports %s",
            source.table.name,
            source.iso,
            source.request.reporting,
        )


def _days_near_window(source: _Source, days: list[datetime.date]) -> list[datetime.date]:
    """Return the dates in the fitting window; with few of them, also their neighbours."""
    inside = [i for i, day in enumerate(days) if source.request.is_fitted(day)]
    near = days[inside[0] : inside[-1] + 1]
    if len(near) < FEWEST_DATES:
        near = days[max(0, inside[0] - NEIGHBOURS) : inside[-1] + NEIGHBOURS + 1]
    return near


def _dates_elsewhere(source: _Source) -> list[list[datetime.date]]:
    """Return the sorted dates of each other place in the file."""
    return [
        sorted({source.dates[row.line] for row in rows})
        for name, rows in source.table.grouped(source.location_column).items()
        if not source.request.location.is_called(name)
    ]


def _warn_of_gaps(source: _Source, fitted: list[datetime.date], rows: dict[datetime.date, Row]) -> None:
    gaps = _gaps(fitted, source.request.window, source.request.reporting.spacing_days)
    if without_row := [day for day in gaps if day not in rows]:
        log.warning(
            "%s: the fitting window has no row of %s for %s; these dates are not fitted",
            source.table.name,
            source.iso,
            listed(without_row),
        )


def _warn_of_sparse_values(source: _Source, fitted: list[datetime.date]) -> None:
    """Warn of what may be weekly totals in a column of a daily file, whose other days are empty."""
    reporting = source.request.reporting
    if days := sparse_values(fitted, reporting):
        log.warning(
            "%s: the values of %s (column %s) are %d days apart, with empty ones between, and are fitted as "
            "counts of %s; if each is a total of %d days, change simulation.resample_frequency (%s)",
            source.table.name,
            source.iso,
            shown(source.table.header[source.value_column]),
            days,
            reporting.interval,
            days,
            reporting.where,
        )


def _is_reported(day: datetime.date, frequency: str | None) -> bool:
    """Return whether a simulation can report a day; otherwise it would silently count as nothing."""
    if frequency == "MS":
        return day.day == 1
    if frequency == "ME":
        return (day + _DAY).day == 1
    if (frequency or "").startswith("W"):
        return WEEKDAYS[day.weekday()] == (frequency.removeprefix("W").removeprefix("-") or "SUN")
    return True


def _how_to_agree(days: list[datetime.date], reporting: Reporting) -> str:
    """Return how to have all days reported: with another setting if they share a weekday, or other dates."""
    weekdays = {WEEKDAYS[day.weekday()] for day in days}
    if (reporting.frequency or "").startswith("W") and len(weekdays) == 1:
        return f"set simulation.resample_frequency ({reporting.where}) to {frequency_of(7, days)}"
    return "correct the date"


def _gaps(days: list[datetime.date], window: FittingWindow, spacing_days: int | None) -> list[datetime.date]:
    """Return the days without a value of a daily or weekly series, inside the window and at its ends."""
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
    value = number_of(text)
    if not 0 <= value <= LARGEST_NUMBER:
        raise ValueError(f"{shown(text)} is not a count; it must be from 0 to {LARGEST_NUMBER:g}")
    return value
