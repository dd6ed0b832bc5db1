"""Which suite does the work: the built-in one, or an installed epymodelingsuite.

Both build workloads and run them to the same Result, so that stage C is one.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modeling.workload import ForeignWorkload, Result, Workload

if TYPE_CHECKING:
    from modeling.build.workloads import DataPlaces


@dataclass(frozen=True)
class Build:
    """The outcome of stage A."""

    workflow: str  # simulation, sampling or calibration
    seed: int
    workloads: list[Workload | ForeignWorkload]
    config_files: dict[str, Path]  # by kind: model, modelset, output


def build(
    suite: str,
    config_folder: Path,
    output_file: Path | None,
    places: "DataPlaces",
    seed: int | None,
    count: int | None,
) -> Build:
    """Build every workload of an experiment.

    Parameters
    ----------
    seed : int, optional
        Overrides the experiment's random_seed; without either, one is drawn and recorded.
    count : int, optional
        Split a model-only ensemble into this many workloads.

    Raises
    ------
    UserError
        Anything wrong with the experiment or its data.
    """
    # not at the top: a runner would load the vocabulary and YAML, and needs neither
    from modeling.build.workloads import build_workloads
    from modeling.vocabulary.experiment import find_sources, load_experiment

    config_files = {kind: s.path for kind, s in find_sources(config_folder, output_file).items()}
    if suite == "epymodelingsuite":
        from modeling import epymodelingsuite_adapter as adapter

        workflow, used, workloads = adapter.build(config_folder, output_file, places, seed, count)
        return Build(workflow, used, workloads, config_files)
    experiment = load_experiment(config_folder, output_file)
    used = next(s for s in (seed, experiment.model.random_seed, secrets.randbits(53)) if s is not None)
    workloads = list(build_workloads(experiment, places, used, count))
    return Build(experiment.workflow, used, workloads, config_files)


def run(workload: Workload | ForeignWorkload) -> Result:
    """Run one workload with the suite that built it."""
    if isinstance(workload, ForeignWorkload):
        from modeling import epymodelingsuite_adapter as adapter

        return adapter.run(workload)
    from modeling.simulate.run import run_workload

    return run_workload(workload)
