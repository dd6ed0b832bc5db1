"""Other models to compare with: their hub files, or files of scores that are ready.

The columns of a file say what it is. A model is named in a file of scores, or by the name of its hub file:
2026-01-10-CMU-TimeSeries.csv is of CMU-TimeSeries, and FluSight-baseline_2025-26.csv.gz of FluSight-baseline.
"""

import csv
import datetime
import io
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from modeling.build.csv_table import read_text
from modeling.evaluation.hub_files import (
    SCORED_HORIZONS,
    Entries,
    Forecasts,
    header_of,
    is_hub_table,
    read_hub_table,
)
from modeling.evaluation.processes import in_parallel
from modeling.evaluation.scores import Scores
from modeling.failures import UserError, listed

SINGLE = ("model", "reference_date", "horizon", "location", "value", "wis", "wis_log", "ae", "in50", "in95")
MEANS = (
    "model",
    "locations",
    "reference_date",
    "horizon",
    "n_locations",
    "n_locations_common",
    "wis",
    "wis_log",
    "ae",
    "cov50",
    "cov95",
    "baseline_wis",
    "baseline_wis_log",
    "rel_wis",
    "rel_wis_log",
)
STATES = "states"  # in a file of means: every location but the nation
BASELINE = "FluSight-baseline"
_ENDINGS = (".csv", ".csv.gz")
_DATED = re.compile(r"(\d{4}-\d{2}-\d{2})-(.+)")
_SEASON = re.compile(r"(.+?)_\d{4}-\d{2}")


@dataclass(frozen=True)
class MeanScores(Entries):
    """Mean scores of one model over the states, by reference date and horizon.

    Each array has an entry a mean.

    Attributes
    ----------
    counts, common_counts : ndarray of float
        Number of locations, and of those that FluSight-baseline forecast, too.
    base_wis, base_wis_log : ndarray of float
        Mean scores of FluSight-baseline over the common locations.
    ratio, ratio_log : ndarray of float
        Mean score of the model over that of FluSight-baseline.
    """

    dates: np.ndarray
    horizons: np.ndarray
    counts: np.ndarray
    common_counts: np.ndarray
    wis: np.ndarray
    wis_log: np.ndarray
    error: np.ndarray
    in50: np.ndarray
    in95: np.ndarray
    base_wis: np.ndarray
    base_wis_log: np.ndarray
    ratio: np.ndarray
    ratio_log: np.ndarray


@dataclass(frozen=True)
class Peers:
    """Other models by name: as forecasts to score, or as scores that are ready.

    Attributes
    ----------
    is_asked_for : bool
        Whether they were named, and not only found.
    notes : list of str
        What was left out, and why.
    """

    is_asked_for: bool = True
    forecasts: dict[str, Forecasts] = field(default_factory=dict)
    scores: dict[str, Scores] = field(default_factory=dict)
    means: dict[str, MeanScores] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


Span = tuple[datetime.date, datetime.date]
_Read = tuple[str, str, Forecasts | Scores | MeanScores]  # file, model, what it has


def read_peers(
    paths: Iterable[Path],
    span: Span,
    taken: Iterable[str],
    *,
    is_whole: bool,
    is_asked_for: bool = True,
    jobs: int = 1,
) -> Peers:
    """Return the models in files and folders, with their forecasts of a span of reference dates.

    Parameters
    ----------
    paths : iterable of Path
        Each a file, a folder of hub files, or a folder with such a folder for each model.
    span : (date, date)
        First and last reference date.
    taken : iterable of str
        Names of the methods that are evaluated; a model of the same name is called "NAME (FILE)".
    is_whole : bool
        Whether every state is evaluated; means over all states mean nothing beside some of them.
    is_asked_for : bool
        Whether the paths were named, and not only found.
    jobs : int
        Files read at once.

    Raises
    ------
    UserError
        A path does not exist or is neither kind of file, a forecast is given twice, or nothing in a path
        that was named belongs to the span.
    """
    taken, parts, peers = set(taken), defaultdict(list), Peers(is_asked_for)
    for path in paths:
        read = partial(_read, span=span, is_whole=is_whole)
        found = [part for parts in in_parallel(read, _files(path, span), jobs) for part in parts]
        if others := [file for file in path.rglob("*.parquet") if path.is_dir()]:
            peers.notes.append(f"{len(others)} Parquet files of {path} are not read, only CSV files")
        if not found and is_asked_for:
            raise UserError(
                f"--compare {path}: no forecast of {span[0]} to {span[1]}; name another file or folder"
            )
        for file, model, part in found:
            parts[f"{model} ({file})" if model in taken else model].append((path, part))
    for model, own in parts.items():
        _add(peers, model, own)
    return peers


