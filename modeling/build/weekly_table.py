"""Weekly surveillance data as columns: a CSV file of weeks, places and values, and perhaps days of vintages.

A file may have half a million rows, so each different text is parsed once and nothing is kept row by row;
csv_table.py does that, for smaller files.
"""

import csv
import datetime
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from modeling.bounds import LARGEST_NUMBER
from modeling.build.csv_table import (
    column_names,
    date_of,
    field_count,
    number_of,
    read_text,
    records,
    shown,
)
from modeling.build.observed import MISSING
from modeling.failures import UserError, listed
from modeling.hubs import hub_populations
from modeling.weeks import SATURDAY

PLACES = list(hub_populations())  # FIPS codes and US, in the order of the columns
UNKNOWN = -1  # of a place
AS_OF = "; add the day on which each row was known, or put the file in a folder as NAME_2025-01-08.csv"
_COLUMN = {place: column for column, place in enumerate(PLACES)}
_EPOCH = datetime.date(1970, 1, 1).toordinal()


@dataclass(frozen=True, eq=False)
class WeeklyTable:
    """The rows of a file, by column; arrays of shape (rows,).

    Attributes
    ----------
    weeks : ndarray of int
        Saturdays, in days since 1970.
    places : ndarray of int
        Position in PLACES; UNKNOWN for a place that the hubs do not have.
    values : ndarray of float
        nan where a value is missing, or is not a count.
    unusable : dict of int to str
        By row: the text of a value that is not a count.
    as_of : ndarray of int or None
        Days of the vintages, since 1970; None if the column was not asked for.
    unknown_places : list of str
    """

    name: str
    text: str
    weeks: np.ndarray
    places: np.ndarray
    values: np.ndarray
    unusable: dict[int, str]
    as_of: np.ndarray | None
    unknown_places: list[str]

    @cached_property
    def _lines(self) -> list[int]:
        return [row.line for row in records(self.text, self.name)][1:]

    def line(self, row: int) -> int:
        """Return the line of a row in the file, for a message."""
        return self._lines[row]

    def check_values(self, rows: np.ndarray) -> None:
        """Refuse the first value in some rows that is neither missing nor a number from 0 on."""
        used = set(rows.tolist())
        row = next((row for row in self.unusable if row in used), None)
        if row is not None:
            raise UserError(
                f'{self.name}:{self.line(row)}: "{self.unusable[row]}" is not a number from 0 on; leave an '
                "unknown value empty"
            )


def day_of(number: int) -> datetime.date:
    """Return the date of a number of days since 1970."""
    return datetime.date.fromordinal(int(number) + _EPOCH)


def number_of_day(day: datetime.date) -> int:
    """Return the days since 1970."""
    return day.toordinal() - _EPOCH


def read_weekly(
    path: Path,
    where: str,
    what: str,
    *,
    date_columns: tuple[str, ...],
    value_columns: tuple[str, ...],
    has_vintages: bool = False,
    target: str = "",
) -> WeeklyTable:
    """Read a file; other columns are ignored.

    Parameters
    ----------
    where : str
        "file:line" of what names the file, for messages about the file as a whole.
    what : str
        What the file holds, in the plural, for the same messages.
    date_columns, value_columns : tuple of str
        Possible names of a column; the first one that the file has is used.
    has_vintages : bool
        Whether a column as_of is needed.
    target : str
        If the file has a column of that name, rows of other targets are ignored.

    Raises
    ------
    UserError
        Not readable, damaged, empty, without a column, with a row of another length, with a date that is
        none or no Saturday, or with two rows of one week and place (and vintage).
    """
    text = read_text(path, where, what)
    header, columns = _columns(text, path, where, what)
    place = f"{where}: {path.name}"
    days = columns[_position(header, date_columns, place)]
    texts = columns[_position(header, value_columns, place)]
    names = columns[_position(header, ("location",), place)]
    known = {each: _value(each) for each in set(texts)}
    values = np.fromiter(map(known.__getitem__, texts), float, len(texts))
    places = {each: _place(each) for each in set(names)}
    columns_of_places = np.fromiter(map(places.__getitem__, names), int, len(names))
    if target and "target" in header:
        targets = columns[header.index("target")]
        if target not in targets:
            found = listed(sorted({shown(each) for each in targets}))
            raise UserError(f'{place} has no rows of the target "{target}"; it has {found}')
        columns_of_places[np.array(targets) != target] = UNKNOWN
    table = WeeklyTable(
        name=path.name,
        text=text,
        weeks=_parsed(days, _saturday, text, path.name),
        places=columns_of_places,
        values=np.where(np.isinf(values), np.nan, values),
        unusable={int(row): shown(texts[row].strip()) for row in np.flatnonzero(np.isinf(values))},
        as_of=_parsed(columns[_position(header, ("as_of",), place, AS_OF)], date_of, text, path.name)
        if has_vintages
        else None,
        unknown_places=sorted(shown(each) for each, column in places.items() if column == UNKNOWN),
    )
    _refuse_repeated(table)
    return table


