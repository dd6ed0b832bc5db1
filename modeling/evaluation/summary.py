"""Means of the scores by season, week, horizon and location, and their ratios to those of a baseline."""

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from modeling import weeks
from modeling.evaluation.comparison import BASELINE, STATES, MeanScores
from modeling.evaluation.scores import Scores
from modeling.hubs import NATION

ALL = "all"  # every location


@dataclass(frozen=True)
class Line:
    """Mean scores of one model over some forecasts of one season.

    Attributes
    ----------
    scope : str
        "states" without the nation, "US" or "all".
    by, key : str
        "season", "week" (reference date), "horizon" or "location", and which one.
    forecasts : int
    wis, wis_log, error, cov50, cov95 : float
    common : int
        Forecasts that the baseline has, too.
    rel_wis, rel_wis_log : float
        Ratio of the mean scores over the common forecasts; below 1 beats the baseline; nan without any.
    """

    season: str
    model: str
    baseline: str
    scope: str
    by: str
    key: str
    forecasts: int
    wis: float
    wis_log: float
    error: float
    cov50: float
    cov95: float
    common: int
    rel_wis: float
    rel_wis_log: float


@dataclass(frozen=True)
class Paired:
    """The scores of one model beside those of the baseline; each array has an entry a forecast or a mean.

    `counts` is the number of forecasts that an entry stands for, `common_counts` of those that the baseline
    has, too; the arrays after it are means over these, and 0 where there are none.
    """

    dates: np.ndarray
    horizons: np.ndarray
    locations: np.ndarray
    counts: np.ndarray
    wis: np.ndarray
    wis_log: np.ndarray
    error: np.ndarray
    in50: np.ndarray
    in95: np.ndarray
    common_counts: np.ndarray
    common_wis: np.ndarray
    common_wis_log: np.ndarray
    base_wis: np.ndarray
    base_wis_log: np.ndarray


def season_name(day: datetime.date) -> str:
    """Return the season of a reference date: "2024-25" from August to July."""
    first = weeks.season_of(day)
    return f"{first}-{(first + 1) % 100:02d}"


def paired(scores: Scores | MeanScores, baseline: Scores, baseline_name: str) -> Paired:
    """Return the scores of a model beside those of a baseline."""
    if isinstance(scores, MeanScores):
        return _paired_means(scores, baseline_name)
    positions = {key: n for n, key in enumerate(baseline.keys())}
    own_keys = scores.keys()
    at = np.array([positions.get(key, -1) for key in own_keys], dtype=int)
    is_common = at >= 0
    base = np.zeros((2, len(scores)))
    base[:, is_common] = np.stack([baseline.wis, baseline.wis_log])[:, at[is_common]]
    return Paired(
        scores.dates,
        scores.horizons,
        scores.locations,
        np.ones(len(scores)),
        scores.wis,
        scores.wis_log,
        scores.error,
        scores.in50,
        scores.in95,
        is_common.astype(float),
        np.where(is_common, scores.wis, 0),
        np.where(is_common, scores.wis_log, 0),
        *base,
    )


def _paired_means(means: MeanScores, baseline_name: str) -> Paired:
    """Return mean scores beside the means of FluSight-baseline that the file has."""
    is_common = (means.common_counts > 0) & ~np.isnan(means.ratio) & (baseline_name == BASELINE)
    base, base_log = (np.where(is_common, b, 0) for b in (means.base_wis, means.base_wis_log))
    return Paired(
        means.dates,
        means.horizons,
        np.full(len(means.dates), STATES, dtype=object),
        means.counts,
        means.wis,
        means.wis_log,
        means.error,
        means.in50,
        means.in95,
        np.where(is_common, means.common_counts, 0),
        np.where(is_common, means.ratio, 0) * base,
        np.where(is_common, means.ratio_log, 0) * base_log,
        base,
        base_log,
    )


