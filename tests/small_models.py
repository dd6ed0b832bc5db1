"""Small models whose trajectories are known on paper, and one trajectory of each."""

import datetime

import numpy as np

from modeling.simulate.with_epydemix.simulator import Simulator
from modeling.workload import Flow, ModelPlan, Simulate, Workload

START = datetime.date(2025, 1, 5)  # a Sunday
SIZES = np.array([400, 600])
HOME = np.array([[2.0, 1.0], [2 / 3, 1.5]])
SCHOOL = np.array([[4.0, 0.5], [1 / 3, 1.0]])


def plan(**changes) -> ModelPlan:
    """Return a small S-I-R in two age groups; changes replace its fields."""
    fields = {
        "name": "small",
        "age_groups": ["0-17", "18+"],
        "sizes": SIZES,
        "contacts": {"school": SCHOOL, "home": HOME},
        "compartments": ["S", "I", "R"],
        "flows": [Flow("S", "I", "beta", "I"), Flow("I", "R", "gamma")],
        "parameters": {"beta": 0.1, "gamma": 0.25},
        "calculated": [],
        "initial": {"S": "default", "I": 20, "R": None},
        "delta_t_days": 1.0,
        "resample_frequency": None,
    }
    return ModelPlan(**fields | changes)


# two infectious compartments, rates that are expressions, and values by age
STRAINS = plan(
    compartments=["S", "L", "I", "A", "H", "R"],
    flows=[
        Flow("S", "L", "beta", "I"),
        Flow("S", "L", "beta * r", "A"),
        Flow("L", "I", "eps * (1 - p)"),
        Flow("L", "A", "eps * p"),
        Flow("I", "H", "mu * severe"),
        Flow("I", "R", "mu * (1 - severe)"),
        Flow("A", "R", "mu"),
        Flow("H", "R", 0.2),
    ],
    parameters={"R0": 2.0, "mu": 0.4, "eps": 0.5, "p": 0.3, "r": 0.5, "severe": np.array([0.05, 0.4])},
    calculated=[("beta", "R0 * mu / (eigenvalue * (1 - p + p * r))")],
    initial={"S": "default", "L": None, "I": [15, 0], "A": None, "H": None, "R": [0, 50]},
)


def workload_of(of: ModelPlan, **changes) -> Workload:
    """Return an input of two trajectories, to the first week of March; changes replace its fields."""
    fields = {
        "index": 0,
        "primary_id": 0,
        "population": "US-VT",
        "population_name": "Vermont",
        "seed": 1,
        "entropy": (1, 2),
        "plan": of,
        "start_date": START,
        "end_date": START.replace(month=3),
        "task": Simulate(0, 2, 2, {}),
    }
    return Workload(**fields | changes)


def run(of: ModelPlan, days: int = 60, seed: int = 1, draw: dict | None = None):
    rng = np.random.default_rng(seed)
    return Simulator(of).run(draw or {}, START, START + datetime.timedelta(days=days), rng)


def series(of: ModelPlan, path) -> dict[str, np.ndarray]:
    return dict(
        zip(
            (*of.compartment_series, *of.transition_series),
            (*path.in_compartments, *path.by_transition),
            strict=True,
        )
    )


def days(path) -> list[str]:
    return np.datetime_as_string(path.dates.astype("datetime64[h]")).tolist()
