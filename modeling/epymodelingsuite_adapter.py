"""An installed epymodelingsuite as the suite: its dispatcher builds and runs, and its results become ours.

docs/suites.md has the commit and packages that were tried. The suite reads paths relative to the forecasting
repository, which is therefore the working directory while it builds.
"""

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from modeling.build.workloads import DataPlaces
from modeling.failures import UserError
from modeling.populations import find_location
from modeling.randomness import CALIBRATION, name_number, stream
from modeling.result_checks import check_result
from modeling.vocabulary.experiment import find_sources, load_output
from modeling.workload import (
    Expected,
    Fit,
    ForeignWorkload,
    Generation,
    Observed,
    Result,
    Trajectories,
)

SUITE = "epymodelingsuite"


def build(
    config_folder: Path, output_file: Path | None, places: DataPlaces, seed: int | None, count: int | None
) -> tuple[str, int, list[ForeignWorkload]]:
    """Return the workflow, the seed and one workload for each output of the suite's builder.

    Raises
    ------
    UserError
        The suite is not installed, or refuses the experiment; the message has its own words.
    """
    if count is not None:
        raise UserError(f"COUNT={count} splits a model-only ensemble of the built-in suite; leave it out")
    builder = _import("epymodelingsuite.dispatcher.builder")
    load_output(config_folder, output_file)  # stage C is ours, and so is the check of its configuration
    import dill

    with _errors_in_one_line(), _working_directory(places.data_roots[0]), _local_populations(places):
        configs = _configs(find_sources(config_folder, output_file))
        model = configs["basemodel_config"].model
        model.random_seed = used = seed if seed is not None else (model.random_seed or 0)
        built = builder.dispatch_builder(**configs)
    workloads = []
    for index, output in enumerate(built if isinstance(built, list) else [built]):
        population = _iso(output.model.population.name)
        if output.calibrator is not None:
            output.calibrator = _seeded(output.calibrator, used, population)
        payload = dill.dumps(output, recurse=True)
        workloads.append(ForeignWorkload(index, output.primary_id, population, SUITE, payload, used))
    kinds = {"calibration_config": "calibration", "sampling_config": "sampling"}
    return next((kinds[k] for k in kinds if k in configs), "simulation"), used, workloads


def run(workload: ForeignWorkload) -> Result:
    """Run one workload with the suite's runner.

    Raises
    ------
    UserError
        The suite is not installed or fails, or a check of its result fails.
    """
    import dill

    runner = _import("epymodelingsuite.dispatcher.runner")
    with _errors_in_one_line():
        configs = dill.loads(workload.payload)
        output = runner.dispatch_runner(configs)
    calibrated = hasattr(output.results, "posterior_distributions")
    result = (calibration_result if calibrated else simulation_result)(workload, configs, output)
    check_result(result)
    return result


def simulation_result(workload: ForeignWorkload, configs: Any, output: Any) -> Result:
    """Return a SimulationOutput of the suite, which holds epydemix SimulationResults, as our Result."""
    paths = output.results.trajectories
    trajectories = Trajectories(
        dates=_dates(paths[0].dates),
        compartments=list(paths[0].compartments),
        transitions=list(paths[0].transitions),
        in_compartments=_stack([list(p.compartments.values()) for p in paths]),
        by_transition=_stack([list(p.transitions.values()) for p in paths]),
    )
    parameters = {
        name: np.ravel(value) if np.ndim(value) else float(value)
        for name, value in output.results.parameters.items()
        if np.ndim(value) == 0 or np.shape(value)[0] == 1  # the table of metadata has no time series
    }
    return _result(
        workload,
        output,
        kind="simulation",
        trajectories=trajectories,
        expected_trajectories=configs.simulation.Nsim,
        parameters=parameters,
        ensemble_total=len(paths),
    )


def calibration_result(workload: ForeignWorkload, configs: Any, output: Any) -> Result:
    """Return a CalibrationOutput of the suite, which holds epydemix CalibrationResults, as our Result."""
    found = output.results
    names = list(found.posterior_distributions[0].columns)
    generations = [
        Generation(
            number=int(number),
            particles=particles[names].to_numpy(dtype=float),
            weights=np.asarray(found.weights[number], dtype=float) / np.sum(found.weights[number]),
            distances=np.asarray(found.distances[number], dtype=float),
        )
        for number, particles in sorted(found.posterior_distributions.items())
    ]
    # a projection that failed is an empty dictionary
    attempted = found.projections.get("baseline", [])
    succeeded = [number for number, projection in enumerate(attempted) if projection]
    projections = [attempted[number] for number in succeeded]
    label, trajectories = _projected(projections) if projections else ("observed", None)
    last = found.selected_trajectories[generations[-1].number]
    observed = Observed(
        label=label,
        series=[label] if trajectories is not None else [],
        dates=_dates(last[0]["date"]).astype("datetime64[D]"),
        values=np.asarray(found.observed_data["data"], dtype=float),
        fitted=np.ones(len(last[0]["data"]), dtype=bool),
    )
    return _result(
        workload,
        output,
        kind="calibration",
        trajectories=trajectories,
        expected_trajectories=len(projections),
        parameter_names=names,
        generations=generations,
        fits=[Fit(observed, np.stack([p["data"] for p in last]))],
        projected=_particles(found, names)[succeeded] if projections else None,
    )


