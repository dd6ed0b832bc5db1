"""Initial conditions: the people in each compartment on the first day, in whole numbers.

Arrays are int, shape (particles, compartments, groups); with one row where all particles start alike.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from modeling.default_start import default_start
from modeling.failures import UserError
from modeling.workload import ModelPlan

DRAWN = ("sampled", "calibrated")


class InfeasibleDraw(Exception):
    """A draw that the population cannot have, e.g. more people than there are."""


def people_of_plan(
    plan: ModelPlan, draws: Mapping[str, np.ndarray], num_particles: int
) -> tuple[np.ndarray, dict[int, str]]:
    """Return the people of each particle, compartments in the order of the plan, and what is infeasible.

    Parameters, returned values and errors are those of initial_people_of; without an init, all particles have
    the default start.
    """
    if all(init is None for init in plan.initial.values()):
        return default_start(plan)[None], {}
    initial = {compartment: plan.initial[compartment] for compartment in plan.compartments}
    return initial_people_of(initial, plan.sizes, draws, num_particles, plan.age_groups)


def initial_people(
    initial: dict[str, object],
    sizes: np.ndarray,
    draw: dict[str, float],
    age_groups: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """Return the people in each compartment on the first day: initial_people_of one particle.

    Parameters
    ----------
    draw : dict
        Values that replace "sampled" and "calibrated".

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
    draws = {compartment: np.array([value]) for compartment, value in draw.items()}
    people, infeasible = initial_people_of(initial, sizes, draws, 1, age_groups)
    if infeasible:
        raise InfeasibleDraw(infeasible[0])
    return dict(zip(initial, people[0], strict=True))


def initial_people_of(
    initial: Mapping[str, object],
    sizes: np.ndarray,
    draws: Mapping[str, np.ndarray],
    num_particles: int,
    age_groups: Sequence[str] = (),
) -> tuple[np.ndarray, dict[int, str]]:
    """Return the people in each compartment on the first day, by particle, and which particles cannot start.

    A value of 1 and more is a number of people, spread over the age groups by their size; one below 1 is a
    share of every age group; a list has one such value an age group. The default compartments share the
    rest. The total of a compartment is rounded, and its age groups are rounded by largest remainder. Where
    rounding alone would place more people than there are, the largest compartment of the age group has one
    fewer.

    Parameters
    ----------
    initial : mapping
        By compartment, as in ModelPlan.
    sizes : ndarray of int, shape (groups,)
        People.
    draws : mapping of str to ndarray, shape (particles,)
        Values that replace "sampled" and "calibrated"; other names are ignored.
    age_groups : sequence of str
        Their names, for messages.

    Returns
    -------
    people : ndarray of int, shape (particles, compartments, groups)
        Compartments in the order of `initial`. One row for all particles where nothing is drawn.
    infeasible : dict of int to str
        Why a particle cannot start: a value is negative or not finite, or more people are placed than there
        are. Its people mean nothing.

    Raises
    ------
    UserError
        The same where nothing is drawn, so that no other draw can help.
    """
    for compartment, init in initial.items():
        if _is_drawn(init) and compartment not in draws:
            raise UserError(f"{compartment} has no number of people, and its init is {init}")
    values = {c: draws[c] if _is_drawn(init) else init for c, init in initial.items()}
    is_drawn = any(isinstance(value, np.ndarray) for value in values.values())
    num_rows = num_particles if is_drawn else 1
    infeasible: dict[int, str] = {}
    exact = {c: _exact(c, value, sizes, num_rows, infeasible) for c, value in values.items()}
    _check_enough(exact, sizes, num_rows, age_groups, infeasible)
    if infeasible and not is_drawn:
        raise UserError(infeasible[0])
    people = np.zeros((num_rows, len(initial), len(sizes)), dtype=np.int64)
    for position, asked in enumerate(exact.values()):
        if asked is not None:
            people[:, position] = _whole(asked)
    people[list(infeasible)] = 0
    left = _undo_rounding_up(people, sizes - people.sum(axis=1))
    defaults = [i for i, init in enumerate(initial.values()) if isinstance(init, str) and init == "default"]
    for number, position in enumerate(defaults):
        share, extra = np.divmod(left, len(defaults))
        people[:, position] = share + (number < extra)
    return people, infeasible


def _is_drawn(init: object) -> bool:
    return isinstance(init, str) and init in DRAWN


def _exact(
    compartment: str, value: object, sizes: np.ndarray, num_rows: int, infeasible: dict[int, str]
) -> np.ndarray | None:
    """Return the people of a compartment before rounding, shape (particles or 1, groups).

    None if it gets the rest, or nobody. Particles that cannot have them become infeasible, and place nobody.
    """
    if value is None or (isinstance(value, str) and value == "default"):
        return None
    exact = _spread(value, sizes)
    wrong = ~(np.isfinite(exact) & (exact >= 0)).all(axis=1)
    if wrong.any():
        for row in np.flatnonzero(np.broadcast_to(wrong, num_rows)):
            asked = value[row] if isinstance(value, np.ndarray) else value
            infeasible.setdefault(int(row), f"{compartment} cannot start with {asked} people")
        exact = np.where(wrong[:, None], 0.0, exact)
    return exact


def _check_enough(
    exact: Mapping[str, np.ndarray | None],
    sizes: np.ndarray,
    num_rows: int,
    age_groups: Sequence[str],
    infeasible: dict[int, str],
) -> None:
    asked = np.zeros((1, len(sizes)))
    for people in exact.values():
        asked = asked if people is None else asked + people
    too_many = (asked > sizes * (1 + 1e-9)).any(axis=1)
    for row in np.flatnonzero(np.broadcast_to(too_many, num_rows)) if too_many.any() else ():
        of_row = asked[row if len(asked) > 1 else 0]
        group = int(np.argmax(of_row - sizes))
        where = f' in age group "{age_groups[group]}"' if age_groups else ""
        infeasible.setdefault(
            int(row),
            f"initial conditions place {of_row[group]:.0f} people where there are {sizes[group]}{where}",
        )


def _undo_rounding_up(people: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Take people that only rounding placed out of the largest compartments; return who is left.

    Parameters
    ----------
    people : ndarray, shape (particles, compartments, groups)
        Changed in place.
    left : ndarray, shape (particles, groups)
        People who are not placed; negative where too many are.
    """
    left = left.copy()
    while (left < 0).any():
        rows, groups = np.nonzero(left < 0)
        largest = people[rows, :, groups].argmax(axis=1)
        people[rows, largest, groups] -= 1
        left[rows, groups] += 1
    return left


def _spread(value: float | list[float] | np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return people by age group, before rounding, shape (particles or 1, groups)."""
    if isinstance(value, list):
        return np.array([[v if v >= 1 else v * size for v, size in zip(value, sizes, strict=True)]], float)
    each = np.asarray(value, dtype=float).reshape(-1, 1)
    return np.where(each >= 1, each * sizes / sizes.sum(), each * sizes)


def _whole(exact: np.ndarray) -> np.ndarray:
    """Round to integers that add up to the rounded total of each row, largest remainders first."""
    whole = np.floor(exact).astype(np.int64)
    missing = np.rint(exact.sum(axis=1)).astype(np.int64) - whole.sum(axis=1)
    order = np.argsort(whole - exact, axis=1, kind="stable")
    np.put_along_axis(whole, order, np.take_along_axis(whole, order, 1) + _first(missing, exact.shape[1]), 1)
    return whole


def _first(count: np.ndarray, of: int) -> np.ndarray:
    """Return ones in the first `count` of each row, shape (rows, of)."""
    return (np.arange(of) < count[:, None]).astype(np.int64)
