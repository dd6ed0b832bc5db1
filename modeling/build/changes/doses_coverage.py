"""Doses from scenario data: cumulative coverage by week and age group, as of the Scenario Modeling Hub.

Layout: https://github.com/midas-network/flu-scenario-modeling-hub_resources
"""

import datetime

import numpy as np

from modeling.build.changes.doses_ages import AgeSpan, age_span, first_overlap, gaps, without_sums
from modeling.build.changes.doses_file import DailyDoses, DosesFile
from modeling.build.csv_table import Row, date_of, shown
from modeling.build.warnings import warn_once
from modeling.failures import UserError, listed
from modeling.weeks import SATURDAY

PLACE, AGE, WEEK, COVERAGE = "Geography", "Age", "Week_Ending_Sat", "Coverage"
WEEK_DAYS = 7
MOST_FALL = 0.1  # [percentage points]; the published files fall by up to 0.04
YOUNGEST_MONTH = 6  # vaccines against influenza are licensed from this age
RowsByWeek = dict[datetime.date, Row]


def doses_of_coverage(file: DosesFile) -> DailyDoses:
    """Return the doses of a population, from the first day of the file's first week.

    The doses of a week are the rise of coverage times the model's people of that age, spread evenly from
    Sunday to Saturday. The first week has all doses until its end.

    Raises
    ------
    UserError
        A missing column, place, scenario or week; age groups that overlap; an invalid date, age or coverage;
        coverage that falls.
    """
    column = _coverage_column(file)
    rows = _rows_by_age(file)
    spans = _spans(file, list(rows))
    weeks = _weeks(file, {span: rows[span] for span in spans})
    coverage = np.column_stack([_coverage(file, column, [rows[span][w] for w in weeks]) for span in spans])
    if 0 < coverage.max() <= 1:
        warn_once(
            f"{file.where}: no coverage in column {shown(file.table.header[column])} of {file.table.name} is "
            "above 1 %; if these are shares, multiply them by 100"
        )
    people = np.array([file.population.people_aged(span.first_month, span.end_month) for span in spans])
    rises = np.diff(coverage / 100, axis=0, prepend=0)
    daily = np.repeat(rises @ people / WEEK_DAYS, WEEK_DAYS, axis=0)
    return DailyDoses(weeks[0] - datetime.timedelta(days=WEEK_DAYS - 1), daily)


def _coverage_column(file: DosesFile) -> int:
    """Return the column of the scenario; warn if one is given and there is only "Coverage"."""
    table = file.table
    names = [name for name in table.header if COVERAGE.lower() in name.lower() or "sc_" in name]
    if not names:
        raise UserError(
            f'{file.where}: {table.name} has no column "{COVERAGE}", nor one a scenario such as '
            f'"flu.coverage.rd2425.sc_A_B"; it has {listed(map(shown, table.header))}'
        )
    if len(names) == 1 and "sc_" not in names[0]:
        file.warn_of_scenario(f'only the column "{shown(names[0])}"')
        return table.header.index(names[0])
    return table.header.index(file.chosen_scenario(names))


def _saturday(text: str) -> datetime.date:
    day = date_of(text)
    if day.weekday() != SATURDAY:
        raise ValueError(f"{day} is a {day:%A}; weeks end on Saturday")
    return day


def _rows_by_age(file: DosesFile) -> dict[AgeSpan, RowsByWeek]:
    """Return the rows of the population by age group and week; refuse duplicates."""
    table = file.table
    spans = table.parsed(table.column(AGE, file.where), age_span)
    weeks = table.parsed(table.column(WEEK, file.where), _saturday)
    by_age: dict[AgeSpan, list[Row]] = {}
    for row in file.rows(PLACE):
        by_age.setdefault(spans[row.line], []).append(row)
    iso = file.population.iso
    return {
        span: table.row_of_each(rows, weeks, "week", f" of {span.label} for {iso}", "; keep one")
        for span, rows in by_age.items()
    }


def _spans(file: DosesFile, known: list[AgeSpan]) -> list[AgeSpan]:
    """Return the age groups that count, in order; refuse those that overlap, warn of ages without any."""
    spans = without_sums(known)
    if pair := first_overlap(spans):
        raise UserError(
            f"{file.where}: age groups {pair[0].label} and {pair[1].label} of {file.table.name} overlap for "
            f"{file.population.iso}; remove one, or give all parts of the larger"
        )
    oldest = int(file.population.ages[-1])
    if spans[-1].first_month > 12 * oldest:
        raise UserError(
            f"{file.where}: age group {spans[-1].label} of {file.table.name} begins above {oldest}, the last "
            "age that the population data count by itself; use a wider group"
        )
    if ages := gaps(spans, YOUNGEST_MONTH):
        warn_once(
            f"{file.where}: {file.table.name} has no coverage of ages {listed(ages)}, who get no doses; "
            "add rows if they should"
        )
    return spans


def _weeks(file: DosesFile, rows: dict[AgeSpan, RowsByWeek]) -> list[datetime.date]:
    """Return the weeks of the population in order; refuse an age group without one of them."""
    present = set().union(*rows.values())
    count = (max(present) - min(present)).days // WEEK_DAYS + 1
    weeks = [min(present) + datetime.timedelta(weeks=number) for number in range(count)]
    for span, by_week in rows.items():
        if missing := [week for week in weeks if week not in by_week]:
            raise UserError(
                f"{file.where}: {file.table.name} has no row of {span.label} in {file.population.iso} "
                f"for the week that ends on {listed(missing)}; give every week from {weeks[0]} to {weeks[-1]}"
            )
    return weeks


def _coverage(file: DosesFile, column: int, rows: list[Row]) -> np.ndarray:
    """Return the coverage of one age group by week [%], shape (weeks,).

    A fall by rounding is taken back from the weeks before it, so that nobody is vaccinated a negative number
    of times and the last week keeps its coverage.
    """
    if not any(row.fields[column].strip() for row in rows):
        raise UserError(
            f"{file.where_scenario}: {file.table.name} has no values for {file.population.iso} in column "
            f"{shown(file.table.header[column])}; choose another scenario, or fill them in"
        )
    values = np.array([file.number(row, column, 100, "%") for row in rows])
    highest = np.maximum.accumulate(values)
    if (fallen := np.flatnonzero(highest - values > MOST_FALL)).size:
        first = fallen[0]
        raise file.table.error(
            rows[first],
            column,
            f"coverage falls from {highest[first]:g} to {values[first]:g} %, but it is cumulative",
        )
    return np.minimum.accumulate(values[::-1])[::-1]
