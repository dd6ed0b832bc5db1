"""The nowcast: how the newest weeks will be revised, learned from what earlier vintages said.

A count of last week is mostly too low, because some hospitals report late. By age of a week (0 is the
newest), the ratio of the settled count to the first reported one is collected over earlier vintages.
"""

import datetime
from dataclasses import dataclass

import numpy as np

from modeling.forecast.settings import RevisionSettings
from modeling.forecast_records import RECENT_WEEKS, WEEK, Surveillance, Vintage


@dataclass(frozen=True)
class Revisions:
    """What is known of the revisions of weeks of one age.

    Attributes
    ----------
    ratios : ndarray, shape (vintages, locations)
        log((settled count + 1) / (first reported count + 1)); nan where unknown.
    reported : ndarray, shape (vintages, locations)
        First reported counts.
    shift : ndarray, shape (locations,)
        Expected log ratio.
    """

    ratios: np.ndarray
    reported: np.ndarray
    shift: np.ndarray


def revisions(known: Surveillance, settings: RevisionSettings) -> list[Revisions]:
    """Return the revisions of weeks of age 0, 1 and 2 weeks."""
    newest_settled = known.last_week - settings.settled_weeks * WEEK
    settled = [vintage for vintage in known.earlier if vintage.last_week <= newest_settled]
    return [
        _revisions_of_age(known, settled[-settings.vintages :], age, settings) for age in range(RECENT_WEEKS)
    ]


def _revisions_of_age(
    known: Surveillance, vintages: list[Vintage], age: int, settings: RevisionSettings
) -> Revisions:
    rows = [
        (known.counts[row], vintage.counts[-1 - age])
        for vintage in vintages
        if (row := _row(known, vintage.last_week - age * WEEK)) >= 0
    ]
    settled, reported = np.array(rows).reshape(len(rows), 2, known.counts.shape[1]).swapaxes(0, 1)
    ratios = np.log1p(settled) - np.log1p(reported)
    return Revisions(ratios, reported, expected_shift(ratios, settings.default_shifts[age], settings))


def expected_shift(ratios: np.ndarray, default: float, settings: RevisionSettings) -> np.ndarray:
    """Return the expected log ratio of each location, shape (locations,).

    The median of a location is shrunk to the median of all, the more so the fewer vintages it has.

    Parameters
    ----------
    ratios : ndarray, shape (vintages, locations)
        nan where unknown.
    default : float
        Taken with too few vintages.
    """
    is_known = ~np.isnan(ratios)
    if len(ratios) < settings.fewest_vintages or not is_known.any():
        return np.full(ratios.shape[1], default)
    pooled = float(np.median(ratios[is_known]))
    number = is_known.sum(axis=0)
    columns = zip(ratios.T, is_known.T, strict=True)
    medians = np.array([np.median(own[known]) if known.any() else pooled for own, known in columns])
    shift = (number * medians + settings.shrinkage * pooled) / (number + settings.shrinkage)
    return np.clip(shift, settings.least, settings.most)


def nowcast(counts: np.ndarray, found: list[Revisions]) -> np.ndarray:
    """Return counts, shape (weeks, locations), in which the newest weeks are their expected final counts."""
    expected = counts.copy()
    for age, each in enumerate(found[: len(counts)]):
        row = len(counts) - 1 - age
        expected[row] = np.maximum((counts[row] + 1) * np.exp(each.shift) - 1, 0)
    return expected


def _row(known: Surveillance, week: datetime.date) -> int:
    """Return the row of a week in the counts; -1 for a week that they do not have."""
    row = (week - known.first_week) // WEEK
    return row if 0 <= row < len(known.counts) else -1
