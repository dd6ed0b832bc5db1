"""Values of parameters at every time point of a schedule, to check what no draw can make right."""

from collections.abc import Mapping

import numpy as np

from modeling.failures import UserError
from modeling.workload import Schedule, Wave

Values = Mapping[str, float | np.ndarray]  # one number, or an array of shape (groups,)


def values_over_time(schedule: Schedule, values: Values, names: set[str]) -> dict[str, np.ndarray]:
    """Return the parameters among `names` that change over time, shape (points, 1) or (points, groups).

    Parameters
    ----------
    values : mapping
        Unchanged values of the parameters that are known.

    Raises
    ------
    UserError
        The lowest factor of the season is drawn outside 0 to the highest.
    """
    found = {}
    for name in names & values.keys():
        factor = schedule.factors.get(name)
        is_seasonal = schedule.wave is not None and schedule.wave.parameter == name
        if is_seasonal and (wave := wave_factors(schedule.wave, values)) is not None:
            factor = wave if factor is None else wave * factor
        override = schedule.overrides.get(name)
        if factor is None and override is None:
            continue
        value = np.multiply.outer(1.0 if factor is None else factor, np.atleast_1d(values[name]))
        if override is not None:
            value = np.where(np.isnan(override)[:, None], value, override[:, None])
        found[name] = value
    return found


def wave_factors(wave: Wave, values: Values) -> np.ndarray | None:
    """Return the factors of a wave, shape (points,); None if its lowest is not known yet.

    Raises
    ------
    UserError
        The lowest is not a number from 0 to the highest.
    """
    lowest = wave.minimum if isinstance(wave.minimum, float) else values.get(wave.minimum)
    if lowest is None:
        return None
    if np.ndim(lowest) or not 0 <= lowest <= wave.maximum:
        raise UserError(
            f"{wave.minimum} replaces min_value of the seasonality and must be one number from 0 to "
            f"max_value {wave.maximum:g}, not {lowest}"
        )
    return lowest + (wave.maximum - lowest) * wave.shape
