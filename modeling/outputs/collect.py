"""Stage C: each result is written to the tables, and one panel a population is kept."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from modeling.calendars import whole_intervals
from modeling.failures import UserError, listed
from modeling.forecast_records import ForecastResult
from modeling.outputs.chart_data import (
    ParameterSets,
    calibration_panel,
    early_ends,
    fit_notes,
    simulation_panel,
)
from modeling.outputs.ensemble import Ensemble
from modeling.outputs.panels import Panels
from modeling.outputs.tables import OutputTables
from modeling.outputs.weekly_collect import WeeklyCollected, WeeklyCollector
from modeling.vocabulary import Output
from modeling.workload import Result


@dataclass(frozen=True)
class Collected:
    """What stage C has collected.

    Attributes
    ----------
    files : list of Path
        The tables.
    panels : Panels
        What charts and report show, one a population.
    results : int
        Number of results.
    notes : list of str
        What a reader must know before trusting the charts.
    """

    files: list[Path]
    panels: Panels
    results: int
    notes: list[str]


class AnyCollector:
    """Takes the results of any run: the kind of the first one decides who collects them."""

    def __init__(self, output: Output, folder: Path):
        self._output, self._folder = output, folder
        self._collector: Collector | WeeklyCollector | None = None

    def add(self, result: Result | ForecastResult) -> None:
        """Take the next checked result, in the order of their indices.

        Raises
        ------
        UserError
            It is of another kind than the first, or the output does not fit it.
        """
        kind = WeeklyCollector if isinstance(result, ForecastResult) else Collector
        if self._collector is None:
            self._collector = kind(self._output, self._folder)
        if not isinstance(self._collector, kind):
            raise UserError("the run has results of models and of a weekly forecast; start a new run")
        self._collector.add(result)

    def finish(self) -> "Collected | WeeklyCollected":
        """Close the tables, and return what was collected of one result or more."""
        return self._collector.finish()


class Collector:
    """Writes results to tables, and keeps their panels.

    Parameters
    ----------
    folder : Path
        Where the tables are written.
    """

    def __init__(self, output: Output, folder: Path):
        self.output = output
        self._tables = OutputTables(output, folder)
        self._panels = Panels()
        self._ensemble: Ensemble | None = None
        self._sets: ParameterSets | None = None
        self._left_out: set[str] = set()  # dates of intervals that were simulated in part
        self._whole: set[str] = set()  # dates of intervals that are whole in some parameter set
        self._transformed: dict[str, None] = {}  # what functions have done to trajectories
        self._unreached: list[str] = []  # generations without posteriors, a population each
        self._results = 0

    def add(self, result: Result) -> None:
        """Take the next checked result, in the order of their indices.

        Raises
        ------
        UserError
            The result has no series of a name that the output asks for.
        """
        self._results += 1
        simulated = result.trajectories
        result = self._whole_intervals(result)
        if result.kind == "calibration":
            self._tables.add_result(result)
            self._panels.put(calibration_panel(result))
            self._unreached += self._unreached_generations(result)
            self._transformed |= dict.fromkeys(_transformations(result))
            return
        if self._ensemble is not None and self._ensemble.primary_id == result.primary_id:
            self._tables.add_result(result)
            self._ensemble.add(result)
        else:
            self._finish_ensemble()
            self._tables.add_result(result)
            self._ensemble = Ensemble(result, simulated)

    def finish(self) -> Collected:
        """Close the tables, and return what was collected.

        Raises
        ------
        UserError
            The hub would not take the submission.
        """
        self._finish_ensemble()
        self._finish_sets()
        panels, files = self._panels, self._tables.close()
        notes = [*early_ends(panels), *fit_notes(panels), *self._tables.notes, *self._transformed]
        if self._unreached:
            missing = listed(self._unreached)
            notes.append(f"the table of posteriors is without generations that were not reached: {missing}")
        if never_whole := self._left_out - self._whole:
            dates = listed(sorted(never_whole))
            notes.append(
                f"left out of tables and charts, because not all of their days were simulated: {dates}"
            )
        if at_times := self._left_out & self._whole:
            dates = listed(sorted(at_times))
            notes.append(
                f"left out of the tables of the parameter sets that begin or end within them: {dates}"
            )
        return Collected(files, panels, self._results, notes)

    def _unreached_generations(self, result: Result) -> list[str]:
        asked = getattr(self.output.posteriors, "generations", None) or ()
        missing = sorted(set(asked) - {generation.number for generation in result.generations})
        return [f"{listed(missing)} of {result.population}"] if missing else []

    def _whole_intervals(self, result: Result) -> Result:
        """Return the result without intervals that were simulated in part; their counts would mislead."""
        paths, expected = result.trajectories, result.expected
        if paths is None:
            return result
        kept = whole_intervals(paths.dates, expected.first_date, expected.last_date, expected.frequency)
        if result.set_count > 1:
            self._whole |= set(_days(paths.dates[kept]))
        if len(paths.dates[kept]) == len(paths.dates):
            return result
        self._left_out |= set(_days(np.delete(paths.dates, kept)))
        trimmed = replace(
            paths,
            dates=paths.dates[kept],
            in_compartments=paths.in_compartments[:, :, kept],
            by_transition=paths.by_transition[:, :, kept],
        )
        return replace(result, trajectories=trimmed)

    def _finish_ensemble(self) -> None:
        ensemble, self._ensemble = self._ensemble, None
        if ensemble is None:
            return
        self._tables.add_ensemble(ensemble)
        if ensemble.set_count == 1:
            self._panels.put(simulation_panel(ensemble, self.output))
            return
        if self._sets is not None and self._sets.population != ensemble.population:
            self._finish_sets()
        if self._sets is None:
            self._sets = ParameterSets(ensemble, self.output)
        self._sets.add(ensemble)

    def _finish_sets(self) -> None:
        # the sets of a population follow each other, so only those of one population are held
        if self._sets is not None:
            self._panels.put(self._sets.panel())
            self._sets = None


def _transformations(result: Result) -> list[str]:
    """Return a note on the function that transformed the trajectories of a result; none without one."""
    expected = result.expected
    if result.transformed_by and expected.people is None:
        return [
            f"trajectories are as {result.transformed_by} has changed them: their counts need be neither "
            "whole numbers nor add up to the population"
        ]
    added = expected.added_compartments + expected.added_transitions
    subject = "1 series is" if added == 1 else f"{added} series are"
    return [f"{subject} computed by {result.transformed_by}"] if added else []


def _days(dates: np.ndarray) -> list[str]:
    return dates.astype("datetime64[D]").astype(str).tolist()
