"""The posteriors of one panel as a PNG file of histograms.

Every shape is placed in pixels: matplotlib's axes would take four times as long as all that they hold.
"""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import IdentityTransform

from modeling.outputs.charts import (
    DPI,
    INK,
    LINE,
    MOST_DRAWN,
    MUTED,
    NORMAL,
    PROJECTION,
    SMALL,
    STYLE,
    WIDTH,
    new_figure,
    save,
    shortened,
)
from modeling.outputs.panels import Panel, Posterior

ROW, HEADER, VALUES = 158, 40, 30  # px: a row of histograms, names above them, values below
HISTOGRAMS_A_ROW = 4
MARGIN = 18  # px, left and right of a histogram
NAME, NUMBERS = 25, 8  # px above a histogram: its parameter, its quantiles
TICK, PAD = 5, 5  # px: length of a tick, and space below it
MOST_TICKS = 4
HEADROOM = 1.08  # of the highest bar


def posterior_chart(panel: Panel, path: Path) -> None:
    """Write the marginal posteriors of a calibration as histograms, four a row.

    The dark part is the 90 % interval, the line the median. Nothing is written without posteriors.

    Parameters
    ----------
    panel : Panel
    path : Path
        The PNG to write: 900 px wide, 158 px a row high.
    """
    if not panel.posteriors:
        return
    rows = -(-len(panel.posteriors) // HISTOGRAMS_A_ROW)
    with matplotlib.rc_context(STYLE):
        figure = new_figure(ROW * rows)
        for number, posterior in enumerate(panel.posteriors):
            row, column = divmod(number, HISTOGRAMS_A_ROW)
            left = WIDTH / HISTOGRAMS_A_ROW * column + MARGIN
            _Histogram(figure, left, ROW * (rows - row - 1) + VALUES).draw(posterior)
        save(figure, path)


class _Histogram:
    """One histogram; `left` and `bottom` are pixels from the lower left corner of the figure."""

    width, height = WIDTH / HISTOGRAMS_A_ROW - 2 * MARGIN, ROW - HEADER - VALUES

    def __init__(self, figure: Figure, left: float, bottom: float):
        self._figure, self._left, self._bottom = figure, left, bottom

    def draw(self, posterior: Posterior) -> None:
        """Draw name, quantiles, bars, median and values of a posterior."""
        top = self._bottom + self.height
        self._text(self._left, top + NAME, shortened(posterior.name, 26), size=NORMAL, weight="bold")
        low, median, high = map(_compact, (posterior.low, posterior.median, posterior.high))
        self._text(self._left, top + NUMBERS, f"{median}  ({low} to {high})", color=MUTED, size=SMALL)
        is_drawn = 1 / MOST_DRAWN < np.abs(posterior.edges).max() < MOST_DRAWN
        if is_drawn:  # other numbers have only the words above
            self._draw_bars(posterior)
        self._draw_axis(posterior.edges if is_drawn else np.empty(0))

    def _draw_bars(self, posterior: Posterior) -> None:
        highest = float(np.nanmax(posterior.density, initial=0.0))
        scale = self.height / (HEADROOM * highest) if highest > 0 else 0.0
        heights = np.nan_to_num(posterior.density) * scale
        left, right = posterior.edges[:-1], posterior.edges[1:]
        inside = (right >= posterior.low) & (left <= posterior.high)
        across = self._across(posterior.edges, posterior.edges)
        for chosen, opacity in ((inside, 0.55), (~inside, 0.2)):
            bars = _bars(across[:-1][chosen], across[1:][chosen], self._bottom, heights[chosen])
            self._add(PathPatch(bars, color=PROJECTION, alpha=opacity, linewidth=0))
        (median,) = self._across(np.array([posterior.median]), posterior.edges)
        if self._left <= median <= self._left + self.width:
            ends = [self._bottom, self._bottom + self.height]
            self._add(Line2D([median] * 2, ends, color=INK, linewidth=1.4, solid_capstyle="butt"))

    def _draw_axis(self, edges: np.ndarray) -> None:
        ends = [(self._left, self._bottom), (self._left + self.width, self._bottom)]
        ticks = _ticks(edges)
        places = self._across(ticks, edges) if len(ticks) else []
        marks = [[(place, self._bottom), (place, self._bottom - TICK)] for place in places]
        points = [point for line in (ends, *marks) for point in line]
        lines = Outline(points, [Outline.MOVETO, Outline.LINETO] * (1 + len(marks)))
        self._add(PathPatch(lines, fill=False, edgecolor=LINE, linewidth=0.8))
        digits = 6 if len(edges) and np.ptp(edges) > 1e-4 * np.abs(edges).max() else 8
        for place, value in zip(places, ticks, strict=True):
            below = {"ha": "center", "va": "top", "color": MUTED, "size": NORMAL}
            self._text(place, self._bottom - TICK - PAD, f"{value:,.{digits}g}", **below)

    def _across(self, values: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """Return the pixels of values on the horizontal axis."""
        return self._left + self.width * ((values - edges[0]) / (edges[-1] - edges[0]))

    def _add(self, artist: Artist) -> None:
        artist.set_transform(IdentityTransform())
        self._figure.add_artist(artist)

    def _text(self, left: float, bottom: float, words: str, **style) -> None:
        self._figure.text(left / WIDTH, bottom / (self._figure.get_figheight() * DPI), words, **style)


def _bars(left: np.ndarray, right: np.ndarray, bottom: float, heights: np.ndarray) -> Outline:
    """Return bars as one outline; a patch for each takes ten times as long."""
    low, high = np.full(len(left), bottom), bottom + heights
    corners = [(left, low), (right, low), (right, high), (left, high), (left, low)]
    points = np.stack([np.stack(corner, axis=1) for corner in corners], axis=1).reshape(-1, 2)
    codes = [Outline.MOVETO, *[Outline.LINETO] * 3, Outline.CLOSEPOLY]
    return Outline(points, codes * len(left))


def _ticks(edges: np.ndarray) -> np.ndarray:
    """Return a few round values between the ends of a histogram."""
    if not len(edges):
        return edges
    ticks = MaxNLocator(MOST_TICKS - 1).tick_values(edges[0], edges[-1])
    return ticks[(ticks >= edges[0]) & (ticks <= edges[-1])]


def _compact(value: float) -> str:
    whole = float(value).is_integer() or abs(value) >= 100
    return f"{value:,.0f}" if whole and abs(value) < 1e6 else f"{value:#.3g}"
