"""Charts of a weekly forecast as inline SVG: a season of data, the fan, and what was observed later.

Colours and type are in weekly.css; here are shapes alone, so that a chart takes 3 KB and follows dark mode.
"""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from modeling.forecast_records import RECENT_WEEKS, WEEK, ForecastResult, Quantiles
from modeling.hubs import HORIZONS, QUANTILES, target_dates
from modeling.outputs.weekly_places import BANDS, LAST
from modeling.outputs.weekly_words import MONTHS, week_of
from modeling.weeks import season_of, season_start

FEWEST_WEEKS = 26  # of data in a chart
STEPS = (1, 2, 5)  # of a scale, times a power of ten
LEAST_TOP = 4  # admissions, of the scale of a place without any
MOST_ABOVE = 2.5  # scale / largest of counts and of the 75 % quantile; a wider band is cut off at its top
MONTH_PX = 34  # at least, from one label to the next

Point = tuple[float, float]


@dataclass(frozen=True)
class Format:
    """Size of a chart and of its margins [px]; ticks at most; whether the ends of the bands have labels."""

    width: int
    height: int
    left: int
    right: int
    ticks: int
    is_large: bool = False
    top: int = 10
    bottom: int = 20


SMALL = Format(300, 140, left=44, right=48, ticks=2)
WIDE = Format(920, 320, left=60, right=128, ticks=4, is_large=True)
NARROW = Format(358, 260, left=56, right=70, ticks=3, is_large=True)  # of a phone


def weekly_chart(result: ForecastResult, column: int, style: Format, description: str) -> Markup:
    """Return the chart of one location.

    Parameters
    ----------
    description : str
        Read out instead of the chart.
    """
    first = _first_shown(result)
    later = _observed_later(result, column)
    scale = _Scale(
        style, result.first_week + first * WEEK, week_of(result, LAST), _top(result, column, first)
    )
    layers = [
        *_axes(scale, result.forecast.reference_date),
        *_cut_at_the_top(scale, [*_previous(scale, result.previous, column), *_bands(scale, result, column)]),
        *_known(scale, result, column, first),
        _median(scale, result, column),
        _circles("later", scale.points(_weeks(result.forecast), later), 3.2 if style.is_large else 2.6),
        *_end_labels(scale, result.forecast, column),
    ]
    size = f'viewBox="0 0 {style.width} {style.height}"'
    return Markup(f'<svg class="chart" role="img" aria-label="{escape(description)}" {size}>') + Markup(
        "".join(layers) + "</svg>"
    )


def _observed_later(result: ForecastResult, column: int) -> np.ndarray:
    """Return the later counts by horizon; nan for that of the week before if it is as it was known."""
    later = result.later[:, column].copy()
    row = (week_of(result, HORIZONS[0]) - result.first_week) // WEEK
    if 0 <= row < len(result.counts) and result.counts[row, column] == later[0]:
        later[0] = np.nan
    return later


class _Scale:
    """Places of dates and counts in a chart."""

    def __init__(self, style: Format, first: datetime.date, last: datetime.date, top: float):
        self.style, self.first, self.last, self.top = style, first, last, top
        self.floor = style.height - style.bottom
        self.right = style.width - style.right
        self._per_day = (self.right - style.left) / (last - first).days
        self._per_count = (self.floor - style.top) / top

    def x(self, day: datetime.date) -> float:
        return self.style.left + (day - self.first).days * self._per_day

    def y(self, count: float) -> float:
        return self.floor - count * self._per_count

    def points(self, days: Iterable[datetime.date], counts: Iterable[float]) -> list[Point | None]:
        """Return points from the first shown week on; None where nothing was reported."""
        pairs = zip(days, counts, strict=True)
        return [
            None if np.isnan(count) else (self.x(day), self.y(float(count)))
            for day, count in pairs
            if day >= self.first
        ]


# -- layers


def _axes(scale: _Scale, reference: datetime.date) -> list[str]:
    style = scale.style
    ticks = _ticks(scale.top, style.ticks)
    lines = [f"M{style.left} {_px(scale.y(tick))}H{_px(scale.right)}" for tick in ticks]
    labels = [_text("tick", style.left - 6, scale.y(tick) + 3.5, f"{tick:,}", "end") for tick in ticks]
    submitted = scale.x(reference - WEEK) + 3.5 * scale._per_day  # between what is known and what is forecast
    return [
        f'<path class="grid" d="{"".join(lines)}"/>',
        *labels,
        f'<path class="now" d="M{_px(submitted)} {style.top}V{scale.floor}"/>',
        *_months(scale),
    ]


def _months(scale: _Scale) -> list[str]:
    """Return the names of the months at their first days, as many as there is room for."""
    texts, free = [], 0.0
    day = (scale.first.replace(day=1) + datetime.timedelta(days=32)).replace(day=1)
    while day <= scale.last:
        at = scale.x(day)
        if at >= free and at + 12 <= scale.style.width:
            texts.append(_text("tick", at, scale.style.height - 5, MONTHS[day.month - 1][:3], "middle"))
            free = at + MONTH_PX
        day = (day + datetime.timedelta(days=32)).replace(day=1)
    return texts


def _previous(scale: _Scale, previous: Quantiles | None, column: int) -> list[str]:
    if previous is None:
        return []
    days = _weeks(previous)
    ends = "".join(
        _line(scale.points(days, _fan(previous, column, level))) for level in (BANDS[95][0], BANDS[95][1])
    )
    middle = _line(scale.points(days, _fan(previous, column, 0.5)))
    return [f'<path class="before ends" d="{ends}"/>', f'<path class="before" d="{middle}"/>']


