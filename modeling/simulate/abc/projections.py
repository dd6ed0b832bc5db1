"""Projections: particles drawn from a posterior, simulated to the model's last day."""

import numpy as np

from modeling.engine.doses import UnusedDoses
from modeling.engine.plan import CompiledPlan, Keys
from modeling.failures import UserError
from modeling.randomness import PROJECTIONS, stream, stream_key
from modeling.simulate.abc.calibrate import parameters_of, starts_of
from modeling.simulate.counts import reason_of_draw
from modeling.simulate.ensemble import batches, empty_trajectories, simulate_all_series, with_counts
from modeling.simulate.posterior import Calibrated, generation_to_project
from modeling.workload import Calibrate, Trajectories, Workload

ANCESTORS = 0  # name of the stream that chooses particles


def project(
    workload: Workload, plan: CompiledPlan, found: Calibrated
) -> tuple[Trajectories, np.ndarray, UnusedDoses]:
    """Simulate particles drawn from the posterior.

    Trajectory number i has the same particle and draws whatever the number of trajectories.

    Parameters
    ----------
    plan : CompiledPlan
        Of the workload's model, from its start date to its last day.

    Returns
    -------
    Trajectories
        All on the calendar of the earliest start date. Before its own start a trajectory is constant:
        people as on its first day, and nobody moves.
    ndarray, shape (trajectories, parameters)
        Particle of each trajectory.
    UnusedDoses
        Of all trajectories.

    Raises
    ------
    UserError
        The calibration ended before the generation to project from, or a particle cannot be simulated to
        the last day.
    """
    task: Calibrate = workload.task
    chosen = generation_to_project(workload, found)
    rng = stream(workload.entropy, PROJECTIONS, ANCESTORS)
    ancestors = rng.choice(
        len(chosen.weights), size=task.projections, p=chosen.weights / chosen.weights.sum()
    )
    particles, names = chosen.particles[ancestors], found.parameter_names
    trajectories = empty_trajectories(plan, task.projections)
    key, unused = stream_key(workload.entropy, PROJECTIONS), UnusedDoses()
    for batch in batches(plan, task.projections):
        some = particles[batch]
        keys = Keys(key, np.arange(batch.start, batch.stop))
        done = simulate_all_series(plan, parameters_of(some, names), keys, starts_of(some, names))
        for position, why in sorted(done.infeasible.items())[:1]:
            reason = reason_of_draw(why, dict(zip(names, some[position], strict=True)))
            raise UserError(
                f"{workload.population}: projection {batch.start + position} cannot be simulated to "
                f"{workload.end_date}, after the fit: {reason}; narrow the priors, or end the model earlier"
            )
        trajectories = with_counts(trajectories, batch, done)
        unused.add(done.unused)
    return trajectories, particles, unused
