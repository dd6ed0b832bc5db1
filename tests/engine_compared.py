"""Ensembles of one plan by epydemix and by the engine, compared by their distributions."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2_contingency, ks_2samp

from modeling.engine.plan import Keys, Observables, compile_plan
from modeling.simulate.with_epydemix.simulator import Simulator
from modeling.workload import ModelPlan
from tests.engine_models import Case

FALSE_ALARM = 1e-3  # of a comparison with other draws
PLANTED = 1e-6
LEAST_EXPECTED = 5  # trajectories of both ensembles in a cell of the peak week


@dataclass(frozen=True)
class Ensemble:
    """Numbers of each trajectory, by name, shape (trajectories,).

    Attributes
    ----------
    counts : dict
        Final size, peak and weekly counts.
    peak_weeks : dict
        Week with the most people who move.
    """

    counts: dict[str, np.ndarray]
    peak_weeks: dict[str, np.ndarray]


def by_epydemix(case: Case, trajectories: int, seed: int = 1) -> Ensemble:
    simulator = Simulator(case.of)
    paths = [
        simulator.run(case.draw, case.first_day, case.last_day, np.random.default_rng((seed, number)))
        for number in range(trajectories)
    ]
    people, moved = (
        np.array([getattr(p, name) for p in paths]) for name in ("in_compartments", "by_transition")
    )
    return ensemble(
        case.of,
        dict(zip(case.of.compartment_series, people.swapaxes(0, 1), strict=True)),
        dict(zip(case.of.transition_series, moved.swapaxes(0, 1), strict=True)),
    )


def by_engine(case: Case, particles: int, of: ModelPlan | None = None, stream: int = 2) -> Ensemble:
    """Return an ensemble of the engine; `of` replaces the plan of the case."""
    people, moved = simulated(of or case.of, case, particles, stream)
    return ensemble(case.of, people, moved)


def simulated(
    of: ModelPlan, case: Case, particles: int, stream: int = 2, **options
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return all series of the compartments and of the transitions, each of shape (particles, dates).

    The plan is compiled from the first day of its schedule, which may be before that of the case.
    """
    observables = Observables(of.compartment_series, [[name] for name in of.transition_series])
    parameters = {name: np.full(particles, value) for name, value in case.draw.items()}
    first_day = of.schedule.first_day if of.schedule else case.first_day
    late = np.full(particles, (case.first_day - first_day) // datetime.timedelta(days=1))
    keys = Keys(stream, np.arange(particles, dtype=np.uint32))
    compiled = compile_plan(of, first_day, case.last_day)
    done = compiled.simulate(parameters, keys, late, observables, **options)
    assert not done.infeasible
    since = compiled.dates >= np.datetime64(case.first_day)  # nobody moves on earlier dates
    assert not done.by_transition[..., ~since].any()
    people, moved = (
        np.moveaxis(each[..., since], 1, 0) for each in (done.in_compartments, done.by_transition)
    )
    return (
        dict(zip(of.compartment_series, people, strict=True)),
        dict(zip(of.transition_series, moved, strict=True)),
    )


def ensemble(of: ModelPlan, people: Mapping[str, np.ndarray], moved: Mapping[str, np.ndarray]) -> Ensemble:
    counts, peak_weeks = {}, {}
    for name, series in people.items():
        if name.endswith("_total"):
            counts[f"peak of {name}"] = series.max(axis=1)
    for name, series in moved.items():
        counts[f"{name} in all"] = series.sum(axis=1)
        if not name.endswith("_total"):
            continue
        weekly = series
        if of.resample_frequency is None and of.delta_t_days <= 1:
            starts = np.arange(0, series.shape[1], round(7 / of.delta_t_days))
            weekly = np.add.reduceat(series, starts, axis=1)
        peak_weeks[name] = weekly.argmax(axis=1)
        counts |= {f"{name} in week {week}": weekly[:, week] for week in range(weekly.shape[1])}
    return Ensemble(counts, peak_weeks)


def doubt(ours: Ensemble, theirs: Ensemble) -> tuple[float, str]:
    """Return the smallest p-value of all comparisons, times their number, and what it is of."""
    assert ours.counts.keys() == theirs.counts.keys()
    values = {
        name: float(ks_2samp(ours.counts[name], counts, method="asymp").pvalue)
        for name, counts in theirs.counts.items()
    }
    for name, weeks in theirs.peak_weeks.items():
        values[f"peak week of {name}"] = _same_weeks(ours.peak_weeks[name], weeks)
    smallest = min(values, key=values.get)
    return min(1.0, values[smallest] * len(values)), smallest


def _same_weeks(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the p-value of a chi-square; 1 where all peak in one week but for a few."""
    weeks = max(ours.max(), theirs.max()) + 1
    table = np.array([np.bincount(each, minlength=weeks) for each in (ours, theirs)])
    expected = table.sum(axis=0) * min(len(ours), len(theirs)) / (len(ours) + len(theirs))
    common = expected >= LEAST_EXPECTED
    cells = np.column_stack([table[:, common], table[:, ~common].sum(axis=1)])
    cells = cells[:, cells.sum(axis=0) > 0]
    return 1.0 if cells.shape[1] < 2 else float(chi2_contingency(cells).pvalue)
