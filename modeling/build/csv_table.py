"""A CSV file as rows of text with their line numbers; a damaged or ambiguous file is refused.

Whoever reads a table knows what its columns mean: observed.py, changes/.
"""

import csv
import datetime
import gzip
import io
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from modeling.bounds import FIRST_DAY, LAST_DAY
from modeling.failures import UserError, did_you_mean, listed
from modeling.plain_text import excerpt, other_encoding
from modeling.populations import Location

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
DATE = (
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"([T ](?P<time>[0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?) ?(Z|UTC|GMT|[+-][0-9]{2}(:?[0-9]{2})?)?)?"
)
NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?|[+-]?(inf|infinity)"
MOST_BYTES = 2 << 30  # of observed data, which are read at once
MOST_SHOWN = 40  # characters of a field in a message


class NoRows(UserError):
    """A table has no rows for a place."""


class Row(NamedTuple):
    """One record; `line` counts from 1, with blank lines and line breaks inside quotes."""

    line: int
    fields: list[str]


@dataclass(frozen=True, eq=False)
class Table:
    """A CSV file. Every row has as many fields as the header."""

    name: str
    header: list[str]
    rows: list[Row]
    _kept: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def column(self, name: str, where: str) -> int:
        """Return the position of a column.

        Parameters
        ----------
        where : str
            "file:line" of what names the column, for the message.

        Raises
        ------
        UserError
            The table has no such column.
        """
        if name not in self.header:
            named = [shown(column) for column in self.header]
            near = did_you_mean(name, named) or f"; it has {listed(named)}"
            raise UserError(f'{where}: {self.name} has no column "{name}"{near}')
        return self.header.index(name)

    def error(self, row: Row, column: int, problem: object) -> UserError:
        """Return the error of one field, with its file, line and column."""
        return UserError(f'{self.name}:{row.line}: {problem} (column "{shown(self.header[column])}")')

    def parsed(self, column: int, parse: Callable[[str], Any]) -> dict[int, Any]:
        """Return the parsed values of a column by line number; cached.

        Raises
        ------
        UserError
            `parse` raises ValueError for a field.
        """
        if (column, parse) not in self._kept:
            known: dict[str, Any] = {}
            found = {}
            for row in self.rows:
                text = row.fields[column]
                if text not in known:
                    try:
                        known[text] = parse(text)
                    except ValueError as error:
                        raise self.error(row, column, error) from None
                found[row.line] = known[text]
            self._kept[column, parse] = found
        return self._kept[column, parse]

    def grouped(self, column: int) -> dict[str, list[Row]]:
        """Return the rows by the value of a column, in the order of the file; cached."""
        if column not in self._kept:
            groups: dict[str, list[Row]] = defaultdict(list)
            for row in self.rows:
                groups[row.fields[column]].append(row)
            self._kept[column] = groups
        return self._kept[column]

    def row_of_each(
        self, rows: list[Row], days: dict[int, datetime.date], unit: str, of: str, remedy: str
    ) -> dict[datetime.date, Row]:
        """Return the row of each day, in the order of the file.

        Parameters
        ----------
        days : dict of int to date
            By line number, as parsed() returns them.
        unit, of, remedy : str
            For the message: "date", " for US-VT", "; keep one".

        Raises
        ------
        UserError
            A day has two rows.
        """
        found: dict[datetime.date, Row] = {}
        for row in rows:
            first = found.setdefault(days[row.line], row)
            if first is not row:
                raise UserError(
                    f"{self.name}:{row.line}: duplicate {unit} {days[row.line]}{of} "
                    f"(first in line {first.line}){remedy}"
                )
        return found

    def rows_of_place(self, column: int, location: Location, where: str) -> list[Row]:
        """Return the rows of a place under any of its names, in the order of the file.

        Parameters
        ----------
        where : str
            "file:line" of what asks for them, for the message.

        Raises
        ------
        NoRows
            There are none.
        """
        found = self.rows_called(column, location)
        if not found:
            name, known = shown(self.header[column]), sorted(self.grouped(column))
            raise NoRows(
                f"{where}: {self.name} has no rows for {location.iso} in column {name}; "
                f"it has {listed(map(shown, known))}"
            )
        return found

    def rows_called(self, column: int, location: Location) -> list[Row]:
        """Return the rows of a place under any of its names, in the order of the file; it may have none."""
        groups = self.grouped(column)
        found = [row for name, rows in groups.items() if location.is_called(name) for row in rows]
        return sorted(found, key=lambda row: row.line)


