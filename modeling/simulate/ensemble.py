"""An ensemble on the engine: trajectories with fixed parameters, all series of the model."""

from dataclasses import replace
from typing import Any

import numpy as np

from modeling.engine.doses import UnusedDoses
from modeling.engine.plan import CompiledPlan, Keys, Observables, Simulated, compile_plan
from modeling.engine.values import parameter_values
from modeling.failures import UserError
from modeling.randomness import TRAJECTORIES, stream_key
from modeling.simulate.counts import put, reason_of_draw
from modeling.workload import ModelPlan, Simulate, Trajectories, Workload

MOST_BATCH_BYTES = 64 << 20  # of a batch's counts, which the engine holds in float64


def contents_of_result(workload: Workload) -> dict[str, Any]:
    """Simulate a workload; return fields of its result, and unused doses.

    Raises
    ------
    UserError
        The parameters give no trajectory.
    """
    task: Simulate = workload.task
    plan = compile_plan(workload.plan, workload.start_date, workload.end_date)
    # named by its number in the ensemble, so that a split draws what the whole would
    numbers = np.arange(task.first, task.first + task.count)
    trajectories = empty_trajectories(plan, task.count)
    keys = stream_key(workload.entropy, TRAJECTORIES)
    unused = UnusedDoses()
    for batch in batches(plan, task.count):
        done = simulate_all_series(plan, task.draw, Keys(keys, numbers[batch]), None)
        if done.infeasible:
            reason = reason_of_draw(next(iter(done.infeasible.values())), task.draw)
            raise UserError(f"{workload.population}, parameter set {workload.set_index}: {reason}")
        trajectories = with_counts(trajectories, batch, done)
        unused.add(done.unused)
    return {
        "kind": "simulation",
        "trajectories": trajectories,
        "parameters": _values(workload.plan, task.draw),
        "initial": dict(zip(workload.plan.compartment_series, done.initial[0], strict=True)),
        "ensemble_total": task.total,
        "first_trajectory": task.first,
        "unused": unused,
    }


def simulate_all_series(
    plan: CompiledPlan, draws: dict[str, float | np.ndarray], keys: Keys, starts: np.ndarray | None
) -> Simulated:
    """Simulate a batch and return all series of the model; a number in `draws` is that of all particles."""
    model, number = plan.model, len(keys.particles)
    values = {
        name: np.broadcast_to(np.asarray(value, dtype=float), (number,)) for name, value in draws.items()
    }
    every_series = Observables(model.compartment_series, [[name] for name in model.transition_series])
    return plan.simulate(values, keys, starts, every_series)


def empty_trajectories(plan: CompiledPlan, count: int) -> Trajectories:
    """Return trajectories of a plan on its dates, all zero."""
    compartments, transitions = plan.model.compartment_series, plan.model.transition_series
    return Trajectories(
        dates=plan.dates,
        compartments=compartments,
        transitions=transitions,
        in_compartments=np.zeros((count, len(compartments), len(plan.dates)), dtype=np.int32),
        by_transition=np.zeros((count, len(transitions), len(plan.dates)), dtype=np.int32),
    )


def with_counts(trajectories: Trajectories, batch: slice, done: Simulated) -> Trajectories:
    """Return trajectories with the counts of a batch; arrays grow to 64 bits where these need them."""
    names = ("in_compartments", "by_transition")
    return replace(
        trajectories, **{name: put(getattr(trajectories, name), batch, getattr(done, name)) for name in names}
    )


def batches(plan: CompiledPlan, count: int) -> list[slice]:
    """Return slices of trajectories whose counts fit into the memory of a batch."""
    series = len(plan.model.compartment_series) + len(plan.model.transition_series)
    most = max(1, MOST_BATCH_BYTES // (8 * series * len(plan.dates)))
    return [slice(first, min(first + most, count)) for first in range(0, count, most)]


def _values(model: ModelPlan, draw: dict[str, float]) -> dict[str, float | np.ndarray]:
    """Return every parameter's unchanged value: a float, or an ndarray of shape (groups,)."""
    found = parameter_values(model, {name: np.array([value]) for name, value in draw.items()}).values
    return {name: value[0] if value.shape[1] > 1 else float(value[0, 0]) for name, value in found.items()}
