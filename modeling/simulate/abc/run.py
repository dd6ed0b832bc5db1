"""One calibration on the engine, and its projections."""

from typing import Any

from modeling.engine.doses import UnusedDoses
from modeling.engine.plan import compile_plan
from modeling.simulate.abc.calibrate import calibrate
from modeling.simulate.abc.projections import project
from modeling.simulate.abc.strategies import Checkpoints
from modeling.workload import Calibrate, Workload


def contents_of_result(workload: Workload, checkpoints: Checkpoints | None = None) -> dict[str, Any]:
    """Return what modeling/simulate/run.py makes a result of."""
    task: Calibrate = workload.task
    fitted = compile_plan(workload.plan, workload.start_date, task.fit_end)
    found = calibrate(workload, fitted, checkpoints)
    # unused doses of projections alone: which draws are simulated after the last that counts, and how far,
    # depends on the size of batches, and a warning must not
    trajectories, projected, unused = None, None, UnusedDoses()
    if task.projections:
        whole = compile_plan(workload.plan, workload.start_date, workload.end_date)
        trajectories, projected, unused = project(workload, whole, found)
    return {
        "kind": "calibration",
        "trajectories": trajectories,
        "parameters": dict(workload.plan.parameters),
        "parameter_names": found.parameter_names,
        "generations": found.generations,
        "fits": found.fits,
        "projected": projected,
        "simulations": found.simulations,
        "stopped_by": found.stopped_by,
        "unused": unused,
    }
