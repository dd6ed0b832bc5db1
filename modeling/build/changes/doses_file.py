"""A file of vaccination data with the population and scenario to read, and the daily doses it gives."""

import datetime
from dataclasses import dataclass

import numpy as np

from modeling.build.csv_table import Row, Table, number_of, shown
from modeling.build.warnings import warn_once
from modeling.failures import UserError, did_you_mean, listed
from modeling.populations import Population, find_location


@dataclass(frozen=True)
class DailyDoses:
    """Doses on consecutive days.

    Attributes
    ----------
    doses : ndarray of float, shape (days, groups)
    """

    first_day: datetime.date
    doses: np.ndarray

    @property
    def last_day(self) -> datetime.date:
        return self.first_day + datetime.timedelta(days=len(self.doses) - 1)


@dataclass(frozen=True)
class DosesFile:
    """A table of vaccination data, and the population and scenario to read.

    Attributes
    ----------
    scenario : str or None
        As written in the YAML.
    where, where_scenario : str
        "file:line" of the table's path and of the scenario, for messages.
    """

    table: Table
    population: Population
    scenario: str | None
    where: str
    where_scenario: str

    def rows(self, location_column: str) -> list[Row]:
        """Return the rows of the population under any of its names; refuse a file without one."""
        column = self.table.column(location_column, self.where)
        return self.table.rows_of_place(column, find_location(self.population.iso), self.where)

    def number(self, row: Row, column: int, highest: float, unit: str) -> float:
        """Return the number of a field, from 0 to `highest`; refuse any other.

        Parameters
        ----------
        unit : str
            What the number counts, for the message.
        """
        text = row.fields[column]
        try:
            value = number_of(text)
            if not 0 <= value <= highest:
                raise ValueError(f"{shown(text.strip())} is not from 0 to {highest:,.10g} {unit}")
        except ValueError as error:
            raise self.table.error(row, column, error) from None
        return value

    def chosen_scenario(self, names: list[str]) -> str:
        """Return the one name among several scenarios that `scenario` means: whole, or its end.

        The end of "flu.coverage.rd2425.sc_A_B" is "sc_A_B" or "A_B".

        Raises
        ------
        UserError
            There are several and none is chosen, or the chosen one is none of them, or more than one.
        """
        name, scenario = self.table.name, self.scenario
        known = listed(shown(_end(each)) for each in names)
        if scenario is None:
            if len(names) == 1:
                return names[0]
            raise UserError(
                f"{self.where}: {name} has {len(names)} scenarios ({known}); "
                'choose one with the key "scenario"'
            )
        fitting = [each for each in names if scenario in (each, each.rpartition(".")[2], _end(each))]
        if not fitting:
            near = did_you_mean(scenario, [_end(each) for each in names])
            raise UserError(
                f'{self.where_scenario}: {name} has no scenario "{shown(scenario)}"{near}; it has {known}'
            )
        if len(fitting) > 1:
            raise UserError(
                f'{self.where_scenario}: scenario "{shown(scenario)}" may be {listed(map(shown, fitting))} '
                f"of {name}; write the whole name"
            )
        return fitting[0]

    def warn_of_scenario(self, reason: str) -> None:
        """Warn of a scenario that selects nothing, if one is given."""
        if self.scenario is not None:
            warn_once(
                f"{self.where_scenario}: {self.table.name} has {reason}, so scenario "
                f'"{shown(self.scenario)}" selects nothing; check that it is the file of that scenario'
            )


def _end(name: str) -> str:
    return name.rpartition("sc_")[2]
