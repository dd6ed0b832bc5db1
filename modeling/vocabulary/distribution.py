"""Probability distributions by their scipy.stats name, and dates drawn from them."""

import datetime
from typing import Any, Literal

from pydantic import Field

from modeling.failures import UserError, did_you_mean
from modeling.vocabulary.base import Piece


class Distribution(Piece):
    """A distribution of scipy.stats, e.g. name: uniform, args: [loc, scale]."""

    type: Literal["scipy", "custom"] = "scipy"
    name: str = Field(description="name in scipy.stats: uniform, norm, randint, ...")
    args: list[float] = Field(default_factory=list, description="positional arguments")
    kwargs: dict[str, Any] = Field(default_factory=dict, description="keyword arguments")


class DateParameter(Piece):
    """A date: a reference date plus days drawn from a distribution."""

    reference_date: datetime.date
    distribution: Distribution | None = Field(None, description="days to add, when sampled")
    prior: Distribution | None = Field(None, description="days to add, when calibrated")


def frozen_distribution(distribution: Distribution):
    """Return the frozen scipy distribution.

    Raises
    ------
    UserError
        Unknown name, wrong number of arguments, or arguments outside the distribution's domain.
    """
    import scipy.stats  # 0.4 s: only experiments with a distribution pay for it

    if distribution.type == "custom":
        raise UserError("distributions of type custom are not built; use one of scipy.stats")
    known = {
        name: value
        for name in dir(scipy.stats)
        if isinstance(
            value := getattr(scipy.stats, name), scipy.stats.rv_continuous | scipy.stats.rv_discrete
        )
    }
    if distribution.name not in known:
        raise UserError(
            f'"{distribution.name}" is not a distribution of scipy.stats'
            f"{did_you_mean(distribution.name, known)}"
        )
    shown = f"{distribution.name}({', '.join(map(str, distribution.args))})"
    try:
        frozen = known[distribution.name](*distribution.args, **distribution.kwargs)
        low, high = frozen.support()
    except (TypeError, ValueError) as error:
        raise UserError(f"{shown}: wrong arguments for the distribution ({error})") from None
    if not low <= high:  # scipy answers nan for parameters outside the domain
        raise UserError(f"{shown}: arguments outside the distribution's domain")
    if low == high:
        raise UserError(f"{shown}: a single value is no distribution; use a scalar parameter")
    return frozen
