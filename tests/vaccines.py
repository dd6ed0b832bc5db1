"""Experiments with vaccination, their data files, and how a schedule's doses are given.

Coverage of the published layout is an extract of the Flu Scenario Modeling Hub, round 1 of 2024/25 (Vermont):
https://github.com/midas-network/flu-scenario-modeling-hub_resources, Rd5_datasets/
Age_Specific_Coverage_Flu_RD1_2024_25_Sc_A_B_C_D_E_F.csv
"""

import datetime
from pathlib import Path
from typing import Any

import numpy as np

from modeling.build.warnings import warn_once
from modeling.workload import Schedule, Workload
from tests.builds import workloads_in
from tests.experiments import simulated, write_repository

WEEK = datetime.timedelta(weeks=1)
COLUMNS = "Geography,Age,Week_Ending_Sat,Coverage\n"
PUBLISHED = """"Geography","Age","Population","Week_Ending_Sat",\
"flu.coverage.rd2425.sc_A_B","flu.coverage.rd2425.sc_C_D","flu.coverage.rd2425.sc_E_F"
"Vermont","6 Months - 4 Years",25593,2024-09-07,4.04533100870295,3.37110917391913,2.6968873391353
"Vermont","6 Months - 4 Years",25593,2024-09-14,8.87611796249348,7.39676496874457,5.91741197499566
"Vermont","5-12 Years",50479,2024-09-07,4.2612718055625,3.55105983796875,2.840847870375
"Vermont","5-12 Years",50479,2024-09-14,5.52570522315047,4.60475435262539,3.68380348210031
"Vermont","13-17 Years",34429,2024-09-07,2.29774677369286,1.91478897807738,1.5318311824619
"Vermont","13-17 Years",34429,2024-09-14,4.12416252655485,3.43680210546237,2.7494416843699
"Vermont","6 Months - 17 Years",110501,2024-09-07,4.26091327160045,3.55076105966704,2.84060884773363
"Vermont","6 Months - 17 Years",110501,2024-09-14,6.15915633684657,5.13263028070548,4.10610422456438
"Vermont","18-49 Years",247428,2024-09-07,1.91346992624541,1.59455827187117,1.27564661749694
"Vermont","18-49 Years",247428,2024-09-14,3.24876178774942,2.70730148979118,2.16584119183294
"Vermont","50-64 Years",133587,2024-09-07,1.73807651030872,1.44839709192393,1.15871767353915
"Vermont","50-64 Years",133587,2024-09-14,3.00496414261901,2.50413678551584,2.00330942841268
"Vermont","65+ Years",128594,2024-09-07,3.29698952122671,2.74749126768893,2.19799301415114
"Vermont","65+ Years",128594,2024-09-14,5.2423341994223,4.36861183285192,3.49488946628154
"""


def coverage(first_saturday: str = "2025-01-04", place: str = "Vermont", **by_age: list[float]) -> str:
    """Return rows of coverage [%] by age group and week; a key such as `Y5_12` is "5-12 Years"."""
    rows = ""
    for key, values in by_age.items():
        age = {"children": "6 Months - 17 Years", "adults": "18-64 Years", "old": "65+ Years"}.get(key)
        age = age or f"{key.removeprefix('Y').replace('_', '-')} Years"
        for number, value in enumerate(values):
            week = datetime.date.fromisoformat(first_saturday) + number * WEEK
            rows += f"{place},{age},{week},{value}\n"
    return rows


def vaccinated(make=simulated, daily: bool = False, **vaccination: object) -> dict[str, Any]:
    """Return an experiment with data/doses.csv: coverage, or daily doses."""
    experiment = make()
    model = experiment["model"]
    model["compartments"].append({"id": "V"})
    model["transitions"].append({"type": "vaccination", "source": "S", "target": "V"})
    model["vaccination"] = {
        "preprocessed_vaccination_data_path" if daily else "scenario_data_path": "data/doses.csv",
        "origin_compartment": "S",
        "eligible_compartments": ["S", "R"],
        **vaccination,
    }
    return experiment


def write_vaccinated(folder: Path, experiment: dict[str, Any], data: str) -> Path:
    """Write a repository with data/doses.csv, and return the config folder."""
    config = write_repository(folder, experiment)
    (folder / "data" / "doses.csv").write_text(data)
    warn_once.cache_clear()  # as in a process of its own
    return config


def built(folder: Path, experiment: dict[str, Any], data: str) -> list[Workload]:
    """Return the workloads of an experiment with data/doses.csv."""
    return workloads_in(write_vaccinated(folder, experiment, data))


def schedule_of(folder: Path, experiment: dict[str, Any], data: str) -> Schedule:
    return built(folder, experiment, data)[0].plan.schedule


def doses_given(schedule: Schedule, start: datetime.date) -> np.ndarray:
    """Return the doses of a trajectory that starts on a day, shape (days, groups).

    Those due before it are given evenly until the next Saturday, on top of what is due on these days; a
    trajectory that starts on a Saturday has until the Saturday after.
    """
    skipped = (start - schedule.first_day).days
    late = schedule.doses_before + schedule.doses[:skipped].sum(axis=0)
    days = (5 - start.weekday()) % 7 + 1
    days += 7 * (start.weekday() == 5)
    given = schedule.doses[skipped:].copy()
    given[:days] += late / days
    return given