def _add(peers: Peers, model: str, own: list[tuple[Path, Forecasts | Scores | MeanScores]]) -> None:
    """Add one model; of several kinds the one with most detail counts, and the note says so."""
    for kind, where in ((Forecasts, peers.forecasts), (Scores, peers.scores), (MeanScores, peers.means)):
        parts = [part for _, part in own if isinstance(part, kind)]
        if not parts:
            continue
        whole = kind.joined(parts)
        places = whole.locations if kind is not MeanScores else [STATES] * len(whole.dates)
        keys = list(zip(whole.dates.tolist(), whole.horizons.tolist(), places, strict=True))
        if len(set(keys)) < len(keys):
            date, horizon, place = _repeated(keys)
            files = listed(dict.fromkeys(str(path) for path, _ in own))
            raise UserError(
                f"{files}: {model} is given twice for reference date {date}, horizon {horizon}, location "
                f"{place}; keep one"
            )
        where[model] = whole
        if len(parts) < len(own):
            peers.notes.append(f"{model} is given by forecasts and by scores; the more detailed are used")
        return


def _repeated(keys: list[tuple]) -> tuple:
    seen = set()
    return next(key for key in keys if key in seen or seen.add(key))


def _files(path: Path, span: Span) -> Iterator[Path]:
    """Yield the files of a path; of a folder those whose names have a date within the span, or none."""
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder to compare with")
    for file in sorted(p for p in path.rglob("*") if p.name.endswith(_ENDINGS) and p.is_file()):
        dated = _DATED.fullmatch(_stem(file))
        if dated is None or str(span[0]) <= dated[1] <= str(span[1]):
            yield file


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".csv")


def _model_of(path: Path) -> str:
    """Return the model of a hub file by its name."""
    stem = _stem(path)
    if dated := _DATED.fullmatch(stem):
        return dated[2]
    seasonal = _SEASON.fullmatch(stem)
    return seasonal[1] if seasonal else stem


def _read(path: Path, span: Span, is_whole: bool) -> list[_Read]:
    """Return what one file has of each model within the span."""
    return list(_read_models(path, span, is_whole))


def _read_models(path: Path, span: Span, is_whole: bool) -> Iterator[_Read]:
    text = read_text(path, "comparison", "forecasts or scores")
    header = header_of(text)
    if is_hub_table(header):
        forecasts = read_hub_table(path, text)
        within = _within(forecasts.dates, span)
        if within.any():
            yield path.name, _model_of(path), forecasts.chosen(within)
    elif set(SINGLE) <= set(header):
        yield from _by_model(path, text, span, SINGLE, _scores)
    elif set(MEANS) <= set(header):
        if not is_whole:
            raise UserError(
                f"{path}: mean scores over all states, which mean nothing beside some of them; "
                "leave out --locations, or compare with hub files"
            )
        yield from _by_model(path, text, span, MEANS, _means)
    else:
        raise UserError(
            f"{path}: neither a hub file nor scores; hub files have the columns reference_date, output_type, "
            f"output_type_id and value, and scores have {listed(SINGLE, 20)}"
        )


def _by_model(path: Path, text: str, span: Span, columns: tuple[str, ...], make: Callable) -> Iterator[_Read]:
    """Yield the scores of each model in a file of scores."""
    rows = csv.DictReader(io.StringIO(text, newline=""))
    groups: dict[str, list[tuple]] = defaultdict(list)
    for row in rows:
        try:
            day, horizon = datetime.date.fromisoformat(row["reference_date"]), int(row["horizon"])
            if not span[0] <= day <= span[1] or horizon not in SCORED_HORIZONS:
                continue
            if row.get("locations", STATES) == STATES:
                place = row.get("location", STATES)
                numbers = [_number(name, row[name]) for name in columns[4:]]
                groups[row["model"]].append((day, horizon, place, *numbers))
        except (TypeError, ValueError):
            raise UserError(f"{path}:{rows.line_num}: not a row of scores; fix or remove it") from None
    for model, own in groups.items():
        dates, horizons, places, *numbers = zip(*own, strict=True)
        days = np.array(dates, dtype="datetime64[D]")
        yield path.name, model, make(days, np.array(horizons), places, list(map(np.array, numbers)))


def _number(column: str, text: str) -> float:
    """Return a number; nan for an empty field of a column that compares with the baseline."""
    if not text and column.startswith(("rel_", "baseline_")):
        return math.nan
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _scores(days: np.ndarray, horizons: np.ndarray, places: tuple[str, ...], numbers: list) -> Scores:
    return Scores(days, horizons, np.array(places, dtype=object), *numbers)


def _means(days: np.ndarray, horizons: np.ndarray, places: tuple[str, ...], numbers: list) -> MeanScores:
    return MeanScores(days, horizons, *numbers)


def _within(days: np.ndarray, span: Span) -> np.ndarray:
    return (np.datetime64(span[0]) <= days) & (days <= np.datetime64(span[1]))
