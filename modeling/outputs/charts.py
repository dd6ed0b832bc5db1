"""The fan chart of one panel as a PNG file, and what it shares with the chart of its posteriors.

Drawn with matplotlib's objects, never pyplot, so that there are no global figures.
chart_data.py computes what a chart shows. Stage B must not import this module: it takes a third of a second.
"""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, date2num, num2date
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, Formatter, FuncFormatter, MaxNLocator

from modeling.outputs.panels import LEVELS, Fan, Panel, SeriesPanel

DPI = 100
WIDTH = 900  # px, of every chart
TITLE, LEGEND = 40, 26  # px, rows above the charts
SERIES, SERIES_HEADER, DATES = 340, 30, 40  # px: a series, its name above, its dates below
LEFT, RIGHT = 74, 40  # px, margins
MOST_DRAWN = 1e100  # on an axis, because matplotlib multiplies what it draws
NORMAL, SMALL = 9, 8  # pt; of 900 px the report shows at least 740, where 8 pt are 9 px
CONTEXT = 0.12  # share of the modelled time that is shown of earlier observations

INK, MUTED, RULE, LINE = "#1c2733", "#5b6875", "#dfe4e8", "#aab4bd"
PROJECTION, FIT, SETS = "#1f6fb2", "#d1731a", "#3f5568"  # blue and orange: safe for colour-blind
BANDS = [(0.025, 0.975, 0.13), (0.05, 0.95, 0.13), (0.25, 0.75, 0.26)]  # ends, opacity

STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture on every machine
    "font.size": NORMAL,
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a name is a "$"
    "axes.edgecolor": LINE,
    "axes.linewidth": 0.8,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "path.simplify": True,
}


def fan_chart(panel: Panel, path: Path) -> None:
    """Write the fan chart of a population, one row a series.

    Shows the 50, 90 and 95 % bands and the median of the fit (inside the fitting window) and of the
    projection (after it), the observed values of that time (fitted ones filled), the end of the
    fitting window, and the medians of parameter sets as thin lines.

    Parameters
    ----------
    panel : Panel
    path : Path
        The PNG to write: 900 px wide, 66 px and 340 px a series high. The same panel gives the same
        bytes.
    """
    with matplotlib.rc_context(STYLE):
        figure = new_figure(TITLE + LEGEND + SERIES * max(len(panel.series), 1))
        _draw_title(figure, panel)
        if panel.series:
            _draw_legend(figure, panel)
        else:
            _text(figure, LEFT, TITLE + LEGEND, "no series to draw", color=MUTED)
        for row, series in enumerate(panel.series):
            top = TITLE + LEGEND + SERIES * row + SERIES_HEADER
            height = SERIES - SERIES_HEADER - DATES
            axes = _axes(figure, LEFT, top, WIDTH - LEFT - RIGHT, height)
            _draw_series(axes, series)
        save(figure, path)


