"""The method growth_regression: a pooled regression on the growth of admissions, learned from past seasons.

docs/growth-regression.md explains it to an epidemiologist. The steps, each in a file of its own: gaps,
faults, revisions (nowcast), panel (rates), season_course, features, history, training (rows), regression,
intervals.
"""

from dataclasses import dataclass

import numpy as np

from modeling.failures import UserError
from modeling.forecast import gaps, intervals, regression, training
from modeling.forecast.faults import with_plausible_nation, without_faults, without_faulty_weeks
from modeling.forecast.features import Features
from modeling.forecast.history import history_panel
from modeling.forecast.panel import Panel, counts_of, panel
from modeling.forecast.revisions import Revisions, nowcast, revisions
from modeling.forecast.season_course import complete_seasons, season_course
from modeling.forecast.seasons import season_weeks
from modeling.forecast.settings import SETTINGS, Settings
from modeling.forecast_records import RECENT_WEEKS, Forecast, History, Quantiles, Surveillance
from modeling.hubs import HORIZONS
from modeling.weeks import season_of


@dataclass(frozen=True)
class Series:
    """A surveillance series with its features, and where its training rows may lie.

    Attributes
    ----------
    between : (int, int)
        First and last week from Christmas of an origin.
    least_rate : float
        Per 100,000 people; origins below give no row.
    """

    panel: Panel
    features: Features
    between: tuple[int, int]
    least_rate: float = 0.0
    is_history: bool = False


def forecast(
    known: Surveillance,
    locations: list[str],
    people: np.ndarray,
    history: History | None,
    settings: Settings = SETTINGS,
) -> Forecast:
    """Return the forecast of all locations.

    Parameters
    ----------
    people : ndarray of int, shape (locations,)
    history : History or None
        Gives more seasons to learn from.

    Raises
    ------
    UserError
        A location has no count at all, or no past season has weeks to learn from.
    """
    usable, doubts = without_faulty_weeks(known.counts, locations, known.first_week, settings.faults)
    behind = gaps.weeks_behind(usable, locations)
    counts, more = without_faults(gaps.interpolated(usable), locations, known.first_week, settings.faults)
    doubts += more
    counts, more = with_plausible_nation(counts, usable, locations, known.first_week, settings.faults)
    doubts += more
    found = revisions(known, settings.revisions)
    expected = nowcast(counts, found)
    own = _own_series(expected, known, locations, people, settings)
    series = [own, *_history_series(history, known, dict(zip(locations, people, strict=True)), settings)]
    log_rates = np.empty((len(HORIZONS), len(locations), len(intervals.LEVELS)))
    for weeks_behind in np.unique(behind):
        columns = np.flatnonzero(behind == weeks_behind)
        origin = len(counts) - 1 - weeks_behind
        for row, horizon in enumerate(HORIZONS):
            steps = horizon + known.weeks_ahead + weeks_behind
            if steps > 0:
                log_rates[row, columns] = _grown(series, origin, steps, columns, known, settings)
            else:
                log_rates[row, columns] = _revised(own.panel, found, origin + steps, columns, settings)
    values = counts_of(log_rates, people[:, None])
    quantiles = np.sort(np.rint(values), axis=-1)
    made = Quantiles(known.reference_date, quantiles)
    notes = _notes(series, known, history is not None, settings)
    return Forecast(made, expected[-RECENT_WEEKS:], doubts, notes)


def _own_series(
    counts: np.ndarray, known: Surveillance, locations: list[str], people: np.ndarray, settings: Settings
) -> Series:
    weeks = season_weeks(known.first_week, len(counts))
    first, last = settings.rows.voluntary
    days = np.datetime64(known.first_week) + 7 * np.arange(len(counts))
    is_voluntary = (days >= np.datetime64(first)) & (days <= np.datetime64(last))
    own = panel(counts, locations, people, weeks, ~is_voluntary)
    return _series(
        own, season_of(known.last_week), (settings.rows.first_week, settings.rows.last_week), settings
    )


def _history_series(
    history: History | None, known: Surveillance, people: dict[str, int], settings: Settings
) -> list[Series]:
    """Return the history as a series, in a list; an empty list without one."""
    current, limits = season_of(known.last_week), settings.history
    other = None if history is None else history_panel(history, current, people, limits)
    if other is None:
        return []
    between = (limits.first_week, limits.last_week)
    return [_series(other, current, between, settings, limits.least_rate, is_history=True)]


def _series(
    values: Panel,
    current: int,
    between: tuple[int, int],
    settings: Settings,
    least_rate: float = 0.0,
    is_history: bool = False,
) -> Series:
    rows = settings.rows
    complete = complete_seasons(values.weeks, rows.season_begins, current)
    course = season_course(values.rates, values.weeks, complete, rows.season_weeks)
    return Series(values, Features(values, course), between, least_rate, is_history)


