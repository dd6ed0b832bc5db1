"""Values of parameters that change over time, in the order of their changes, and doses from a first day on.

Stage A refuses with it what no draw can make right and says what changes, and stage B simulates with it.
"""

import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

import numpy as np

from modeling.calendars import saturday_after
from modeling.failures import UserError
from modeling.workload import Schedule, Wave

Values = Mapping[str, float | np.ndarray]  # of parameters: one number, or an array of shape (groups,)


class Changes(Protocol):
    """Changes of parameters on one axis of time points, as in Schedule; arrays of shape (points,)."""

    wave: Wave | None
    factors: dict[str, np.ndarray]
    overrides: dict[str, np.ndarray]


def values_over_time(changes: Changes, values: Values, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Return the parameters among `names` that change over time, shape (points, 1) or (points, groups).

    The wave and the factors multiply the unchanged value; an override then replaces the product.

    Parameters
    ----------
    values : mapping
        Unchanged values, also of the parameter that holds the minimum of the wave.

    Raises
    ------
    UserError
        The minimum of the wave is not one number from 0 to its maximum.
    """
    found = {}
    for name in names:
        factors = list(_factors(changes, name, values))
        override = changes.overrides.get(name)
        if not factors and override is None:
            continue
        value = np.reshape(values[name], (1, -1))
        for factor in factors:
            value = value * factor[:, None]
        if override is not None:
            value = np.where(np.isnan(override)[:, None], value, override[:, None])
        found[name] = value
    return found


def _factors(changes: Changes, name: str, values: Values) -> Iterator[np.ndarray]:
    """Yield the factors of a parameter, shape (points,)."""
    if changes.wave is not None and changes.wave.parameter == name:
        yield _wave_factor(changes.wave, values)
    if name in changes.factors:
        yield changes.factors[name]


def _wave_factor(wave: Wave, values: Values) -> np.ndarray:
    minimum = values[wave.minimum] if isinstance(wave.minimum, str) else wave.minimum
    if np.ndim(minimum) or not 0 <= minimum <= wave.maximum:
        raise UserError(
            f"{wave.minimum} replaces min_value of the seasonality and must be one number from 0 to "
            f"max_value {wave.maximum:g}, not {minimum}"
        )
    return minimum * (1 - wave.shape) + wave.maximum * wave.shape  # exact at both ends


def doses_from(schedule: Schedule, start: datetime.date, num_days: int) -> np.ndarray:
    """Return the doses of each day from a first day on, shape (days, groups).

    The doses of all days before it are given evenly from it to the next Saturday.
    """
    days_after = (start - schedule.first_day).days
    from_start = schedule.doses[days_after : days_after + num_days]
    doses = np.zeros((num_days, schedule.doses.shape[1]))
    doses[: len(from_start)] = from_start
    late = schedule.doses[:days_after].sum(axis=0)
    if schedule.doses_before is not None:
        late = late + schedule.doses_before
    catch_up_days = (saturday_after(start) - start).days + 1
    doses[:catch_up_days] += late / catch_up_days
    return doses
