"""Weekly admissions as known on the day of a forecast: the vintages of a surveillance series.

A vintage is the whole series as it was known on one day (`as_of`). The vintages are in one file with a
column as_of, or in a folder with a file NAME_YYYY-MM-DD.csv or .csv.gz for each; of a folder only those are
read that a forecast needs. surveillance_doubts.py looks at what single locations reported.
"""

import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from modeling.build.weekly_table import (
    PLACES,
    UNKNOWN,
    WeeklyTable,
    day_of,
    number_of_day,
    read_weekly,
)
from modeling.failures import UserError, listed
from modeling.forecast_records import MOST_EARLIER, RECENT_WEEKS, WEEK, Surveillance, Vintage
from modeling.hubs import FLUSIGHT, HORIZONS, hub_populations
from modeling.reference_dates import saturday_problem
from modeling.weeks import DAY, saturday_from

DATES, VALUES = ("date", "target_end_date"), ("value", "observation")
DEADLINE = 3 * DAY  # before the reference date: the Wednesday on which forecasts are due
MOST_WEEKS_AHEAD = 2  # one release may be missing
MOST_SHARE = 0.01  # of the people admitted in one week: twenty times what has been seen
FETCH = "fetch newer data with `invoke data-update`"
_MOST = MOST_SHARE * np.array([hub_populations()[each] for each in PLACES])
_FILE_OF_A_DAY = re.compile(r"(?P<name>.*)_(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})\.csv(\.gz)?")


class NoVintage(UserError):
    """The data have no vintage for a reference date, or none that is recent enough."""


@dataclass(frozen=True)
class NotACount:
    """A value that is not a count, such as a negative one, or one of more than MOST_SHARE of the people."""

    week: datetime.date
    text: str
    where: str  # file:line


@dataclass(frozen=True, eq=False)
class Release:
    """One vintage, of all places of the hubs.

    Attributes
    ----------
    first_week : date
    counts : ndarray of float, shape (weeks, places)
        In the order of weekly_table.PLACES; nan where not reported. The last row has a count.
    not_counts : dict of str to list of NotACount
        By place.
    unknown_places : list of str
        Of the file, which the hubs do not have.
    """

    as_of: datetime.date
    name: str
    first_week: datetime.date
    counts: np.ndarray
    not_counts: dict[str, list[NotACount]]
    unknown_places: list[str]

    @property
    def last_week(self) -> datetime.date:
        return self.first_week + (len(self.counts) - 1) * WEEK

    def week(self, row: int) -> datetime.date:
        """Return the week of a row of counts."""
        return self.first_week + row * WEEK

    def of_week(self, week: datetime.date) -> np.ndarray:
        """Return the counts of a week, shape (places,); nan where it has none."""
        row = (week - self.first_week) // WEEK
        return self.counts[row] if 0 <= row < len(self.counts) else np.full(len(PLACES), np.nan)


@dataclass(frozen=True)
class Choice:
    """The vintage for a reference date; `note` says what is unusual about it, if anything is."""

    as_of: datetime.date
    note: str


