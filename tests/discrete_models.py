"""A model whose counts are binomial, and whose posterior is known on paper, in place of a compiled plan.

On date j, Binomial(PEOPLE, chance) people move, with chance = (base + j * slope) / SCALE. A draw is keyed by
stream, particle and date, as those of the engine are.
"""

import datetime

import numpy as np
from scipy import stats

from modeling.engine.doses import UnusedDoses
from modeling.engine.plan import Simulated
from modeling.workload import Calibrate, Observed, Workload
from tests.small_models import START, plan

PEOPLE, SCALE = 5, 10.0
BASES, SLOPES = np.arange(1, 7), np.arange(0, 3)  # whole numbers, both with equal prior chances
DAYS = 2
OBSERVED = [2, 3]
_MASK = (1 << 64) - 1


class BinomialModel:
    """Simulates counts of each date; `parameters` are base and slope.

    Attributes
    ----------
    batches : list of int
        Number of particles of each call.
    """

    def __init__(self, days: int = DAYS):
        self.dates = np.datetime64(START, "s") + np.arange(days) * np.timedelta64(1, "D")
        self.batches: list[int] = []

    def simulate(self, parameters, keys, starts, observables, *, bound=None) -> Simulated:
        count = len(keys.particles)
        self.batches.append(count)
        chances = chance(
            parameters["base"], parameters.get("slope", np.zeros(count)), np.arange(len(self.dates))
        )
        counts = stats.binom.ppf(uniforms(keys, len(self.dates)), PEOPLE, chances).astype(np.int64)
        counts[:, :] *= np.arange(len(self.dates)) >= (0 if starts is None else starts[:, None])
        stopped = np.zeros(count, dtype=bool)
        if bound is not None:
            off = bound.weights[0] * np.abs(counts - bound.observed[0]) ** bound.power
            stopped = off.sum(axis=1) > bound.most * (1 + 1e-9)
        shown = np.where(stopped[:, None], -1, counts)  # its arrays are not whole
        rows = np.repeat(shown[:, None], len(observables.transitions), axis=1)
        people = np.zeros((count, len(observables.compartments), len(self.dates)), dtype=np.int64)
        return Simulated(
            people, rows, people[:, :, 0], stopped, np.full(count, len(self.dates)), {}, UnusedDoses()
        )


def chance(base, slope, date) -> np.ndarray:
    """Return the chance to move, shape (particles, dates)."""
    return (np.asarray(base)[:, None] + np.asarray(slope)[:, None] * date) / SCALE


def uniforms(keys, dates: int) -> np.ndarray:
    """Return a uniform number of each particle and date, by splitmix64."""
    counter = keys.particles.astype(np.uint64)[:, None] * np.uint64(dates) + np.arange(dates, dtype=np.uint64)
    mixed = np.uint64(keys.stream & _MASK) + (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


def observing(
    strategy: str, observed=OBSERVED, priors: dict | None = None, seed: int = 1, **options
) -> Workload:
    """Return a calibration of the model; rmse is 0 only where all counts are those observed."""
    dates = np.datetime64(START, "D") + np.arange(len(observed))
    series = Observed(
        "cases", ["S_to_I_total"], dates, np.array(observed, dtype=float), np.ones(len(observed), dtype=bool)
    )
    priors = priors or {"base": ("randint", [1, 7], {}), "slope": ("randint", [0, 3], {})}
    last = START + datetime.timedelta(days=len(observed) - 1)
    task = Calibrate(strategy, options, None, "rmse", priors, [series], last, 0, None)
    return Workload(0, 0, "US-VT", "Vermont", seed, (seed, 7), plan(), START, last, task)


def exact_posterior(observed=OBSERVED) -> np.ndarray:
    """Return the posterior chance of each base and slope, shape (bases, slopes)."""
    base, slope = (each.ravel() for each in np.meshgrid(BASES, SLOPES, indexing="ij"))
    chances = chance(base, slope, np.arange(len(observed)))
    likelihood = stats.binom.pmf(np.array(observed), PEOPLE, chances).prod(axis=1)
    return (likelihood / likelihood.sum()).reshape(len(BASES), len(SLOPES))
