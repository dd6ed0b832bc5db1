"""Files of vintages: the same dates several times, as known on different days.

A column `as_of` marks complete copies of the data; a column `issue`, the day on which a value was published.
"""

import datetime
import logging

from modeling.build.csv_table import Row, Table, date_and_time, shown
from modeling.build.warnings import tell_once, warn_once
from modeling.failures import UserError, listed

log = logging.getLogger(__name__)
KEY = "observed_data_as_of"


class Vintages:
    """The vintages of a table, and the choice among them.

    Parameters
    ----------
    days : dict of int to date
        The date of each line of the table.
    used : list of int
        Columns that have another use (date, value, location), under any name.
    where : str
        "file:line" of the comparison, for messages.
    where_data : str
        "file:line" of the calibration's observed_data_path, beside which a vintage is chosen.
    """

    def __init__(
        self, table: Table, days: dict[int, datetime.date], used: list[int], where: str, where_data: str
    ):
        self.table, self.days, self.where, self.where_data = table, days, where, where_data
        spelled = [name.casefold().replace("-", "_").replace(" ", "_") for name in table.header]
        found = [i for i, name in enumerate(spelled) if name in ("as_of", "asof", "issue") and i not in used]
        # in a complete copy, the issue of a value only shows when it last changed
        self.columns = [i for i in found if spelled[i] != "issue"] or found

    @property
    def hint(self) -> str:
        """What to do about a duplicate date in a file without a column of vintages; else empty."""
        return "" if self.columns else "; if the file holds vintages, call their column as_of or issue"

    def chosen(self, rows: list[Row], as_of: datetime.date | None, iso: str) -> list[Row]:
        """Return the rows of one place as known on the day `as_of`; without a day, the newest.

        Raises
        ------
        UserError
            There is a day, but no column of vintages, or no vintage that early; or several such columns.
        """
        if as_of is None:
            if not self._are_several(rows, iso):
                return rows
            as_of = self._newest_day(rows)
        column = self._column()
        vintages = self.table.parsed(column, date_and_time)
        known = [row for row in rows if vintages[row.line][0] <= as_of]
        if not known:
            first = min(vintages[row.line] for row in rows)[0]
            raise UserError(
                f"{self.where}: {self.table.name} has no vintage of {iso} at or before {KEY} {as_of}; "
                f"the first is of {first}"
            )
        newest = max(vintages[row.line] for row in known)
        tell_once(f"{self.table.name}: {iso} as known on {newest[0]}")
        if self.table.header[column].casefold() == "issue":
            found = self._latest_of_each_date(known, vintages)
        else:
            found = [row for row in known if vintages[row.line] == newest]
            self._warn_of_lost_dates(known, found, iso)
        return self._not_after(found, as_of, iso)

    def _latest_of_each_date(self, rows: list[Row], vintages: dict[int, tuple]) -> list[Row]:
        latest: dict[datetime.date, tuple] = {}
        for row in rows:
            day, vintage = self.days[row.line], vintages[row.line]
            latest[day] = max(latest.get(day, vintage), vintage)
        return [row for row in rows if vintages[row.line] == latest[self.days[row.line]]]

    def _warn_of_lost_dates(self, known: list[Row], found: list[Row], iso: str) -> None:
        """Warn if dates are missing from the newest copy, which may have only what changed."""
        lost = {self.days[row.line] for row in known} - {self.days[row.line] for row in found}
        if lost:
            log.warning(
                "%s: the newest vintage of %s has no row of %s, but earlier ones have; they are not used",
                self.table.name,
                iso,
                listed(sorted(lost)),
            )

    def _column(self) -> int:
        header = self.table.header
        if not self.columns:
            raise UserError(
                f"{self.where}: {KEY} needs a column as_of or issue in {self.table.name}; "
                f"it has {listed(shown(name) for name in header)}; leave the key out"
            )
        if len(self.columns) > 1:
            named = " and ".join(shown(header[column]) for column in self.columns)
            raise UserError(
                f"{self.where}: {self.table.name} has several columns of vintages, {named}; "
                f"keep one of them for {KEY}"
            )
        return self.columns[0]

    def _are_several(self, rows: list[Row], iso: str) -> bool:
        """Return whether a date has several vintages; warn if each date has one, but not the same."""
        days = [self.days[row.line] for row in rows]
        for column in self.columns:
            if len({row.fields[column] for row in rows}) < 2:
                continue
            if len(set(days)) < len(days):
                return True
            log.warning(
                "%s: the rows of %s are of several vintages (column %s), and all are used; "
                "set %s to use those known on a day",
                self.table.name,
                iso,
                shown(self.table.header[column]),
                KEY,
            )
            break
        return False

    def _newest_day(self, rows: list[Row]) -> datetime.date:
        """Return the day of the newest vintage, and warn that it is used."""
        column = self._column()
        vintages = self.table.parsed(column, date_and_time)
        newest = max(vintages[row.line] for row in rows)[0]
        warn_once(
            f"{self.where_data}: {self.table.name} has several vintages (column "
            f"{shown(self.table.header[column])}), and the newest, of {newest}, is used; a retrospective "
            f"forecast must set {KEY} of calibration to the day that it forecasts from, e.g. {KEY}: {newest}"
        )
        return newest

    def _not_after(self, rows: list[Row], as_of: datetime.date, iso: str) -> list[Row]:
        """Leave out dates after the day, because their values cannot be complete."""
        past = [row for row in rows if self.days[row.line] <= as_of]
        if len(past) < len(rows):
            log.warning(
                "%s: %d dates of %s after %s %s are left out",
                self.table.name,
                len(rows) - len(past),
                iso,
                KEY,
                as_of,
            )
        return past
