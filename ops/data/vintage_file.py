"""One file of vintages, with a column as_of: split into one file a vintage."""

import csv
import datetime
import io
import zlib

from modeling.hubs import hub_populations
from modeling.plain_text import one_line
from ops.data.checks import check_target, table
from ops.data.keeping import Fetched, Keeper
from ops.data.sources import Source
from ops.data.store import MOST_BYTES, Newest, NotWritten, unpacked
from ops.failures import UserError
from ops.terminal import counted


def fetch_file(source: Source, keeper: Keeper, since: datetime.date | None) -> None:
    """Keep the vintages of a file; one that is refused is noted, and the others are kept.

    Raises
    ------
    UserError
        The file cannot be read, or has no vintages.
    """
    address = source.address("")
    answer = source.read("", _known_version(keeper, address), MOST_BYTES)
    if answer.status == "unchanged":
        keeper.counts["unchanged"] += len(keeper.store.vintages())
        return
    if answer.status == "missing":
        raise UserError(f"{address}: not there; check TARGET_DATA_SOURCE")
    try:
        content = unpacked(answer.content, MOST_BYTES)
    except (EOFError, zlib.error, ValueError) as error:
        raise UserError(f"{address}: cannot be unpacked ({error})") from None
    parts = {day: part for day, part in split(content, address).items() if since is None or day >= since}
    if not parts:
        raise UserError(f"{address}: no vintage{'' if since is None else f' since {since}'}")
    fewest = everything = len(hub_populations())
    for day, part in sorted(parts.items()):
        fetched = Fetched(address, part)
        try:
            facts = check_target(part, f"{address}, as_of {day}", is_of_hub=False)
            keeper.take_vintage(day, fetched, facts)
        except NotWritten:
            raise
        except UserError as error:
            keeper.problems.append(error)
        else:
            fewest = min(fewest, facts.locations)
    if fewest < everything:
        print(f"{address}: {counted(fewest, 'location')} of {everything}", flush=True)
    if not keeper.problems:
        keeper.store.remember_newest(Newest(address, answer.etag))


def _known_version(keeper: Keeper, address: str) -> str:
    """Return the version of the file whose vintages are all there; "" for none."""
    store = keeper.store
    entries = [name for name, entry in store.vintages() if entry.address == address]
    is_known = entries and store.newest.address == address and all(map(store.is_intact, entries))
    return store.newest.etag if is_known and not keeper.accept_changes else ""


def split(content: bytes, name: str) -> dict[datetime.date, bytes]:
    """Return the target data of each vintage in a table, without the column as_of.

    Raises
    ------
    UserError
        There is no column as_of, a row is cut off, or a date is none.
    """
    rows = table(content, name)
    header = next(rows, [])
    if "as_of" not in header:
        raise UserError(f"{name}: no column as_of, the day on which a row was known")
    position = header.index("as_of")
    parts: dict[str, io.StringIO] = {}
    writers = {}
    for row in rows:
        day = row.pop(position)
        if day not in writers:
            parts[day] = io.StringIO()
            writers[day] = csv.writer(parts[day], lineterminator="\n")
            writers[day].writerow(header[:position] + header[position + 1 :])
        writers[day].writerow(row)
    return {_day(text, name): part.getvalue().encode() for text, part in parts.items()}


def _day(text: str, name: str) -> datetime.date:
    """Return a day that is written in the one way, so that no two texts are the same day."""
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        day = None
    if str(day) != text:
        raise UserError(f'{name}: as_of "{one_line(text, 40)}" is not a day such as 2026-01-07')
    return day
