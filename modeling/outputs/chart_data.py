"""Makes the panels of charts and report from results; a result is dropped once its panel is made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modeling.failures import listed
from modeling.outputs.panels import (
    LEVELS,
    Fan,
    GenerationRow,
    Panel,
    Peaks,
    Posterior,
    SeriesPanel,
    SetRow,
)
from modeling.outputs.quantiles import quantiles, weighted_quantiles

if TYPE_CHECKING:  # the charts import this module, and should not load the vocabulary
    from modeling.outputs.ensemble import Ensemble
    from modeling.vocabulary import Output
    from modeling.workload import Generation, Result

MOST_SERIES = 4  # charted, of a population
MOST_LINES = 60  # parameter sets drawn as lines, of a population
MOST_POOLED = 500  # trajectories in the fan over parameter sets, and sets that they are taken from
BINS = 20
LEAST_WIDTH = 1e-6  # of a histogram, relative to its values; a narrower one is drawn as a single bar
SMALLEST_VALUE = 1e-300  # smaller numbers have too few digits for distinct bins
EPOCH = np.datetime64("1970-01-01", "s")
FEWEST_JUDGED = 4  # fitted dates; with fewer, a miss may be chance


def calibration_panel(result: Result) -> Panel:
    """Return the panel of a calibration: fit and projection of each observed series."""
    series = []
    for fit in result.fits:
        dates = fit.observed.dates[fit.observed.fitted]
        panel = SeriesPanel(fit.observed.label, fit.observed)
        panel.fit = Fan(dates, weighted_quantiles(fit.values, result.generations[-1].weights, LEVELS))
        if result.trajectories is not None:
            values = result.trajectories.summed(fit.observed.series)
            panel.projection = Fan(result.trajectories.dates, quantiles(values, LEVELS))
        series.append(panel)
    last = result.generations[-1]
    return Panel(
        population=result.population,
        population_name=result.population_name,
        kind="calibration",
        series=series,
        trajectories=result.trajectories.count if result.trajectories else 0,
        posteriors=[
            _posterior(name, last.particles[:, i], last.weights)
            for i, name in enumerate(result.parameter_names)
        ],
        generations=[_generation_row(generation) for generation in result.generations],
        simulations=result.simulations,
        stopped_by=result.stopped_by,
        changes=result.changes,
    )


def _generation_row(generation: Generation) -> GenerationRow:
    return GenerationRow(
        generation.number,
        generation.epsilon,
        float(generation.distances.max()),
        len(generation.weights),
        generation.simulations,
        float(1 / np.sum(generation.weights**2)),
    )


def simulation_panel(ensemble: Ensemble, output: Output) -> Panel:
    """Return the panel of one ensemble of fixed parameters."""
    series = []
    for name in charted_series(ensemble, output):
        values = ensemble.series(name)
        chart = SeriesPanel(name, can_peak=can_peak(name, ensemble))
        chart.projection = Fan(ensemble.dates, quantiles(values, LEVELS))
        chart.peaks = peaks(ensemble.dates, values)
        series.append(chart)
    place = (ensemble.population, ensemble.population_name)
    return Panel(*place, "simulation", series, ensemble.count, changes=ensemble.changes)


@dataclass(frozen=True)
class _Start:
    """When a parameter set starts in the fan of one series, and its count before that.

    Attributes
    ----------
    count : float or None
        None if the people of its first day are not known.
    period : timedelta64 or None
        Time between its dates, if these depend on its own start.
    """

    date: np.datetime64
    count: float | None
    trajectories: int
    period: np.timedelta64 | None

    @property
    def grid(self) -> tuple | None:
        """Equal for two sets that are reported on the same dates."""
        return None if self.period is None else (self.period, (self.date - EPOCH) % self.period)


class ParameterSets:
    """Collects the parameter sets of one population: a line each, and a fan over all of them.

    Before its own start a set is constant in the fan: people are as on its first day, and nobody moves.
    """

    def __init__(self, first: Ensemble, output: Output):
        self.population, self.population_name = first.population, first.population_name
        self.planned, self.sets = first.set_count, 0
        self._changes = first.changes
        self.trajectories = 0
        self._series = [
            SeriesPanel(name, can_peak=can_peak(name, first)) for name in charted_series(first, output)
        ]
        # by series and date, since sets may start on different days
        self._pools: list[dict[np.datetime64, list[np.ndarray]]] = [{} for _ in self._series]
        self._starts: list[list[_Start]] = [[] for _ in self._series]
        self._dates: set[np.datetime64] = set()  # of whole intervals of any set in the fan
        self._rows: list[SetRow] = []

    def add(self, ensemble: Ensemble) -> None:
        """Take the next parameter set."""
        self.sets += 1
        self.trajectories += ensemble.count
        pooled = MOST_POOLED // min(ensemble.set_count, MOST_POOLED) * _is_nth(ensemble, MOST_POOLED)
        drawn = _is_nth(ensemble, MOST_LINES)
        if drawn:
            self._rows.append(SetRow(ensemble.set_index, _scalars(ensemble)))
        if pooled:
            self._dates |= set(ensemble.dates)
        for chart, pool, starts in zip(self._series, self._pools, self._starts, strict=True):
            if drawn:
                median = np.median(ensemble.series(chart.label), axis=0)
                chart.lines.append((ensemble.dates, median))
                chart.set_peaks.append(peaks(ensemble.dates, median[None]))
            if not pooled:
                continue
            dates, values = ensemble.since_start(chart.label)
            for date, column in zip(dates, values[:pooled].T, strict=True):
                pool.setdefault(date, []).append(np.array(column))
            if len(dates):
                starts.append(_start(ensemble, chart.label, dates, len(values[:pooled])))

    def panel(self) -> Panel:
        """Return the panel of the sets so far."""
        for chart, pool, starts in zip(self._series, self._pools, self._starts, strict=True):
            dates = np.array(sorted(self._dates))
            # no set of the fan has a result, or the sets are reported on different dates
            if not len(dates) or len({start.grid for start in starts}) > 1:
                continue
            curves = [quantiles(_counts_on(date, pool, starts), LEVELS) for date in dates]
            chart.projection = Fan(dates, np.array(curves).T)
        return Panel(
            self.population,
            self.population_name,
            "sampling",
            self._series,
            self.trajectories,
            self.sets,
            self.planned - self.sets,
            _distinguished(self._rows),
            changes=self._changes,
        )


def _counts_on(
    date: np.datetime64, pool: dict[np.datetime64, list[np.ndarray]], starts: list[_Start]
) -> np.ndarray:
    """Return the counts of all sets on a date, also of those not yet started; shape (trajectories,)."""
    known = [start for start in starts if start.count is not None]
    waiting = [np.full(start.trajectories, start.count) for start in known if date < start.date]
    return np.concatenate([*pool[date], *waiting])


def _start(ensemble: Ensemble, name: str, dates: np.ndarray, trajectories: int) -> _Start:
    """Return when a set starts in the fan of a series, and with which count."""
    count = 0 if name in ensemble.transitions else ensemble.initial.get(name)
    frequency = ensemble.expected.frequency
    follows_start = frequency[0].isdigit() if frequency else ensemble.delta_t_days > 1
    period = dates[1] - dates[0] if follows_start and len(dates) > 1 else None
    return _Start(dates[0], None if count is None else float(count), trajectories, period)


def _scalars(ensemble: Ensemble) -> dict[str, float | str]:
    """Return the scalar parameters of a set, the people of its first day and its start date."""
    values: dict[str, float | str] = {
        name: float(value) for name, value in ensemble.parameters.items() if np.ndim(value) == 0
    }
    initial = {n.removesuffix("_total"): v for n, v in ensemble.initial.items() if n.endswith("_total")}
    values |= {f"{compartment} on the first day": int(people) for compartment, people in initial.items()}
    return values | {"start_date": str(ensemble.expected.first_date)}


def _distinguished(rows: list[SetRow]) -> list[SetRow]:
    """Return the rows with only those values that differ between them."""
    if not rows:
        return []
    differ = [name for name in rows[0].values if len({row.values[name] for row in rows}) > 1]
    return [SetRow(row.number, {name: row.values[name] for name in differ}) for row in rows]


def _is_nth(ensemble: Ensemble, most: int) -> bool:
    """Return whether a set is among `most` sets that are spread evenly over all sets."""
    return ensemble.set_index % -(-ensemble.set_count // most) == 0


def charted_series(ensemble: Ensemble, output: Output) -> list[str]:
    """Return the series to draw: those the output names, else the first transition and compartments."""
    chosen: list[str] = []
    for section in (output.quantiles, output.trajectories):
        for names in (section.transitions, section.compartments) if section else ():
            chosen += names if isinstance(names, list) else []
    known = (*ensemble.transitions, *ensemble.compartments)
    chosen = [name for name in dict.fromkeys(chosen) if name in known]
    if not chosen:
        chosen = [n for n in ensemble.transitions if n.endswith("_total")][:1]
        chosen += [n for n in ensemble.compartments if n.endswith("_total")]
    return chosen[:MOST_SERIES]


def can_peak(name: str, ensemble: Ensemble) -> bool:
    """Return whether a series can rise and fall; a compartment can if people enter and leave it."""
    if name in ensemble.transitions:
        return True
    compartment = name.rpartition("_")[0]
    leave = any(moved.startswith(f"{compartment}_to_") for moved in ensemble.transitions)
    enter = any(moved.rpartition("_")[0].endswith(f"_to_{compartment}") for moved in ensemble.transitions)
    return leave and enter


def peaks(dates: np.ndarray, values: np.ndarray) -> Peaks:
    """Return the peaks of trajectories, values of shape (trajectories, dates).

    A quantile of the dates is the nearest of the sorted dates, without interpolation. Peaks are higher than
    the median curve's highest point, because trajectories peak on different days.
    """
    highest, places = values.max(axis=1), np.sort(values.argmax(axis=1))
    levels = [0.05, 0.5, 0.95]
    days = [dates[places[round(level * (len(places) - 1))]] for level in levels]
    return Peaks(tuple(quantiles(highest, levels).tolist()), tuple(days), _where(values))


def _where(values: np.ndarray) -> str:
    """Return where most of the trajectories are highest, in words."""
    places, last = values.argmax(axis=1), values.shape[1] - 1
    if (np.ptp(values, axis=1) == 0).mean() > 0.5:
        return "always the same"
    if (places == last).mean() > 0.5:
        return "still rising at the end"
    return "highest at the start" if (places == 0).mean() > 0.5 else "peak"


def fit_notes(panels: Iterable[Panel]) -> list[str]:
    """Return a note on calibrations whose 90 % band misses more than half of the fitted points."""
    bad = []
    for panel in panels:
        for series in panel.series:
            missed, points = _missed(series)
            if points >= FEWEST_JUDGED and missed > points / 2:
                bad.append(f"{panel.population} {series.label} ({missed} of {points})")
    if not bad:
        return []
    return [
        f"bad fit of {listed(bad)}: these fitted points lie outside the 90 % band of the calibration; "
        "look at the chart before you use the projection, then widen the priors or correct the model"
    ]


def early_ends(panels: Iterable[Panel]) -> list[str]:
    """Return a note on each calibration that ended because no nearer draw was found.

    The record of the run notes calibrations that were cut short by time or number of simulations.
    """
    reasons = {
        "max_consecutive_rejections": "too many draws in a row were rejected (max_consecutive_rejections)",
        "smallest_distance": "epsilon was not above the smallest possible distance",
    }
    return [
        f"{panel.population}: calibration ended early with generation {panel.generations[-1].number}, "
        f"because {reasons[panel.stopped_by]}"
        for panel in panels
        if panel.stopped_by in reasons
    ]


def _missed(series: SeriesPanel) -> tuple[int, int]:
    """Return the number of fitted points outside the 90 % band of the fit, and the number of all."""
    if series.observed is None or series.fit is None:
        return 0, 0
    values = series.observed.values[series.observed.fitted]
    low, high = (series.fit.curves[LEVELS.index(level)] for level in (0.05, 0.95))
    return int(((values < low) | (values > high)).sum()), len(values)


def _posterior(name: str, values: np.ndarray, weights: np.ndarray) -> Posterior:
    low, median, high = weighted_quantiles(values[:, None], weights, [0.05, 0.5, 0.95])[:, 0]
    edges, density = _histogram(values, weights, float(median))
    return Posterior(name, float(low), float(median), float(high), edges, density)


def _histogram(values: np.ndarray, weights: np.ndarray, median: float) -> tuple[np.ndarray, np.ndarray]:
    """Return edges and density: a single bar where the range of values is almost 0, or infinite."""
    lowest, highest = float(values.min()), float(values.max())
    width = highest - lowest  # of floats, for numpy would warn where it is infinite
    if LEAST_WIDTH * max(abs(lowest), abs(highest), SMALLEST_VALUE) < width < np.inf:
        density, edges = np.histogram(values, bins=BINS, weights=weights, density=True)
        return edges, density
    half = 0.025 * (abs(median) if abs(median) > SMALLEST_VALUE else 1)
    largest = float(np.finfo(float).max)
    edges = [min(max(median + half * step, -largest), largest) for step in (-10, -1, 1, 10)]
    return np.array(edges), np.array([0.0, 1.0, 0.0])
