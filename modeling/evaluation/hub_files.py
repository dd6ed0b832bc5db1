"""Hub files as they are scored: the quantile rows of weekly admissions, of any team.

Teams order the columns and write numbers differently, and a file may hold other targets and samples.
"""

import csv
import datetime
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np

from modeling.failures import UserError, listed
from modeling.hubs import FLUSIGHT, QUANTILES

SCORED_HORIZONS = range(4)  # the hub accepts horizon -1, the newest known week, and does not score it
COLUMNS = ("reference_date", "target", "horizon", "location", "output_type", "output_type_id", "value")
_POSITIONS = {level: position for position, level in enumerate(QUANTILES)}


class Entries:
    """A dataclass of arrays that have an entry each for the same forecasts or means."""

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the entries of all parts, in their order."""
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))

    def chosen(self, which: np.ndarray) -> Self:
        """Return the entries at some positions, or where a mask is true."""
        return type(self)(*(getattr(self, each.name)[which] for each in fields(self)))

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))


@dataclass(frozen=True)
class Forecasts(Entries):
    """Quantile forecasts of weekly admissions; each array has an entry a forecast.

    Attributes
    ----------
    dates : ndarray of datetime64[D]
        Reference dates.
    horizons : ndarray of int
    locations : ndarray of str
    quantiles : ndarray of float, shape (forecasts, 23)
        Not negative, not decreasing.
    """

    dates: np.ndarray
    horizons: np.ndarray
    locations: np.ndarray
    quantiles: np.ndarray


def header_of(text: str) -> list[str]:
    """Return the names of the columns; none of an empty file."""
    return next(csv.reader(io.StringIO(text)), [])


def is_hub_table(header: list[str]) -> bool:
    return {"reference_date", "output_type", "output_type_id", "value"} <= set(header)


def read_hub_table(path: Path, text: str) -> Forecasts:
    """Return the forecasts of the horizons that are scored; none if a file has other targets alone.

    Raises
    ------
    UserError
        With file and line: a column is missing, a value is not a number, a level is missing or given twice,
        or quantiles decrease or are negative.
    """
    rows = csv.reader(io.StringIO(text, newline=""))
    header = next(rows, [])
    if missing := [name for name in COLUMNS if name not in header]:
        raise UserError(f"{path}: not a hub file: no column {listed(missing)}")
    date, target, horizon, location, kind, level, value = map(header.index, COLUMNS)
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        if not row:
            continue
        try:
            if row[target] != FLUSIGHT.target or row[kind] != "quantile":
                continue
            position = _POSITIONS.get(round(float(row[level]), 4))
            if position is None:  # a hub may ask for more levels
                continue
            place = row[location].zfill(2) if row[location].isdecimal() else row[location]
            values = found.setdefault((row[date], row[horizon], place), [np.nan] * len(QUANTILES))
            is_repeated, values[position] = not np.isnan(values[position]), float(row[value])
        except (IndexError, ValueError):
            raise UserError(f"{path}:{rows.line_num}: not a row of a hub file; fix or remove it") from None
        if is_repeated:
            raise UserError(f"{path}:{rows.line_num}: quantile {row[level]} of this forecast is given twice")
    return _checked(path, found)


def _checked(path: Path, found: dict[tuple[str, str, str], list[float]]) -> Forecasts:
    """Return the forecasts of scored horizons; refuse those that are incomplete or decrease."""
    try:
        horizons = np.array([round(float(horizon)) for _, horizon, _ in found], dtype=int)
        days = [datetime.date.fromisoformat(date) for date, _, _ in found]
    except ValueError as error:
        raise UserError(f"{path}: not a hub file: {error}") from None
    quantiles = np.array(list(found.values()), dtype=float).reshape(len(found), len(QUANTILES))
    names = [f"reference date {date}, horizon {horizon}, location {place}" for date, horizon, place in found]
    for problem, is_wrong in (
        ("a quantile is missing or not a number", ~np.isfinite(quantiles).all(axis=1)),
        ("the quantiles decrease", (np.diff(quantiles, axis=1) < -1e-9).any(axis=1)),
        ("a quantile is negative", (quantiles < 0).any(axis=1)),
    ):
        if is_wrong.any():
            raise UserError(f"{path}: {names[int(np.argmax(is_wrong))]}: {problem}")
    places = np.array([place for _, _, place in found], dtype=object)
    whole = Forecasts(np.array(days, dtype="datetime64[D]"), horizons, places, quantiles)
    return whole.chosen(np.isin(horizons, SCORED_HORIZONS))
