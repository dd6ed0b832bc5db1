"""What target data must look like before they are kept.

Whether counts are plausible is not asked here: the forecast looks at that, and says so in its report.
"""

import csv
import datetime
import hashlib
import io
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from modeling.failures import listed
from modeling.hubs import NATION, hub_populations
from modeling.plain_text import one_line
from modeling.reference_dates import parse_reference_date
from ops.failures import UserError

COLUMNS = (("date", "target_end_date"), ("location",), ("value", "observation"))  # either name of each
MODEL_COLUMNS = ("reference_date", "target", "location", "output_type", "output_type_id", "value")
NO_COUNT = ("", "NA", "NaN", "nan")
FEWEST_JURISDICTIONS = 45  # of the 52 besides the nation
FEWER_ROWS = 10  # than the vintage before; a longer gap is a file that was cut off
RELEASE_DAYS = 4  # from the Saturday that ends a week to the Wednesday on which it is released
LFS = b"version https://git-lfs"


@dataclass(frozen=True)
class Facts:
    """What is in target data.

    Attributes
    ----------
    newest_week : date
    rows : int
    locations : int
        Places of the hub, with the nation.
    ignored : dict of str to int
        Rows of each other location.
    digest : str
        Of the counts alone: the hub's newest file and its copy in the archive differ in quotation marks.
    """

    newest_week: datetime.date
    rows: int
    locations: int
    ignored: dict[str, int]
    digest: str


def check_target(content: bytes, name: str, is_of_hub: bool = True) -> Facts:
    """Return what is in target data.

    Parameters
    ----------
    name : str
        Address, for messages.
    is_of_hub : bool
        Whether all places must be there; a person's own file may have a few.

    Raises
    ------
    UserError
        It is no table of weekly counts by location, or is cut off.
    """
    rows = table(content, name)
    header = next(rows, [])
    day, place, count = (_position(header, names, name) for names in COLUMNS)
    weeks: set[str] = set()
    counts: dict[tuple[str, str], float | None] = {}
    ignored: Counter[str] = Counter()
    known = hub_populations()
    number = 0
    for number, row in enumerate(rows, start=1):
        week, location = row[day], row[place]
        if location not in known:
            if location.zfill(2) in known:
                raise UserError(f"{name}: row {number}: location {location}: write {location.zfill(2)}")
            ignored[one_line(location, 40)] += 1
            continue
        if week not in weeks:
            _check_week(week, f"{name}: row {number}")
            weeks.add(week)
        if (week, location) in counts:
            raise UserError(f"{name}: row {number}: location {location} has two counts for {week}")
        counts[week, location] = _count(row[count], f"{name}: row {number}")
    locations = {location for _, location in counts}
    if not locations:
        raise UserError(f"{name}: no counts of a location of the hub, such as US or 06")
    if is_of_hub:
        _check_complete(content, locations, name)
    newest = datetime.date.fromisoformat(max(weeks))
    return Facts(newest, number, len(locations), dict(ignored), _digest(counts))


def table(content: bytes, name: str) -> Iterator[list[str]]:
    """Yield the rows of a CSV file, the header first.

    Raises
    ------
    UserError
        It is something else, such as a page, is not in UTF-8, or has a row of another length.
    """
    start = content[:200].lstrip().lower()
    if not start:
        raise UserError(f"{name}: empty")
    if start.startswith(b"<"):
        raise UserError(f"{name}: a web page instead of a table; check TARGET_DATA_SOURCE")
    if start.startswith(LFS):
        raise UserError(f"{name}: a pointer of Git LFS instead of the file; run `git lfs pull` in the clone")
    try:
        width = 0
        for number, row in enumerate(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))):
            width = width or len(row)
            if len(row) != width:
                raise UserError(f"{name}: row {number} has {len(row)} of {width} columns; is it cut off?")
            yield row
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: not text in UTF-8 (byte {error.start})") from None
    except csv.Error as error:
        raise UserError(f"{name}: no table in CSV ({error})") from None


def check_model_output(content: bytes, name: str, date: datetime.date) -> None:
    """Refuse what is not the forecasts of a model for one reference date."""
    rows = table(content, name)
    header = next(rows, [])
    for column in MODEL_COLUMNS:
        _position(header, (column,), name)
    position, number = header.index("reference_date"), 0
    for number, row in enumerate(rows, start=1):
        if row[position] != str(date):
            raise UserError(f"{name}: row {number}: reference date {one_line(row[position], 40)}, not {date}")
    if not number or not content.endswith(b"\n"):
        raise UserError(f"{name}: ends early; try again")


def check_not_shorter(rows: int, before: int, name: str) -> None:
    """Refuse data with fewer rows than the vintage before."""
    if rows < before - FEWER_ROWS:
        raise UserError(
            f"{name}: {rows:,} rows, but the vintage before has {before:,}; is it cut off? Try again, or "
            "take it with --accept-changes"
        )


def as_of_archived(label: datetime.date, newest_week: datetime.date) -> datetime.date:
    """Return the day on which archived data were released: the Wednesday after their newest week.

    The archive names a file by its newest week. (So do all its files from 2023 to July 2026.)
    """
    return max(label, newest_week) + datetime.timedelta(days=RELEASE_DAYS)


def _position(header: list[str], names: tuple[str, ...], place: str) -> int:
    """Return the position of the column that has one of these names."""
    found = [header.index(name) for name in names if name in header]
    if not found:
        has = listed(one_line(name, 40) for name in header)
        raise UserError(f"{place}: no column {' or '.join(names)}; it has {has}")
    return found[0]


def _check_week(text: str, place: str) -> None:
    try:
        parse_reference_date(text)  # a week is named by its Saturday, as a reference date is
    except ValueError:
        shown = one_line(text, 40)
        raise UserError(f"{place}: date {shown} is not a Saturday such as 2026-01-10") from None


def _count(text: str, place: str) -> float | None:
    """Return a count; None where there is none."""
    if text.strip() in NO_COUNT:
        return None
    try:
        count = float(text)
    except ValueError:
        count = math.nan
    if not math.isfinite(count):
        raise UserError(f"{place}: value {one_line(text, 40)} is not a number")
    return count


def _digest(counts: dict[tuple[str, str], float | None]) -> str:
    lines = [f"{week},{location},{count}" for (week, location), count in sorted(counts.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _check_complete(content: bytes, locations: set[str], name: str) -> None:
    if not content.endswith(b"\n"):
        raise UserError(f"{name}: its last line has no end; is it cut off?")
    if NATION not in locations:
        raise UserError(f"{name}: no counts of the nation ({NATION})")
    if len(locations) - 1 < FEWEST_JURISDICTIONS:
        raise UserError(
            f"{name}: counts of {len(locations) - 1} jurisdictions; {FEWEST_JURISDICTIONS} of 52 are needed"
        )
