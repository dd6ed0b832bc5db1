"""Small experiments for tests, as data that a test bends before it is written as YAML."""

import copy
from pathlib import Path
from typing import Any

import yaml

POPULATION = "US-VT"
REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLES = REPOSITORY / "examples" / "forecast"
POPULATIONS = EXAMPLES / "data" / "epydemix-data"

MODEL: dict[str, Any] = {
    "random_seed": 11,
    "timespan": {"start_date": "2025-01-05", "end_date": "2025-02-15", "delta_t": 1},
    "simulation": {"n_sims": 6, "resample_frequency": "W-SAT"},
    "population": {"name": POPULATION, "age_groups": ["0-17", "18-64", "65+"]},
    "compartments": [
        {"id": "S", "init": "default"},
        {"id": "I", "init": 500},
        {"id": "R", "init": 0.1},
    ],
    "transitions": [
        {"type": "mediated", "source": "S", "target": "I", "mediator": "I", "rate": "beta"},
        {"type": "spontaneous", "source": "I", "target": "R", "rate": "gamma"},
    ],
    "parameters": {
        "R0": {"type": "scalar", "value": 1.8},
        "gamma": {"type": "scalar", "value": "1/4"},
        "beta": {"type": "calculated", "value": "R0*gamma/eigenvalue"},
    },
}

SAMPLING: dict[str, Any] = {
    "population_names": [POPULATION],
    "sampling": {
        "samplers": [{"strategy": "grid", "parameters": ["R0"]}],
        "parameters": {"R0": {"values": [1.2, 1.6, 2.0]}},
    },
}

CALIBRATION: dict[str, Any] = {
    "population_names": [POPULATION],
    "calibration": {
        "strategy": {"name": "SMC", "options": {"num_particles": 12, "num_generations": 2}},
        "distance_function": "rmse",
        "observed_data_path": "data/observed.csv",
        "comparison": [
            {
                "observed_value_column": "cases",
                "observed_date_column": "date",
                "simulation": ["I_to_R_total"],
            }
        ],
        "parameters": {"R0": {"prior": {"name": "uniform", "args": [1.0, 1.5]}}},
        "fitting_window": {"start_date": "2025-01-05", "end_date": "2025-02-01"},
        "projection": {"n_trajectories": 8},
    },
}

OUTPUT: dict[str, Any] = {
    "quantiles": {"selections": [0.25, 0.5, 0.75], "compartments": True, "transitions": ["S_to_I_total"]},
    "trajectories": {"compartments": ["I_total"], "transitions": ["S_to_I_total"]},
    "posteriors": True,
}

OBSERVED = """date,geo_value,cases
2025-01-11,US-VT,800
2025-01-18,US-VT,950
2025-01-25,US-VT,1200
2025-02-01,US-VT,1500
2025-02-08,US-VT,1900
2025-01-11,US-MA,8000
"""


def simulated() -> dict[str, Any]:
    """Return a model-only experiment."""
    return {"model": copy.deepcopy(MODEL), "output": copy.deepcopy(OUTPUT)}


def sampled() -> dict[str, Any]:
    """Return a sampling experiment: a grid of three values."""
    experiment = simulated() | {"modelset": copy.deepcopy(SAMPLING)}
    experiment["model"]["parameters"]["R0"] = {"type": "sampled"}
    return experiment


def sampled_twice() -> dict[str, Any]:
    """Return a sampling experiment as small as one of several inputs can be."""
    experiment = sampled()
    experiment["modelset"]["sampling"]["parameters"]["R0"]["values"] = [1.2, 2.0]
    return experiment


def calibrated() -> dict[str, Any]:
    """Return a calibration of R0 on data/observed.csv."""
    experiment = simulated() | {"modelset": copy.deepcopy(CALIBRATION)}
    experiment["model"]["parameters"]["R0"] = {"type": "calibrated"}
    return experiment


def write_repository(
    folder: Path, experiment: dict[str, Any], exp_id: str = "trial", observed: str = OBSERVED
) -> Path:
    """Write a forecasting repository with one experiment and return its config folder."""
    config = folder / "experiments" / exp_id / "config"
    config.mkdir(parents=True, exist_ok=True)
    for kind, content in experiment.items():
        (config / f"{kind}.yaml").write_text(yaml.safe_dump({kind: content}, sort_keys=False))
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "observed.csv").write_text(observed)
    return config
