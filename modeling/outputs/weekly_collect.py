"""Stage C of a weekly forecast: its table, its submission, and the rows of its headline."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modeling.failures import UserError
from modeling.forecast_records import ForecastResult
from modeling.hubs import HORIZONS, QUANTILES, target_dates
from modeling.outputs.headline import MOST_ROWS
from modeling.outputs.submission import submit_forecast
from modeling.outputs.table_files import Columns, open_table
from modeling.outputs.weekly_places import (
    LAST,
    Place,
    largest_changes_first,
    quantile_of,
    weekly_places,
)
from modeling.outputs.weekly_words import category_words, per_people, warning_lines, week_of
from modeling.vocabulary import Output
from modeling.vocabulary.output import FlusightFormat

TABLE = "forecast"
SERIES = "hospital admissions"


@dataclass(frozen=True)
class WeeklyCollected:
    """What stage C has collected of a weekly forecast, as Collected of collect.py.

    Attributes
    ----------
    files : list of Path
        The tables.
    notes : list of str
        What a reader must know before trusting the forecast.
    """

    files: list[Path]
    result: ForecastResult
    notes: list[str]
    results: int = 1
    panels: tuple = ()  # no population has a panel


class WeeklyCollector:
    """Writes the one result of a weekly forecast to tables.

    Parameters
    ----------
    folder : Path
        Where the tables are written.
    """

    def __init__(self, output: Output, folder: Path):
        self.output, self.folder = output, folder
        self._result: ForecastResult | None = None

    def add(self, result: ForecastResult) -> None:
        """Take the checked result.

        Raises
        ------
        UserError
            It is the second one.
        """
        if self._result is not None:
            raise UserError("a weekly forecast has one result; this run has more of them: start a new run")
        self._result = result

    def finish(self) -> WeeklyCollected:
        """Write the tables, and the submission if there is to be one; return what was collected.

        Raises
        ------
        UserError
            The output is for another reference date, or the hub would not take the submission.
        """
        result, places = self._result, weekly_places(self._result)
        notes = [*result.notes, *warning_lines(result)]
        columns = forecast_columns(result, places)
        table = open_table(self.folder / TABLE, list(columns), self.output.table_formats)
        table.write(columns)
        files = table.close()
        if self.output.flusight_format is not None:
            submitted, said = self._submit(self.output.flusight_format, result)
            files, notes = files + submitted, notes + said
        return WeeklyCollected(files, result, notes)

    def _submit(self, wanted: FlusightFormat, result: ForecastResult) -> tuple[list[Path], list[str]]:
        """Write the file of a submission; return it, and what a reader must know about it."""
        reference = result.forecast.reference_date
        if wanted.reference_date not in (None, reference):
            raise UserError(
                f"flusight_format: reference_date is {wanted.reference_date}, but this run forecasts "
                f"{reference}; leave it out, or start a run of that date"
            )
        if not wanted.has_submission:
            return [], ["flusight_format names neither team nor model, so no submission is written"]
        path, notes = submit_forecast(self.folder, result, wanted.team, wanted.model)
        return [path], notes


def forecast_columns(result: ForecastResult, places: list[Place]) -> Columns:
    """Return the table of the forecast: a row per location, horizon and quantile."""
    reference = result.forecast.reference_date
    ends = [str(end) for end in target_dates(reference).values()]
    by_place = result.forecast.values.transpose(1, 0, 2)[[place.column for place in places]]
    each, weeks, levels = by_place.shape
    return {
        "population": np.repeat([place.population for place in places], weeks * levels),
        "location": np.repeat([place.location for place in places], weeks * levels),
        "reference_date": np.repeat([str(reference)], by_place.size),
        "horizon": np.tile(np.repeat(np.array(HORIZONS), levels), each),
        "target_end_date": np.tile(np.repeat(ends, levels), each),
        "quantile": np.tile(np.array(QUANTILES), each * weeks),
        "value": np.rint(by_place).astype(int).ravel(),
    }


def weekly_headline(result: ForecastResult) -> list[dict[str, object]]:
    """Return the rows of the headline, with the fields of headline.py.

    First the coming weeks of the nation, then the last week of the locations whose expected change per person
    is largest. `low` and `high` are the 90 % interval.
    """
    places, words = largest_changes_first(weekly_places(result)), category_words()
    rows = []
    for place in places[:MOST_ROWS]:
        if place.is_nation:
            rows += [_row(result, place, week, "forecast, 90 % interval") for week in range(LAST + 1)]
        else:
            rows.append(
                _row(result, place, LAST, f"{words[place.category]}, {per_people(place)}; 90 % interval")
            )
    return rows[:MOST_ROWS]


def weekly_left_out(result: ForecastResult, rows: list[dict[str, object]]) -> int:
    """Return the number of locations that are forecast and have no row in the headline."""
    return len(result.locations) - len({row["population"] for row in rows})


def _row(result: ForecastResult, place: Place, horizon: int, note: str) -> dict[str, object]:
    low, median, high = (float(quantile_of(result, horizon, q)[place.column]) for q in (0.05, 0.5, 0.95))
    return {
        "population": place.population,
        "series": SERIES,
        "date": str(week_of(result, horizon)),
        "low": low,
        "median": median,
        "high": high,
        "note": note,
    }
