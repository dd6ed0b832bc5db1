"""The page of an evaluation: one self-contained HTML file. Text and layout are in evaluation.html.j2."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import Markup

from modeling.evaluation import charts
from modeling.evaluation.summary import STATES, Line, Summary
from modeling.evaluation.tables import HEADER, percent, ratio_text, season_rows
from modeling.hubs import NATION
from modeling.outputs.report import page_template, write_page

_HEADER = ["model", *HEADER[1:]]


@dataclass(frozen=True)
class About:
    """Facts about an evaluation.

    Attributes
    ----------
    methods : list of str
        Those that were asked for: each has tables of its own.
    observed : str
        A sentence on the counts that the forecasts are scored against.
    command : str
        That makes the page again.
    notes : list of str
        What was left out, and why.
    """

    exp_id: str
    first: str
    last: str
    methods: list[str]
    observed: str
    command: str
    notes: list[str] = field(default_factory=list)


def write_evaluation(folder: Path, about: About, summary: Summary, names: dict[str, str]) -> Path:
    """Write evaluation.html, whole or not at all, and return its path.

    Parameters
    ----------
    names : dict of str to str
        Names of the locations by code.
    """
    path, own = folder / "evaluation.html", Path(__file__).parent
    write_page(
        path,
        page_template("evaluation.html.j2", own, ratio=ratio_text, percent=percent),
        about=about,
        names=names,
        seasons=[_season(summary, season, about.methods) for season in summary.seasons],
    )
    return path


def write_charts(folder: Path, summary: Summary, methods: Sequence[str]) -> list[Path]:
    """Write the charts of the page as files, two for each season, and return their paths."""
    written = []
    for season in summary.seasons:
        models = charts.charted(summary, season, methods)
        for name, chart in (("relative-wis", charts.weekly_chart), ("coverage", charts.coverage_chart)):
            path = folder / f"{name}-{season}.svg"
            path.write_text(f"{chart(summary, season, models)}\n", encoding="utf-8")
            written.append(path)
    return written


def _season(summary: Summary, season: str, methods: Sequence[str]) -> dict[str, object]:
    models = charts.charted(summary, season, methods)
    return {
        "name": season,
        "baseline": summary.baselines[season],
        "scope": "the nation" if summary.scope == NATION else "states",
        "header": _HEADER,
        "rows": season_rows(summary, season, methods),
        "sentences": [text for method in methods if (text := sentence(summary, season, method))],
        "weekly": Markup(charts.weekly_chart(summary, season, models)) if models else "",
        "coverage": Markup(charts.coverage_chart(summary, season, models)) if models else "",
        "legend": charts.legend(models),
        "methods": [_method(summary, season, method) for method in methods],
    }


def _method(summary: Summary, season: str, method: str) -> dict[str, object]:
    places = [
        line for scope in (STATES, NATION) for line in summary.chosen(season, "location", scope, method)
    ]
    return {
        "name": method,
        "worse": summary.worse_weeks(season, method),
        "weeks": summary.chosen(season, "week", model=method),
        "horizons": summary.chosen(season, "horizon", model=method),
        "places": sorted(places, key=_worst_first),
    }


def _worst_first(line: Line) -> tuple[float, str]:
    return (math.inf if math.isnan(line.rel_wis) else -line.rel_wis), line.key


def sentence(summary: Summary, season: str, method: str) -> str:
    """Return in words how a method did in a season; empty without a forecast of a state."""
    line = summary.whole(season, method)
    if line is None:
        return ""
    cover = (
        f"{percent(line.cov50)} of the later counts were inside its 50 % intervals, and "
        f"{percent(line.cov95)} inside its 95 % intervals."
    )
    if math.isnan(line.rel_wis) or method == line.baseline:
        return f"{method}: {cover}"
    weeks = [w for w in summary.chosen(season, "week", model=method) if not math.isnan(w.rel_wis)]
    better = len(weeks) - len(summary.worse_weeks(season, method))
    return (
        f"{method}: its mean error was {100 * line.rel_wis:.0f} % of that of {line.baseline}, and it was no "
        f"worse on {better} of {len(weeks)} reference dates. {cover}"
    )
