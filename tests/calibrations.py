"""Calibrations of one epidemic whose true values are known."""

import numpy as np

from modeling.outputs.quantiles import weighted_quantiles
from modeling.simulate.run import run_workload
from tests.builds import build
from tests.experiments import calibrated, simulated

TRUE_R0 = 1.8
PEOPLE = 647_464  # in Vermont
WHOLE_PEOPLE = {"name": "randint", "args": [0, 5]}
NINE_WEEKS = {"start_date": "2025-01-05", "end_date": "2025-03-08", "delta_t": 1}


def truth(folder, start="2025-01-05", infectious: float = 500, seed: int = 3) -> str:
    """Return observed data: one epidemic of the model with known values, in weeks, from 2025-01-11."""
    experiment = simulated()
    experiment["model"]["timespan"] = NINE_WEEKS | {"start_date": start}
    experiment["model"]["simulation"]["n_sims"] = 1
    experiment["model"]["compartments"][1]["init"] = infectious
    trajectories = run_workload(build(folder / "truth", experiment, seed=seed)[0]).trajectories
    rows = {str(date)[:10]: 0 for date in np.arange("2025-01-11", "2025-03-09", 7, dtype="datetime64[D]")}
    removed, infected = trajectories.series("I_to_R_total")[0], trajectories.series("S_to_I_total")[0]
    rows |= {str(date)[:10]: pair for date, *pair in zip(trajectories.dates, removed, infected, strict=True)}
    lines = [
        f"{date},US-VT,{pair[0]},{pair[1]}" if pair else f"{date},US-VT,0,0" for date, pair in rows.items()
    ]
    return "\n".join(["date,geo_value,cases,infections", *lines]) + "\n"


def fitting(strategy: str, **options) -> dict:
    """Return a calibration of R0 on nine weeks of data."""
    experiment = calibrated()
    experiment["model"]["timespan"] = dict(NINE_WEEKS)
    calibration = experiment["modelset"]["calibration"]
    calibration["strategy"] = {"name": strategy, "options": options}
    calibration["fitting_window"] = {"start_date": "2025-01-05", "end_date": "2025-03-08"}
    return experiment


def calibrating_people(experiment: dict, prior: dict) -> dict:
    experiment["model"]["compartments"][1]["init"] = "calibrated"
    experiment["modelset"]["calibration"]["compartments"] = {"I": {"prior": prior}}
    return experiment


def calibrating_start(experiment: dict, latest: int) -> dict:
    experiment["model"]["timespan"]["start_date"] = "calibrated"
    prior = {"name": "randint", "args": [0, latest]}
    experiment["modelset"]["calibration"]["start_date"] = {"reference_date": "2025-01-05", "prior": prior}
    return experiment


def posterior(result, name: str, levels=(0.025, 0.5, 0.975)) -> list[float]:
    last = result.generations[-1]
    column = last.particles[:, [result.parameter_names.index(name)]]
    return weighted_quantiles(column, last.weights, list(levels))[:, 0].tolist()


NOTHING_HAPPENS = "date,geo_value,cases\n" + "".join(f"2025-01-{day},US-VT,0\n" for day in (11, 18, 25))
HALF_A_CASE = NOTHING_HAPPENS.replace(",0\n", ",0.5\n")


def quiet(strategy: str = "SMC", infectious: int = 1, **options) -> dict:
    """Return a calibration over three weeks in which most draws infect nobody."""
    experiment = fitting(strategy, **options)
    experiment["model"]["timespan"] = {"start_date": "2025-01-05", "end_date": "2025-01-25", "delta_t": 1}
    experiment["model"]["compartments"][1]["init"] = infectious
    calibration = experiment["modelset"]["calibration"]
    calibration["comparison"][0]["simulation"] = ["S_to_I_total"]
    calibration["parameters"]["R0"]["prior"]["args"] = [0.01, 0.3]
    calibration["fitting_window"] = {"start_date": "2025-01-05", "end_date": "2025-01-25"}
    return experiment


def by_day(weekly: str) -> str:
    """Return weekly data with each week's counts spread evenly over its days."""
    header, *rows = weekly.splitlines()
    lines = [header]
    for date, place, *counts in (row.split(",") for row in rows):
        shares = ",".join(f"{int(count) / 7:.2f}" for count in counts)
        days = np.datetime64(date) - np.arange(7)[::-1]
        lines += [f"{day},{place},{shares}" for day in days]
    return "\n".join(lines) + "\n"