def lines_of(season: str, model: str, baseline_name: str, own: Paired) -> Iterator[Line]:
    """Yield the lines of one model in one season: in all, by week, by horizon and by location."""
    in_season = np.array([season_name(day) == season for day in own.dates.tolist()], dtype=bool)
    nation = own.locations == NATION
    scopes = {STATES: in_season & ~nation, NATION: in_season & nation}
    if not (own.locations == STATES).any():
        scopes[ALL] = in_season
    head = (season, model, baseline_name)
    for scope, chosen in scopes.items():
        if not chosen.any():
            continue
        yield _line(*head, scope, "season", season, own, chosen)
        for date in np.unique(own.dates[chosen]):
            yield _line(*head, scope, "week", str(date), own, chosen & (own.dates == date))
        for horizon in np.unique(own.horizons[chosen]):
            yield _line(*head, scope, "horizon", str(horizon), own, chosen & (own.horizons == horizon))
    for location in sorted(set(own.locations[in_season].tolist()) - {STATES}):
        scope = NATION if location == NATION else STATES
        yield _line(*head, scope, "location", location, own, in_season & (own.locations == location))


def _line(
    season: str, model: str, baseline: str, scope: str, by: str, key: str, own: Paired, chosen: np.ndarray
) -> Line:
    counts, common = own.counts[chosen], own.common_counts[chosen]
    number, number_common = counts.sum(), common.sum()

    def mean(values: np.ndarray) -> float:
        return float((counts * values[chosen]).sum() / number)

    def ratio(values: np.ndarray, base: np.ndarray) -> float:
        below = (common * base[chosen]).sum()
        return float((common * values[chosen]).sum() / below) if below > 0 else float("nan")

    return Line(
        season,
        model,
        baseline,
        scope,
        by,
        key,
        int(number),
        mean(own.wis),
        mean(own.wis_log),
        mean(own.error),
        mean(own.in50),
        mean(own.in95),
        int(number_common),
        ratio(own.common_wis, own.base_wis),
        ratio(own.common_wis_log, own.base_wis_log),
    )


@dataclass(frozen=True)
class Summary:
    """Every line, and how to find some of them."""

    lines: list[Line]
    baselines: dict[str, str]  # by season

    @property
    def seasons(self) -> list[str]:
        return list(self.baselines)

    @cached_property
    def scope(self) -> str:
        """The scope of the tables: the states, or the nation where it is evaluated alone."""
        return STATES if any(line.scope == STATES for line in self.lines) else NATION

    def chosen(self, season: str, by: str, scope: str = "", model: str | None = None) -> list[Line]:
        """Return the lines of a season and a scope, by default that of the tables."""
        wanted = (season, by, scope or self.scope)
        return [
            line
            for line in self.lines
            if (line.season, line.by, line.scope) == wanted and model in (None, line.model)
        ]

    def whole(self, season: str, model: str, scope: str = "") -> Line | None:
        """Return the line of a model over a whole season; None without a forecast."""
        return next(iter(self.chosen(season, "season", scope, model)), None)

    def worse_weeks(self, season: str, model: str) -> list[Line]:
        """Return the weeks that were forecast worse than by the baseline, worst first."""
        weeks = [line for line in self.chosen(season, "week", model=model) if line.rel_wis > 1]
        return sorted(weeks, key=lambda line: -line.rel_wis)


def summarised(models: Mapping[str, Scores | MeanScores], fallback: str) -> Summary:
    """Return the summary of all models, each beside the baseline of the season.

    That is FluSight-baseline where it has single forecasts of the season, and else `fallback`.
    """
    own = models[fallback]
    seasons = sorted({season_name(day) for day in own.dates.tolist()})
    reference = models.get(BASELINE)
    has = {season_name(day) for day in reference.dates.tolist()} if isinstance(reference, Scores) else set()
    baselines = {season: BASELINE if season in has else fallback for season in seasons}
    lines: list[Line] = []
    beside = {
        (model, name): paired(scores, models[name], name)
        for model, scores in models.items()
        for name in sorted(set(baselines.values()))
    }
    for season, name in baselines.items():
        for model in models:
            lines += lines_of(season, model, name, beside[model, name])
    return Summary(lines, baselines)
