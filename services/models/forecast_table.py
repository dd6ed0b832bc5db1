"""A week's table of admissions in the place of an experiment's observed data.

Its columns are those that the experiment names, or those of a hub's target-hospital-admissions.
"""

import csv
import re
from pathlib import Path

from modeling.build.csv_table import date_of, find_file, read_table
from modeling.failures import UserError, listed
from modeling.plain_text import excerpt
from modeling.vocabulary.experiment import Experiment

HUB_COLUMNS = ("date", "location", "value")
MOST_BYTES = 16 << 20  # the rows take 20 times as much memory
OBSERVED = ("modelset", "calibration", "observed_data_path")

Columns = tuple[str, str, str]  # of dates, locations and values


def replaced_data(experiment: Experiment) -> str:
    """Return the path of the observed data that a table replaces.

    Raises
    ------
    UserError
        The experiment has none.
    """
    if experiment.calibration is None:
        raise UserError(
            "the experiment of the models calibrates nothing, so a .csv has nothing to replace; upload a "
            ".tar.gz with an experiment"
        )
    return experiment.calibration.observed_data_path


def put_table(experiment: Experiment, roots: list[Path], content: bytes, name: str) -> None:
    """Put a table in the place of the observed data, under the names of columns that are wanted.

    Parameters
    ----------
    roots : list of Path
        Folders that observed_data_path is relative to.
    name : str
        What the table is called, for messages.

    Raises
    ------
    UserError
        The table is too large, damaged, or without a column that is needed.
    """
    if len(content) > MOST_BYTES:
        raise UserError(
            f"{name}: {len(content):,} bytes, and a table has at most {MOST_BYTES >> 20} MiB; leave out what "
            "the fitting window does not need"
        )
    where, relative = experiment.where(*OBSERVED), replaced_data(experiment)
    places = [root / relative for root in roots]
    path = next((place for place in places if place.is_file()), places[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # it may be a link to a file with another use
    path.write_bytes(content)
    header, wanted = read_table(path, where).header, _wanted_columns(experiment, relative)
    if missing := {column for columns in wanted for column in columns} - set(header):
        if len(wanted) > 1 or not set(HUB_COLUMNS) <= set(header):
            raise _missing_column(len(missing), header, wanted, name)
        path.write_bytes(_renamed(content, dict(zip(HUB_COLUMNS, wanted[0], strict=True))))


def check_observed_data(experiment: Experiment, roots: list[Path]) -> None:
    """Refuse observed data that no population could use, before each of them is tried.

    Raises
    ------
    UserError
        No file, a damaged one, a missing column, a date that is none.
    """
    calibration = experiment.calibration
    if calibration is None:
        return
    path = find_file(calibration.observed_data_path, roots, experiment.where(*OBSERVED))
    for index, comparison in enumerate(calibration.comparison):
        at = experiment.where("modelset", "calibration", "comparison", index)
        table = read_table(path, at)
        for name in (comparison.observed_value_column, comparison.observed_location_column):
            table.column(name, at)
        table.parsed(table.column(comparison.observed_date_column, at), date_of)


def _wanted_columns(experiment: Experiment, relative: str) -> list[Columns]:
    """Return the columns of each use of the observed data, each once."""
    users = list(experiment.calibration.comparison)
    trends = experiment.output.rate_trends
    users += [trends] if trends is not None and trends.observed_data_path == relative else []
    columns = [
        (each.observed_date_column, each.observed_location_column, each.observed_value_column)
        for each in users
    ]
    return list(dict.fromkeys(columns))


def _missing_column(missing: int, header: list[str], wanted: list[Columns], name: str) -> UserError:
    """Return the error of a table that has neither the experiment's columns nor all of a hub's."""
    own = list(dict.fromkeys(column for columns in wanted for column in columns))
    of_hub = [column for column in HUB_COLUMNS if column not in header]
    may_be_of_hub = len(wanted) == 1
    is_of_hub = may_be_of_hub and len(of_hub) < missing
    absent = of_hub if is_of_hub else [column for column in own if column not in header]
    columns = f"column {absent[0]}" if len(absent) == 1 else f"columns {listed(absent)}"
    hub = f", or those of a hub's target-hospital-admissions: {', '.join(HUB_COLUMNS)}"
    return UserError(
        f"{name}:1: no {columns}; it has {listed(excerpt(column, 40) for column in header)}; needed are "
        f"{', '.join(own)}{hub if may_be_of_hub else ''}"
    )


def _renamed(content: bytes, names: dict[str, str]) -> bytes:
    """Return a CSV file with other names of columns; its lines keep their numbers."""
    parts = re.split("(\r\n|\r|\n)", content.decode("utf-8-sig"))  # every second one ends a line
    at = next(number for number, line in enumerate(parts) if line.strip(' \r\n\t,"'))
    header = [name.strip() for name in next(csv.reader([parts[at]]))]
    # a column that already has a wanted name, but is another, loses it
    renamed = [names.get(name, "" if name in names.values() else name) for name in header]
    parts[at] = ",".join(f'"{name}"' for name in (n.replace('"', '""') for n in renamed))
    return "".join(parts).encode()