def _grown(
    series: list[Series],
    origin: int,
    steps: int,
    columns: np.ndarray,
    known: Surveillance,
    settings: Settings,
) -> np.ndarray:
    """Return quantiles of the log rate some weeks after the origin, shape (columns, 23)."""
    own = series[0]
    centre = training.window_centre(int(own.panel.weeks.from_christmas[origin]), settings.rows)
    rows = _all_rows(series, steps, centre, settings)
    _check_past_season(rows, known)
    rows = training.weighted(rows, centre, settings.rows.window, settings.history.weight)
    fit = regression.fitted(rows.predictors, rows.growth, rows.weight, rows.season, settings.fit)
    predictors = own.features.at(np.array([origin]), steps)[0, columns]
    growth = regression.predicted(fit, predictors, settings.fit)
    errors = intervals.error_quantiles(
        fit.residuals,
        np.log1p(rows.count),
        rows.is_nation,
        np.where(rows.is_history, settings.history.spread_weight, 1.0),
        np.log1p(own.panel.counts[origin, columns]),
        columns == own.panel.nation_column,
        settings.spread,
    )
    errors = intervals.nearer_to_zero(errors, settings.spread.median_shift)
    errors *= intervals.share_of_left_out(len(np.unique(rows.season)))
    return own.panel.rates[origin, columns, None] + growth[:, None] + errors


def _all_rows(series: list[Series], steps: int, centre: int, settings: Settings) -> training.Rows:
    rows = []
    for each in series:
        origins = training.origin_weeks(each.panel, steps, centre, each.between, settings.rows)
        own = training.training_rows(
            each.panel, each.features, steps, origins, settings.rows.count_power, each.is_history
        )
        rows.append(own.where(own.rate > each.least_rate))
    return rows[0] if len(rows) == 1 else rows[0].joined(rows[1])


def _notes(series: list[Series], known: Surveillance, has_history: bool, settings: Settings) -> list[str]:
    """Return what a reader must know of the seasons that are learned from."""
    weeks = series[0].panel.weeks
    centre = training.window_centre(int(weeks.from_christmas[-1]), settings.rows)
    seasons = [_seasons(each, centre, settings) - {season_of(known.last_week)} for each in series]
    notes = gaps.long_gap_notes(known.counts, known.first_week)
    if has_history and not any(seasons[1:]):
        notes.append(
            "the history adds nothing: it has no week to learn from near this week of a season, after its "
            f"first {settings.history.run_in} weeks"
        )
    past = set().union(*seasons)
    if len(past) == 1:
        season = past.pop()
        notes.append(
            f"{season}-{(season + 1) % 100:02} is the only past season that is learned from: the forecast "
            "repeats its course, and the intervals may be far too narrow; a history_path adds seasons"
        )
    return notes


def _seasons(series: Series, centre: int, settings: Settings) -> set[int]:
    """Return the seasons in which a series has weeks near the centre."""
    origins = training.origin_weeks(series.panel, 1, centre, series.between, settings.rows)
    return set(series.panel.weeks.season[origins[~np.isnan(series.panel.nation[origins, 0])]].tolist())


def _check_past_season(rows: training.Rows, known: Surveillance) -> None:
    if (rows.season < season_of(known.last_week)).any():
        return
    around = f"{known.last_week.day} {known.last_week:%B}"
    raise UserError(
        f"reference date {known.reference_date}: no past season to learn from; the data begin in the week "
        f"ending {known.first_week}, and growth_regression needs the weeks around {around} of an earlier "
        "season that they have from October on (or a history_path)"
    )


def _revised(
    own: Panel, found: list[Revisions], row: int, columns: np.ndarray, settings: Settings
) -> np.ndarray:
    """Return quantiles of the log rate of a known week, shape (columns, 23).

    Around its nowcast, as wide as the revisions of such weeks vary.
    """
    age = min(len(own.counts) - 1 - row, len(found) - 1)
    rates = own.rates[row, columns, None]
    ratios, reported = found[age].ratios, found[age].reported
    is_usual = np.abs(ratios) < settings.revisions.fault_log  # not for nan
    if len(ratios) < settings.revisions.fewest_vintages or not is_usual.any():
        return rates + settings.revisions.default_spread * intervals.NORMAL
    is_nation = np.broadcast_to(np.arange(ratios.shape[1]) == own.nation_column, ratios.shape)
    return rates + intervals.error_quantiles(
        (ratios - found[age].shift)[is_usual],
        np.log1p(reported[is_usual]),
        is_nation[is_usual],
        np.ones(is_usual.sum()),
        np.log1p(own.counts[row, columns]),
        columns == own.nation_column,
        settings.spread,
    )
