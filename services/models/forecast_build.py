"""Stage A for an upload: the workloads of its populations, as the files of a run that is built."""

import hashlib
import json
import logging
import threading
from collections.abc import Mapping
from typing import Any

from modeling.build.csv_table import find_file, read_table
from modeling.build.size import STEP_SECONDS, RunSize
from modeling.build.user_functions import has_functions
from modeling.build.workloads import DataPlaces, build_workloads
from modeling.failures import UserError, did_you_mean, listed
from modeling.plain_text import excerpt
from modeling.populations import expand_all, find_location, is_all
from modeling.run_names import BUILT_IN, DEFAULT_ENGINE
from modeling.workload import Calibrate, Workload
from pipeline.artifacts import RunFiles
from pipeline.input_files import write_inputs
from pipeline.logs import kept_warnings
from pipeline.manifest import Manifest
from services.models import Prepared
from services.models.forecast_files import PackedFiles
from services.models.forecast_run import UNITS, Unit, write_units
from services.models.forecast_table import OBSERVED, check_observed_data, replaced_data
from services.models.forecast_upload import Source

log = logging.getLogger(__name__)

MOST_INPUTS = 2_000  # an experiment with more belongs on many machines
MOST_RESULT_GIB = 4  # of the trajectories of one input, which an instance holds
MOST_WARNINGS = 100  # in the report
DRAWS_A_PARTICLE = 3  # simulated in a calibration, roughly: the others are refused
LEAST_UNIT_SECONDS = 0.1
MOST_UNIT_SECONDS = 4 * 3600  # on one core; a request has half an hour at most, on several
OPTIONS = ("seed",)
_ELSEWHERE = "run it with `invoke run`"

_one_at_a_time = threading.Lock()  # each build forgets the warnings of the one before


def build(source: Source, options: Mapping[str, Any], seed: int) -> Prepared:
    """Return the inputs of an experiment, one unit a population.

    A population that cannot be built is a unit without an input, which `predict` names with the reason.

    Parameters
    ----------
    options : mapping
        With "seed", `seed` replaces the random_seed of the experiment.
    seed : int
        Of an experiment that has none.

    Raises
    ------
    UserError
        The experiment is wrong, too large, or has functions of its author; no population can be built.
    """
    if unknown := [name for name in options if name not in OPTIONS]:
        raise UserError(
            f'there is no option "{unknown[0]}"{did_you_mean(unknown[0], OPTIONS)}; the options are '
            f"{listed(OPTIONS)}"
        )
    experiment = source.experiment
    own_seed = None if "seed" in options else experiment.model.random_seed
    used = seed if own_seed is None else own_seed
    _refuse_functions(source)
    size = RunSize(experiment, 1, 1)
    _check_size(source, size)
    unit_seconds = _unit_seconds(size)
    _check_time(source, unit_seconds)
    check_observed_data(experiment, source.data_roots)
    refused: dict[str, UserError] = {}
    with _one_at_a_time, kept_warnings(threading.get_ident()) as warnings:
        workloads = _build_workloads(source, used, refused)
        _warn_of_newer_data(source, workloads)
        _warn_of_other_places(source, [*(each.population for each in workloads), *refused])
    units = _units(workloads) + [
        Unit(population, [], source.names.shown(error)) for population, error in refused.items()
    ]
    warnings = [source.names.shown(text) for text in warnings][:MOST_WARNINGS]
    content = _content(source, workloads, used, units, warnings)
    return Prepared([unit.name for unit in units], content, unit_seconds, used)


def _refuse_functions(source: Source) -> None:
    """Refuse functions of the experiment's author: whoever may upload could run code."""
    if has_functions(source.experiment):
        where = source.experiment.where("modelset", "calibration")
        raise UserError(
            f"{where}: functions of your own (user_script_path) do not run where an experiment is only "
            f"uploaded; take them out, or {_ELSEWHERE}"
        )


def _check_size(source: Source, size: RunSize) -> None:
    """Refuse what is too large for the instances of a service, though not for the stages."""
    experiment = source.experiment
    names = experiment.modelset.population_names if experiment.modelset else ["one"]
    populations = sum(len(expand_all([name])) if is_all(name) else 1 for name in names)
    if size.sets * populations > MOST_INPUTS:
        raise UserError(
            f"{experiment.where('modelset', 'sampling')}: {size.sets:,} parameter sets for each of "
            f"{populations} populations are more than the {MOST_INPUTS:,} inputs that an upload may have; "
            f"sample fewer, or {_ELSEWHERE}"
        )
    if size.gibibytes > MOST_RESULT_GIB:
        raise UserError(
            f"{size.where_kept}: {size.kept:,} trajectories need {size.gibibytes:,.0f} GiB of "
            f"memory, and an upload may need {MOST_RESULT_GIB}; ask for fewer, or {_ELSEWHERE}"
        )


