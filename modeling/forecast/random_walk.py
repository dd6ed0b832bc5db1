"""The reference that a forecast should beat: the last known count, with the spread of past weekly changes.

Like FluSight-baseline: one-week changes of the log count, taken with both signs, spread with the square root
of the weeks since the last known count, which of a location that is behind are more.
"""

import numpy as np

from modeling.failures import UserError
from modeling.forecast_records import RECENT_WEEKS, Forecast, History, Quantiles, Surveillance
from modeling.hubs import HORIZONS, QUANTILES


def forecast(
    known: Surveillance, locations: list[str], people: np.ndarray, history: History | None
) -> Forecast:
    """Return the last known count with the spread of all past changes, below the people of the place.

    The history is not used.

    Raises
    ------
    UserError
        A location has no two counts in a row.
    """
    logs = np.log1p(known.counts)
    quantiles = np.empty((len(HORIZONS), len(locations), len(QUANTILES)))
    for column in range(len(locations)):
        series = logs[:, column]
        newest = np.flatnonzero(~np.isnan(series))[-1]
        weeks_behind = len(series) - 1 - newest
        changes = np.diff(series)
        changes = changes[~np.isnan(changes)]
        if not changes.size:  # no two weeks in a row have a count
            weeks_known = np.flatnonzero(~np.isnan(series))
            changes = np.diff(series[weeks_known]) / np.sqrt(np.diff(weeks_known))
        if not changes.size:
            raise UserError(f"{locations[column]}: a single week has a count; no change is known")
        spread = np.quantile(np.concatenate([changes, -changes]), QUANTILES)
        for row, horizon in enumerate(HORIZONS):
            weeks = max(horizon + known.weeks_ahead + weeks_behind, 0)
            counts = np.expm1(series[newest] + np.sqrt(weeks) * spread)
            quantiles[row, column] = np.rint(np.clip(counts, 0, people[column] - 1))
    nowcast = known.counts[-RECENT_WEEKS:]
    return Forecast(Quantiles(known.reference_date, quantiles), nowcast)