def _particles(found: Any, names: list[str]) -> np.ndarray:
    """Return the particle behind each projection, shape (projections, parameters)."""
    return found.projection_parameters["baseline"][names].to_numpy(dtype=float)


def _projected(projections: list[dict]) -> tuple[str, Trajectories]:
    """Return the name of the compared quantity, and all series; its sum is one of the transitions."""
    names = [name for name in projections[0] if name != "date"]
    transitions = [name for name in names if "_to_" in name]
    # the suite adds the compared sum under the name of the observed column, behind everything else
    label = names[-1]
    compartments = [name for name in names if name not in transitions and name != label]
    trajectories = Trajectories(
        dates=_dates(projections[0]["date"]),
        compartments=compartments,
        transitions=[*transitions, label],
        in_compartments=_stack([[p[name] for name in compartments] for p in projections]),
        by_transition=_stack([[p[name] for name in (*transitions, label)] for p in projections]),
    )
    return label, trajectories


def _result(
    workload: ForeignWorkload, output: Any, *, trajectories, expected_trajectories: int, **contents
) -> Result:
    if trajectories is not None:
        dates = trajectories.dates
    else:
        dates = contents["fits"][0].observed.dates
    first, last = (d.astype("datetime64[D]").item() for d in (dates[0], dates[-1]))
    return Result(
        index=workload.index,
        primary_id=workload.primary_id,
        population=workload.population,
        population_name=output.population,
        seed=workload.seed,
        delta_t_days=output.delta_t or 1.0,
        # people are not counted: before its start date a projection of the suite has nobody
        expected=Expected(expected_trajectories, first, last, people=None),
        trajectories=trajectories,
        **contents,
    )


def _seeded(sampler: Any, seed: int, population: str) -> Any:
    """Return the sampler with a seeded generator; without one, the operating system seeds it."""
    return type(sampler)(
        simulation_function=sampler.simulation_function,
        priors=sampler.priors,
        parameters=sampler.parameters,
        observed_data=sampler.observed_data["data"],
        distance_function=sampler.distance_function,
        rng=stream((seed, name_number(population)), CALIBRATION),
    )


def _configs(sources: dict) -> dict[str, Any]:
    loader = _import("epymodelingsuite.config_loader")
    configs = {"basemodel_config": loader.load_basemodel_config_from_file(str(sources["model"].path))}
    if "modelset" in sources:
        source = sources["modelset"]
        kind = "calibration" if "calibration" in (source.data["modelset"] or {}) else "sampling"
        load = getattr(loader, f"load_{kind}_config_from_file")
        configs[f"{kind}_config"] = load(str(source.path))
    return configs


def _import(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"MODELING_SUITE={SUITE}: {error}; install it (docs/suites.md), or use MODELING_SUITE=built-in"
        ) from None


@contextlib.contextmanager
def _errors_in_one_line() -> Iterator[None]:
    """Turn the errors of the suite into a UserError with its own words in one line."""
    try:
        yield
    except (
        ValueError,
        RuntimeError,
        KeyError,
        AssertionError,
        FileNotFoundError,
        UnboundLocalError,
    ) as error:
        words = " ".join(str(error).split())
        raise UserError(f"{SUITE}: {type(error).__name__}: {words[:500]}") from None


@contextlib.contextmanager
def _working_directory(folder: Path) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _local_populations(places: DataPlaces) -> Iterator[None]:
    """Let the suite load populations from the first of our folders, if there is one, not from the network."""
    base = _import("epymodelingsuite.builders.base")
    original = base.load_epydemix_population
    folder = next((f for f in places.population_folders if (f / "locations.csv").is_file()), None)
    if folder is not None:
        base.load_epydemix_population = partial(original, path_to_data=str(folder.resolve()))
    try:
        yield
    finally:
        base.load_epydemix_population = original


def _iso(epydemix_name: str) -> str:
    try:
        return find_location(epydemix_name).iso
    except UserError:
        return epydemix_name


def _dates(dates: Any) -> np.ndarray:
    return np.asarray([np.datetime64(d, "s") for d in dates], dtype="datetime64[s]")


def _stack(series: list[list[np.ndarray]]) -> np.ndarray:
    """Return counts of shape (trajectories, series, dates) as integers."""
    return np.rint(np.asarray(series, dtype=float)).astype(np.int64)
