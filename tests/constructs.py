"""Small experiments of every construct of the vocabulary, and their data, for tests to bend.

They are those of tests/experiments.py with one construct each, and one with all of them.
"""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.experiments import POPULATION, calibrated, sampled, simulated, write_repository

Experiment = dict[str, Any]

HUB_TRAJECTORIES = 100  # the fewest that have the hub's quantiles
FIRST_WEEK = datetime.date(2025, 1, 11)
WEEKS = 6
# Coverage in the first week and its weekly rise [%], by age group as the Scenario Modeling Hub writes them.
COVERAGE = {
    "6 Months - 4 Years": (30.0, 0.5),
    "5-12 Years": (28.0, 0.4),
    "13-17 Years": (25.0, 0.3),
    "18-49 Years": (22.0, 0.2),
    "50-64 Years": (35.0, 0.2),
    "65+ Years": (60.0, 0.1),
}
SCENARIO = {
    "scenario_data_path": "data/coverage.csv",
    "scenario": "A_B",
    "origin_compartment": "S",
    "eligible_compartments": ["S", "R"],
}
DAILY_DOSES = {
    "preprocessed_vaccination_data_path": "data/doses.csv",
    "origin_compartment": "S",
    "eligible_compartments": ["S"],
}
WAVE = {
    "target_parameter": "beta",
    "method": "balcan",
    "seasonality_max_date": "2025-01-10",
    "seasonality_min_date": "2025-07-10",
    "max_value": 1.1,
    "min_value": 0.6,
}
SEASON_FILE = {"target_parameter": "beta", "method": "data_driven", "data_path": "data/season.csv"}
SEASON = "date,value\n2025-01-01,1.1\n2025-01-20,0.9\n2025-03-01,0.7\n"
FUNCTIONS = """import numpy as np


def log_distance(data, simulation):
    return np.abs(np.log1p(data["data"]) - np.log1p(simulation["data"])).mean()


def reporting(trajectory, context=None):
    trajectory.transitions["reported"] = 0.5 * trajectory.transitions["I_to_R_total"]
    return trajectory
"""
INTERVENTIONS: dict[str, dict[str, Any]] = {
    "school closures": {"type": "school_closure", "scaling_factor": 0.3},
    "scaled parameter": {
        "type": "parameter",
        "target_parameter": "beta",
        "scaling_factor": 0.7,
        "start_date": "2025-01-15",
        "end_date": "2025-01-24",
    },
    "parameter overridden": {
        "type": "parameter",
        "target_parameter": "gamma",
        "override_value": 0.5,
        "start_date": "2025-01-20",
        "end_date": "2025-02-02",
    },
    "contact layer": {
        "type": "contact_matrix",
        "contact_matrix_layer": "work",
        "scaling_factor": 0.4,
        "start_date": "2025-02-01",
        "end_date": "2025-02-10",
    },
}


def vaccinated(section: dict[str, Any]) -> Experiment:
    """Return a simulation with a compartment V that the doses of a vaccination section fill."""
    experiment = simulated()
    experiment["model"]["compartments"].append({"id": "V"})
    experiment["model"]["transitions"] += [
        {"type": "vaccination", "source": "S", "target": "V"},
        {"type": "mediated", "source": "V", "target": "I", "mediator": "I", "rate": "0.4*beta"},
    ]
    experiment["model"]["vaccination"] = {
        key: list(value) if isinstance(value, list) else value for key, value in section.items()
    }
    return experiment


def seasonal(section: dict[str, Any]) -> Experiment:
    """Return a simulation with a factor of one parameter over the year."""
    experiment = simulated()
    experiment["model"]["seasonality"] = dict(section)
    return experiment


def with_interventions(*names: str) -> Experiment:
    """Return a simulation with some of INTERVENTIONS."""
    experiment = simulated()
    experiment["model"]["interventions"] = [dict(INTERVENTIONS[name]) for name in names]
    return experiment


def with_all_changes() -> Experiment:
    """Return a simulation with vaccination, seasonality and every intervention."""
    experiment = vaccinated(SCENARIO)
    experiment["model"] |= {
        "seasonality": dict(WAVE),
        "interventions": [dict(intervention) for intervention in INTERVENTIONS.values()],
    }
    return experiment


def started_by_sampling() -> Experiment:
    """Return a sampling experiment with a sampled start, beside a grid and sampled people."""
    experiment = sampled()
    experiment["model"]["timespan"]["start_date"] = "sampled"
    experiment["model"]["compartments"][1]["init"] = "sampled"
    sampling = experiment["modelset"]["sampling"]
    sampling["samplers"].append(
        {"strategy": "LHS", "n_samples": 2, "parameters": ["start_date"], "compartments": ["I"]}
    )
    sampling["compartments"] = {"I": {"min": 100, "max": 900}}
    sampling["start_date"] = {
        "reference_date": "2025-01-05",
        "distribution": {"name": "randint", "kwargs": {"low": 0, "high": 7}},
    }
    return experiment


