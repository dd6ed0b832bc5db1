"""The two models of the engine's benchmark, as stage A builds them: SEIRH and flu."""

import datetime
import os
from pathlib import Path

from experiments import EXAMPLES, write_repository

from engines import flu

EXAMPLE_DATA = EXAMPLES / "data" / "epydemix-data"
NEEDED = "locations.csv"
SUNDAY = datetime.date(2023, 1, 1)
WEEKS = 39
Experiment = dict[str, dict]


def data_folder(given: str | None, quick: bool) -> Path:
    """Return the folder of the populations.

    Raises
    ------
    SystemExit
        There is none; with what is missing.
    """
    folder = EXAMPLE_DATA if quick else Path(given or os.environ.get("EPYDEMIX_DATA_DIR", ""))
    if not (folder / NEEDED).is_file():
        raise SystemExit(
            f'no {NEEDED} in "{folder}": give --data or EPYDEMIX_DATA_DIR, a checkout of '
            "https://github.com/epistorm/epydemix-data; --quick needs none"
        )
    return folder


def seirh(population: str, weeks: int = WEEKS) -> Experiment:
    """Return S-E-I-H-R in five age groups, by daily steps; I leaves to H or R."""
    last_day = SUNDAY + datetime.timedelta(days=7 * weeks - 1)
    spontaneous = [("E", "I", "1/2.5"), ("I", "R", "recovery"), ("I", "H", "admission"), ("H", "R", 0.1)]
    transitions = [{"type": "mediated", "source": "S", "target": "E", "mediator": "I", "rate": "beta"}]
    transitions += [
        {"type": "spontaneous", "source": source, "target": target, "rate": rate}
        for source, target, rate in spontaneous
    ]
    return {
        "model": {
            "name": "seirh",
            "random_seed": 1,
            "timespan": {"start_date": SUNDAY, "end_date": last_day, "delta_t": 1},
            "simulation": {"n_sims": 100, "resample_frequency": "W-SAT"},
            "population": {"name": population, "age_groups": ["0-4", "5-17", "18-49", "50-64", "65+"]},
            "compartments": [{"id": "S", "init": "default"}, {"id": "I", "init": 1e-4}]
            + [{"id": each} for each in ("E", "H", "R")],
            "transitions": transitions,
            "parameters": {
                "recovery": {"type": "scalar", "value": 0.19},
                "admission": {"type": "scalar", "value": 0.01},
                "beta": {"type": "calculated", "value": "1.7 * (recovery + admission) / eigenvalue"},
            },
        },
        "output": {"trajectories": {"transitions": ["I_to_H_total"]}},
    }


def built(folder: Path, experiment: Experiment, data: Path, place: str):
    """Return the workload of an experiment that is written to a folder."""
    from modeling.build.workloads import DataPlaces
    from modeling.suites import build

    config = write_repository(folder, experiment)
    flu.write_coverage(folder, place)
    places = DataPlaces(data_roots=[folder], population_folders=[data], cache_folder=folder / "cache")
    [workload] = build("built-in", config, None, places, seed=None, count=None).workloads
    return workload
