"""What does stage B with ENGINE=epydemix cost beyond epydemix? modeling.simulate.run.run_workload against the
same model, seeds and number of simulations by hand on epydemix alone: a loop of `simulate`, and ABCSampler.

The exit code is 1 where the two do not give the same numbers.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from experiments import build_one, calibration, simulation
from measuring import cpu, in_turn, measured, print_machine, print_table, ratio, read_arguments, spread, wall

from modeling.randomness import CALIBRATION, TRAJECTORIES, stream
from modeling.run_names import EPYDEMIX
from modeling.simulate.run import run_workload
from modeling.workload import Result, Workload


def main() -> int:
    arguments = read_arguments(__doc__, repeats=5)
    trajectories, particles, generations = (4, 6, 2) if arguments.quick else (200, 60, 3)
    with tempfile.TemporaryDirectory() as folder:
        season = simulation(trajectories, last_day="2026-03-21")
        simulated = build_one(Path(folder) / "simulated", season)
        fitted = build_one(Path(folder) / "fitted", calibration(particles, generations))
    stage_b, bare = Kept(by_stage_b, simulated), Kept(simulate_by_hand, simulated)
    stage_b_fit, bare_fit = Kept(by_stage_b, fitted), Kept(calibrate_by_hand, fitted)
    cases = {
        "simulation, epydemix by hand": bare.measure,
        "simulation, stage B": stage_b.measure,
        "calibration, epydemix by hand": bare_fit.measure,
        "calibration, stage B": stage_b_fit.measure,
    }
    if not arguments.quick:
        in_turn(cases, 1)  # compiles numba's functions
    taken = in_turn(cases, arguments.repeats)
    simulations = {"simulation": trajectories, "calibration": stage_b_fit.result.simulations}
    rows = []
    for name, used in taken.items():
        kind = name.partition(",")[0]
        peer = taken[f"{kind}, epydemix by hand"]
        rows.append(
            [
                name,
                str(simulations[kind]),
                _percent(ratio(cpu(used), cpu(peer))),
                _percent(ratio(wall(used), wall(peer))),
                spread(cpu(used)),
                spread(wall(used)),
            ]
        )
    print_table(
        "Stage B against epydemix by hand",
        ["work", "simulations", "more CPU", "more wall", "CPU seconds", "wall seconds"],
        rows,
    )
    same = {
        "trajectories": _same_trajectories(stage_b.result, bare.result),
        "posteriors": _same_posteriors(stage_b_fit.result, bare_fit.result),
    }
    for what, equal in same.items():
        print(f"same {what}, number by number: {'yes' if equal else 'NO'}")
    print_machine(arguments.repeats)
    return 0 if all(same.values()) else 1


def by_stage_b(workload: Workload) -> Result:
    return run_workload(workload, EPYDEMIX)


class Kept:
    """One side of a comparison, and its last result."""

    def __init__(self, function, workload: Workload):
        self.function, self.workload = function, workload
        self.result = None

    def measure(self):
        return measured(self._call)

    def _call(self) -> None:
        self.result = self.function(self.workload)


@dataclass(frozen=True)
class Hand:
    """The demo's model written with epydemix alone; only its numbers come from the plan."""

    model: object
    values: dict  # fixed parameters
    eigenvalue: float
    sizes: np.ndarray
    immune: np.ndarray

    @classmethod
    def of(cls, workload: Workload) -> "Hand":
        from epydemix import EpiModel
        from epydemix.population import Population

        plan = workload.plan
        population = Population(name="demo")
        population.add_population(Nk=plan.sizes, Nk_names=plan.age_groups)
        for layer, matrix in plan.contacts.items():
            population.add_contact_matrix(matrix, layer_name=layer)
        model = EpiModel(name="demo", compartments=["S", "L", "I", "H", "R"])
        model.set_population(population)
        model.add_transition("S", "L", kind="mediated", params=("beta", "I"))
        model.add_transition("L", "I", kind="spontaneous", params="sigma")
        model.add_transition("I", "H", kind="spontaneous", params="admission")
        model.add_transition("I", "R", kind="spontaneous", params="mu - admission")
        model.add_transition("H", "R", kind="spontaneous", params="discharge")
        values = {name: plan.parameters[name] for name in ("sigma", "mu", "discharge")}
        values["admission"] = (plan.parameters["hospitalised"] * values["mu"]).reshape(1, -1)
        immune = whole(plan.sizes * np.array(plan.initial["R"]))
        eigenvalue = np.linalg.eigvals(sum(plan.contacts.values())).real.max()
        return cls(model, values, float(eigenvalue), plan.sizes, immune)

    def parameters(self, r0: float) -> dict:
        return self.values | {"beta": r0 * self.values["mu"] / self.eigenvalue}

    def people(self, infectious_share: float) -> dict[str, np.ndarray]:
        infectious = whole(infectious_share * self.sizes)
        nobody = np.zeros(len(self.sizes))
        susceptible = self.sizes - infectious - self.immune
        return {"S": susceptible, "L": nobody, "I": infectious, "H": nobody, "R": self.immune}

    def calendar(self, start, end) -> dict:
        """Return dates and contacts, computed once for all simulations as EpiModel.run_simulations does."""
        from epydemix.utils import compute_simulation_dates

        dates = compute_simulation_dates(start, end, dt=1)
        self.model.compute_contact_reductions(dates)
        return {"simulation_dates": dates, "contact_matrices": [self.model.Cs[date] for date in dates]}


