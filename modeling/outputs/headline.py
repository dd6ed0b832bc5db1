"""The headline: the forecast in a few rows, for the terminal and the top of the report."""

from collections.abc import Collection

import numpy as np

from modeling.outputs.panels import LEVELS, Panel, SeriesPanel

MOST_ROWS = 24
MOST_DATES = 8  # of a series, after its last fitted date
FEWEST_DATES = 4  # of a series, however many series there are

Row = dict[str, object]  # population, series, date, low, median, high, note


def headline(panels: Collection[Panel]) -> list[Row]:
    """Return the rows of the headline: the next dates of a calibration, the peaks of simulations.

    `low` and `high` are the 90 % interval, or the extremes over the parameter sets of a sampling experiment;
    the note of each row says which.
    """
    series_count = sum(_is_forecast(series) for panel in panels for series in panel.series)
    dates = min(MOST_DATES, max(FEWEST_DATES, MOST_ROWS // max(series_count, 1)))
    rows: list[Row] = []
    for panel in panels:
        if len(rows) >= MOST_ROWS:
            break
        for series in _shown_series(panel):
            if _is_forecast(series):
                rows += _next_dates(panel, series, dates)
            elif panel.kind == "sampling" and series.set_peaks:
                rows.append(_middle_set(panel, series))
            elif series.peaks is not None:
                rows.append(_peak(panel, series))
    return rows[:MOST_ROWS]


def left_out(panels: Collection[Panel], rows: list[Row]) -> int:
    """Return the number of populations without a row, because there are more of them than rows."""
    return len({panel.population for panel in panels} - {row["population"] for row in rows})


def left_out_dates(panels: Collection[Panel], rows: list[Row]) -> int:
    """Return the number of forecast dates without a row, among the populations that have rows."""
    shown = {row["population"] for row in rows}
    forecasts = [
        (panel.population, series)
        for panel in panels
        for series in _shown_series(panel)
        if panel.population in shown and _is_forecast(series)
    ]
    labels = {(population, series.label) for population, series in forecasts}
    dates = sum(len(_later(series)) for _, series in forecasts)
    return dates - sum((row["population"], row["series"]) in labels for row in rows)


def _shown_series(panel: Panel) -> list[SeriesPanel]:
    """Return the series that can peak, or all if none can; susceptible people, for one, have no peak."""
    return [series for series in panel.series if series.can_peak] or panel.series


def _is_forecast(series: SeriesPanel) -> bool:
    return series.observed is not None and series.projection is not None


def _next_dates(panel: Panel, series: SeriesPanel, count: int) -> list[Row]:
    fan, note = series.projection, "forecast, 90 % interval"
    chosen = _later(series)[:count]
    return [_row(panel, series, fan.dates[i], _interval(fan.curves[:, i]), note) for i in chosen]


def _later(series: SeriesPanel) -> np.ndarray:
    """Return the indices of the projected dates after the last fitted one."""
    last = series.observed.dates[series.observed.fitted][-1]
    return np.flatnonzero(series.projection.dates.astype("datetime64[D]") > last)


def _peak(panel: Panel, series: SeriesPanel) -> Row:
    peaks = series.peaks
    note = f"{peaks.where}, 90 % interval{_between(peaks.dates[0], peaks.dates[-1])}"
    return _row(panel, series, peaks.dates[1], peaks.values, note)


def _middle_set(panel: Panel, series: SeriesPanel) -> Row:
    """Return the row of the set whose median has the middle peak, between the lowest and the highest."""
    of_sets = sorted(series.set_peaks, key=lambda peak: peak.values[1])
    middle = of_sets[(len(of_sets) - 1) // 2]
    days = sorted(p.dates[1] for p in of_sets)
    count = len(of_sets) if len(of_sets) == panel.sets else f"{len(of_sets)} of {panel.sets:,}"
    note = f"{middle.where}, medians of {count} sets: lowest, middle, highest{_between(days[0], days[-1])}"
    medians = (of_sets[0].values[1], middle.values[1], of_sets[-1].values[1])
    return _row(panel, series, middle.dates[1], medians, note)


def _between(first: np.datetime64, last: np.datetime64) -> str:
    if first == last:
        return ""
    return f"; {first.astype('datetime64[D]')} to {last.astype('datetime64[D]')}"


def _interval(curves: np.ndarray) -> tuple[float, float, float]:
    return tuple(float(curves[LEVELS.index(level)]) for level in (0.05, 0.5, 0.95))


def _row(
    panel: Panel, series: SeriesPanel, date: np.datetime64, interval: tuple[float, float, float], note: str
) -> Row:
    low, median, high = interval
    return {
        "population": panel.population,
        "series": series.label,
        "date": str(date.astype("datetime64[D]")),
        "low": round(float(low), 1),
        "median": round(float(median), 1),
        "high": round(float(high), 1),
        "note": note,
    }
