"""Simulate the weekly admissions that the experiment `demo` calibrates to, with known parameters.

    python data/make_demo_series.py

They are one trajectory of the model of experiments/demo, with the values of demo_truth.yaml in place of the
calibrated ones. Running it again writes the same bytes (with the same versions of numpy and epydemix).
"""

import csv
import sys
import tempfile
from pathlib import Path

import numpy as np
import yaml

DATA = Path(__file__).resolve().parent
FORECAST = DATA.parent
sys.path.insert(0, str(FORECAST.parents[1]))  # the repository that holds modeling/

from modeling.build.workloads import DataPlaces, build_workloads  # noqa: E402
from modeling.simulate.with_epydemix.simulator import Simulator  # noqa: E402
from modeling.vocabulary.experiment import load_experiment  # noqa: E402
from modeling.workload import Workload  # noqa: E402

OBSERVED = "I_to_H_total"


def true_model(truth: dict) -> dict:
    """Return the demo's model with the true values in place of the calibrated ones."""
    document = yaml.safe_load((FORECAST / "experiments/demo/config/model.yaml").read_text())
    model = document["model"]
    model["population"]["name"] = truth["population"]
    for name, value in truth["parameters"].items():
        model["parameters"][name] = {"type": "scalar", "value": value}
    for compartment in model["compartments"]:
        if compartment["id"] in truth["compartments"]:
            compartment["init"] = truth["compartments"][compartment["id"]]
    return document


def build_truth(truth: dict) -> Workload:
    """Build the true model as an experiment with one ensemble and no calibration."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.yaml").write_text(yaml.safe_dump(true_model(truth)))
        experiment = load_experiment(Path(folder))
        places = DataPlaces([FORECAST], [DATA / "epydemix-data"], Path(folder))
        return next(build_workloads(experiment, places, seed=truth["seed"]))


def write_series(truth: dict, target: Path) -> None:
    """Write one trajectory's weekly admissions, from the first week to the model's last."""
    workload = build_truth(truth)
    simulator = Simulator(workload.plan)
    rng = np.random.default_rng(truth["seed"])
    path = simulator.run({}, workload.start_date, workload.end_date, rng)
    admissions = path.by_transition[workload.plan.transition_series.index(OBSERVED)]
    place = truth["population"].removeprefix("US-")
    with open(target, "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["target_end_date", "geo_value", "admissions"])
        for date, value in zip(path.dates.astype("datetime64[D]"), admissions, strict=True):
            table.writerow([date, place, value])


if __name__ == "__main__":
    write_series(yaml.safe_load((DATA / "demo_truth.yaml").read_text()), DATA / "demo_admissions.csv")
