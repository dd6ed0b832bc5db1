"""Table files: gzipped CSV and, if asked for, Parquet. Rows are appended, not kept in memory."""

import csv
import gzip
import io
from pathlib import Path

import numpy as np

from modeling.failures import UserError, listed

Columns = dict[str, np.ndarray]
ROW_GROUP = 100_000  # rows of a Parquet row group, at least


def open_table(path: Path, columns: list[str], formats: list[str]) -> "Table":
    """Open a table for writing.

    Parameters
    ----------
    path : Path
        Without suffix; each format adds its own.
    columns : list of str
    formats : list of str
        "csv", "parquet" or both.
    """
    writers = [
        {"csv": _CsvWriter, "parquet": _ParquetWriter}[f](path, columns) for f in dict.fromkeys(formats)
    ]
    return Table(path.name, columns, writers)


class Table:
    """One table in one or more formats."""

    def __init__(self, name: str, columns: list[str], writers: list):
        self.name, self.columns, self._writers = name, columns, writers

    def write(self, columns: Columns) -> None:
        """Append rows.

        Parameters
        ----------
        columns : dict of str to ndarray, shape (rows,)

        Raises
        ------
        UserError
            The columns are not those of the table.
        """
        if list(columns) != self.columns:
            other = sorted(set(columns) ^ set(self.columns)) or columns
            raise UserError(
                f"table {self.name}: a result has other columns than those before it "
                f"({listed(other)}); make all results again with --force"
            )
        for writer in self._writers:
            writer.write(columns)

    def close(self) -> list[Path]:
        """Close the files and return them."""
        return [writer.close() for writer in self._writers]


class _CsvWriter:
    def __init__(self, path: Path, columns: list[str]):
        self.path = path.with_name(path.name + ".csv.gz")
        self._file = open(self.path, "wb")  # noqa: SIM115 - closed in close()
        # no name and no time in the header, so that the same run gives the same bytes
        self._gzip = gzip.GzipFile(filename="", mode="wb", fileobj=self._file, mtime=0, compresslevel=6)
        self._text = io.TextIOWrapper(self._gzip, encoding="utf-8", newline="", write_through=False)
        self._rows = csv.writer(self._text, lineterminator="\n")
        self._rows.writerow(columns)

    def write(self, columns: Columns) -> None:
        self._rows.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))

    def close(self) -> Path:
        self._text.close()
        self._file.close()
        return self.path


class _ParquetWriter:
    """Gathers rows into row groups, because each group takes memory until the file is closed."""

    def __init__(self, path: Path, columns: list[str]):
        self.path = path.with_name(path.name + ".parquet")
        self._writer = None
        self._waiting: list = []
        self._rows = 0

    def write(self, columns: Columns) -> None:
        import pyarrow

        table = pyarrow.table({name: pyarrow.array(column.tolist()) for name, column in columns.items()})
        self._waiting.append(table)
        self._rows += table.num_rows
        if self._rows >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow
        import pyarrow.parquet

        schema = self._writer.schema if self._writer else self._waiting[0].schema
        table = pyarrow.concat_tables(part.cast(schema) for part in self._waiting)
        if self._writer is None:
            self._writer = pyarrow.parquet.ParquetWriter(self.path, schema, compression="zstd")
        self._writer.write_table(table)
        self._waiting, self._rows = [], 0

    def close(self) -> Path:
        if self._waiting:
            self._flush()
        self._writer.close()
        return self.path
