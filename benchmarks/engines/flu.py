"""The flu experiment of the benchmarks, for any place and age groups; its data are made here.

flu.yaml has the model and where it comes from.
"""

import copy
import datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

Experiment = dict[str, Any]

FIRST_WEEK, WEEKS = datetime.date(2024, 8, 17), 42
# Coverage at the end of the season [%] of a synthetic campaign, half of it by mid October.
COVERAGE = {
    "6 Months - 4 Years": 55.0,
    "5-17 Years": 48.0,
    "18-49 Years": 36.0,
    "50-64 Years": 52.0,
    "65+ Years": 72.0,
}
FIXED = {"R0": 1.6, "seasonality_min": 0.75}
PEOPLE = {"L": 0.0005, "M": 0.15}
FIRST_DAY = datetime.date(2024, 9, 29)
_HALF_WEEK, _WIDTH_WEEKS = 9.0, 2.5


def calibrated(population: str = "US-MA", particles: int = 1000, generations: int = 10) -> Experiment:
    """Return the calibration."""
    experiment = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    experiment["modelset"]["population_names"] = [population]
    options = experiment["modelset"]["calibration"]["strategy"]["options"]
    options |= {"num_particles": particles, "num_generations": generations}
    experiment["model"]["population"]["name"] = population
    return experiment


def simulated(
    population: str = "US-MA", first_day: datetime.date = FIRST_DAY, last_day: datetime.date | None = None
) -> Experiment:
    """Return trajectories of the model with fixed values: what the calibration should find again."""
    experiment = calibrated(population)
    del experiment["modelset"]
    model = experiment["model"]
    model["timespan"]["start_date"] = first_day
    if last_day is not None:
        model["timespan"]["end_date"] = last_day
    model["simulation"]["n_sims"] = 100
    model["seasonality"]["min_value"] = FIXED["seasonality_min"]
    for name, value in FIXED.items():
        model["parameters"][name] = {"type": "scalar", "value": value}
    for compartment in model["compartments"]:
        if compartment["id"] in PEOPLE:
            compartment["init"] = PEOPLE[compartment["id"]]
    experiment["output"] = {"trajectories": {"transitions": ["B_to_H_total"]}}
    return experiment


def in_three_ages(experiment: Experiment) -> Experiment:
    """Return the experiment with three age groups instead of five."""
    changed = copy.deepcopy(experiment)
    changed["model"]["population"]["age_groups"] = ["0-17", "18-64", "65+"]
    for parameter in changed["model"]["parameters"].values():
        if parameter["type"] == "age_varying":
            parameter["values"] = [parameter["values"][group] for group in (1, 2, 4)]
    return changed


def write_coverage(folder: Path, *places: str) -> None:
    """Write data/coverage.csv of a forecasting repository; places are names, such as Massachusetts."""
    rows = ["Geography,Age,Week_Ending_Sat,Coverage"]
    for week in range(WEEKS):
        day = FIRST_WEEK + datetime.timedelta(weeks=week)
        given = 1 / (1 + np.exp(-(week - _HALF_WEEK) / _WIDTH_WEEKS))
        rows += [
            f"{place},{age},{day},{most * given:.4f}" for place in places for age, most in COVERAGE.items()
        ]
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "coverage.csv").write_text("\n".join(rows) + "\n")


def write_admissions(folder: Path, admissions: dict[str, dict[datetime.date, int]]) -> None:
    """Write data/admissions.csv, which a calibration is fitted to; by population and Saturday."""
    rows = [
        f"{day},{population},{count}"
        for population, by_day in admissions.items()
        for day, count in sorted(by_day.items())
    ]
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "admissions.csv").write_text("\n".join(["date,geo_value,admissions", *rows]) + "\n")
