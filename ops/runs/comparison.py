"""Compare two runs: equal byte for byte, equal in their numbers, or different, with possible causes.

With other packages or another CPU the last digits of a number may differ.
"""

import csv
import gzip
import importlib.util
import itertools
import math
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeling.by_products import check_output_list, parse_json
from modeling.plain_text import one_line
from modeling.run_names import CHARTS
from ops.failures import UserError
from ops.names import NO_TABLES
from ops.terminal import counted

LISTED = 10  # names of files in a message


@dataclass(frozen=True)
class Outputs:
    """The outputs of a run: its metadata, their digests, and a function that provides a file."""

    run_id: str
    metadata: dict[str, Any]
    digests: dict[str, str]
    file: Callable[[str, Path], Path]  # name of a file, folder for copies -> its path
    write_again: str  # the command that writes them with the run's own output YAML

    @property
    def output_file(self) -> str:
        """Name of the output YAML that they were written with; "" for the run's own."""
        return str(self.metadata.get("arguments", {}).get("output_config_file", ""))

    @property
    def is_by_own_file(self) -> bool:
        return self.output_file == str(self.metadata["manifest"].get("output_config_file", ""))


def digests(listed: str | bytes) -> dict[str, str]:
    """Return the digests in a files.json, without files that contain the run id; ValueError if damaged."""
    named = check_output_list(parse_json(listed))
    return {each["name"]: each["sha256"] for each in named if each["name"] not in NO_TABLES}


def differing(first: dict[str, str], second: dict[str, str]) -> list[str]:
    """Return the files whose digests differ, or that only one of the outputs has."""
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


def compare(first: Outputs, second: Outputs) -> None:
    """Print that the outputs are equal, or refuse with what differs.

    Raises
    ------
    UserError
        They differ (exit code 1), or different output YAML makes a comparison meaningless.
    """
    names = differing(first.digests, second.digests)
    runs = f"{first.run_id} and {second.run_id}"
    if not names:
        print(f"equal: {counted(len(first.digests), 'file')} of the runs {runs}, byte for byte")
        return
    _refuse_different_files(first, second, runs)
    reasons = _why_bytes_may_differ(first.metadata, second.metadata)
    if not reasons or first.metadata.get("cut_short"):
        cause = _cause(first.metadata, second.metadata)
        raise UserError(f"the runs {runs} differ in {_some(names)}: {cause}", exit_code=1)
    charts = [name for name in names if name.startswith(CHARTS)]
    wrong = _differences(first, second, [name for name in names if name not in charts])
    because = "; ".join(reasons)
    if wrong:
        raise UserError(
            f"the runs {runs} differ in {_some(wrong)} by more than {TOLERANCE:g}, "
            f"which {because} does not explain",
            exit_code=1,
        )
    print(f"equal within {TOLERANCE:g}: {counted(len(first.digests), 'file')} of the runs {runs}")
    without = "; charts were not compared" if charts else ""
    print(f"not byte for byte in {_some(names)}; possible causes: {because}{without}")


def _refuse_different_files(first: Outputs, second: Outputs, runs: str) -> None:
    """Refuse outputs that were written with different output YAML, with commands that make them comparable.

    When a run is repeated, the output YAML that it was built with becomes the second run's own.
    """
    is_same = first.is_by_own_file and not second.output_file
    if is_same or first.output_file == second.output_file:
        return
    names = [each.output_file or "the run's own" for each in (first, second)]
    others = [each for each in (first, second) if not each.is_by_own_file]
    raise UserError(
        f"the outputs of {runs} were written with different output YAML ({names[0]}, {names[1]}), so they "
        "cannot show whether the runs differ; "
        + ("write them with the runs' own first" if others else "compare the first with a new run of it"),
        fix=" && ".join(each.write_again for each in others) or _again(first),
    )


def _again(first: Outputs) -> str:
    return f"invoke reproduce --exp-id {first.metadata['manifest'].get('exp_id')} --run-id {first.run_id}"


def _differences(first: Outputs, second: Outputs, names: list[str]) -> list[str]:
    """Return the files that differ in more than the last digits."""
    wrong = []
    with tempfile.TemporaryDirectory(prefix="compared-") as folder:
        for name in names:
            if name not in first.digests or name not in second.digests:
                wrong.append(f"{name} (only one run has it)")
            elif not is_table(name):
                wrong.append(name)
            else:
                paths = [each.file(name, Path(folder)) for each in (first, second)]
                found = compare_table(name, *paths)
                wrong += [str(found)] if found else []
    return wrong


def _why_bytes_may_differ(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Return differences between two runs that may change the last digits of numbers."""
    reasons = []
    cpus, others = first.get("cpus", []), second.get("cpus", [])
    if len(cpus) != 1 or cpus != others:
        kinds = [" and ".join(each) or "an unknown kind" for each in (cpus, others)]
        reasons.append(f"CPUs of {kinds[0]} then, {kinds[1]} now")
    versions = [{"python": each.get("python", ""), **each.get("packages", {})} for each in (first, second)]
    for name in sorted(versions[0].keys() | versions[1].keys()):
        then, now = (each.get(name, "none") for each in versions)
        if then != now:
            reasons.append(f"{name} {then} then, {now} now")
    return reasons


def _cause(first: dict[str, Any], second: dict[str, Any]) -> str:
    """Return why outputs that should be equal differ, if it is known."""
    if first.get("cut_short"):
        return "the first was cut short by a limit of time or budget, and cannot be repeated exactly"
    if first["manifest"].get("inputs_sha256") != second["manifest"].get("inputs_sha256"):
        commits = [each.get("commits", {}).get("code", "unknown") for each in (first, second)]
        code = f" (code {commits[0]} then, {commits[1]} now)" if commits[0] != commits[1] else ""
        return f"their inputs differ, so data, YAML or code have changed{code}"
    if first.get("num_missing") != second.get("num_missing"):
        return "different results are missing"
    return "with the same packages and kind of CPU they must be equal"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


MOST_SHOWN = 200  # characters of a value or an error
TOLERANCE = 1e-9  # relative


@dataclass(frozen=True)
class Difference:
    """A difference between two tables, in more than the last digits."""

    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.name} ({self.what})"


def compare_table(name: str, first: Path, second: Path) -> Difference | None:
    """Return the first difference of more than TOLERANCE between two tables; None if they are equal."""
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
            return Difference(name, f"different numbers of rows or columns from row {number} on")
        for column, (value, its) in enumerate(zip(row, other, strict=True)):
            if not _same(value, its):
                return Difference(
                    name, f"row {number}, column {column + 1}: {_shown(value)} and {_shown(its)}"
                )
    return None


def is_table(name: str) -> bool:
    return name.endswith((".csv.gz", ".parquet"))


def _rows(path: Path) -> Iterator[list]:
    """Yield the rows of a table, first the names of its columns."""
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
