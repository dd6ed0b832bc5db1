"""Probability distributions by their name in scipy.stats; apart from the vocabulary, for the runner."""

import contextlib
import multiprocessing
import re
import resource
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from modeling.bounds import LARGEST_NUMBER
from modeling.failures import UserError, did_you_mean

MOST_WHOLE_NUMBERS = 100_000  # from the lowest to the highest value
TRIED = 3  # draws of a trial
MOST_TRIAL_SECONDS = 5
MOST_TRIAL_BYTES = 8 * 2**30
SLOW_SECONDS = 1  # of processor time
# fast for all arguments; other discrete distributions step through their values
_QUICK_WHOLE_NUMBERS = ("randint", "binom")
_QUICK = (
    *(
        "uniform",
        "norm",
        "truncnorm",
        "halfnorm",
        "lognorm",
        "loguniform",
        "expon",
        "gamma",
        "invgamma",
        "beta",
    ),
    *("triang", "t", "cauchy", "halfcauchy", "laplace", "logistic", "weibull_min", "pareto", "chi2"),
    *("randint", "binom", "poisson", "nbinom", "geom", "bernoulli", "betabinom"),
)
_SLOW = ("studentized_range",)  # integrates twice for each draw


def frozen_distribution(name: str, args: Sequence[float], kwargs: Mapping[str, float]):
    """Return the frozen scipy distribution.

    Arguments of a discrete distribution that are whole numbers become integers: 5 trials, not 5.0.

    Raises
    ------
    UserError
        Unknown name, wrong number of arguments, or arguments outside the distribution's domain.
    """
    distribution = _distribution(name)
    shown = _shown(name, args, kwargs)
    if is_discrete(distribution):
        args = [_whole(value) for value in args]
        kwargs = {key: _whole(value) for key, value in kwargs.items()}
        if isinstance(loc := kwargs.get("loc", 0), float):
            raise UserError(f"{shown}: loc of a discrete distribution must be a whole number, not {loc:g}")
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            frozen = distribution(*args, **kwargs)
            low, high = map(float, frozen.support())
    except (TypeError, ValueError, ArithmeticError) as error:
        reason = re.sub(r"^\w+\(\) ", "", str(error))  # scipy names its own function
        raise UserError(f"{shown}: wrong arguments for the distribution ({reason})") from None
    if not low <= high:  # scipy returns nan for arguments outside the domain
        raise UserError(f"{shown}: arguments outside the distribution's domain")
    if low == high:
        raise UserError(f"{shown}: a single value is not a distribution; write the value into the model")
    return frozen


def unknown_keywords(name: str, kwargs: Mapping[str, float]) -> list[str]:
    """Return the keyword arguments that a distribution does not have, and that are no misspelling of one.

    Raises
    ------
    UserError
        There is no such distribution.
    """
    if not kwargs:
        return []
    distribution = _distribution(name)
    own = (distribution.shapes or "").replace(",", " ").split()
    own += ["loc"] if is_discrete(distribution) else ["loc", "scale"]
    return [key for key in kwargs if key not in own and not did_you_mean(key, own)]


def check_draws(name: str, args: Sequence[float], kwargs: Mapping[str, float], *, by_quantile: bool) -> None:
    """Draw from a distribution as a trial, so that a failure shows before the run.

    Parameters
    ----------
    by_quantile : bool
        True: draw by the inverse of the distribution function, as a Latin hypercube does.
        False: draw at random, and evaluate the density at each draw.

    Raises
    ------
    UserError
        As frozen_distribution; or the draws fail, take too long, or are not finite.
    """
    problem = _draw_problem(name, tuple(args), tuple(kwargs.items()), by_quantile)
    if problem:
        raise UserError(f"{_shown(name, args, kwargs)}: {problem}")


