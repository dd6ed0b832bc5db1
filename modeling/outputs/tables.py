"""The tables of stage C, written while the results stream by.

One row a date and quantile (or trajectory), one column a series: the layout of epymodelingsuite's
outputs, so that scripts written for those read these.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from modeling.failures import UserError, did_you_mean
from modeling.outputs.ensemble import Ensemble
from modeling.outputs.hub_table import HubTable
from modeling.outputs.quantiles import quantiles, weighted_quantiles
from modeling.outputs.table_files import Columns, Table, open_table
from modeling.vocabulary import Output
from modeling.vocabulary.output import Posteriors, Selection
from modeling.workload import Result, Trajectories

TRAJECTORIES_AT_ONCE = 200  # in the table of trajectories
DECIMALS = 6  # of quantiles: without the noise of floating point
DEFAULT_LEVELS = [0.025, 0.25, 0.5, 0.75, 0.975]  # of fit and projection, without a quantiles section

Ids = dict[str, object]  # primary_id, seed, population


class OutputTables:
    """The tables of a run, each opened when its first row comes.

    Parameters
    ----------
    output : Output
        Which tables, and their contents.
    folder : Path
        Where the tables are written.
    """

    def __init__(self, output: Output, folder: Path):
        self.output, self.folder = output, folder
        self._tables: dict[str, Table] = {}
        self._hub = HubTable(output)

    def add_ensemble(self, ensemble: Ensemble) -> None:
        """Write the quantiles of a simulated ensemble, and its row of metadata.

        Raises
        ------
        UserError
            The output asks for a series that the ensemble does not have.
        """
        ids = _ids(ensemble)
        self._write_quantiles(ids, ensemble)
        self._hub.skip()
        row = _metadata(ensemble, "simulation", ensemble.count)
        row |= {f"init_{n}": int(value) for n, value in ensemble.initial.items() if n.endswith("_total")}
        self._write_row("model_metadata", row)

    def add_result(self, result: Result) -> None:
        """Write what one result decides alone: trajectories; of a calibration everything.

        Raises
        ------
        UserError
            The output asks for a series, or a hub's forecast, that the result does not have.
        """
        ids = _ids(result)
        if result.trajectories is not None:
            self._write_trajectories(ids, result.trajectories, result.first_trajectory)
        if result.kind == "calibration":
            if result.trajectories is not None:
                self._write_quantiles(ids, result.trajectories)
            self._write_posteriors(ids, result)
            self._write_fits(ids, result)
            self._write_calibration_metadata(ids, result)
            if self.output.hub_format is not None:
                columns = self._hub.columns(result)
                self._table(self._hub.name, list(columns)).write(columns)

    @property
    def notes(self) -> list[str]:
        """What a reader must know about the tables so far."""
        return self._hub.notes

    def close(self) -> list[Path]:
        """Close every table, write what needs all results, and return all files."""
        files = [path for table in self._tables.values() for path in table.close()]
        return files + self._hub.finish(self.folder)

    def _table(self, name: str, columns: list[str]) -> Table:
        if name not in self._tables:
            self._tables[name] = open_table(self.folder / name, columns, self.output.table_formats)
        return self._tables[name]

    def _write_quantiles(self, ids: Ids, source: Trajectories | Ensemble) -> None:
        wanted = self.output.quantiles
        if wanted is None:
            return
        levels, dates = wanted.selections, _dates(source.dates)
        for kind, names in _chosen_series(wanted, source):
            columns = {
                **_repeated(ids, len(dates) * len(levels)),
                "date": np.repeat(dates, len(levels)),
                "quantile": np.tile(levels, len(dates)),
                **{name: _quantiles(source.series(name), levels) for name in names},
            }
            self._table(f"quantiles_{kind}", list(columns)).write(columns)

    def _write_trajectories(self, ids: Ids, trajectories: Trajectories, first: int) -> None:
        wanted = self.output.trajectories
        if wanted is None:
            return
        dates = _dates(trajectories.dates)
        for kind, names in _chosen_series(wanted, trajectories):
            for begin in range(0, trajectories.count, TRAJECTORIES_AT_ONCE):
                numbers = np.arange(begin, min(begin + TRAJECTORIES_AT_ONCE, trajectories.count))
                rows = len(numbers) * len(dates)
                columns = {
                    "primary_id": _column(ids["primary_id"], rows),
                    "sim_id": np.repeat(first + numbers, len(dates)),
                    "seed": _column(ids["seed"], rows),
                    "population": _column(ids["population"], rows),
                    "date": np.tile(dates, len(numbers)),
                    **{name: trajectories.series(name)[numbers].ravel() for name in names},
                }
                self._table(f"trajectories_{kind}", list(columns)).write(columns)

    def _write_posteriors(self, ids: Ids, result: Result) -> None:
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

    def _write_fits(self, ids: Ids, result: Result) -> None:
        """Write the observed quantities, as fitted (weighted by the posterior) and as projected."""
        wanted = self.output.quantiles
        levels = wanted.selections if wanted else DEFAULT_LEVELS
        weights = result.generations[-1].weights
        for fit in result.fits:
            observed = fit.observed
            curves = weighted_quantiles(fit.values, weights, levels)
            dates = observed.dates[observed.fitted]
            columns = _observed_columns(ids, observed.label, dates, levels, curves)
            columns["observed"] = np.repeat(observed.values[observed.fitted], len(levels))
            self._table("quantiles_calibration", list(columns)).write(columns)
            if result.trajectories is not None:
                curves = quantiles(result.trajectories.summed(observed.series), levels)
                dates = result.trajectories.dates
                columns = _observed_columns(ids, observed.label, dates, levels, curves)
                self._table("quantiles_projection", list(columns)).write(columns)

    def _write_calibration_metadata(self, ids: Ids, result: Result) -> None:
        row = _metadata(result, "calibration", result.trajectories.count if result.trajectories else 0)
        window = [f.observed.dates[f.observed.fitted] for f in result.fits]
        row |= {
            "fitting_start": str(min(w[0] for w in window)),
            "fitting_end": str(max(w[-1] for w in window)),
            "n_simulations": result.simulations,
            "n_generations": len(result.generations),
            "stopped_by": result.stopped_by,
        }
        self._write_row("model_metadata", row)
        if self.output.model_meta.projection_parameters and result.projected is not None:
            count = len(result.projected)
            columns = {
                **_repeated(ids, count),
                "sim_id": np.arange(count),
                **{name: result.projected[:, i] for i, name in enumerate(result.parameter_names)},
            }
            self._table("projection_parameters", list(columns)).write(columns)

    def _write_row(self, table: str, row: dict[str, object]) -> None:
        columns = {name: _column(value, 1) for name, value in row.items()}
        self._table(table, list(columns)).write(columns)


def _observed_columns(
    ids: Ids, label: str, dates: np.ndarray, levels: list[float], curves: np.ndarray
) -> Columns:
    """Return the columns of one observed quantity from curves of shape (levels, dates)."""
    rows = len(dates) * len(levels)
    return {
        **_repeated(ids, rows),
        "date": np.repeat(_dates(dates), len(levels)),
        "series": _column(label, rows),
        "quantile": np.tile(levels, len(dates)),
        "value": np.round(curves.T.ravel(), DECIMALS),
    }


def _ids(source: Result | Ensemble) -> Ids:
    return {"primary_id": source.primary_id, "seed": source.seed, "population": source.population}


def _metadata(source: Result | Ensemble, kind: str, trajectories: int) -> dict[str, object]:
    """Return the metadata that every kind of ensemble has: dates, numbers, fixed parameters."""
    return {
        **_ids(source),
        "kind": kind,
        "delta_t": source.delta_t_days,
        "n_sims": trajectories,
        "start_date": source.expected.first_date.isoformat(),
        "end_date": source.expected.last_date.isoformat(),
        **{name: _text(value) for name, value in source.parameters.items()},
    }


def _chosen_series(wanted: Selection, source: Trajectories | Ensemble) -> Iterator[tuple[str, list[str]]]:
    """Yield the kinds of series that the output asks for, each with its names."""
    for kind, chosen, known in (
        ("compartments", wanted.compartments, source.compartments),
        ("transitions", wanted.transitions, source.transitions),
    ):
        if names := _chosen(chosen, known, kind):
            yield kind, names


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
    return np.round(quantiles(values, levels).T.ravel(), DECIMALS)


def _column(value: object, count: int) -> np.ndarray:
    return np.full(
        count, "" if value is None else value, dtype=None if isinstance(value, (int, float)) else object
    )


def _repeated(ids: Ids, count: int) -> Columns:
    return {name: _column(value, count) for name, value in ids.items()}


def _dates(dates: np.ndarray) -> np.ndarray:
    """Return dates as text: days where every date is midnight, else with the time of day."""
    days = dates.astype("datetime64[D]")
    whole_days = (days.astype("datetime64[s]") == dates.astype("datetime64[s]")).all()
    return np.datetime_as_string(days if whole_days else dates.astype("datetime64[s]")).astype(object)


def _text(value: float | np.ndarray) -> object:
    return " ".join(f"{v:.12g}" for v in value) if isinstance(value, np.ndarray) else float(value)
