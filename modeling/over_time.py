"""Values of parameters that change over time, in the order of their changes, and doses from a first day on.

Stage A uses it to describe the changes, and to refuse those that are wrong for every draw; stage B simulates
them.
"""

import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

import numpy as np

from modeling.failures import UserError
from modeling.weeks import saturday_after
from modeling.workload import Schedule, Wave

Values = Mapping[str, float | np.ndarray]  # of parameters: one number, or an array of shape (groups,)


class Changes(Protocol):
    """Changes of parameters on one axis of time points, as in Schedule; arrays of shape (points,)."""

    wave: Wave | None
    factors: dict[str, np.ndarray]
    overrides: dict[str, np.ndarray]


def values_over_time(changes: Changes, values: Values, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Return the parameters among `names` that change over time, shape (points, 1) or (points, groups).

    Parameters
    ----------
    values : mapping
        Unchanged values, also of the parameter that holds the minimum of the wave.

    Raises
    ------
    UserError
        The minimum of the wave is not one number from 0 to its maximum.
    """
    of_one = {name: np.reshape(value, (1, -1)) for name, value in values.items()}
    names = list(names)
    if changes.wave is not None and changes.wave.parameter in names:
        for problem in wave_problems(changes.wave, of_one).values():
            raise UserError(problem)
    return {name: value[0] for name, value in particles_over_time(changes, of_one, names).items()}


def particles_over_time(
    changes: Changes, values: Mapping[str, np.ndarray], names: Iterable[str]
) -> dict[str, np.ndarray]:
    """Return the parameters among `names` that change over time, for many particles.

    The wave and the factors multiply the unchanged value; an override then replaces the product.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (particles or 1, groups or 1)
        Unchanged values, also of the parameter that holds the minimum of the wave; wave_problems checks it.

    Returns
    -------
    dict of str to ndarray, shape (particles or 1, points, groups or 1)
    """
    found = {}
    for name in names:
        factors = list(_factors(changes, name, values))
        override = changes.overrides.get(name)
        if not factors and override is None:
            continue
        value = values[name][:, None, :]
        for factor in factors:
            value = value * factor[..., None]
        if override is not None:
            value = np.where(np.isnan(override)[:, None], value, override[:, None])
        found[name] = value
    return found


def wave_problems(wave: Wave, values: Mapping[str, np.ndarray]) -> dict[int, str]:
    """Return why the minimum of a wave is not possible, by particle; nothing where it is.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (particles or 1, groups or 1)
    """
    minimum = _minimum(wave, values)
    fits = (minimum.shape[1] == 1) & ((minimum >= 0) & (minimum <= wave.maximum)).all(axis=1)
    return {
        int(row): f"{wave.minimum} replaces min_value of the seasonality and must be one number from 0 to "
        f"max_value {wave.maximum:g}, not {minimum[row].item() if minimum.shape[1] == 1 else minimum[row]}"
        for row in np.flatnonzero(~fits)
    }


def _factors(changes: Changes, name: str, values: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the factors of a parameter, shape (points,) or (particles or 1, points)."""
    wave = changes.wave
    if wave is not None and wave.parameter == name:
        # exact at both ends
        yield _minimum(wave, values) * (1 - wave.shape) + wave.maximum * wave.shape
    if name in changes.factors:
        yield changes.factors[name]


def _minimum(wave: Wave, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the lowest factor of a wave, shape (particles or 1, 1); more columns are a mistake."""
    return values[wave.minimum] if isinstance(wave.minimum, str) else np.array([[wave.minimum]])


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