def without_line_break(text: str) -> str:
    """Return a field; ValueError if it has a line break, because a stray quote has joined rows."""
    if "\n" in text or "\r" in text:
        raise ValueError(f'a line break inside "{shown(text)}"; remove the stray quote')
    return text


def number_of(text: str) -> float:
    """Return the number of a text, which may be infinite; ValueError for any other text."""
    if not re.fullmatch(NUMBER, text.strip(), re.IGNORECASE | re.ASCII):
        raise ValueError(f'"{shown(text.strip())}" is not a number')
    return float(text)


def date_of(text: str) -> datetime.date:
    """Return the date of "2025-01-04" or "2025-01-04T12:00:00Z"; ValueError for any other text."""
    return date_and_time(text)[0]


def date_and_time(text: str) -> tuple[datetime.date, str]:
    """Return a date and the text of its time, such that both sort; ValueError for any other text."""
    match = re.fullmatch(DATE, text.strip())
    try:
        day = datetime.date.fromisoformat(match["day"])
        if match["time"]:
            datetime.time.fromisoformat(match["time"].replace(",", "."))
    except (TypeError, ValueError):
        raise ValueError(f'"{shown(text)}" is not a date like 2025-01-04') from None
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError(f'"{shown(text)}" is not a date from {FIRST_DAY.year} to {LAST_DAY.year}')
    return day, match["time"] or ""


def shown(text: str) -> str:
    """Return a field for a message: on one line, and not too long."""
    return excerpt(text, MOST_SHOWN)


def find_file(relative: str, roots: list[Path], where: str, hint: str = "", or_folder: bool = False) -> Path:
    """Return a file of the forecasting repository: the first below one of the folders.

    Parameters
    ----------
    where : str
        "file:line" of what names the file, for messages.
    hint : str
        How to get the file, for the message that there is none.
    or_folder : bool
        Whether a folder is as good.

    Raises
    ------
    UserError
        There is no such file.
    """
    for root in roots:
        try:
            path = root / relative
            if path.is_file() or (or_folder and path.is_dir()):
                return path
        except (OSError, ValueError) as error:  # a name too long for a file, or with a NUL
            raise UserError(f"{where}: {shown(relative)}: {getattr(error, 'strerror', error)}") from None
    missing = f"no file{' or folder' if or_folder else ''} {relative}"
    raise UserError(f"{where}: {missing} in {listed(roots)}" + (f"; {hint}" if hint else ""))


def read_table(path: Path, where: str, what: str = "observed data") -> Table:
    """Read a CSV file.

    Parameters
    ----------
    where : str
        "file:line" of what names the file, for messages about the file as a whole.
    what : str
        What the file holds, in the plural, for the same messages.

    Raises
    ------
    UserError
        Not readable, not UTF-8, not separated by commas, without rows, a duplicate column name, a row with
        another number of fields, or a quote that is not closed.
    """
    try:
        stamp = path.stat()
        return _read(path, where, what, stamp.st_mtime_ns, stamp.st_size)
    except OSError as error:
        raise UserError(f"{where}: {what} {path} cannot be read ({error.strerror})") from None


def forget_tables() -> None:
    """Free the memory of the files that were read, where a process goes on to another experiment."""
    _read.cache_clear()


