"""The retrospective sweep: what a method would have handed in on each reference date of the past.

Each date is a hub file of its own, and beside it a file that says from which inputs it was made; a date whose
inputs are the same is not computed again.
"""

import datetime
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path

import numpy as np

from modeling.evaluation.hub_files import Forecasts, read_hub_table
from modeling.forecast.methods import METHODS
from modeling.forecast_records import WEEK, History, Surveillance
from modeling.hubs import MOST_IN_A_NAME
from modeling.outputs.submission import file_name, known_before, write_submission

MADE_FROM = "made-from"  # folder, beside the hub files
CODE = (
    "forecast/*.py",
    "outputs/submission*.py",
    "outputs/rate_changes.py",
    "*hub*.*",
    "forecast_records.py",
)


@dataclass(frozen=True)
class Job:
    """One date of one method.

    Attributes
    ----------
    left_out : list of str
        Locations that were asked for and cannot be forecast from this vintage.
    folder : Path
        Of the method's hub files.
    model : str
        The method's name in the hub.
    """

    method: str
    known: Surveillance
    locations: list[str]
    people: np.ndarray
    history: History | None
    left_out: list[str]
    folder: Path
    team: str
    model: str


@dataclass(frozen=True)
class Made:
    """What a job has made, read back from its hub file.

    Attributes
    ----------
    is_new : bool
        Whether it was computed now; False if it was there.
    """

    method: str
    date: datetime.date
    forecasts: Forecasts
    is_new: bool


def model_name(method: str) -> str:
    """Return the name of a method as a model of the hub, which is short."""
    return method if len(method) <= MOST_IN_A_NAME else method.partition("_")[0]


def make(job: Job) -> Made:
    """Return the forecast of a date: as it is in its hub file, or computed and written there."""
    date = job.known.reference_date
    path = job.folder / file_name(date, job.team, job.model)
    record = job.folder / MADE_FROM / f"{date}.json"
    inputs = digest_of(job)
    is_new = not _is_made(path, record, inputs)
    if is_new:
        record.parent.mkdir(parents=True, exist_ok=True)
        for other in job.folder.glob(f"{date}-*.csv"):  # perhaps of another team or model
            other.unlink()
        _compute(job)
        _write_whole(record, json.dumps({"inputs": inputs, "file": _file_digest(path)}) + "\n")
    forecasts = read_hub_table(path, path.read_text(encoding="utf-8"))
    return Made(job.method, date, forecasts, is_new)


def _compute(job: Job) -> None:
    known = job.known
    made = METHODS[job.method](known, job.locations, job.people, job.history)
    before = known_before(known.reference_date, known.first_week, known.counts, made.nowcast)
    write_submission(
        job.folder,
        made.quantiles,
        job.locations,
        job.people,
        before,
        job.team,
        job.model,
        left_out=job.left_out,
    )


def _is_made(path: Path, record: Path, inputs: str) -> bool:
    """Return whether a hub file is there, made from these inputs, and as it was written."""
    try:
        noted = json.loads(record.read_text(encoding="utf-8"))
        return noted == {"inputs": inputs, "file": _file_digest(path)}
    except (OSError, ValueError):
        return False


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def digest_of(job: Job) -> str:
    """Return a digest of all that a forecast depends on: code, settings, the vintage and those before it."""
    digest = hashlib.sha256(_code_digest().encode())
    settings = (job.method, job.locations, job.people, job.left_out, job.team, job.model)
    for part in (*settings, job.known, job.history):
        _feed(digest, part)
    return digest.hexdigest()


def _feed(digest, part: object) -> None:
    if is_dataclass(part):
        for each in fields(part):
            _feed(digest, getattr(part, each.name))
    elif isinstance(part, np.ndarray):
        digest.update(f"{part.dtype}{part.shape}".encode() + np.ascontiguousarray(part).tobytes())
    elif isinstance(part, list):
        digest.update(f"{len(part)}[".encode())
        for each in part:
            _feed(digest, each)
    else:
        digest.update(f"{part!r};".encode())


@cache
def _code_digest() -> str:
    """Return a digest of the sources that make a forecast, and of numpy's version."""
    digest, root = hashlib.sha256(np.__version__.encode()), Path(__file__).parents[1]
    for path in sorted(path for pattern in CODE for path in root.glob(pattern)):
        digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def observations_by_week(
    later: Iterable[tuple[datetime.date, np.ndarray]], locations: Sequence[str]
) -> dict[tuple[datetime.date, str], float]:
    """Return the newest known counts by last day of the week and location.

    Parameters
    ----------
    later : iterable of (date, ndarray of shape (5, locations))
        A reference date, and the counts of horizons -1 to 3; nan where not observed yet.
    """
    return {
        (date + (row - 1) * WEEK, name): float(count)
        for date, counts in later
        for row, own in enumerate(counts)
        for name, count in zip(locations, own, strict=True)
        if not np.isnan(count)
    }
