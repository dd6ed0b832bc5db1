"""Small experiments with seasonality and interventions, and the schedule that stage A makes of them."""

from pathlib import Path

from modeling.workload import Schedule
from tests.builds import workloads_in
from tests.experiments import simulated, write_repository

WAVE = {
    "target_parameter": "beta",
    "method": "balcan",
    "seasonality_max_date": "2025-01-10",
    "seasonality_min_date": "2025-01-30",
    "max_value": 2.0,
    "min_value": 0.5,
}
FROM_FILE = {"target_parameter": "beta", "method": "data_driven", "data_path": "data/factors.csv"}
CLOSURE = {"type": "school_closure", "scaling_factor": 0.25}


def scaling(factor: float, first: str = "2025-01-10", last: str = "2025-01-12", target: str = "beta") -> dict:
    return dated("parameter", first, last, target_parameter=target, scaling_factor=factor)


def override(value: float, first: str = "2025-01-10", last: str = "2025-01-12", target: str = "beta") -> dict:
    return dated("parameter", first, last, target_parameter=target, override_value=value)


def contacts(factor: float, first: str, last: str, layer: str = "home") -> dict:
    return dated("contact_matrix", first, last, contact_matrix_layer=layer, scaling_factor=factor)


def dated(kind: str, first: str, last: str, **keys: object) -> dict:
    return {"type": kind, "start_date": first, "end_date": last, **keys}


def changing(make=simulated, season: dict | None = None, interventions=(), **timespan: object) -> dict:
    """Return an experiment from 2025-01-05 to 2025-02-15 with changes over time."""
    experiment = make()
    experiment["model"]["timespan"] |= timespan
    if season:
        experiment["model"]["seasonality"] = season
    if interventions:
        experiment["model"]["interventions"] = list(interventions)
    return experiment


def schedule_of(tmp_path: Path, experiment: dict, **files: str) -> Schedule:
    """Return the schedule of the experiment's first workload; `factors="..."` writes data/factors.csv."""
    config = write_repository(tmp_path, experiment)
    for name, content in files.items():
        (tmp_path / "data" / f"{name}.csv").write_text(content)
    return workloads_in(config)[0].plan.schedule