@lru_cache(maxsize=8)  # a file has many populations; a changed file is read again
def _read(path: Path, where: str, what: str, mtime_ns: int, size: int) -> Table:
    found = records(read_text(path, where, what), path.name)
    names = column_names(next(found, None), path, where, what)
    rows = []
    for row in found:
        if len(row.fields) != len(names):
            raise UserError(f"{path.name}:{row.line}: {field_count(row.fields, names)}")
        rows.append(row)
    if not rows:
        raise UserError(f"{where}: {what} {path} have no rows below the header")
    return Table(path.name, names, rows)


def column_names(header: Row | None, path: Path, where: str, what: str) -> list[str]:
    """Return the names in the first row of a file, None if it has none; parameters are as in read_table.

    Raises
    ------
    UserError
        The file is empty, is not separated by commas, or has two columns of one name.
    """
    if header is None:
        raise UserError(f"{where}: {what} {path} are empty; a header and rows are needed")
    names = [name.strip() for name in header.fields]
    for mark, name in SEPARATORS.items():
        if len(names) == 1 and mark in header.fields[0]:
            raise UserError(f"{where}: the columns of {path} are separated by {name}; commas are needed")
    _refuse_duplicates(names, f"{path.name}:{header.line}")
    return names


def read_text(path: Path, where: str, what: str = "observed data") -> str:
    """Return the text of a CSV file; that of .csv.gz is unpacked.

    Raises
    ------
    UserError
        Not readable, damaged, too large, or not UTF-8; parameters are as in read_table.
    """
    try:
        content = _content(path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{where}: {what} {path} are damaged ({error}); fetch or pack them again") from None
    except OSError as error:
        raise UserError(f"{where}: {what} {path} cannot be read ({error.strerror})") from None
    if content is None:
        most = MOST_BYTES >> 30
        raise UserError(f"{where}: {what} {path} are larger than {most} GiB; keep what is needed")
    if encoding := other_encoding(content):
        raise UserError(f"{where}: {what} {path} are {encoding}; save them as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path.name}:{line}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"{path.name}:{line}: a NUL byte; the file is damaged or not text")
    return text


def _content(path: Path) -> bytes | None:
    """Return the content of a file, unpacked; None if it is too large."""
    if path.stat().st_size > MOST_BYTES:
        return None
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    return content if len(content) <= MOST_BYTES else None


def records(text: str, name: str) -> Iterator[Row]:
    """Yield the records that are not blank, with the line on which each begins.

    Raises
    ------
    UserError
        A record has wrong quotes.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(f"{name}:{line}: {_described(error)}") from None
        if any(map(str.strip, fields)):
            yield Row(line, fields)


def _described(error: csv.Error) -> str:
    problem = str(error)
    if "unexpected end of data" in problem:
        return "a quote that opens in this row is not closed"
    if "field limit" in problem:
        return f"a field is longer than {csv.field_size_limit():,} characters; is a closing quote missing?"
    if "expected after" in problem:
        return "text after a closing quote; double a quote that is part of a value"
    return f"not valid CSV ({problem})"


def _refuse_duplicates(names: list[str], where: str) -> None:
    """Refuse duplicate names; several columns may have none, because nothing can refer to them."""
    for position, name in enumerate(names):
        first = names.index(name)
        if name and first < position:
            raise UserError(
                f'{where}: duplicate column "{shown(name)}" (columns {first + 1} and {position + 1}); '
                "rename or remove one"
            )


def field_count(fields: list[str], names: list[str]) -> str:
    """Return what is wrong with a row that has another number of fields than the header."""
    count = f"{len(fields)} field{'' if len(fields) == 1 else 's'} instead of {len(names)}"
    if len(fields) < len(names):
        return f'{count}: column "{shown(names[len(fields)])}" is missing'
    surplus = shown(fields[len(names)])
    return (
        f'{count}: column {len(names) + 1}, "{surplus}", has no name; put quotes around a value with a comma'
    )