def new_figure(height: int) -> Figure:
    """Return an empty figure of the width of every chart; its height is in pixels."""
    figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)  # becomes figure.canvas
    return figure


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Return axes placed in pixels from the top left corner; a layout engine takes longer than a chart."""
    total = figure.get_figheight() * DPI
    bottom = total - top - height
    return figure.add_axes((left / WIDTH, bottom / total, width / WIDTH, height / total))


def _text(figure: Figure, left: float, top: float, words: str, **style) -> float:
    """Write text at pixels from the top left corner; return the pixel where it ends."""
    height = figure.get_figheight() * DPI
    text = figure.text(left / WIDTH, 1 - top / height, words, va="baseline", **style)
    return left + text.get_window_extent().width


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    # "Software" would name matplotlib's version: an upgrade would change the bytes of the same picture
    figure.canvas.print_png(partial, metadata={"Software": None})
    partial.replace(path)


def _draw_title(figure: Figure, panel: Panel) -> None:
    end = _text(figure, LEFT, 30, shortened(panel.population, 40), size=13, weight="bold")
    name = panel.population_name.replace("_", " ")
    if name and name != panel.population:
        _text(figure, end + 12, 30, shortened(name, 60), size=10, color=MUTED)


def _draw_legend(figure: Figure, panel: Panel) -> None:
    middle = TITLE + LEGEND / 2
    figure.legend(
        *_legend_entries(panel),
        loc="center left",
        bbox_to_anchor=(LEFT / WIDTH, 1 - middle / (figure.get_figheight() * DPI)),
        borderpad=0,
        borderaxespad=0,
        ncols=6,
        handlelength=1.8,
        columnspacing=1.8,
        labelcolor=MUTED,
    )


def _legend_entries(panel: Panel) -> tuple[list, list[str]]:
    entries = []
    shown = [_observed_points(series) for series in panel.series if series.observed is not None]
    has_fitted = any(fitted.any() for _, _, fitted in shown)
    if has_fitted:
        entries.append((_point(filled=True), "observed, fitted"))
    if any((~fitted).any() for _, _, fitted in shown):
        words = "observed, not fitted" if has_fitted else "observed"
        entries.append((_point(filled=False), words))
    if any(series.fit for series in panel.series):
        entries.append((_fan_handle(FIT), "fit"))
    if any(series.projection for series in panel.series):
        words = "all parameter sets" if panel.kind == "sampling" else _simulated(panel)
        entries.append((_fan_handle(PROJECTION), f"{words} (median, 50, 90 and 95 % bands)"))
    if any(series.lines for series in panel.series):
        handle = Line2D([], [], color=SETS, alpha=0.6, linewidth=0.9)
        entries.append((handle, "median of a parameter set"))
    return [handle for handle, _ in entries], [words for _, words in entries]


def _simulated(panel: Panel) -> str:
    return "projection" if panel.kind == "calibration" else "simulation"


def _point(filled: bool) -> Line2D:
    return Line2D([], [], color=INK, linestyle="", **_marker(filled))


def _marker(filled: bool) -> dict:
    return {
        "marker": "o",
        "markersize": 3.6,
        "markeredgewidth": 0.9,
        "markerfacecolor": INK if filled else "white",
    }


def _fan_handle(color: str) -> tuple:
    return (
        Patch(facecolor=color, alpha=0.42, linewidth=0),
        Line2D([], [], color=color, linewidth=1.8),
    )


def _draw_series(axes: Axes, series: SeriesPanel) -> None:
    axes.set_title(_series_title(series), loc="left", size=9, weight="bold", color=INK, pad=9)
    shown = [*_draw_curves(axes, series), *_draw_observed(axes, series)]
    finite = (float(values[np.isfinite(values)].max(initial=0.0)) for values in shown)
    _limit(axes, series, min(max(finite, default=0.0), MOST_DRAWN))
    if series.fit is not None and len(series.fit.dates):
        _mark_end_of_fit(axes, float(date2num(series.fit.dates[-1])))


def _series_title(series: SeriesPanel) -> str:
    if series.observed is None or series.observed.series == [series.label]:
        return shortened(series.label, 100)
    return shortened(f"{series.label}  ({' + '.join(series.observed.series)})", 100)


def _draw_curves(axes: Axes, series: SeriesPanel) -> list[np.ndarray]:
    """Draw fans and lines; return the values that the vertical axis must hold."""
    shown = []
    first, last = _time_shown(series)
    for fan, color in ((_after_fit(series), PROJECTION), (series.fit, FIT)):
        if fan is not None and len(fan.dates):
            _draw_fan(axes, fan, color, lone_width=0.01 * (last - first) or 0.2)
            shown.append(fan.curves)
    for dates, median in series.lines:
        style = {"color": SETS, "alpha": 0.4, "linewidth": 0.7, "zorder": 2.5}
        axes.plot(date2num(dates), median, marker="_" if len(dates) == 1 else "", **style)
        shown.append(median)
    return [values for values in shown if values.size]


def _after_fit(series: SeriesPanel) -> Fan | None:
    """Return the projection from the last fitted date on; before it, the fit is shown."""
    if series.fit is None or series.projection is None or not len(series.fit.dates):
        return series.projection
    after = series.projection.dates >= series.fit.dates[-1]
    return Fan(series.projection.dates[after], series.projection.curves[:, after])


def _draw_fan(axes: Axes, fan: Fan, color: str, lone_width: float) -> None:
    dates, curves = date2num(fan.dates), fan.curves
    if len(dates) == 1:  # a band of no width cannot be seen
        half = np.array([-lone_width / 2, lone_width / 2])
        dates, curves = dates[0] + half, np.repeat(curves, 2, axis=1)
    for low, high, opacity in BANDS:
        ends = (curves[LEVELS.index(low)], curves[LEVELS.index(high)])
        axes.fill_between(dates, *ends, color=color, alpha=opacity, linewidth=0, zorder=2)
    median = curves[LEVELS.index(0.5)]
    axes.plot(dates, median, color=color, linewidth=1.8, solid_capstyle="round", zorder=3)


def _draw_observed(axes: Axes, series: SeriesPanel) -> list[np.ndarray]:
    if series.observed is None:
        return []
    dates, values, fitted = _observed_points(series)
    for chosen, filled in ((~fitted, False), (fitted, True)):
        style = {"color": INK, "linestyle": "", "zorder": 4, **_marker(filled)}
        axes.plot(dates[chosen], values[chosen], **style)
    return [values] if len(values) else []


def _observed_points(series: SeriesPanel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return dates [days], values and fitted flags of the observed points in the time shown."""
    dates = date2num(series.observed.dates)
    first, last = _time_shown(series)
    inside = (dates >= first) & (dates <= last) & (np.abs(series.observed.values) < MOST_DRAWN)
    return dates[inside], series.observed.values[inside], series.observed.fitted[inside]