def started_by_calibration() -> Experiment:
    """Return a calibration of everything that can be calibrated: start, people and a parameter."""
    experiment = calibrated()
    experiment["model"]["timespan"]["start_date"] = "calibrated"
    experiment["model"]["compartments"][2]["init"] = "calibrated"
    calibration = experiment["modelset"]["calibration"]
    calibration["start_date"] = {
        "reference_date": "2025-01-05",
        "prior": {"name": "randint", "args": [0, 5]},
    }
    calibration["compartments"] = {"R": {"prior": {"name": "uniform", "kwargs": {"loc": 0.05, "scale": 0.1}}}}
    return experiment


def calibrated_by(strategy: dict[str, Any]) -> Experiment:
    """Return a calibration by another strategy, with a start before which nobody moves."""
    experiment = calibrated()
    experiment["modelset"]["calibration"] |= {"strategy": strategy, "distance_function": "wmape"}
    return experiment


def with_own_functions() -> Experiment:
    """Return a calibration of a series that a function adds, by a distance of one's own."""
    experiment = calibrated()
    calibration = experiment["modelset"]["calibration"]
    calibration["comparison"][0]["simulation"] = ["reported"]
    for key, name in (("distance_function", "log_distance"), ("post_hoc_transformation", "reporting")):
        calibration[key] = {"user_script_path": "data/functions.py", "user_function_name": name}
    return experiment


def populations_alone() -> Experiment:
    """Return a simulation whose modelset only names populations."""
    experiment = simulated()
    del experiment["model"]["population"]["name"]
    return experiment | {"modelset": {"population_names": [POPULATION]}}


def with_every_table() -> Experiment:
    """Return a calibration with every section of the output."""
    experiment = calibrated()
    experiment["modelset"]["calibration"]["projection"]["n_trajectories"] = HUB_TRAJECTORIES
    experiment["output"] |= {
        "meta": {"description": "every table", "date": "2025-02-08"},
        "trajectories": {"compartments": True, "transitions": ["I_to_R_65+"]},
        "posteriors": {"generations": [0]},
        "flusight_format": {
            "reference_date": "2025-02-08",
            "rate_trends": {
                "observed_data_path": "data/observed.csv",
                "observed_value_column": "cases",
                "observed_date_column": "date",
                "observed_location_column": "geo_value",
            },
        },
        "model_meta": {"projection_parameters": True},
        "table_formats": ["csv"],
    }
    return experiment


CONSTRUCTS: dict[str, Callable[[], Experiment]] = {
    "coverage": lambda: vaccinated(SCENARIO),
    "daily doses": lambda: vaccinated(DAILY_DOSES),
    "seasonality": lambda: seasonal(WAVE),
    "seasonality from a file": lambda: seasonal(SEASON_FILE),
    **{name: lambda name=name: with_interventions(name) for name in INTERVENTIONS},
    "all changes": with_all_changes,
    "sampled start": started_by_sampling,
    "calibrated start": started_by_calibration,
    "rejection": lambda: calibrated_by(
        {"name": "rejection", "options": {"num_particles": 5, "epsilon": 1e9, "max_time": "1h"}}
    ),
    "top fraction": lambda: calibrated_by(
        {"name": "top_fraction", "options": {"Nsim": 20, "top_fraction": 0.5}}
    ),
    "own functions": with_own_functions,
    "populations alone": populations_alone,
    "every table": with_every_table,
}


def coverage_csv() -> str:
    """Return coverage by week and age group with two scenarios, the second with a tenth less."""
    lines = ["Geography,Age,Population,Week_Ending_Sat,flu.coverage.rd2425.sc_A_B,flu.coverage.rd2425.sc_C_D"]
    for age, (first, rise) in COVERAGE.items():
        for week in range(WEEKS):
            percent = first + week * rise
            day = FIRST_WEEK + datetime.timedelta(weeks=week)
            lines.append(f"Vermont,{age},100000,{day},{percent:.3f},{percent * 0.9:.3f}")
    return "\n".join(lines) + "\n"


def doses_csv() -> str:
    """Return doses by day in the age groups of the model of tests/experiments.py."""
    days = [FIRST_WEEK + datetime.timedelta(days=number) for number in range(7 * WEEKS)]
    rows = [f"{day},{POPULATION},{40 + number},{100 + number},30" for number, day in enumerate(days)]
    return "\n".join(["dates,location,0-17,18-64,65+", *rows]) + "\n"


def write_construct(folder: Path, name: str) -> Path:
    """Write a forecasting repository with a construct and its data, and return its config folder."""
    config = write_repository(folder, CONSTRUCTS[name]())
    write_data(folder)
    return config


def write_data(folder: Path) -> None:
    """Write the data of every construct into a forecasting repository."""
    (folder / "data" / "coverage.csv").write_text(coverage_csv())
    (folder / "data" / "doses.csv").write_text(doses_csv())
    (folder / "data" / "season.csv").write_text(SEASON)
    (folder / "data" / "functions.py").write_text(FUNCTIONS)
