"""Influenza-like illness of past seasons, by state, from CDC's ILINet: history for a forecast.

The file is that of github.com/reichlab/flusion (MIT), at one commit; the data are public data of the US
Government. Kept are the weeks to February 2020: they precede COVID-19, and whatever season is forecast.
"""

import csv
import datetime
import io

from ops.data.checks import table
from ops.data.download import download
from ops.data.keeping import Fetched, Keeper
from ops.data.store import sha256
from ops.failures import UserError
from ops.settings import ROOT

COMMIT = "ab82656e4724f1c33b4cf8b133f49befc4dc8e63"
FILE = "data-raw/influenza-ilinet/ilinet_state.csv"
ADDRESS = f"https://raw.githubusercontent.com/reichlab/flusion/{COMMIT}/{FILE}"
DIGEST = "c7420fe40aceaed125be0a8dacd2c93a37a02e0938b5dbd00b938150df79b244"
MOST_BYTES = 10_000_000
LAST_WEEK = datetime.date(2020, 2, 29)
NAME = "ilinet.csv.gz"
COLUMNS = ("date", "location", "unweighted_ili", "total_patients")


def fetch_history(keeper: Keeper) -> None:
    """Keep the history, unless it is there.

    Raises
    ------
    UserError
        It cannot be fetched, or is not the file that it was.
    """
    if NAME in keeper.damaged or (NAME in keeper.store.entries and keeper.store.is_file(NAME)):
        return
    answer = download(ADDRESS, "", MOST_BYTES)
    if sha256(answer.content) != DIGEST:
        raise UserError(
            f"{ADDRESS}: not the file that it was; put a history of your own into data/flusight/{NAME} "
            "(docs/target-data.md)"
        )
    keeper.take(NAME, Fetched(ADDRESS, weekly_illness(answer.content)))


def weekly_illness(content: bytes) -> bytes:
    """Return percent of visits and number of patients by the Saturday that ends a week and FIPS code."""
    codes = _codes()
    rows = table(content, ADDRESS)
    header = next(rows)
    kept = []
    for values in rows:
        row = dict(zip(header, values, strict=True))
        week = datetime.date.fromisoformat(row["week_start"]) + datetime.timedelta(days=6)
        if row["region"] in codes and week <= LAST_WEEK:
            values = ["" if row[each] == "NA" else row[each] for each in COLUMNS[2:]]
            kept.append([str(week), codes[row["region"]], *values])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([COLUMNS, *sorted(kept)])
    return text.getvalue().encode()


def _codes() -> dict[str, str]:
    """Return the FIPS code of each state by its name."""
    with open(ROOT / "modeling" / "locations.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["iso"].startswith("US-")]
    return {row["name"]: row["fips"].zfill(2) for row in rows}
