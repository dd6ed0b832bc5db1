"""One workload on epydemix: trajectories one at a time, or a calibration and its projections."""

from typing import Any

import numpy as np

from modeling.failures import UserError
from modeling.initial import InfeasibleDraw
from modeling.randomness import TRAJECTORIES, stream
from modeling.simulate.counts import put, reason_of_draw
from modeling.simulate.with_epydemix.calibrate import calibrate, project
from modeling.simulate.with_epydemix.simulator import Simulator
from modeling.simulate.with_epydemix.transformation import Transformation
from modeling.workload import Simulate, Trajectories, Workload


def contents_of_result(workload: Workload) -> dict[str, Any]:
    """Return what modeling/simulate/run.py makes a result of."""
    simulator = Simulator(workload.plan)
    simulating = isinstance(workload.task, Simulate)
    contents = _simulated(workload, simulator) if simulating else _calibrated(workload, simulator)
    return contents | {"unused": simulator.unused}


def _simulated(workload: Workload, simulator: Simulator) -> dict[str, Any]:
    task: Simulate = workload.task
    plan = simulator.plan
    calendar = simulator.calendar(workload.start_date, workload.end_date)
    people = np.zeros((task.count, len(plan.compartment_series), len(calendar)), dtype=np.int32)
    moved = np.zeros((task.count, len(plan.transition_series), len(calendar)), dtype=np.int32)
    for index in range(task.count):
        # named by its number in the ensemble, so that a split draws what the whole would
        rng = stream(workload.entropy, TRAJECTORIES, task.first + index)
        try:
            path = simulator.run(task.draw, workload.start_date, workload.end_date, rng)
        except InfeasibleDraw as error:
            reason = reason_of_draw(str(error), task.draw)
            raise UserError(f"{workload.population}, parameter set {workload.set_index}: {reason}") from None
        people, moved = put(people, index, path.in_compartments), put(moved, index, path.by_transition)
    return {
        "kind": "simulation",
        "trajectories": Trajectories(
            calendar, plan.compartment_series, plan.transition_series, people, moved
        ),
        "parameters": simulator.values(task.draw),
        "initial": dict(zip(plan.compartment_series, path.initial, strict=True)),
        "ensemble_total": task.total,
        "first_trajectory": task.first,
    }


def _calibrated(workload: Workload, simulator: Simulator) -> dict[str, Any]:
    transformation = Transformation(workload, simulator)
    calibrated = calibrate(workload, simulator, transformation)
    trajectories, projected = None, None
    if workload.task.projections:
        trajectories, projected = project(workload, simulator, calibrated, transformation)
    return {
        "kind": "calibration",
        "trajectories": trajectories,
        "parameters": dict(workload.plan.parameters),
        "parameter_names": calibrated.parameter_names,
        "generations": calibrated.generations,
        "fits": calibrated.fits,
        "projected": projected,
        "simulations": calibrated.simulations,
        "stopped_by": calibrated.stopped_by,
        "transformation": transformation,
    }
