"""The evaluation as tables: on the terminal, summary.csv and scores.csv.gz."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from modeling.evaluation.comparison import MeanScores
from modeling.evaluation.scores import Scores
from modeling.evaluation.summary import Line, Summary, season_name
from modeling.hubs import NATION
from modeling.outputs.table_files import open_table

COLUMNS = (
    "season",
    "model",
    "reference_date",
    "horizon",
    "location",
    "target_end_date",
    "value",
    "wis",
    "wis_log",
    "ae",
    "in50",
    "in95",
)
DIGITS = 6  # significant, of a score in a file
HEADER = ("", "rel. WIS", "log", "50 %", "95 %", "US rel.", "US 95 %", "dates worse", "forecasts")


def ratio_text(value: float) -> str:
    """Return a ratio with two digits, or three to tell it from 1; a dash where there is none."""
    if math.isnan(value):
        return "–"
    shown = f"{value:.2f}"
    return f"{value:.3f}" if shown == "1.00" and value != 1 else shown


def percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.0f} %"


def season_rows(summary: Summary, season: str, methods: Sequence[str]) -> list[list[str]]:
    """Return the row of each model in a season: the methods, then the others, best first.

    Of the states, but for the columns of the nation.
    """
    lines = sorted(
        summary.chosen(season, "season"),
        key=lambda x: (x.model not in methods, math.isnan(x.rel_wis), x.rel_wis, x.model),
    )
    return [_season_row(summary, season, x, summary.whole(season, x.model, NATION)) for x in lines]


def _season_row(summary: Summary, season: str, states: Line, nation: Line | None) -> list[str]:
    weeks = summary.chosen(season, "week", model=states.model)
    rated = [week for week in weeks if not math.isnan(week.rel_wis)]
    worse = summary.worse_weeks(season, states.model)
    return [
        states.model,
        ratio_text(states.rel_wis),
        ratio_text(states.rel_wis_log),
        percent(states.cov50),
        percent(states.cov95),
        ratio_text(nation.rel_wis) if nation else "–",
        percent(nation.cov95) if nation else "–",
        f"{len(worse)} of {len(rated)}" if rated and states.model != states.baseline else "–",
        f"{states.forecasts:,}",
    ]


def terminal_text(summary: Summary, methods: Sequence[str]) -> str:
    """Return the tables that the terminal shows, one a season."""
    blocks = []
    for season, baseline in summary.baselines.items():
        rows = [list(HEADER), *season_rows(summary, season, methods)]
        widths = [max(len(row[n]) for row in rows) for n in range(len(HEADER))]
        lines = [f"{season}, {summary.scope}; the baseline of the ratios is {baseline}"]
        for row in rows:
            cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
            lines.append("  ".join(cells).rstrip())
        for method in methods:
            if worse := summary.worse_weeks(season, method):
                named = ", ".join(f"{week.key} ({ratio_text(week.rel_wis)})" for week in worse)
                lines.append(f"{method} is worse than the baseline on {named}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def write_summary(path: Path, summary: Summary) -> None:
    """Write every line of the summary as CSV; a ratio without common forecasts is empty."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(each.name for each in fields(Line))
    for line in summary.lines:
        rows.writerow(_rounded(value) for value in asdict(line).values())
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text.getvalue(), encoding="utf-8")
    partial.replace(path)


def write_scores(path: Path, models: Mapping[str, Scores | MeanScores]) -> None:
    """Write every single score, gzipped: a file of scores that another evaluation can compare with.

    Parameters
    ----------
    path : Path
        Ends with .csv.gz.
    """
    stem = path.name.removesuffix(".csv.gz")
    partial = open_table(path.with_name(f"{stem}.partial"), list(COLUMNS), ["csv"])
    for model, scores in models.items():
        if isinstance(scores, Scores) and len(scores):
            partial.write(dict(_columns(model, scores)))
    [written] = partial.close()
    written.replace(path)


def _columns(model: str, scores: Scores) -> Iterator[tuple[str, np.ndarray]]:
    days = scores.dates.tolist()
    ends = scores.dates + 7 * scores.horizons
    numbers = (scores.observed, scores.wis, scores.wis_log, scores.error, scores.in50, scores.in95)
    values = (
        np.array([season_name(day) for day in days]),
        np.full(len(scores), model),
        scores.dates.astype(str),
        scores.horizons,
        scores.locations,
        ends.astype(str),
        *(np.array([_rounded(value) for value in column.tolist()], dtype=object) for column in numbers),
    )
    yield from zip(COLUMNS, values, strict=True)


def _rounded(value: object) -> object:
    """Return a number as it is written: whole, or with six significant digits; "" for nan."""
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.{DIGITS}g}"
