"""The result of one location as large as a weekly run has it, made in a second without a simulator.

1,000 particles of 10 generations, and 1,000 projections of 264 weekly series over 37 weeks: 5 age groups and
their total, 22 compartments in a ring, and who moved between them. Each moves a binomial number a week, so
the counts are as random as simulated ones, and no easier to pack.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
from measuring import SEED

from modeling.workload import Expected, Fit, Generation, Observed, Result, Trajectories

FIRST_WEEK = np.datetime64("2025-08-16", "s")
GROUPS = {"0-4": 350_000, "5-17": 1_050_000, "18-49": 3_100_000, "50-64": 1_300_000, "65+": 1_200_000}
COMPARTMENT, TRANSITION = "C3_total", "C3_to_C4_total"  # in tables and charts
PARAMETERS = 8
FITTED_WEEKS = 20


@dataclass(frozen=True)
class Size:
    """Numbers of a result."""

    projections: int = 1_000
    particles: int = 1_000
    generations: int = 10
    weeks: int = 37
    compartments: int = 22


LARGE = Size()


def location(size: Size) -> Result:
    """Return the result of a calibration."""
    random = np.random.default_rng(SEED)
    paths = _trajectories(size, random)
    fitted = min(FITTED_WEEKS, size.weeks)
    observed = Observed(
        label="admissions",
        series=[TRANSITION],
        dates=paths.dates[:fitted].astype("datetime64[D]"),
        values=np.median(paths.series(TRANSITION)[:, :fitted], axis=0),
        fitted=np.ones(fitted, bool),
    )
    last_day = paths.dates[-1].astype("datetime64[D]").item()
    return Result(
        index=0,
        primary_id=0,
        population="P0",
        population_name="Population 0",
        seed=SEED,
        delta_t_days=1.0,
        kind="calibration",
        expected=Expected(
            trajectories=size.projections,
            first_date=date(2025, 8, 10),
            last_date=last_day,
            people=sum(GROUPS.values()),
            dates=paths.dates,
            frequency="W-SAT",
            groups=len(GROUPS),
        ),
        trajectories=paths,
        parameters={"gamma": 0.3},
        parameter_names=[f"parameter {number}" for number in range(PARAMETERS)],
        generations=[_generation(size, number, random) for number in range(size.generations)],
        fits=[Fit(observed, random.poisson(observed.values, (size.particles, fitted)).astype(float))],
        projected=random.normal(1, 0.1, (size.projections, PARAMETERS)),
        simulations=20_000 * size.generations,
    )


def _generation(size: Size, number: int, random: np.random.Generator) -> Generation:
    return Generation(
        number,
        particles=random.normal(1, 0.1, (size.particles, PARAMETERS)),
        weights=np.full(size.particles, 1 / size.particles),
        distances=random.uniform(0, 90, size.particles),
        epsilon=100.0 if number else None,
        simulations=20_000,
    )


def _trajectories(size: Size, random: np.random.Generator) -> Trajectories:
    """Return a wave that starts in the first compartment and runs through the ring."""
    ring, groups, weeks = size.compartments, len(GROUPS), size.weeks
    people = np.zeros((ring, size.projections, groups), int)
    people[0] = list(GROUPS.values())
    inside = np.empty((size.projections, ring, groups + 1, weeks), np.int32)
    moved = np.empty_like(inside)
    heights = random.uniform(0.5, 1.5, size.projections)[:, None]
    for week in range(weeks):
        infected = 0.02 * np.exp(-(((week - weeks / 2) / 6) ** 2)) * heights
        shares = [infected, *(np.full_like(heights, 0.1 * (1 + place % 5)) for place in range(1, ring))]
        shares[-1] *= 0.05  # immunity wanes slowly
        flows = np.array([random.binomial(n, p) for n, p in zip(people, shares, strict=True)])
        people += np.roll(flows, 1, axis=0) - flows
        for counts, totals in ((inside, people), (moved, flows)):
            counts[:, :, :groups, week] = totals.transpose(1, 0, 2)
            counts[:, :, groups, week] = totals.sum(axis=2).T
    names = [*GROUPS, "total"]
    return Trajectories(
        dates=FIRST_WEEK + np.arange(weeks) * np.timedelta64(7, "D"),
        compartments=[f"C{place}_{name}" for place in range(ring) for name in names],
        transitions=[f"C{place}_to_C{(place + 1) % ring}_{name}" for place in range(ring) for name in names],
        in_compartments=inside.reshape(size.projections, -1, weeks),
        by_transition=moved.reshape(size.projections, -1, weeks),
    )
