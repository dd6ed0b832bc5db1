"""The experiments of the benchmarks: the demo of examples/forecast, in any size."""

import shutil
from pathlib import Path

import yaml
from measuring import ROOT

EXAMPLES = ROOT / "examples" / "forecast"
POPULATION = "US-MA"
EXP_ID = "benchmark"
RUN_ID = "20260131-120000-{:08x}"


def calibration(particles: int, generations: int) -> dict[str, dict]:
    """Return the demo without projections."""
    experiment = _read("demo")
    fitted = experiment["modelset"]["calibration"]
    fitted["strategy"]["options"] |= {"num_particles": particles, "num_generations": generations}
    del fitted["projection"]
    return experiment


def simulation(
    trajectories: int, first_day: str = "2025-11-30", last_day: str = "2026-08-08"
) -> dict[str, dict]:
    """Return the demo's model without calibration: 60 weekly series, 36 weeks by default."""
    experiment = _read("demo")
    del experiment["modelset"], experiment["output"]["posteriors"], experiment["output"]["model_meta"]
    model = experiment["model"]
    model["simulation"]["n_sims"] = trajectories
    model["timespan"] |= {"start_date": first_day, "end_date": last_day}
    model["population"]["name"] = POPULATION
    model["parameters"]["R0"] = {"type": "scalar", "value": 1.8}
    for compartment in model["compartments"]:
        if compartment.get("init") == "calibrated":
            compartment["init"] = 0.002
    return experiment


def one_day() -> dict[str, dict]:
    """Return the smallest simulation: one trajectory of one day."""
    experiment = simulation(1, "2025-11-30", "2025-11-30")
    experiment["model"]["simulation"]["resample_frequency"] = "D"
    return experiment


def write_repository(folder: Path, experiment: dict[str, dict]) -> Path:
    """Write a forecasting repository with one experiment, and return its config folder."""
    config = folder / "experiments" / EXP_ID / "config"
    config.mkdir(parents=True)
    for kind, content in experiment.items():
        (config / f"{kind}.yaml").write_text(yaml.safe_dump({kind: content}, sort_keys=False))
    shutil.copytree(EXAMPLES / "data", folder / "data", dirs_exist_ok=True)
    return config


def build_one(folder: Path, experiment: dict[str, dict]):
    """Return the single modeling.workload.Workload of an experiment, as stage A builds it."""
    from modeling.build.workloads import DataPlaces
    from modeling.suites import build

    config = write_repository(folder, experiment)
    places = DataPlaces(
        data_roots=[folder],
        population_folders=[folder / "data" / "epydemix-data"],
        cache_folder=folder / "cache",
    )
    built = build("built-in", config, None, places, seed=None, count=None)
    (workload,) = built.workloads
    return workload


def _read(name: str) -> dict[str, dict]:
    contents: dict[str, dict] = {}
    for path in sorted((EXAMPLES / "experiments" / name / "config").glob("*.yaml")):
        contents |= yaml.safe_load(path.read_text())
    return contents