class Vintages:
    """The vintages of a series, oldest first, and what was known when a forecast was due.

    Parameters
    ----------
    days : list of date
        On which they were known, ascending.
    read : callable
        Returns the release of a day.
    locations : list of str
        FIPS codes or US: the columns of all arrays.
    where : str
        Of the data, for messages.
    """

    def __init__(
        self,
        days: list[datetime.date],
        read: Callable[[datetime.date], Release],
        locations: list[str],
        where: str,
    ):
        self.days, self.locations, self.where = days, locations, where
        self._read, self._releases = read, {}
        self._columns = [PLACES.index(each) for each in locations]

    def only(self, locations: list[str]) -> "Vintages":
        """Return the same vintages with other columns; nothing is read again."""
        found = Vintages(self.days, self._read, locations, self.where)
        found._releases = self._releases
        return found

    @property
    def newest(self) -> datetime.date:
        """The day of the newest vintage."""
        return self.days[-1]

    @cached_property
    def default_reference_date(self) -> datetime.date:
        """The first Saturday on or after the day of the newest vintage."""
        return saturday_from(self.newest)

    def release(self, as_of: datetime.date) -> Release:
        """Return the vintage of a day, for all places; it is read once."""
        if as_of not in self._releases:
            self._releases[as_of] = self._read(as_of)
        return self._releases[as_of]

    def choice(self, reference_date: datetime.date) -> Choice:
        """Return which vintage a forecast is made from; never one after the reference date.

        That is the newest one at the deadline. If it has no count of the week before the reference date, the
        release is late or missing: then the first later one until the reference date that has.

        Raises
        ------
        NoVintage
            The data have no vintage that early, or none that is recent enough.
        UserError
            The reference date is not a Saturday, or in the future: more than a week after that of the newest
            vintage, since one release may be missing.
        """
        self._check_reference_date(reference_date)
        deadline, week = reference_date - DEADLINE, reference_date - WEEK
        in_time = [day for day in self.days if day <= deadline]
        late = [day for day in self.days if deadline < day <= reference_date]
        if not in_time and not late:
            raise NoVintage(
                f"{self.where}: no vintage at or before the reference date {reference_date}; the first is of "
                f"{self.days[0]}"
            )
        found = next((day for day in [*in_time[-1:], *late] if self.release(day).last_week >= week), None)
        if found is None:
            return self._without_newest_week((in_time or late)[-1], reference_date)
        if found <= deadline:
            return Choice(found, "")
        return Choice(
            found, f"the data of {deadline} had no count of the week ending {week}; those of {found} are used"
        )

    def known(self, reference_date: datetime.date) -> Surveillance:
        """Return what was known when the forecast of a reference date was due.

        The last row is the newest week that any place of the hubs has, so that it does not depend on which
        locations are asked for.

        Raises
        ------
        UserError
            As `choice`, or a vintage is damaged.
        """
        release = self.release(self.choice(reference_date).as_of)
        earlier = [day for day in self.days if day < release.as_of][-MOST_EARLIER:]
        return Surveillance(
            reference_date=reference_date,
            as_of=release.as_of,
            first_week=release.first_week,
            counts=release.counts[:, self._columns],
            earlier=[self._recent(self.release(day)) for day in earlier],
        )

    def later(self, reference_date: datetime.date) -> np.ndarray:
        """Return the newest known counts of a forecast's weeks, shape (5, locations): horizons -1 to 3.

        nan where a week is not observed yet. The newest vintage may hold only the last weeks; an earlier week
        is taken from the newest one that has it.
        """
        weeks = [reference_date + horizon * WEEK for horizon in HORIZONS]
        return np.array([self._newest_of(week)[self._columns] for week in weeks])

    def _newest_of(self, week: datetime.date) -> np.ndarray:
        """Return the newest known counts of a week, shape (places,)."""
        later = (self.release(day).of_week(week) for day in reversed(self.days) if day >= week)
        return next((each for each in later if not np.isnan(each).all()), np.full(len(PLACES), np.nan))

    def before(self, as_of: datetime.date) -> Release | None:
        """Return the vintage before that of a day."""
        earlier = [day for day in self.days if day < as_of]
        return self.release(earlier[-1]) if earlier else None

    def _check_reference_date(self, day: datetime.date) -> None:
        if problem := saturday_problem(day):
            raise UserError(f"{day} is {problem}")
        if day > self.default_reference_date + WEEK:
            raise UserError(
                f"{self.where}: the reference date {day} is in the future: the newest vintage is of "
                f"{self.newest}, so {self.default_reference_date} is the last one (or, after a missing "
                f"release, the Saturday after it); {FETCH}"
            )

    def _without_newest_week(self, as_of: datetime.date, reference_date: datetime.date) -> Choice:
        last = self.release(as_of).last_week
        ahead = (reference_date - last) // WEEK
        if ahead > MOST_WEEKS_AHEAD:
            raise NoVintage(
                f"{self.where}: the newest vintage at or before the reference date {reference_date} is of "
                f"{as_of} and ends with the week ending {last}, {ahead} weeks before it; "
                f"{MOST_WEEKS_AHEAD} at most; {FETCH}, or name an earlier reference date, such as "
                f"{last + WEEK}"
            )
        return Choice(
            as_of,
            f"no data until {reference_date} have a count of the week ending {reference_date - WEEK}: the "
            f"forecast is made from those of {as_of}, which end with the week ending {last}; if newer ones "
            "were released, fetch them with `invoke data-update`",
        )

    def _recent(self, release: Release) -> Vintage:
        weeks = [release.last_week - age * WEEK for age in reversed(range(RECENT_WEEKS))]
        counts = np.array([release.of_week(week)[self._columns] for week in weeks])
        return Vintage(release.as_of, release.last_week, counts)


