"""Scores of quantile forecasts: weighted interval score, coverage, absolute error of the median.

As defined by Bracher, Ray, Gneiting and Reich (2021), Evaluating epidemic forecasts in an interval format,
PLOS Computational Biology 17(2): e1008618, with the 23 levels of modeling.hubs.QUANTILES: the median and the
bounds of 11 central intervals.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from modeling.evaluation.hub_files import Entries, Forecasts
from modeling.hubs import MEDIAN, QUANTILES
from modeling.outputs.quantiles import is_inside

LEVELS = np.array(QUANTILES)

Key = tuple[datetime.date, int, str]  # reference date, horizon, location
Observations = Mapping[tuple[datetime.date, str], float]  # by last day of the week, and location


@dataclass(frozen=True)
class Scores(Entries):
    """Scores of one model; each array has an entry a forecast.

    Attributes
    ----------
    dates : ndarray of datetime64[D]
        Reference dates.
    horizons : ndarray of int
    locations : ndarray of str
        FIPS codes, and "US".
    observed : ndarray of float
    wis, wis_log : ndarray of float
        Weighted interval score in admissions, and of log(x + 1).
    error : ndarray of float
        Absolute error of the median, in admissions.
    in50, in95 : ndarray of float
        1 where the observation is inside the central interval, else 0.
    """

    dates: np.ndarray
    horizons: np.ndarray
    locations: np.ndarray
    observed: np.ndarray
    wis: np.ndarray
    wis_log: np.ndarray
    error: np.ndarray
    in50: np.ndarray
    in95: np.ndarray

    def keys(self) -> list[Key]:
        """Return what names each forecast."""
        columns = (self.dates.tolist(), self.horizons.tolist(), self.locations.tolist())
        return list(zip(*columns, strict=True))


def wis(quantiles: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return the weighted interval score of each forecast, shape (forecasts,), in the unit of the data.

    The mean over the levels of twice the pinball loss. It equals the usual form
    (|y - m| / 2 + sum over the 11 intervals of alpha / 2 * interval score) / 11.5.

    Parameters
    ----------
    quantiles : ndarray, shape (forecasts, 23)
    observed : ndarray, shape (forecasts,)
    """
    miss = observed[:, None] - quantiles
    return 2 * np.maximum(LEVELS * miss, (LEVELS - 1) * miss).mean(axis=1)


def score(forecasts: Forecasts, observations: Observations) -> Scores:
    """Return the scores of the forecasts whose week has been observed, in their order."""
    ends = forecasts.dates + 7 * forecasts.horizons
    keys = zip(ends.tolist(), forecasts.locations.tolist(), strict=True)
    observed = np.array([observations.get(key, np.nan) for key in keys], dtype=float)
    known = ~np.isnan(observed)
    quantiles, observed = forecasts.quantiles[known], observed[known]
    return Scores(
        dates=forecasts.dates[known],
        horizons=forecasts.horizons[known],
        locations=forecasts.locations[known],
        observed=observed,
        wis=wis(quantiles, observed),
        wis_log=wis(np.log1p(quantiles), np.log1p(observed)),
        error=np.abs(observed - quantiles[:, MEDIAN]),
        in50=is_inside(quantiles, observed, 0.5).astype(float),
        in95=is_inside(quantiles, observed, 0.95).astype(float),
    )
