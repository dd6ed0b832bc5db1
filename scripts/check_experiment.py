"""Check an experiment and its data as stage A does; write nothing.

    EXP_ID=demo FORECAST_REPO_DIR=examples/forecast python scripts/check_experiment.py

Prints every mistake on its own line (exit code 2), or what would be built, with --json for programs. With
--output only OUTPUT_CONFIG_FILE is checked, by itself and against the experiment where that exists here;
nothing is printed if it is right.
"""

import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.environment import StageContext, read_stage_context
from pipeline.failures import UserError, exit_code_of
from pipeline.logs import counted, one_line, start_logging

if TYPE_CHECKING:
    from modeling.forecast_records import ForecastWorkload

ANY_RUN = "00000000-000000-00000000"  # no run is read or written


def check(context: StageContext) -> None:
    """Check the experiment, and print what would be built."""
    from modeling.populations import locations
    from modeling.vocabulary.experiment import InvalidExperiment, find_sources
    from pipeline.experiment_files import build_experiment

    try:
        built = build_experiment(context)
    except InvalidExperiment as error:
        print("\n".join(map(one_line, error.problems)))
        raise UserError(f"{context.exp_id}: {counted(len(error.problems), 'mistake')}") from None
    if "--json" in sys.argv[1:]:
        print(json.dumps({"workflow": built.workflow, "num_workloads": len(built.workloads)}))
        return
    if built.workflow == "forecast":
        print(_described_forecast(context, built.workloads[0]))
        return
    places = sorted({workload.population for workload in built.workloads})
    named = [f"{p} ({locations()[p].name})" if p in locations() else p for p in places[:8]]
    shown = ", ".join(named) + (f" and {len(places) - 8} more" if len(places) > 8 else "")
    own_seed = find_sources(context.config_folder)["model"].data["model"].get("random_seed")
    is_drawn = context.seed is None and own_seed is None  # a run would draw another
    print(
        f"{context.exp_id} ({context.config_folder.parent}) is valid: {built.workflow}, "
        f"{counted(len(built.workloads), 'workload')} for {shown}"
        + ("" if is_drawn else f", seed {built.seed}")
    )


def _described_forecast(context: StageContext, workload: "ForecastWorkload") -> str:
    """Return what would be forecast, and from which data."""
    from modeling.failures import listed

    known = workload.known
    left_out = f"; left out: {listed(workload.left_out)}" if workload.left_out else ""
    return (
        f"{context.exp_id} ({context.config_folder.parent}) is valid: forecast of {known.reference_date} by "
        f"{workload.method} for {workload.population_name}, from the data of {known.as_of}, which end with "
        f"the week ending {known.last_week}{left_out}"
    )


def check_output(context: StageContext) -> None:
    """Check another output YAML as stage C does, then as stage A does."""
    from modeling.vocabulary.experiment import InvalidExperiment, load_output

    file = context.output_config_path()
    with tempfile.TemporaryDirectory(prefix="output-config-") as folder:
        Path(folder, "model.yaml").write_text("model: {}\n")  # a configuration folder must have one
        try:
            load_output(Path(folder), file)
            problems = _problems_with_experiment(context, file)
        except InvalidExperiment as error:
            problems = error.problems
    if problems:
        print("\n".join(map(one_line, problems)))
        raise UserError(f"{file}: {counted(len(problems), 'mistake')}")


def _problems_with_experiment(context: StageContext, file: Path) -> list[str]:
    """Return the mistakes of an output YAML with this experiment; none where that is missing or unreadable.

    Mistakes of the experiment itself are ignored: they do not matter to a run that is built.
    """
    from modeling.vocabulary.experiment import InvalidExperiment, load_experiment

    if context.config_folder.is_dir():
        try:
            load_experiment(context.config_folder, file)
        except InvalidExperiment as error:
            return [problem for problem in error.problems if problem.startswith(f"{file.name}:")]
        except UserError:
            pass
    return []


if __name__ == "__main__":
    start_logging("local", os.environ.get("LOG_LEVEL", ""), {"stage": "validate"})
    environ = {"RUN_ID": ANY_RUN, **os.environ}
    work = check_output if "--output" in sys.argv[1:] else check
    sys.exit(exit_code_of(lambda: work(read_stage_context(environ)), logging.getLogger("pipeline")))
