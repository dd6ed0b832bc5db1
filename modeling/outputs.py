"""Stage C's tables, written while the results stream by.

One row a date and quantile (or trajectory), one column a series: the layout of epymodelingsuite's
outputs, so that scripts written for those read these.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from modeling.failures import UserError, did_you_mean
from modeling.statistics import weighted_quantiles
from modeling.tables import Table, open_table
from modeling.vocabulary import Output
from modeling.vocabulary.output import Posteriors
from modeling.workload import Result, Trajectories

DECIMALS = 6  # of quantiles: without the noise of floating point
DEFAULT_LEVELS = [0.025, 0.25, 0.5, 0.75, 0.975]  # of fit and projection, without a quantiles section


class Ensemble:
    """All trajectories of one set of fixed parameters, joined from the parts of a split ensemble.

    A part that is not the whole is written to a temporary file, series by series, so that memory
    holds one part and one series at a time.
    """

    def __init__(self, result: Result):
        self.primary_id, self.seed = result.primary_id, result.seed
        self.population, self.population_name = result.population, result.population_name
        self.set_index, self.set_count = result.set_index, result.set_count
        self.dates = result.trajectories.dates
        self.compartments = result.trajectories.compartments
        self.transitions = result.trajectories.transitions
        self.total = result.ensemble_total
        self.count = 0
        self._names = {name: i for i, name in enumerate((*self.compartments, *self.transitions))}
        self._spill: np.memmap | None = None
        self._whole: Trajectories | None = None
        self.add(result)

    def add(self, result: Result) -> None:
        trajectories = result.trajectories
        if trajectories.count == self.total:
            self._whole = trajectories
        else:
            if self._spill is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the map
                shape = (len(self._names), self.total, len(self.dates))
                self._spill = np.memmap(self._file, dtype=np.int64, mode="w+", shape=shape)
            rows = slice(self.count, self.count + trajectories.count)
            people = len(self.compartments)
            self._spill[:people, rows] = trajectories.in_compartments.transpose(1, 0, 2)
            self._spill[people:, rows] = trajectories.by_transition.transpose(1, 0, 2)
            self._spill.flush()
        self.count += trajectories.count

    def series(self, name: str) -> np.ndarray:
        """Return one series, shape (trajectories, dates)."""
        if self._whole is not None:
            return self._whole.series(name)
        return self._spill[self._names[name], : self.count]


class OutputTables:
    """The tables of one stage C, opened when their first row comes."""

    def __init__(self, output: Output, folder: Path):
        self.output, self.folder = output, folder
        self._tables: dict[str, Table] = {}

    def add_ensemble(self, ensemble: Ensemble) -> None:
        """Write the quantiles of a simulated ensemble."""
        ids = {"primary_id": ensemble.primary_id, "seed": ensemble.seed, "population": ensemble.population}
        self._write_quantiles(
            ids, ensemble.dates, ensemble.compartments, ensemble.transitions, ensemble.series
        )

    def add_result(self, result: Result, first_trajectory: int = 0) -> None:
        """Write what follows from one result alone: trajectories, posterior, fit, projection, metadata."""
        ids = {"primary_id": result.primary_id, "seed": result.seed, "population": result.population}
        if result.trajectories is not None:
            self._write_trajectories(ids, result.trajectories, first_trajectory)
        if result.kind == "calibration":
            if result.trajectories is not None:
                t = result.trajectories
                self._write_quantiles(ids, t.dates, t.compartments, t.transitions, t.series)
            self._write_posteriors(ids, result)
            self._write_fits(ids, result)
        self._write_metadata(ids, result)

    def close(self) -> list[Path]:
        """Finish every table and return the files."""
        return [path for table in self._tables.values() for path in table.close()]

    def _table(self, name: str, columns: list[str]) -> Table:
        if name not in self._tables:
            self._tables[name] = open_table(self.folder / name, columns, self.output.table_formats)
        return self._tables[name]

    def _write_quantiles(
        self, ids, dates, compartments, transitions, series: Callable[[str], np.ndarray]
    ) -> None:
        wanted = self.output.quantiles
        if wanted is None:
            return
        levels = wanted.selections
        for kind, chosen, known in (
            ("compartments", wanted.compartments, compartments),
            ("transitions", wanted.transitions, transitions),
        ):
            names = _chosen(chosen, known, kind)
            if not names:
                continue
            curves = {name: _quantiles(series(name), levels) for name in names}
            columns = {
                **_repeated(ids, len(dates) * len(levels)),
                "date": np.repeat(_dates(dates), len(levels)),
                "quantile": np.tile(levels, len(dates)),
                **curves,
            }
            self._table(f"quantiles_{kind}", list(columns)).write(columns)

    def _write_trajectories(self, ids, trajectories: Trajectories, first: int) -> None:
        wanted = self.output.trajectories
        if wanted is None:
            return
        for kind, chosen, known in (
            ("compartments", wanted.compartments, trajectories.compartments),
            ("transitions", wanted.transitions, trajectories.transitions),
        ):
            names = _chosen(chosen, known, kind)
            for number in range(trajectories.count) if names else ():
                dates = _dates(trajectories.dates)
                columns = {
                    "primary_id": np.full(len(dates), ids["primary_id"]),
                    "sim_id": np.full(len(dates), first + number),
                    "seed": _column(ids["seed"], len(dates)),
                    "population": _column(ids["population"], len(dates)),
                    "date": dates,
                    **{name: trajectories.series(name)[number] for name in names},
                }
                self._table(f"trajectories_{kind}", list(columns)).write(columns)

    def _write_posteriors(self, ids, result: Result) -> None:
        wanted = self.output.posteriors
        if not wanted:
            return
        numbers = [result.generations[-1].number]
        if isinstance(wanted, Posteriors) and wanted.generations is not None:
            numbers = wanted.generations
        for generation in result.generations:
            if generation.number not in numbers:
                continue
            count = len(generation.weights)
            columns = {
                **_repeated(ids, count),
                "generation": np.full(count, generation.number),
                "weight": generation.weights,
                "distance": generation.distances,
                **{name: generation.particles[:, i] for i, name in enumerate(result.parameter_names)},
            }
            self._table("posteriors", list(columns)).write(columns)

    def _write_fits(self, ids, result: Result) -> None:
        """Write the observed quantities: as fitted (weighted by the posterior), and as projected."""
        wanted = self.output.quantiles
        levels = wanted.selections if wanted else DEFAULT_LEVELS
        weights = result.generations[-1].weights
        for fit in result.fits:
            observed = fit.observed
            dates = observed.dates[observed.fitted]
            curves = weighted_quantiles(fit.values, weights, levels)
            columns = self._observed_columns(ids, observed.label, dates, levels, curves)
            columns["observed"] = np.repeat(observed.values[observed.fitted], len(levels))
            self._table("quantiles_calibration", list(columns)).write(columns)
            if result.trajectories is not None:
                values = result.trajectories.summed(observed.series)
                curves = np.quantile(values, levels, axis=0)
                columns = self._observed_columns(
                    ids, observed.label, result.trajectories.dates, levels, curves
                )
                self._table("quantiles_projection", list(columns)).write(columns)

    @staticmethod
    def _observed_columns(ids, label: str, dates, levels, curves: np.ndarray) -> dict[str, np.ndarray]:
        rows = len(dates) * len(levels)
        return {
            **_repeated(ids, rows),
            "date": np.repeat(_dates(dates), len(levels)),
            "series": _column(label, rows),
            "quantile": np.tile(levels, len(dates)),
            "value": np.round(curves.T.ravel(), DECIMALS),
        }

    def _write_metadata(self, ids, result: Result) -> None:
        """Write one row a result: its window, numbers, parameters and initial conditions."""
        first, last = result.expected.first_date, result.expected.last_date
        row: dict[str, object] = {
            **ids,
            "index": result.index,
            "kind": result.kind,
            "delta_t": result.delta_t_days,
            "n_sims": result.trajectories.count if result.trajectories else 0,
            "start_date": first.isoformat(),
            "end_date": last.isoformat(),
        }
        if result.kind == "calibration":
            window = [f.observed.dates[f.observed.fitted] for f in result.fits]
            row["fitting_start"] = str(min(w[0] for w in window))
            row["fitting_end"] = str(max(w[-1] for w in window))
            row["n_simulations"] = result.simulations
            row["n_generations"] = len(result.generations)
            row["stopped_by"] = result.stopped_by
        row |= {name: _text(value) for name, value in result.parameters.items()}
        row |= {
            f"init_{name}": int(value) for name, value in result.initial.items() if name.endswith("_total")
        }
        columns = {name: _column(value, 1) for name, value in row.items()}
        self._table("model_metadata", list(columns)).write(columns)
        if self.output.model_meta.projection_parameters and result.projected is not None:
            count = len(result.projected)
            columns = {
                **_repeated(ids, count),
                "sim_id": np.arange(count),
                **{name: result.projected[:, i] for i, name in enumerate(result.parameter_names)},
            }
            self._table("projection_parameters", list(columns)).write(columns)


def _chosen(chosen: list[str] | bool, known: list[str], kind: str) -> list[str]:
    if isinstance(chosen, bool):
        return list(known) if chosen else []
    for name in chosen:
        if name not in known:
            raise UserError(
                f'the output asks for "{name}", which is not among the {kind}{did_you_mean(name, known)}'
            )
    return chosen


def _quantiles(values: np.ndarray, levels: list[float]) -> np.ndarray:
    """Return quantiles over the trajectories, date by date; shape (dates * levels,)."""
    return np.round(np.quantile(values, levels, axis=0).T.ravel(), DECIMALS)


def _column(value: object, count: int) -> np.ndarray:
    return np.full(
        count, "" if value is None else value, dtype=None if isinstance(value, (int, float)) else object
    )


def _repeated(ids: dict[str, object], count: int) -> dict[str, np.ndarray]:
    return {name: _column(value, count) for name, value in ids.items()}


def _dates(dates: np.ndarray) -> np.ndarray:
    """Return dates as text: days where every date is midnight, else with the time of day."""
    days = dates.astype("datetime64[D]")
    whole_days = (days.astype("datetime64[s]") == dates.astype("datetime64[s]")).all()
    return np.datetime_as_string(days if whole_days else dates.astype("datetime64[s]")).astype(object)


def _text(value: float | np.ndarray) -> object:
    return " ".join(f"{v:.12g}" for v in value) if isinstance(value, np.ndarray) else float(value)
