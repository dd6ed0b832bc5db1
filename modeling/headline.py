"""The forecast in a few rows, for a terminal and the top of the report."""

import numpy as np

from modeling.panels import LEVELS, Panel, SeriesPanel

MOST_ROWS = 24
HORIZONS = 4  # dates after the last fitted one

Row = dict[str, object]  # population, series, date, low, median, high, note


def headline(panels: list[Panel]) -> list[Row]:
    """Return the rows: of a calibration the next dates, of simulations the peak.

    `low` and `high` are the 90 % interval; of a sampling experiment, the extremes over its sets.
    """
    rows: list[Row] = []
    for panel in panels:
        for series in panel.series:
            if panel.kind == "sampling":
                rows += _peak_over_sets(panel, series)
            elif series.observed is not None and series.projection is not None:
                rows += _next_dates(panel, series)
            elif series.projection is not None:
                rows += _peak(panel, series)
    return rows[:MOST_ROWS]


def _next_dates(panel: Panel, series: SeriesPanel) -> list[Row]:
    fan, observed = series.projection, series.observed
    last = observed.dates[observed.fitted][-1]
    later = np.flatnonzero(fan.dates.astype("datetime64[D]") > last)[:HORIZONS]
    return [_row(panel, series, fan.dates[i], *_interval(fan.curves[:, i]), "forecast") for i in later]


def _peak(panel: Panel, series: SeriesPanel) -> list[Row]:
    fan = series.projection
    peak = int(np.argmax(fan.curves[LEVELS.index(0.5)]))
    return [_row(panel, series, fan.dates[peak], *_interval(fan.curves[:, peak]), "peak of the median")]


def _peak_over_sets(panel: Panel, series: SeriesPanel) -> list[Row]:
    if not series.lines:
        return []
    peaks = np.array([median.max() for _, median in series.lines])
    dates, middle = series.lines[int(np.argsort(peaks)[len(peaks) // 2])]
    note = f"peak over {len(peaks)} parameter sets"
    date = dates[int(np.argmax(middle))]
    return [_row(panel, series, date, peaks.min(), float(np.median(peaks)), peaks.max(), note)]


def _interval(curves: np.ndarray) -> tuple[float, float, float]:
    return tuple(float(curves[LEVELS.index(level)]) for level in (0.05, 0.5, 0.95))


def _row(panel: Panel, series: SeriesPanel, date, low: float, median: float, high: float, note: str) -> Row:
    return {
        "population": panel.population,
        "series": series.label,
        "date": str(date.astype("datetime64[D]")),
        "low": round(float(low), 1),
        "median": round(float(median), 1),
        "high": round(float(high), 1),
        "note": note,
    }
