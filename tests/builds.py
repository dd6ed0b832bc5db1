"""What stage A builds of a small experiment, in this process."""

from pathlib import Path
from typing import Any

from modeling.build.workloads import DataPlaces, build_workloads
from modeling.vocabulary.experiment import load_experiment
from modeling.workload import Workload
from tests.experiments import OBSERVED, POPULATIONS, write_repository

SEED = 5


def workloads_in(
    config: Path, seed: int = SEED, count: int | None = None, populations: Path = POPULATIONS
) -> list[Workload]:
    """Return the workloads of an experiment, from its config folder in a forecasting repository."""
    root = config.parents[2]
    places = DataPlaces([root], [populations], root / "cache")
    return list(build_workloads(load_experiment(config), places, seed, count))


def build(
    folder: Path,
    experiment: dict[str, Any],
    observed: str = OBSERVED,
    seed: int = SEED,
    count: int | None = None,
) -> list[Workload]:
    """Write a forecasting repository with one experiment, and return its workloads."""
    return workloads_in(write_repository(folder, experiment, observed=observed), seed, count)
