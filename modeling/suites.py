"""The modelling suites: the built-in one, and an installed epymodelingsuite.

Both build workloads and return the same kind of Result, so that one stage C serves both. Forecasts from
surveillance data need neither: they have a workload and a result of their own.
"""

import datetime
import logging
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from modeling.failures import UserError
from modeling.forecast_checks import doubt_line
from modeling.forecast_records import ForecastResult, ForecastWorkload
from modeling.run_names import BUILT_IN
from modeling.workload import ForeignWorkload, Result, Workload

if TYPE_CHECKING:
    from modeling.build.workloads import DataPlaces
    from modeling.simulate.abc.strategies import Checkpoints
    from modeling.vocabulary.experiment import ForecastExperiment

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Build:
    """The outcome of stage A."""

    workflow: str  # simulation, sampling, calibration or forecast
    seed: int | None  # a forecast draws nothing
    workloads: list[Workload | ForeignWorkload | ForecastWorkload]
    config_files: dict[str, Path]  # by kind: model, modelset, output, forecast


def build(
    suite: str,
    config_folder: Path,
    output_file: Path | None,
    places: "DataPlaces",
    seed: int | None,
    count: int | None,
    reference_date: datetime.date | None = None,
    strict: bool = False,
) -> Build:
    """Build every workload of an experiment.

    Parameters
    ----------
    seed : int, optional
        Replaces the experiment's random_seed; without either, a seed is drawn.
    count : int, optional
        Number of workloads that share the ensemble of a model-only experiment.
    reference_date : date, optional
        Of a forecast from surveillance data; replaces that of the experiment.
    strict : bool
        Whether a forecast fails if a location is left out, or has a fault in its data.

    Raises
    ------
    UserError
        The experiment or its data are wrong, or the suite is not installed.
    """
    # not at the top: a runner would load the vocabulary and YAML, which it does not need
    from modeling.build.workloads import build_workloads
    from modeling.vocabulary.experiment import find_sources, load_experiment

    config_files = {kind: s.path for kind, s in find_sources(config_folder, output_file).items()}
    if "forecast" in config_files:
        _refuse_options_of_models(suite, count)
        if seed is not None:
            log.warning("SEED=%d changes nothing: a forecast from surveillance data draws nothing", seed)
        experiment = load_experiment(config_folder, output_file)
        workload = _forecast_workload(experiment, places, reference_date, strict)
        return Build(experiment.workflow, seed, [replace(workload, seed=seed)], config_files)
    _refuse_options_of_forecasts(reference_date, strict)
    if suite == "epymodelingsuite":
        from modeling import epymodelingsuite_adapter as adapter

        workflow, used, workloads = adapter.build(config_folder, output_file, places, seed, count)
        return Build(workflow, used, workloads, config_files)
    experiment = load_experiment(config_folder, output_file)
    used = next(s for s in (seed, experiment.model.random_seed, secrets.randbits(53)) if s is not None)
    workloads = list(build_workloads(experiment, places, used, count))
    return Build(experiment.workflow, used, workloads, config_files)


def _forecast_workload(
    experiment: "ForecastExperiment",
    places: "DataPlaces",
    reference_date: datetime.date | None,
    strict: bool,
) -> ForecastWorkload:
    """Return the one workload of a forecast; log what the method doubts.

    Its reference date is forecast once here, which takes less than a second. So `invoke validate` says all
    that a run would say, and data that a method refuses leave no run behind.
    """
    from modeling.build.forecasts import build_forecast
    from modeling.forecast.methods import forecast_of

    workload = build_forecast(experiment, places.data_roots, reference_date, strict)
    _, doubts = forecast_of(workload)
    for doubt in doubts:
        if doubt not in workload.doubts:  # those are said already
            log.warning("%s", doubt_line(doubt))
    return workload


def _refuse_options_of_models(suite: str, count: int | None) -> None:
    """Refuse what a forecast from surveillance data would ignore."""
    if suite != BUILT_IN:
        raise UserError(
            f"MODELING_SUITE={suite} has no forecasts from surveillance data; set "
            f"MODELING_SUITE={BUILT_IN}, or leave it out"
        )
    if count is not None:
        raise UserError(
            f"COUNT={count} splits a model-only experiment; a forecast from surveillance data is one "
            "workload: leave COUNT out"
        )


def _refuse_options_of_forecasts(reference_date: datetime.date | None, strict: bool) -> None:
    """Refuse what an experiment without the key forecast would ignore."""
    given = [f"REFERENCE_DATE={reference_date}"] if reference_date else []
    if given := given + (["STRICT=1"] if strict else []):
        verb, it = ("is", "it") if len(given) == 1 else ("are", "them")
        raise UserError(
            f"{' and '.join(given)} {verb} for forecasts from surveillance data, and this experiment has no "
            f"key forecast: leave {it} out (invoke: --reference-date, --strict)"
        )


def run(
    workload: Workload | ForeignWorkload | ForecastWorkload,
    engine: str,
    checkpoints: "Checkpoints | None" = None,
) -> Result | ForecastResult:
    """Run one workload with the suite that built it; an engine simulates the models of the built-in one.

    A calibration of the built-in suite goes on from its checkpoints.

    Raises
    ------
    UserError
        The workload cannot be run, or a check of its result fails.
    """
    if isinstance(workload, ForecastWorkload):
        from modeling.forecast.methods import run_forecast

        return run_forecast(workload)
    if isinstance(workload, ForeignWorkload):
        from modeling import epymodelingsuite_adapter as adapter

        return adapter.run(workload)
    from modeling.simulate.run import run_workload

    return run_workload(workload, engine, checkpoints)
