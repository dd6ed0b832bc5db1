"""builder-artifacts/inputs.csv: place and parameter set of each input.

Stage C checks each result against this list, whose digest is in the manifest (input_list_sha256).
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from modeling.failures import UserError
from modeling.forecast_records import ForecastResult, ForecastWorkload
from modeling.input_names import name_of, set_share, trajectory_share
from modeling.result_checks import most_result_bytes
from modeling.workload import ForeignWorkload, Result, Simulate, Workload

MOST_FOREIGN_RESULT_BYTES = 4 << 30  # another suite's input does not show how large its result is
MOST_NAME_BYTES = 200  # charts are named after their population


class InputEntry(NamedTuple):
    """One row of inputs.csv; what an input of another suite or a forecast does not have is empty or None."""

    population: str
    population_name: str
    primary_id: int
    set_index: int | None  # which parameter set of the population
    set_count: int | None
    first_trajectory: int | None
    ensemble_total: int | None
    most_result_bytes: int  # unpacked

    @property
    def is_forecast(self) -> bool:
        """Whether the input is a forecast from surveillance data; another suite's has no name of a place."""
        return self.set_index is None and self.population_name != ""

    def check(self, result: Result | ForecastResult) -> None:
        """Refuse a result whose kind, place or parameter set differs from its input's."""
        if isinstance(result, ForecastResult) != self.is_forecast:
            raise UserError("it is the result of another kind of input")
        for name, wanted in self._asdict().items():
            if name == "most_result_bytes" or wanted in ("", None):
                continue
            if (found := getattr(result, name)) != wanted:
                raise UserError(f"its {name} is {repr(found)[:80]}, but that of its input is {wanted!r}")


def entry_of(workload: Workload | ForeignWorkload | ForecastWorkload) -> InputEntry:
    if isinstance(workload, ForecastWorkload):
        place = (workload.population, workload.population_name, workload.primary_id)
        return InputEntry(*place, None, None, None, None, most_result_bytes(workload))
    if isinstance(workload, ForeignWorkload):
        place = (workload.population, "", workload.primary_id)
        return InputEntry(*place, None, None, None, None, MOST_FOREIGN_RESULT_BYTES)
    task = workload.task
    first, total = (task.first, task.total) if isinstance(task, Simulate) else (0, 0)
    return InputEntry(
        workload.population,
        workload.population_name,
        workload.primary_id,
        workload.set_index,
        workload.set_count,
        first,
        total,
        most_result_bytes(workload),
    )


def listed_name(entries: Sequence[InputEntry], index: int) -> str:
    """Return the name of an input from the list alone; the wording is that of modeling/input_names.py."""
    entry = entries[index]
    share = set_share(entry.set_index or 0, entry.set_count or 1)
    if entry.set_count == 1 and entry.ensemble_total:
        first, total = entry.first_trajectory or 0, entry.ensemble_total
        parts = (e.first_trajectory or 0 for e in entries if e.primary_id == entry.primary_id)
        following = min((part for part in parts if part > first), default=total)
        share = trajectory_share(first, following - first, total)
    return name_of(entry.population, share, index)


def write_entries(entries: Iterable[InputEntry]) -> bytes:
    """Return inputs.csv: a header, then one row an input."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(InputEntry._fields)
    rows.writerows(entries)
    return text.getvalue().encode()


def parse_entries(data: bytes, number: int | None = None) -> list[InputEntry]:
    """Return the entries of inputs.csv; ValueError where it is damaged or has not `number` inputs."""
    header, *rows = csv.reader(io.StringIO(data.decode(), newline=""), strict=True)
    if tuple(header) != InputEntry._fields or len(rows) != (len(rows) if number is None else number):
        raise ValueError(f"{len(rows)} inputs instead of {number}")
    return [_entry(row) for row in rows]


def _entry(row: list[str]) -> InputEntry:
    population, name, *numbers = row
    counts = [int(text) if text else None for text in numbers]
    entry = InputEntry(population, name, *counts)
    if entry.primary_id is None or entry.most_result_bytes is None:
        raise ValueError("a number is missing")
    check_place(population)
    return entry


def check_place(population: str) -> None:
    """Refuse a population that cannot be a file name, since its charts are named after it."""
    is_name = population.isprintable() and len(population.encode()) <= MOST_NAME_BYTES
    if not is_name or population != population.strip(" .") or not population or set(population) & set("/\\:"):
        raise ValueError(f"{population[:80]!r} cannot be the name of a file")