def open_vintages(path: Path, locations: list[str], where: str = "") -> Vintages:
    """Return the vintages in a file with a column as_of, or in a folder of files NAME_YYYY-MM-DD.csv[.gz].

    Parameters
    ----------
    where : str
        "file:line" of what names the data, for messages; without it, their path.

    Raises
    ------
    UserError
        The file is damaged or has no column that is needed; the folder has no vintage, two of one day, or
        those of several series.
    """
    where = where or str(path)
    if path.is_dir():
        files = _files_by_day(path, where)
        return Vintages(
            sorted(files), lambda day: _read_release(files[day], day, where), locations, f"{where}: {path}"
        )
    table = _table(path, where, has_vintages=True)
    days = [day_of(number) for number in np.unique(table.as_of)]
    return Vintages(days, partial(_release_in, table), locations, f"{where}: {path.name}")


def _files_by_day(folder: Path, where: str) -> dict[datetime.date, Path]:
    """Return the files of a folder by the day in their names."""
    found: dict[datetime.date, Path] = {}
    names: dict[str, str] = {}
    files = (each for each in sorted(folder.iterdir()) if not each.name.startswith("."))
    for path in (each for each in files if each.name.endswith((".csv", ".csv.gz"))):
        match = _FILE_OF_A_DAY.fullmatch(path.name)
        try:
            day = datetime.date.fromisoformat(match["day"])
        except (TypeError, ValueError):
            raise UserError(
                f"{where}: {path}: the name of a vintage ends with the day on which it was known, such as "
                "NAME_2026-01-07.csv.gz; rename or remove the file"
            ) from None
        if day in found:
            raise UserError(f"{where}: {found[day].name} and {path.name} are both of {day}; keep one")
        found[day] = path
        names.setdefault(match["name"], path.name)
    if not found:
        raise UserError(f"{where}: {folder} has no vintages; fetch them with `invoke data-update`")
    if len(names) > 1:
        raise UserError(
            f"{where}: {folder} has vintages of several series ({listed(names.values())}); keep one of them"
        )
    return found


def _table(path: Path, where: str, has_vintages: bool = False) -> WeeklyTable:
    return read_weekly(
        path,
        where,
        "surveillance data",
        date_columns=DATES,
        value_columns=VALUES,
        has_vintages=has_vintages,
        target=FLUSIGHT.target,
    )


def _read_release(path: Path, as_of: datetime.date, where: str) -> Release:
    table = _table(path, where)
    return _release(table, np.arange(len(table.weeks)), as_of)


def _release_in(table: WeeklyTable, as_of: datetime.date) -> Release:
    return _release(table, np.flatnonzero(table.as_of == number_of_day(as_of)), as_of)


def _release(table: WeeklyTable, rows: np.ndarray, as_of: datetime.date) -> Release:
    """Return the vintage in some rows of a table.

    Raises
    ------
    UserError
        A week ends after the day on which it was known, or no place has a count.
    """
    if (after := rows[table.weeks[rows] > number_of_day(as_of)]).size:
        raise UserError(
            f"{table.name}:{table.line(after[0])}: week {day_of(table.weeks[after[0]])} ends after {as_of}, "
            "the day of its vintage; correct either"
        )
    rows = rows[table.places[rows] != UNKNOWN]
    values = table.values[rows]
    is_too_large = values > _MOST[table.places[rows]]  # not for nan
    values = np.where(is_too_large, np.nan, values)
    known = table.weeks[rows][~np.isnan(values)]
    if not known.size:
        others = listed(table.unknown_places)
        hint = f"; locations are FIPS codes, such as 25, or US, and the file has {others}" if others else ""
        raise UserError(f"{table.name}: no location of the hub has a count as of {as_of}{hint}")
    first, last = known.min(), known.max()
    counts = np.full(((last - first) // 7 + 1, len(PLACES)), np.nan)
    is_within = (table.weeks[rows] >= first) & (table.weeks[rows] <= last)
    within = rows[is_within]
    counts[(table.weeks[within] - first) // 7, table.places[within]] = values[is_within]
    not_counts: dict[str, list[NotACount]] = {}
    of_vintage = set(rows.tolist())
    unusable = {row: text for row, text in table.unusable.items() if row in of_vintage}
    unusable |= {int(row): f"{table.values[row]:.15g}" for row in rows[is_too_large]}
    for row, text in sorted(unusable.items()):
        found = NotACount(day_of(table.weeks[row]), text, f"{table.name}:{table.line(row)}")
        not_counts.setdefault(PLACES[table.places[row]], []).append(found)
    return Release(as_of, table.name, day_of(first), counts, not_counts, table.unknown_places)
