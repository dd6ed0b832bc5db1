"""What a simulation returns, and the distance from observed counts at which it may stop."""

from dataclasses import dataclass, field

import numpy as np

from modeling.failures import UserError


@dataclass(frozen=True)
class Observables:
    """What a simulation returns.

    Raises UserError for a name where a list of names belongs.

    Attributes
    ----------
    compartments : list of str
        Names of series as in ModelPlan.compartment_series, e.g. "I_total".
    transitions : list of list of str
        Each row is the sum of series as in ModelPlan.transition_series, e.g. ["S_to_I_0-4", "S_to_I_5-17"].
    """

    compartments: list[str] = field(default_factory=list)
    transitions: list[list[str]] = field(default_factory=list)

    def __post_init__(self):
        for name in [self.compartments, *self.transitions]:
            if isinstance(name, str):
                raise UserError(f'observables: write ["{name}"]; each of transitions is a list, too')


@dataclass(frozen=True)
class DistanceBound:
    """A distance that only grows from date to date, and its largest value.

    A particle may stop as soon as sum(weights * |simulated - observed| ** power) over the dates that it has
    reached is above `most`, by more than a billionth.

    Attributes
    ----------
    observed, weights : ndarray of float, shape (rows of transitions, dates)
        A weight is 0 where nothing is compared.
    power : int
        1 or 2.
    most : float
    """

    observed: np.ndarray
    weights: np.ndarray
    power: int
    most: float
