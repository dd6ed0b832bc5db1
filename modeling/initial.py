"""Initial conditions: who is where on the first day, in whole people."""

import numpy as np

from modeling.failures import UserError


class InfeasibleDraw(Exception):
    """A draw from the priors that no population can have, e.g. more people than there are."""


def initial_people(
    initial: dict[str, object], sizes: np.ndarray, draw: dict[str, float]
) -> dict[str, np.ndarray]:
    """Return the people in each compartment on the first day.

    A number of 1 and more is people, spread over the age groups by their size; one below 1 is a
    share of every age group; a list has one such value an age group; the default compartments
    share whoever is left. Fractions are rounded so that totals keep (largest remainder), hence
    nobody vanishes.

    Parameters
    ----------
    initial : dict
        As in ModelPlan.
    sizes : ndarray of int, shape (groups,)
        People.
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
        The same without any drawn value, so no draw can mend it.
    """
    placed: dict[str, np.ndarray] = {}
    left = sizes.astype(np.int64)
    for compartment, init in initial.items():
        value = draw.get(compartment, init) if init in ("sampled", "calibrated") else init
        if value is None or value == "default":
            placed[compartment] = np.zeros(len(sizes), dtype=np.int64)
            continue
        placed[compartment] = _people(value, sizes)
        left = left - placed[compartment]
    if (left < 0).any() or any((p < 0).any() for p in placed.values()):
        group = int(np.argmin(left))
        message = (
            f"initial conditions place {sizes[group] - left[group]} people where there are {sizes[group]}"
        )
        raise InfeasibleDraw(message) if draw else UserError(message)
    defaults = [c for c, init in initial.items() if isinstance(init, str) and init == "default"]
    for position, compartment in enumerate(defaults):
        share, extra = np.divmod(left, len(defaults))
        placed[compartment] = share + (position < extra)
    return placed


def _people(value: float | list[float], sizes: np.ndarray) -> np.ndarray:
    if isinstance(value, list):
        each = np.array([v if v >= 1 else v * size for v, size in zip(value, sizes, strict=True)])
        return np.rint(each).astype(np.int64)
    if not np.isfinite(value):
        raise InfeasibleDraw(f"{value} people")
    if value >= 1:
        return _rounded(value * sizes / sizes.sum())
    return np.rint(value * sizes).astype(np.int64)


def _rounded(shares: np.ndarray) -> np.ndarray:
    """Round to integers that add up to the rounded total, the largest remainders first."""
    whole = np.floor(shares).astype(np.int64)
    missing = round(float(shares.sum())) - int(whole.sum())
    whole[np.argsort(-(shares - whole), kind="stable")[:missing]] += 1
    return whole
