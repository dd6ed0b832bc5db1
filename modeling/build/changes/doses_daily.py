"""Daily doses from a CSV with a column for each age group of the model: "preprocessed" data."""

import datetime

import numpy as np

from modeling.build.changes.doses_file import DailyDoses, DosesFile
from modeling.build.csv_table import Row, date_of, shown
from modeling.failures import UserError, did_you_mean, listed
from modeling.vocabulary.age_groups import age_bounds

DAY, PLACE, SCENARIO = "dates", "location", "scenario"
PEOPLE = "doses, the people of the age group"


def read_daily_doses(file: DosesFile) -> DailyDoses:
    """Return the doses of a population from the first to the last date of its rows.

    Raises
    ------
    UserError
        A missing column, place, scenario or day; several rows of a day; an age group that the model does not
        have; doses that are negative or more than the people of the group.
    """
    columns = _group_columns(file)
    rows = _rows_by_day(file)
    first, last = min(rows), max(rows)
    days = [first + datetime.timedelta(days=number) for number in range((last - first).days + 1)]
    if missing := [day for day in days if day not in rows]:
        raise UserError(
            f"{file.where}: {file.table.name} has no row of {file.population.iso} for {listed(missing)}; "
            f"give every day from {first} to {last}, with 0 doses where there are none"
        )
    people = file.population.sizes
    limits = [(column, int(most)) for column, most in zip(columns, people, strict=True)]
    doses = [[file.number(rows[day], column, most, PEOPLE) for column, most in limits] for day in days]
    return DailyDoses(first, np.array(doses))


def _group_columns(file: DosesFile) -> list[int]:
    """Return the column of each age group of the model; refuse one of another group."""
    groups = file.population.age_groups
    columns = [file.table.column(group, file.where) for group in groups]
    for name in file.table.header:
        if name not in groups and _is_age_group(name):
            raise UserError(
                f"{file.where}: {file.table.name} has doses for {name}, which is no age group of the model"
                f"{did_you_mean(name, groups)}; there are {listed(groups)}"
            )
    return columns


def _is_age_group(name: str) -> bool:
    try:
        age_bounds(name)
    except ValueError:
        return False
    return True


def _rows_by_day(file: DosesFile) -> dict[datetime.date, Row]:
    days = file.table.parsed(file.table.column(DAY, file.where), date_of)
    rows = _rows_of_scenario(file, file.rows(PLACE))
    of, remedy = f" for {file.population.iso}", "; give one row a day"
    return file.table.row_of_each(rows, days, "date", of, remedy)


def _rows_of_scenario(file: DosesFile, rows: list[Row]) -> list[Row]:
    """Return the rows of the chosen scenario; all of them where the file has no column of scenarios."""
    table = file.table
    if SCENARIO not in table.header:
        file.warn_of_scenario(f'no column "{SCENARIO}"')
        return rows
    column = table.column(SCENARIO, file.where)
    chosen = file.chosen_scenario(list(table.grouped(column)))
    found = [row for row in rows if row.fields[column] == chosen]
    if not found:
        raise UserError(
            f"{file.where_scenario}: {table.name} has no row of scenario {shown(chosen)} for "
            f"{file.population.iso}; it has {listed(sorted({shown(row.fields[column]) for row in rows}))}"
        )
    return found
