"""Initial conditions: the people in each compartment on the first day, in whole numbers."""

from collections.abc import Sequence

import numpy as np

from modeling.failures import UserError


class InfeasibleDraw(Exception):
    """A draw that the population cannot have, e.g. more people than there are."""


def initial_people(
    initial: dict[str, object],
    sizes: np.ndarray,
    draw: dict[str, float],
    age_groups: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """Return the people in each compartment on the first day.

    A value of 1 and more is a number of people, spread over the age groups by their size; one below 1 is a
    share of every age group; a list has one such value an age group. The default compartments share the
    rest. The total of a compartment is rounded, and its age groups are rounded by largest remainder. Where
    rounding alone would place more people than there are, the largest compartment of the age group has one
    fewer.

    Parameters
    ----------
    initial : dict
        By compartment, as in ModelPlan.
    sizes : ndarray of int, shape (groups,)
        People.
    draw : dict
        Values that replace "sampled" and "calibrated".
    age_groups : sequence of str
        Their names, for messages.

    Returns
    -------
    dict of str to ndarray of int, shape (groups,)

    Raises
    ------
    InfeasibleDraw
        A drawn value is negative, or more people are placed than there are.
    UserError
        The same without a draw, so that no other draw can help.
    """
    exact = {c: _exact(c, _value(c, init, draw), sizes, draw) for c, init in initial.items()}
    _check_enough(exact, sizes, draw, age_groups)
    placed = {compartment: _whole(people) for compartment, people in exact.items()}
    left = _undo_rounding_up(placed, sizes - sum(placed.values()))
    defaults = [c for c, init in initial.items() if isinstance(init, str) and init == "default"]
    for position, compartment in enumerate(defaults):
        share, extra = np.divmod(left, len(defaults))
        placed[compartment] = share + (position < extra)
    return placed


def _value(compartment: str, init: object, draw: dict[str, float]) -> object:
    return draw.get(compartment, init) if init in ("sampled", "calibrated") else init


def _exact(compartment: str, value: object, sizes: np.ndarray, draw: dict[str, float]) -> np.ndarray:
    """Return the people of a compartment by age group before rounding; 0 if it gets the rest, or nobody."""
    if value is None or value == "default":
        return np.zeros(len(sizes))
    exact = _spread(value, sizes)
    if not (np.isfinite(exact).all() and (exact >= 0).all()):
        raise _infeasible(f"{compartment} cannot start with {value} people", draw)
    return exact


def _check_enough(
    exact: dict[str, np.ndarray], sizes: np.ndarray, draw: dict[str, float], age_groups: Sequence[str]
) -> None:
    asked = sum(exact.values(), np.zeros(len(sizes)))
    if (asked > sizes * (1 + 1e-9)).any():
        group = int(np.argmax(asked - sizes))
        where = f' in age group "{age_groups[group]}"' if age_groups else ""
        raise _infeasible(
            f"initial conditions place {asked[group]:.0f} people where there are {sizes[group]}{where}", draw
        )


def _infeasible(message: str, draw: dict[str, float]) -> Exception:
    return InfeasibleDraw(message) if draw else UserError(message)


def _undo_rounding_up(placed: dict[str, np.ndarray], left: np.ndarray) -> np.ndarray:
    """Take people that only rounding placed out of the largest compartments; return who is left."""
    left = left.copy()
    for group in np.flatnonzero(left < 0):
        while left[group] < 0:
            max(placed.values(), key=lambda people: people[group])[group] -= 1
            left[group] += 1
    return left


def _spread(value: float | list[float], sizes: np.ndarray) -> np.ndarray:
    """Return people by age group, before rounding."""
    if isinstance(value, list):
        return np.array([v if v >= 1 else v * size for v, size in zip(value, sizes, strict=True)])
    return value * sizes / sizes.sum() if value >= 1 else value * sizes


def _whole(exact: np.ndarray) -> np.ndarray:
    """Round to integers that add up to the rounded total, largest remainders first."""
    whole = np.floor(exact).astype(np.int64)
    missing = round(float(exact.sum())) - int(whole.sum())
    whole[np.argsort(-(exact - whole), kind="stable")[:missing]] += 1
    return whole