def _time_shown(series: SeriesPanel) -> tuple[float, float]:
    """Return the first and last day [days]: the modelled time and a little before, or the observed time."""
    modelled = [fan.dates for fan in (series.fit, series.projection) if fan is not None]
    modelled += [dates for dates, _ in series.lines]
    modelled = [date2num(dates) for dates in modelled if len(dates)]
    observed = date2num(series.observed.dates) if series.observed is not None else np.array([])
    if not modelled:
        return (observed.min(), observed.max()) if len(observed) else (0.0, 0.0)
    first, last = min(d.min() for d in modelled), max(d.max() for d in modelled)
    earlier = observed[(observed < first) & (observed >= first - CONTEXT * (last - first))]
    return (earlier.min() if len(earlier) else first), last


def _limit(axes: Axes, series: SeriesPanel, highest: float) -> None:
    first, last = _time_shown(series)
    margin = 0.015 * (last - first) or 1.0
    axes.set_xlim(first - margin, last + margin)
    axes.set_ylim(0, 1.12 * highest if highest > 0 else 1)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=highest >= 5 or highest == 0))
    axes.yaxis.set_major_formatter(FuncFormatter(_millions if highest >= 1e7 else _count))
    lone = first == last
    axes.xaxis.set_major_locator(FixedLocator([first]) if lone else AutoDateLocator(maxticks=12))
    axes.xaxis.set_major_formatter(_DateLabels())


def _count(value: float, _) -> str:
    return f"{value:,.10g}"


def _millions(value: float, _) -> str:
    return f"{value / 1e6:,.10g} M" if value else "0"


class _DateLabels(Formatter):
    """Month, day or time of each tick; below it the year or day, where it changes."""

    def __call__(self, value: float, pos: int | None = None) -> str:
        return f"{num2date(value):%d %b %Y}"

    def format_ticks(self, values) -> list[str]:
        dates = [num2date(value) for value in values]
        step = min(np.diff(values), default=1.0)
        if step > 300:
            return [f"{date:%Y}" for date in dates]
        upper, lower = ("%b", "%Y") if step >= 28 else ("%d %b", "%Y")
        if step < 1:
            upper, lower = "%H:%M", "%d %b %Y"
        below = [f"{date:{lower}}" for date in dates]
        changes = [i == 0 or below[i] != below[i - 1] for i in range(len(below))]
        return [
            f"{date:{upper}}" + (f"\n{words}" if changed else "")
            for date, words, changed in zip(dates, below, changes, strict=True)
        ]


def _mark_end_of_fit(axes: Axes, day: float) -> None:
    first, last = axes.get_xlim()
    to_the_left = day > first + 0.8 * (last - first)
    axes.axvline(day, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1.5)
    axes.annotate(
        f"fitted to {num2date(day):%d %b %Y}",
        (day, 1),
        xycoords=("data", "axes fraction"),
        xytext=(-5 if to_the_left else 5, -4),
        textcoords="offset points",
        ha="right" if to_the_left else "left",
        va="top",
        color=MUTED,
        size=NORMAL,
    )


def shortened(words: str, most: int) -> str:
    """Return words in one line, cut after `most` characters."""
    words = " ".join(words.split())
    return words if len(words) <= most else words[: most - 1] + "…"
