"""Probability distributions by their name in scipy.stats; a runner needs them without the vocabulary."""

from collections.abc import Sequence
from typing import Any

from modeling.failures import UserError, did_you_mean


def frozen_distribution(name: str, args: Sequence[float], kwargs: dict[str, Any]):
    """Return the frozen scipy distribution.

    Raises
    ------
    UserError
        Unknown name, wrong number of arguments, or arguments outside the distribution's domain.
    """
    import scipy.stats  # 0.4 s: only experiments with a distribution pay for it

    kinds = (scipy.stats.rv_continuous, scipy.stats.rv_discrete)
    known = {n: value for n in dir(scipy.stats) if isinstance(value := getattr(scipy.stats, n), kinds)}
    if name not in known:
        raise UserError(f'"{name}" is not a distribution of scipy.stats{did_you_mean(name, known)}')
    shown = f"{name}({', '.join(map(str, args))})"
    try:
        frozen = known[name](*args, **kwargs)
        low, high = frozen.support()
    except (TypeError, ValueError) as error:
        raise UserError(f"{shown}: wrong arguments for the distribution ({error})") from None
    if not low <= high:  # scipy answers nan for parameters outside the domain
        raise UserError(f"{shown}: arguments outside the distribution's domain")
    if low == high:
        raise UserError(f"{shown}: a single value is no distribution; use a scalar parameter")
    return frozen
