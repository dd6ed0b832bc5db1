"""A process that simulates with one engine when it is asked to: a line of JSON in, a line of JSON out.

usage: python -m engines.worker ENGINE WORKLOADS, with a pickle of workloads by name. What is asked is
{"work", "particles", "seed", "threads"}; the answer has CPU and wall seconds and the outcomes.
"""

import datetime
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measuring import measured

from modeling.workload import Workload

# by work: transitions whose sum is the final size, and those whose highest weekly count is the peak
ROWS = {
    "seirh": [["S_to_E_total"], ["I_to_H_total"]],
    "flu": [["S_to_L_total", "Sv_to_Lv_total"], ["B_to_H_total", "Bv_to_Hv_total"]],
}
Simulate = Callable[[int, int, int], np.ndarray]  # particles, seed, threads -> (particles, rows, weeks)


def by_engine(work: str, workload: Workload) -> Simulate:
    from modeling.engine.plan import Keys, Observables, compile_plan

    compiled = compile_plan(workload.plan, workload.start_date, workload.end_date)

    def simulate(particles: int, seed: int, threads: int) -> np.ndarray:
        keys = Keys(seed, np.arange(particles, dtype=np.uint32))
        return compiled.simulate({}, keys, None, Observables([], ROWS[work]), threads=threads).by_transition

    return simulate


def by_epydemix(work: str, workload: Workload) -> Simulate:
    """Return trajectories of epydemix's `simulate`, one at a time, as stage B calls it."""
    from modeling.simulate.with_epydemix.simulator import Simulator

    simulator = Simulator(workload.plan)
    names = workload.plan.transition_series
    rows = [[names.index(name) for name in row] for row in ROWS[work]]

    def simulate(particles: int, seed: int, threads: int) -> np.ndarray:
        paths = [
            simulator.run({}, workload.start_date, workload.end_date, np.random.default_rng((seed, number)))
            for number in range(particles)
        ]
        return np.array([[path.by_transition[row].sum(axis=0) for row in rows] for path in paths])

    return simulate


def dates_of(workload: Workload) -> np.ndarray:
    """Return the reported dates, datetime64[s], shape (weeks,)."""
    from modeling.calendars import reported_dates

    plan = workload.plan
    return reported_dates(workload.start_date, workload.end_date, plan.delta_t_days, plan.resample_frequency)


def by_epydemix_drawn(workload: Workload) -> Simulate:
    """Return trajectories of draws from the priors of a calibration, over its fitting window."""
    from modeling.distributions import frozen_distribution
    from modeling.simulate.with_epydemix.simulator import Simulator

    simulator, task = Simulator(workload.plan), workload.task
    priors = {name: frozen_distribution(*prior) for name, prior in task.priors.items()}

    def simulate(particles: int, seed: int, threads: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        for _ in range(particles):
            draw = {name: float(prior.rvs(random_state=rng)) for name, prior in priors.items()}
            start = workload.start_date + datetime.timedelta(days=int(draw["start_date"]))
            simulator.run(draw, start, task.fit_end, rng)
        return np.zeros((0, 2, 1))

    return simulate


def by_numpy(work: str, workload: Workload) -> Simulate:
    from engines import numpy_seirh

    numbers = numbers_of_seirh(workload)
    days = (workload.end_date - workload.start_date).days + 1

    def simulate(particles: int, seed: int, threads: int) -> np.ndarray:
        rng = np.random.Generator(np.random.SFC64(seed))
        infections, admissions = numpy_seirh.simulate(**numbers, days=days, particles=particles, rng=rng)
        return np.stack([infections, admissions], axis=1)

    return simulate


def numbers_of_seirh(workload: Workload) -> dict:
    """Return the arguments of numpy_seirh.simulate that are the model's."""
    from modeling.initial import initial_people
    from modeling.simulate.with_epydemix.simulator import Simulator

    plan = workload.plan
    values = Simulator(plan).values({})
    rates = {f.name: eval(str(f.rate), {}, values) for f in plan.flows if f.mediator is None}
    return {
        "sizes": plan.sizes,
        "infectious": initial_people(plan.initial, plan.sizes, {})["I"],
        "transmission": values["beta"] * sum(plan.contacts.values()) / plan.sizes,
        "rates": rates,
    }


def calibrated(workload: Workload) -> Simulate:
    """Return a calibration by stage B; the outcome is its number of simulations."""
    from modeling.run_names import CPU
    from modeling.simulate.run import run_workload

    def simulate(particles: int, seed: int, threads: int) -> np.ndarray:
        return np.full((1, 2, 1), run_workload(workload, CPU).simulations)

    return simulate


def made_ready(engine: str, work: str, workload: Workload) -> Simulate:
    if work == "fit":
        return by_epydemix_drawn(workload) if engine == "epydemix" else calibrated(workload)
    return {"engine": by_engine, "epydemix": by_epydemix, "numpy": by_numpy}[engine](work, workload)


def answer(simulate: Simulate, particles: int, seed: int, threads: int) -> dict:
    """Return seconds, and final size and peak of each particle."""
    found = []
    used = measured(lambda: found.append(simulate(particles, seed, threads)))
    [moved] = found
    return {
        "wall": used.wall_seconds,
        "cpu": used.cpu_seconds,
        "final": moved[:, 0].sum(axis=1).tolist(),
        "peak": moved[:, 1].max(axis=1).tolist(),
    }


def main() -> None:
    engine, path = sys.argv[1:]
    workloads = pickle.loads(Path(path).read_bytes())
    ready: dict[str, Simulate] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        work = asked.pop("work")
        if work not in ready:
            ready[work] = made_ready(engine, work, workloads[work])
        print(json.dumps(answer(ready[work], **asked)), flush=True)


if __name__ == "__main__":
    main()