def whole(people: np.ndarray) -> np.ndarray:
    """Round people by age group to their rounded total, largest remainders first."""
    short = round(people.sum()) - np.floor(people).sum()
    order = np.argsort(np.argsort(-(people % 1), kind="stable"))
    return np.floor(people) + (order < short)


def simulate_by_hand(workload: Workload) -> list:
    """Return epydemix's trajectories."""
    from epydemix import simulate

    hand = Hand.of(workload)
    hand.model.parameters = hand.parameters(workload.plan.parameters["R0"])
    people = hand.people(workload.plan.initial["I"])
    calendar = hand.calendar(workload.start_date, workload.end_date)
    return [
        simulate(
            hand.model,
            start_date=workload.start_date,
            end_date=workload.end_date,
            initial_conditions_dict=people,
            resample_frequency="W-SAT",
            rng=stream(workload.entropy, TRAJECTORIES, index),
            **calendar,
        )
        for index in range(workload.task.count)
    ]


def calibrate_by_hand(workload: Workload):
    """Return epydemix's CalibrationResults."""
    from epydemix import simulate
    from epydemix.calibration import ABCSampler, rmse
    from scipy.stats import uniform

    hand, task = Hand.of(workload), workload.task
    calendar = hand.calendar(workload.start_date, task.fit_end)
    (observed,) = task.observed
    weeks = int(observed.fitted.sum())

    def simulation_function(params: dict) -> dict:
        hand.model.parameters = hand.parameters(params["R0"])
        trajectory = simulate(
            hand.model,
            start_date=workload.start_date,
            end_date=task.fit_end,
            initial_conditions_dict=hand.people(params["I"]),
            resample_frequency="W-SAT",
            rng=params["rng"],
            **calendar,
        )
        return {"data": trajectory.transitions["I_to_H_total"][:weeks]}

    sampler = ABCSampler(
        simulation_function=simulation_function,
        priors={name: uniform(*bounds) for name, (_, bounds, _) in task.priors.items()},
        parameters={},
        observed_data=observed.values[observed.fitted],
        distance_function=rmse,
        rng=stream(workload.entropy, CALIBRATION),
    )
    options = {name: value for name, value in task.options.items() if name != "max_consecutive_rejections"}
    return sampler.calibrate(strategy="smc", verbose=False, **options)


def _same_trajectories(result: Result, by_hand: list) -> bool:
    ours = result.trajectories
    pairs = [
        (ours.series(name)[index], series)
        for index, path in enumerate(by_hand)
        for name, series in {**path.compartments, **path.transitions}.items()
    ]
    return len(by_hand) == ours.count and all(np.array_equal(a, b) for a, b in pairs)


def _same_posteriors(result: Result, by_hand) -> bool:
    last = result.generations[-1]
    particles = by_hand.posterior_distributions[last.number][result.parameter_names].to_numpy()
    return np.array_equal(last.particles, particles) and np.array_equal(
        last.distances, by_hand.distances[last.number]
    )


def _percent(value: float) -> str:
    return f"{100 * (value - 1):+.1f} %" if value != 1 else "peer"


if __name__ == "__main__":
    sys.exit(main())