@cache
def _draw_problem(name: str, args: tuple, kwargs: tuple, by_quantile: bool) -> str:
    """Return why a distribution cannot be drawn from; "" if it can."""
    frozen = frozen_distribution(name, args, dict(kwargs))
    width = np.ptp(np.array(frozen.support(), dtype=float))
    discrete = is_discrete(frozen.dist)
    if discrete and name not in _QUICK_WHOLE_NUMBERS and np.isfinite(width) and width > MOST_WHOLE_NUMBERS:
        return f"more than {MOST_WHOLE_NUMBERS} values; use randint or a narrower one"
    if discrete and not np.isfinite(width) and not np.isfinite(_mean(frozen)):
        return "has no finite mean, so its draws are unbounded; use another distribution"
    trial = _trial(frozen, by_quantile) if name in _QUICK else _trial_apart(frozen, by_quantile)
    if trial is None or trial.seconds > SLOW_SECONDS or name in _SLOW:
        return "takes too long to draw from; use another distribution"
    if trial.error:
        return f"cannot be drawn from ({trial.error})"
    if not (np.abs(trial.draws) <= LARGEST_NUMBER).all():
        return f"draws values beyond {LARGEST_NUMBER:g}; use narrower arguments"
    if not np.isfinite(trial.densities).all():
        return "has no finite density at its draws; use other arguments"
    return ""


@dataclass(frozen=True)
class _Trial:
    """Draws and the density at each, if asked for, both of shape (draws,)."""

    seconds: float  # of processor time
    draws: np.ndarray = field(default_factory=lambda: np.zeros(0))
    densities: np.ndarray = field(default_factory=lambda: np.zeros(0))
    error: str = ""


def _trial(frozen: Any, by_quantile: bool) -> _Trial:
    began = time.process_time()
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            if by_quantile:
                draws, densities = np.asarray(frozen.ppf([1e-6, 0.5, 1 - 1e-6]), dtype=float), np.zeros(0)
            else:
                rng = np.random.default_rng(1)
                draws = np.array([float(frozen.rvs(random_state=rng)) for _ in range(TRIED)])
                density = frozen.pmf if is_discrete(frozen.dist) else frozen.pdf
                densities = np.array([float(density(value)) for value in draws])
    except Exception as error:  # scipy raises errors of any type for arguments that it did not check
        reason = " ".join(str(error).split()) or type(error).__name__
        return _Trial(time.process_time() - began, error=reason)
    return _Trial(time.process_time() - began, draws, densities)


def _trial_apart(frozen: Any, by_quantile: bool) -> _Trial | None:
    """Return the trial of a child process, because some of scipy's loops never end or crash.

    None if the process did not end in time.
    """
    context = multiprocessing.get_context("fork")  # a new process would import scipy for seconds
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_send_trial, args=(sending, frozen, by_quantile), daemon=True)
    process.start()
    sending.close()
    try:
        return receiving.recv() if receiving.poll(MOST_TRIAL_SECONDS) else None
    except EOFError:
        return _Trial(0.0, error="scipy crashed")
    finally:
        process.kill()
        process.join()
        receiving.close()


def _send_trial(sending: Any, frozen: Any, by_quantile: bool) -> None:
    with contextlib.suppress(ValueError, OSError):  # a system without this limit
        resource.setrlimit(resource.RLIMIT_AS, (MOST_TRIAL_BYTES, resource.RLIM_INFINITY))
    sending.send(_trial(frozen, by_quantile))


def _distribution(name: str) -> Any:
    known = _known()
    if name not in known:
        raise UserError(f'"{name}" is not a distribution of scipy.stats{did_you_mean(name, known)}')
    return known[name]


@cache
def _known() -> dict[str, Any]:
    import scipy.stats  # 0.4 s: only experiments with a distribution pay for it

    kinds = (scipy.stats.rv_continuous, scipy.stats.rv_discrete)
    return {n: value for n in dir(scipy.stats) if isinstance(value := getattr(scipy.stats, n), kinds)}


def is_discrete(distribution: Any) -> bool:
    """Return whether a distribution of scipy has only whole numbers."""
    return not hasattr(distribution, "pdf")


def _whole(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value


def _mean(frozen: Any) -> float:
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        return float(frozen.mean())


def _shown(name: str, args: Sequence[float], kwargs: Mapping[str, float]) -> str:
    given = [*map(str, args), *(f"{key}={value}" for key, value in kwargs.items())]
    return f"{name}({', '.join(given[:8])}{', ...' if len(given) > 8 else ''})"