def _check_time(source: Source, unit_seconds: float) -> None:
    """Refuse a population that no request has time for."""
    experiment = source.experiment
    limit = experiment.calibration.strategy.max_seconds if experiment.calibration else None
    if min(unit_seconds, limit or unit_seconds) > MOST_UNIT_SECONDS:
        kind, at = ("modelset", ("calibration", "strategy")) if experiment.calibration else ("model", ())
        hours = f"{unit_seconds / 3600:,.0f}"
        raise UserError(
            f"{experiment.where(kind, *at)}: a population takes about {hours} hours of one "
            f"core, and an upload may take {MOST_UNIT_SECONDS // 3600}; ask for fewer simulations, or "
            f"{_ELSEWHERE}"
        )


def _build_workloads(source: Source, seed: int, refused: dict[str, UserError]) -> list[Workload]:
    places = DataPlaces(source.data_roots, source.populations, cache_folder=None, functions_allowed=False)
    return list(build_workloads(source.experiment, places, seed, refused=refused))


def _warn_of_newer_data(source: Source, workloads: list[Workload]) -> None:
    """Warn of a table with weeks after the fitting window: the forecast does not use them."""
    if not source.table:
        return
    end = source.experiment.calibration.fitting_window.end_date
    tasks = [each.task for each in workloads if isinstance(each.task, Calibrate)]
    newest = max(series.dates[-1].item() for task in tasks for series in task.observed)
    if newest > end:
        log.warning(
            "%s: the fitting window ends on %s, and %s has values until %s, which are not fitted; end the "
            "window later for a forecast from them",
            source.experiment.where("modelset", "calibration", "fitting_window"),
            end,
            source.table,
            newest,
        )


def _warn_of_other_places(source: Source, codes: list[str]) -> None:
    """Warn of a table with jurisdictions that the experiment does not forecast, or names that nobody has."""
    if not source.table:
        return
    experiment = source.experiment
    path = find_file(replaced_data(experiment), source.data_roots, experiment.where(*OBSERVED))
    column = experiment.calibration.comparison[0].observed_location_column
    where = experiment.where("modelset", "population_names")
    table = read_table(path, where)
    places = [find_location(code) for code in codes]
    named = table.grouped(table.column(column, where))
    if others := [name for name in named if not any(place.is_called(name) for place in places)]:
        log.warning(
            "%s: the experiment has no forecast for %s, which %s has in column %s; name them in the "
            "experiment, or leave them out",
            where,
            listed([excerpt(name, 40) for name in others]),
            source.table,
            column,
        )


def _units(workloads: list[Workload]) -> list[Unit]:
    """Return a unit for each population, with its inputs; they follow one another."""
    inputs: dict[str, list[int]] = {}
    for workload in workloads:
        inputs.setdefault(workload.population, []).append(workload.index)
    return [Unit(population, indices) for population, indices in inputs.items()]


def _content(
    source: Source, workloads: list[Workload], seed: int, units: list[Unit], warnings: list[str]
) -> bytes:
    """Return the files of the built run; nothing in them depends on when or where it was built."""
    storage = PackedFiles()
    files = RunFiles(storage, "", "")
    files.write_config({kind: each.path for kind, each in source.experiment.sources.items()})
    written = write_inputs(files, workloads)
    left_out = [f"{unit.name} is left out: {unit.refused}" for unit in units if unit.refused]
    summary = json.dumps({"status": "done", "warnings": [*warnings, *left_out]})
    storage.save_bytes("summaries/builder.json", summary.encode())
    write_units(storage, units)
    digest = hashlib.sha256(written.digests_sha256.encode() + storage.load_bytes(UNITS)).hexdigest()
    manifest = Manifest(
        exp_id=source.exp_id,
        run_id=f"00000000-000000-{digest[:8]}",  # no time, so that the same upload gives the same bytes
        suite=BUILT_IN,
        engine=DEFAULT_ENGINE,
        workflow=source.experiment.workflow,
        created_at="",
        seed=seed,
        num_workloads=len(workloads),
        num_pending=len(workloads),
        workloads_per_task=1,
        inputs_sha256=written.digests_sha256,
        input_list_sha256=written.list_sha256,
    )
    files.write_manifest(manifest)
    return storage.packed()


def _unit_seconds(size: RunSize) -> float:
    """Return about how long one population takes on one core."""
    draws = size.simulations * (DRAWS_A_PARTICLE if size.experiment.calibration else 1)
    return LEAST_UNIT_SECONDS + draws * max(size.steps, 0) * STEP_SECONDS
