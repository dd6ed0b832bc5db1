"""Ridge regression in closed form, and what it would have said of each season without knowing it.

Without a season, the Gram matrix is that of all rows minus the season's share, so that each refit costs the
solution of a small system of equations (ridge regression and cross-validation by groups: Hastie, Tibshirani
and Friedman, The Elements of Statistical Learning, sections 3.4.1 and 7.10).
"""

from dataclasses import dataclass

import numpy as np

from modeling.forecast.settings import FitSettings


@dataclass(frozen=True)
class Fit:
    """A fitted regression.

    Attributes
    ----------
    mean, scale : ndarray, shape (predictors,)
        By which predictors are standardised; scale is inf for a predictor that does not vary.
    coefficients : ndarray, shape (predictors,)
        Of standardised predictors.
    intercept : float
    residuals : ndarray, shape (rows,)
        Target minus what the regression without the row's season predicts. Unlike in a forecast, predictors
        are not clipped there: with outliers, the residuals are rather too wide than too narrow.
    """

    mean: np.ndarray
    scale: np.ndarray
    coefficients: np.ndarray
    intercept: float
    residuals: np.ndarray


def fitted(
    predictors: np.ndarray, target: np.ndarray, weights: np.ndarray, season: np.ndarray, settings: FitSettings
) -> Fit:
    """Return the ridge regression of the target on the predictors, and its out-of-season residuals.

    Parameters
    ----------
    predictors : ndarray, shape (rows, predictors)
    target : ndarray, shape (rows,)
        Clipped in the fit, not in the residuals.
    weights : ndarray, shape (rows,)
        Positive.
    season : ndarray of int, shape (rows,)
        A row of the only season there is has its target as residual: nothing else is known.
    """
    total = weights.sum()
    mean = weights @ predictors / total
    scale = np.sqrt(weights @ (predictors - mean) ** 2 / total)
    scale = np.where(scale < 1e-9, np.inf, scale)
    design = np.column_stack([(predictors - mean) / scale, np.ones(len(predictors))])
    clipped = np.clip(target, -settings.most_growth, settings.most_growth)
    penalty = np.diag([settings.ridge] * len(mean) + [0.0])

    def sums(rows: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray, float]:
        weighted = design[rows] * weights[rows, None]
        return weighted.T @ design[rows], weighted.T @ clipped[rows], weights[rows].sum()

    gram, moments, _ = sums(slice(None))
    solution = np.linalg.solve(gram / total + penalty, moments / total)
    residuals = np.array(target)
    for each in np.unique(season):
        own = season == each
        if own.all():
            continue
        own_gram, own_moments, own_total = sums(own)
        rest = total - own_total
        without = np.linalg.solve((gram - own_gram) / rest + penalty, (moments - own_moments) / rest)
        residuals[own] -= design[own] @ without
    return Fit(mean, scale, solution[:-1], float(solution[-1]), residuals)


def predicted(fit: Fit, predictors: np.ndarray, settings: FitSettings) -> np.ndarray:
    """Return the expected target, shape (rows,).

    Standardised predictors are clipped, so that nothing unheard of is extrapolated; an unknown one counts as
    the mean.
    """
    standard = np.clip(
        (predictors - fit.mean) / fit.scale, -settings.most_deviations, settings.most_deviations
    )
    return np.where(np.isnan(standard), 0, standard) @ fit.coefficients + fit.intercept