def _columns(text: str, path: Path, where: str, what: str) -> tuple[list[str], list[list[str]]]:
    """Return the names of the columns, and the fields of each."""
    header = column_names(next(records(text, path.name), None), path, where, what)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lengths: set[int] = set()

    def rows() -> Iterator[list[str]]:
        for fields in reader:
            if fields and (fields[0] or any(map(str.strip, fields))):  # any() alone takes a third of the time
                lengths.add(len(fields))
                yield fields

    try:
        next(rows())  # the header
        fields = list(chain.from_iterable(rows()))  # one list: rows of their own would take twice the time
    except csv.Error:
        list(records(text, path.name))  # refuses the row, with its line
        raise
    if lengths != {len(header)}:
        wrong = next(row for row in records(text, path.name) if len(row.fields) != len(header))
        raise UserError(f"{path.name}:{wrong.line}: {field_count(wrong.fields, header)}")
    if not fields:
        raise UserError(f"{where}: {what} {path} have no rows below the header")
    return header, [fields[position :: len(header)] for position in range(len(header))]


def _position(header: list[str], names: tuple[str, ...], place: str, hint: str = "") -> int:
    """Return the position of the first column that the file has."""
    found = next((name for name in names if name in header), None)
    if found is None:
        raise UserError(
            f"{place} has no column {' or '.join(names)}; it has {listed(map(shown, header))}{hint}"
        )
    return header.index(found)


def _parsed(column: list[str], parse: Callable[[str], Any], text: str, name: str) -> np.ndarray:
    """Return the days of a column as numbers; UserError with the line of the first that is wrong."""
    known: dict[str, int] = {}
    wrong: dict[str, ValueError] = {}
    for each in set(column):
        try:
            known[each] = number_of_day(parse(each))
        except ValueError as error:
            wrong[each] = error
    if wrong:
        row = next(row for row, each in enumerate(column) if each in wrong)
        line = list(records(text, name))[row + 1].line
        raise UserError(f"{name}:{line}: {wrong[column[row]]}")
    return np.fromiter(map(known.__getitem__, column), int, len(column))


def _saturday(text: str) -> datetime.date:
    day = date_of(text)
    if day.weekday() != SATURDAY:
        raise ValueError(f"{day} is a {day:%A}; a week is named by the Saturday that ends it")
    return day


def _place(text: str) -> int:
    """Return the column of a place; a FIPS code may have lost its leading zero in a spreadsheet."""
    plain = text.strip().upper()
    return _COLUMN.get(plain.zfill(2) if plain.isascii() and plain.isdecimal() else plain, UNKNOWN)


def _value(text: str) -> float:
    """Return a count or another value that is not negative; nan if it is missing, inf if it is none."""
    if text.strip().casefold() in MISSING:
        return np.nan
    try:
        value = number_of(text)
    except ValueError:
        return np.inf
    return value if 0 <= value <= LARGEST_NUMBER else np.inf


def _refuse_repeated(table: WeeklyTable) -> None:
    """Refuse two rows of one week and place, of the same vintage."""
    rows = np.flatnonzero(table.places != UNKNOWN)
    vintages = table.as_of[rows] if table.as_of is not None else np.zeros(len(rows), int)
    order = np.lexsort((table.places[rows], table.weeks[rows], vintages))
    keys = np.stack([vintages, table.weeks[rows], table.places[rows]])[:, order]
    same = np.flatnonzero((keys[:, 1:] == keys[:, :-1]).all(axis=0))
    if len(same):
        first, second = rows[order[same[0]]], rows[order[same[0] + 1]]
        known = f" as of {day_of(table.as_of[first])}" if table.as_of is not None else ""
        raise UserError(
            f"{table.name}:{table.line(second)}: duplicate week {day_of(table.weeks[first])} of location "
            f"{PLACES[table.places[first]]}{known} (first in line {table.line(first)}); keep one"
        )
