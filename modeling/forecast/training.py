"""The past weeks that a forecast is learned from: those near the same week of a season, of all locations."""

from dataclasses import dataclass, fields, replace

import numpy as np

from modeling.forecast.features import Features
from modeling.forecast.panel import Panel
from modeling.forecast.settings import RowSettings


@dataclass(frozen=True)
class Rows:
    """Rows of the regression: a location in an origin week, and what came `steps` weeks later.

    Attributes
    ----------
    predictors : ndarray, shape (rows, predictors)
    growth : ndarray, shape (rows,)
        Log rate of the target week minus that of the origin.
    count, rate : ndarray, shape (rows,)
        Admissions of the origin, and per 100,000 people (of one more admission).
    weight : ndarray, shape (rows,)
    season, from_christmas : ndarray of int, shape (rows,)
        Of the origin.
    is_nation, is_history : ndarray of bool, shape (rows,)
    """

    predictors: np.ndarray
    growth: np.ndarray
    count: np.ndarray
    rate: np.ndarray
    weight: np.ndarray
    season: np.ndarray
    from_christmas: np.ndarray
    is_nation: np.ndarray
    is_history: np.ndarray

    def __len__(self) -> int:
        return len(self.growth)

    def where(self, chosen: np.ndarray) -> "Rows":
        """Return some of the rows."""
        return Rows(**{each.name: getattr(self, each.name)[chosen] for each in fields(self)})

    def joined(self, other: "Rows") -> "Rows":
        """Return these rows and the others."""
        names = [each.name for each in fields(self)]
        return Rows(**{name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in names})


def training_rows(
    panel: Panel, features: Features, steps: int, origins: np.ndarray, power: float, is_history: bool = False
) -> Rows:
    """Return the rows of some origin weeks; those with an unknown value are left out.

    Parameters
    ----------
    steps : int
        Weeks from an origin to its target, at least 1.
    origins : ndarray of int
        Rows of the panel, see `origin_weeks`.
    power : float
        A row weighs (count + 1) to this power.
    """
    locations = panel.rates.shape[1]
    predictors = features.at(origins, steps)
    growth = panel.rates[origins + steps] - panel.rates[origins]
    is_known = np.isfinite(predictors).all(axis=-1) & np.isfinite(growth)
    count = panel.counts[origins]
    is_nation = np.zeros(locations, dtype=bool)
    if panel.nation_column is not None:
        is_nation[panel.nation_column] = True

    def by_week(values: np.ndarray) -> np.ndarray:
        return np.repeat(values[origins][:, None], locations, axis=1)[is_known]

    return Rows(
        predictors=predictors[is_known],
        growth=growth[is_known],
        count=count[is_known],
        rate=np.exp(panel.rates[origins])[is_known],
        weight=(count[is_known] + 1) ** power,
        season=by_week(panel.weeks.season),
        from_christmas=by_week(panel.weeks.from_christmas),
        is_nation=np.repeat(is_nation[None, :], len(origins), axis=0)[is_known],
        is_history=np.full(int(is_known.sum()), is_history),
    )


def origin_weeks(
    panel: Panel, steps: int, centre: int, between: tuple[int, int], settings: RowSettings
) -> np.ndarray:
    """Return the weeks of a panel that may be origins, as its rows.

    The origin, its target and the week that its growth looks back at must be usable, and the panel must have
    the season from its beginning on.

    Parameters
    ----------
    centre : int
        Week from Christmas of the forecast's origin.
    between : (int, int)
        First and last week from Christmas that gives rows.
    """
    weeks = panel.weeks
    is_near = np.abs(weeks.from_christmas - centre) <= settings.reach
    is_near &= (weeks.from_christmas >= between[0]) & (weeks.from_christmas <= between[1])
    started = np.unique(weeks.season[weeks.from_christmas <= settings.season_begins])
    candidates = np.flatnonzero(is_near & np.isin(weeks.season, started))
    candidates = candidates[(candidates >= settings.run_in) & (candidates + steps < len(weeks.season))]
    is_usable = panel.is_usable[candidates] & panel.is_usable[candidates + steps]
    return candidates[is_usable & panel.is_usable[candidates - settings.run_in]]


def window_centre(from_christmas: int, settings: RowSettings) -> int:
    """Return the week around which rows are taken: that of the origin, or in summer the nearest."""
    return int(np.clip(from_christmas, settings.first_week, settings.last_week))


def weighted(rows: Rows, centre: int, window: float, history_weight: float) -> Rows:
    """Return the rows, weighted by how near their week of the season is to the centre.

    Parameters
    ----------
    window : float
        Standard deviation of the kernel [weeks].
    history_weight : float
        Mean weight of a row of the history, relative to the other rows.
    """
    weight = rows.weight * np.exp(-0.5 * ((rows.from_christmas - centre) / window) ** 2)
    own, other = ~rows.is_history, rows.is_history
    if own.any() and other.any():
        weight[other] *= history_weight * weight[own].mean() / weight[other].mean()
    return replace(rows, weight=weight)