def _bands(scale: _Scale, result: ForecastResult, column: int) -> list[str]:
    days = _weeks(result.forecast)
    shapes = []
    for band in (95, 50):
        low, high = (scale.points(days, _fan(result.forecast, column, level)) for level in BANDS[band])
        shapes.append(f'<path class="band{band}" d="{_line([*high, *reversed(low)])}Z"/>')
    return shapes


def _cut_at_the_top(scale: _Scale, shapes: list[str]) -> list[str]:
    """Return shapes in a frame that ends at the top of the scale."""
    width, top, height = scale.style.width, scale.style.top, scale.floor - scale.style.top
    frame = f'<svg y="{top}" width="{width}" height="{height}" viewBox="0 {top} {width} {height}">'
    return [frame, *shapes, "</svg>"]


def _known(scale: _Scale, result: ForecastResult, column: int, first: int) -> list[str]:
    """Return the counts as known, and where it differs the expected final count of the newest weeks."""
    counts = result.counts[first:, column]
    days = [result.first_week + row * WEEK for row in range(first, len(result.counts))]
    points = scale.points(days, counts)
    newest, expected = counts[-RECENT_WEEKS:], result.nowcast[-len(counts) :, column]
    is_other = ~np.isnan(expected) & (np.isnan(newest) | (np.rint(expected) != np.rint(newest)))
    nowcast = scale.points(days[-RECENT_WEEKS:], np.where(is_other, expected, np.nan))
    size = 3.6 if scale.style.is_large else 3
    diamonds = "".join(
        f"M{_px(x)} {_px(y - size)}l{size} {size}l-{size} {size}l-{size} -{size}Z" for x, y in _there(nowcast)
    )
    dots = "".join(f"M{_px(x)} {_px(y)}h0" for x, y in _there(points))
    shapes = [f'<path class="known" d="{_line(points)}"/>', f'<path class="dots" d="{dots}"/>']
    return [*shapes, f'<path class="nowcast" d="{diamonds}"/>'] if diamonds else shapes


def _median(scale: _Scale, result: ForecastResult, column: int) -> str:
    """Return the line of the medians, which begins at the expected count of the newest known week."""
    days, medians = _weeks(result.forecast), _fan(result.forecast, column, 0.5)
    if result.last_week < days[0]:
        days, medians = [result.last_week, *days], [result.nowcast[-1, column], *medians]
    return f'<path class="median" d="{_line(scale.points(days, medians))}"/>'


def _end_labels(scale: _Scale, forecast: Quantiles, column: int) -> list[str]:
    """Return the numbers of the last forecast week: the median, and in a large chart the 95 % band."""
    style = scale.style
    words = {0.975: "97.5 %", 0.5: "median", 0.025: "2.5 %"} if style.is_large else {0.5: ""}
    counts = [float(_fan(forecast, column, level)[-1]) for level in words]
    heights = [max(scale.y(count), style.top) + 4 for count in counts]
    texts = []
    for (level, word), count, height in zip(words.items(), counts, _apart(heights, 15), strict=True):
        shown = f"{count:,.0f}" if style is not WIDE else f"{word} {count:,.0f}"
        texts.append(_text("value" if level == 0.5 else "edge", scale.right + 7, height, shown, "start"))
    return texts


# -- numbers and shapes


def _first_shown(result: ForecastResult) -> int:
    """Return the first row of the season, or an earlier one where the season is young."""
    began = season_start(season_of(result.last_week))
    weeks = max((result.last_week - began) // WEEK + 1, FEWEST_WEEKS)
    return max(len(result.counts) - weeks, 0)


def _weeks(forecast: Quantiles) -> list[datetime.date]:
    return list(target_dates(forecast.reference_date).values())


def _fan(forecast: Quantiles, column: int, level: float) -> np.ndarray:
    return forecast.values[:, column, QUANTILES.index(level)]


def _top(result: ForecastResult, column: int, first: int) -> float:
    """Return the top of the scale: a little above all that is drawn, unless the bands are very wide."""
    counts = (result.counts[first:, column], result.nowcast[:, column], result.later[:, column])
    middle = _fan(result.forecast, column, 0.75)
    high = float(np.nanmax(np.concatenate([*counts, middle])))
    widest = float(_fan(result.forecast, column, 0.975).max())
    return max(1.04 * max(high, min(widest, MOST_ABOVE * high)), LEAST_TOP)


def _ticks(top: float, most: int) -> list[int]:
    """Return the ticks of the scale: 0 and round counts above it, at most `most` of those."""
    power = 1
    while True:
        for step in (factor * power for factor in STEPS):
            if top / step < most + 1:
                return list(range(0, int(top) + 1, step))
        power *= 10


def _apart(heights: list[float], least: float) -> list[float]:
    """Return heights of labels from the top down, moved away from the middle one until none overlap."""
    if len(heights) < 3:
        return heights
    high, middle, low = heights
    return [min(high, middle - least), middle, max(low, middle + least)]


def _line(points: Iterable[Point | None]) -> str:
    """Return a line that is broken where a point is missing."""
    parts, is_drawing = [], False
    for point in points:
        if point is not None:
            parts.append(f"{'L' if is_drawing else 'M'}{_px(point[0])} {_px(point[1])}")
        is_drawing = point is not None
    return "".join(parts)


def _there(points: Iterable[Point | None]) -> list[Point]:
    return [point for point in points if point is not None]


def _circles(kind: str, points: Iterable[Point | None], radius: float) -> str:
    return "".join(
        f'<circle class="{kind}" cx="{_px(x)}" cy="{_px(y)}" r="{radius}"/>' for x, y in _there(points)
    )


def _text(kind: str, x: float, y: float, words: str, anchor: str) -> str:
    return f'<text class="{kind}" text-anchor="{anchor}" x="{_px(x)}" y="{_px(y)}">{words}</text>'


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
