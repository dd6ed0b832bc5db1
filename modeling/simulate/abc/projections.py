"""Projections: particles drawn from a posterior, simulated to the model's last day."""

import numpy as np

from modeling.engine.doses import UnusedDoses
from modeling.engine.observables import Observables
from modeling.engine.plan import Keys
from modeling.failures import UserError
from modeling.randomness import PROJECTIONS, stream, stream_key
from modeling.simulate.abc.calibrate import Simulates, parameters_of, starts_of
from modeling.simulate.posterior import Calibrated, generation_to_project
from modeling.workload import Calibrate, Trajectories, Workload

TOGETHER = 256  # trajectories; what the engine holds of them besides the result stays small
ANCESTORS = 0  # name of the stream that chooses particles


def project(
    workload: Workload, plan: Simulates, found: Calibrated
) -> tuple[Trajectories, np.ndarray, UnusedDoses]:
    """Simulate particles drawn from the posterior.

    Trajectory number i has the same particle and draws whatever the number of trajectories.

    Parameters
    ----------
    plan : Simulates
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
    particles = chosen.particles[ancestors]
    compartments, transitions = workload.plan.compartment_series, workload.plan.transition_series
    observables = Observables(compartments, [[name] for name in transitions])
    key = stream_key(workload.entropy, PROJECTIONS)
    kind = np.int32 if workload.plan.sizes.sum() < 2**31 else np.int64
    people = np.zeros((task.projections, len(compartments), len(plan.dates)), dtype=kind)
    moved = np.zeros((task.projections, len(transitions), len(plan.dates)), dtype=kind)
    unused = UnusedDoses()
    for first in range(0, task.projections, TOGETHER):
        some = slice(first, min(first + TOGETHER, task.projections))
        numbers = np.arange(some.start, some.stop, dtype=np.uint32)
        done = plan.simulate(
            parameters_of(particles[some], found.parameter_names),
            Keys(key, numbers),
            starts_of(particles[some], found.parameter_names),
            observables,
        )
        for position, reason in sorted(done.infeasible.items())[:1]:
            raise UserError(
                f"{workload.population}: projection {first + position} cannot be simulated to "
                f"{workload.end_date}, after the fit: {reason}; narrow the priors, or end the model earlier"
            )
        people[some], moved[some] = done.in_compartments, done.by_transition
        unused.add(done.unused)
    return Trajectories(plan.dates, compartments, transitions, people, moved), particles, unused
