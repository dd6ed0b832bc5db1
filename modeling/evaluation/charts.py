"""The charts of an evaluation as SVG text: ratio to the baseline by week, coverage by horizon.

Drawn as wide as the screen of a phone, so that letters can be read there; text has the colour of the page.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape

from modeling.evaluation.hub_files import SCORED_HORIZONS
from modeling.evaluation.summary import Line, Summary

WIDTH, HEIGHT = 380, 240
LEFT, RIGHT, TOP, BOTTOM = 34, 8, 10, 24
COLOURS = ("#2f7fc1", "#c9701f", "#3c9160", "#9262b5")  # readable on white and on dark
MOST_LINES = len(COLOURS)
GREY = "#7d8893"
_TICKS = (0.125, 0.25, 0.5, 1, 2, 4, 8)  # ratios, on a log scale


def charted(summary: Summary, season: str, methods: Sequence[str]) -> list[str]:
    """Return the models that are charted: the methods, then FluSight-ensemble, then the best ones."""
    lines = summary.chosen(season, "season")
    rated = [x for x in lines if x.model in methods or (x.rel_wis > 0 and x.model != x.baseline)]
    ranked = sorted(
        rated,
        key=lambda line: (line.model not in methods, line.model != "FluSight-ensemble", line.rel_wis),
    )
    return [line.model for line in ranked[:MOST_LINES]]


def legend(models: Iterable[str]) -> list[tuple[str, str]]:
    """Return each model with its colour."""
    return list(zip(models, COLOURS, strict=False))


def weekly_chart(summary: Summary, season: str, models: Sequence[str]) -> str:
    """Return the ratio of each model to the baseline by reference date, on a log scale."""
    weeks = {model: summary.chosen(season, "week", model=model) for model in models}
    dates = sorted({line.key for lines in weeks.values() for line in lines})
    ratios = [line.rel_wis for lines in weeks.values() for line in lines if line.rel_wis > 0]
    low, high = min([0.5, *ratios]) / 1.1, max([1.25, *ratios]) * 1.1

    def x(date: str) -> float:
        return _across(dates.index(date) / max(len(dates) - 1, 1))

    def y(ratio: float) -> float:
        return _down((math.log(ratio) - math.log(low)) / (math.log(high) - math.log(low)))

    parts = [_tick(y(tick), f"{tick:g}", is_strong=tick == 1) for tick in _TICKS if low < tick < high]
    step = max(1, math.ceil(len(dates) / 5))
    parts += [_label(x(date), HEIGHT - 8, date[5:]) for date in dates[::step]]
    for (model, colour), lines in zip(legend(models), weeks.values(), strict=True):
        points = [(x(line.key), y(line.rel_wis)) for line in lines if line.rel_wis > 0]
        parts.append(_path(points, colour, f"{model}, by week"))
    return _svg(f"Relative WIS by reference date, {season}", parts)


def coverage_chart(summary: Summary, season: str, models: Sequence[str]) -> str:
    """Return the share of observations inside the 50 and 95 % intervals of each model, by horizon."""
    lines: dict[str, list[Line]] = {m: summary.chosen(season, "horizon", model=m) for m in models}
    shares = (0, 0.25, 0.5, 0.95)
    parts = [_tick(_down(share), f"{100 * share:.0f} %", share >= 0.5) for share in shares]
    width = (WIDTH - LEFT - RIGHT) / len(SCORED_HORIZONS)
    for horizon in SCORED_HORIZONS:
        middle = LEFT + (horizon + 0.5) * width
        weeks = "week 0" if horizon == 0 else f"week +{horizon}"
        parts.append(_label(middle, HEIGHT - 8, weeks, "middle"))
        for number, (model, colour) in enumerate(legend(models)):
            at = middle + (number - (len(models) - 1) / 2) * 14
            for line in lines[model]:
                if line.key == str(horizon):
                    parts += [_dot(at, _down(share), colour) for share in (line.cov50, line.cov95)]
    return _svg(f"Coverage of the 50 and 95 % intervals by horizon, {season}", parts)


def _across(share: float) -> float:
    return LEFT + 6 + share * (WIDTH - LEFT - RIGHT - 12)


def _down(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)


def _svg(title: str, parts: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="11" fill="currentColor">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _tick(y: float, text: str, is_strong: bool) -> str:
    style = f'stroke="{GREY}" stroke-width="{1.2 if is_strong else 0.4}"'
    dashes = ' stroke-dasharray="4 3"' if is_strong else ""
    line = f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" {style}{dashes}/>'
    return line + _label(LEFT - 4, y + 4, text, "end")


def _label(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _path(points: Sequence[tuple[float, float]], colour: str, title: str) -> str:
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(_dot(x, y, colour, 1.8) for x, y in points)
    line = f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
    return f"<g><title>{escape(title)}</title>{line}{dots}</g>"


def _dot(x: float, y: float, colour: str, radius: float = 4) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>'
