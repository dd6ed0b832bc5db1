"""Two tables compared number by number: on other packages or another CPU the last digits may differ."""

import csv
import gzip
import importlib.util
import itertools
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ops.shown import one_line

MOST_SHOWN = 200  # characters of a value or an error
TOLERANCE = 1e-9  # relative


@dataclass(frozen=True)
class Difference:
    """Where a table is another one, beyond its last digits."""

    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.name} ({self.what})"


def compare_table(name: str, first: Path, second: Path) -> Difference | None:
    """Return the first place where a table differs by more than TOLERANCE; None where none does."""
    if name.endswith(".parquet") and importlib.util.find_spec("pyarrow") is None:
        return Difference(name, "Parquet, which needs pyarrow to be compared number by number")
    try:
        return _first_difference(name, first, second)
    except (OSError, EOFError, zlib.error, ValueError, csv.Error) as error:
        return Difference(name, f"cannot be read: {one_line(error, MOST_SHOWN)}")


def _first_difference(name: str, first: Path, second: Path) -> Difference | None:
    pairs = itertools.zip_longest(_rows(first), _rows(second))
    for number, (row, other) in enumerate(pairs):
        if row is None or other is None or len(row) != len(other):
            return Difference(name, f"not as many rows or columns, from row {number} on")
        for column, (value, its) in enumerate(zip(row, other, strict=True)):
            if not _same(value, its):
                return Difference(
                    name, f"row {number}, column {column + 1}: {_shown(value)} and {_shown(its)}"
                )
    return None


def is_table(name: str) -> bool:
    return name.endswith((".csv.gz", ".parquet"))


def _rows(path: Path) -> Iterator[list]:
    """Yield the rows of a table, the names of its columns first."""
    if path.name.endswith(".parquet"):
        import pyarrow.parquet

        table = pyarrow.parquet.ParquetFile(path)
        yield table.schema_arrow.names
        for batch in table.iter_batches():
            yield from (list(row.values()) for row in batch.to_pylist())
        return
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.reader(file)


def _shown(value: object) -> str:
    return one_line(value, MOST_SHOWN)


def _same(value: object, other: object) -> bool:
    if value == other:
        return True
    try:
        numbers = float(value), float(other)
    except (TypeError, ValueError):
        return False
    if any(map(math.isnan, numbers)):
        return all(map(math.isnan, numbers))
    return math.isclose(*numbers, rel_tol=TOLERANCE)
