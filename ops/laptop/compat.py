"""Runs the experiments of a folder of epymodelingsuite, all stages on this machine, and prints which run.

published.py finds them. Each gets a forecasting repository of its own in a temporary folder.
"""

import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.table import Table

from modeling.threads import usable_cores
from ops.failures import UserError
from ops.input_names import FailedInputs
from ops.laptop.launch import Processes
from ops.laptop.local_run import local_variables
from ops.laptop.published import DATA, Published, PublishedExperiment, data_root, find_experiments
from ops.laptop.run_files import run_named
from ops.laptop.stage_b import StageTasks, last_error
from ops.run_request import RunRequest
from ops.settings import Settings
from ops.shell import Shell
from ops.terminal import cell, console, counted

# the largest sizes of a small run, by their keys in the YAML files
SIZES = {
    "num_particles": 10,
    "num_generations": 2,
    "Nsim": 40,
    "n_trajectories": 100,  # the fewest that give a table of a forecast hub
    "n_samples": 2,
    "n_sims": 5,
}
METHODS = {  # by calibration method, the sizes that are added where they are missing: defaults are larger
    "smc": ("num_particles", "num_generations"),
    "rejection": ("num_particles",),
    "top_fraction": ("Nsim",),
}
EXP_ID = "published"
STAGE_SECONDS = 24 * 3600  # of stage A or C


@dataclass(frozen=True)
class Outcome:
    """What became of an experiment; `reason` is the first line of its error, "" if it runs."""

    experiment: PublishedExperiment
    verdict: str
    reason: str = ""


def check_published(shell: Shell, settings: Settings, folder: Path, full: bool) -> None:
    """Run every experiment below a folder, and print a table.

    Parameters
    ----------
    full : bool
        Run the sizes as published, instead of SIZES.

    Raises
    ------
    UserError
        There is no folder or experiment (exit code 2), or some experiments do not run (1).
    """
    if not folder.is_dir():
        raise UserError(f"--from {folder}: no such folder")
    found = find_experiments(folder)
    if not found:
        raise UserError(f"--from {folder}: no YAML file has the key model, modelset or output")
    sizes = ", ".join(f"{name} {most}" for name, most in SIZES.items())
    print("sizes as published" if full else f"small sizes, at most: {sizes}; --full runs as published")
    outcomes = []
    for number, experiment in enumerate(found, start=1):
        print(f"{number} of {len(found)}: {experiment.name}", file=sys.stderr, flush=True)
        outcomes.append(_tried(shell, settings, experiment, folder, full))
    _print_table(outcomes)
    if failed := [each for each in outcomes if each.verdict != "runs"]:
        raise UserError(f"{len(failed)} of {counted(len(found), 'experiment')} do not run", exit_code=1)


def _tried(
    shell: Shell, settings: Settings, experiment: PublishedExperiment, folder: Path, full: bool
) -> Outcome:
    if experiment.problem:
        return Outcome(experiment, "refused", experiment.problem)
    with tempfile.TemporaryDirectory(prefix="compat-") as temporary:
        place = Path(temporary)
        _write_repository(experiment, data_root(experiment, folder), place / "forecast", full)
        here = settings.model_copy(
            update={
                "local_data_path": place,
                "forecast_repo_dir": place / "forecast",
                "output_config_file": "",
                "run_count": None,
            }
        )
        return Outcome(experiment, *_run(shell, here))


def _run(shell: Shell, settings: Settings) -> tuple[str, str]:
    """Run the three stages; return the verdict and the reason of a failure."""
    request = RunRequest(EXP_ID).identified()
    run, launcher = run_named(settings, *request.key), Processes()
    variables = launcher.environment(local_variables(settings, request))
    if failure := _stage(shell, launcher, "builder", variables):
        return failure
    inputs = FailedInputs(shell, run.folder)
    retries, jobs = settings.max_retry_count, settings.local_jobs or usable_cores()
    tasks = StageTasks(shell, launcher.command("runner"), variables, run.logs, retries, inputs)
    if failed := tasks.run(list(run.pending()), jobs):
        first = min(failed)
        return _verdict(failed[first]), f"stage B: {last_error(tasks.log_of(first), failed[first])}"
    return _stage(shell, launcher, "output", variables) or ("runs", "")


def _stage(
    shell: Shell, launcher: Processes, stage: str, variables: Mapping[str, str]
) -> tuple[str, str] | None:
    """Run stage A or C; return verdict and reason if it fails."""
    ended = shell.run_always(launcher.command(stage), variables, timeout_seconds=STAGE_SECONDS)
    if not ended.exit_code:
        return None
    lines = (ended.output + ended.errors).strip().splitlines()
    errors = [line for line in lines if re.search(r": (error|critical): ", line)]
    reason = (errors or lines[-1:] or ["it printed nothing"])[0]
    return _verdict(ended.exit_code), re.sub(r"^\S+ \w+: (error|critical): ", "", reason)


def _verdict(exit_code: int) -> str:
    return "refused" if exit_code == 2 else "fails"


def _write_repository(experiment: PublishedExperiment, root: Path, repository: Path, full: bool) -> None:
    """Write a forecasting repository: the experiment's YAML files, and the data and modules below `root`."""
    config = repository / "experiments" / EXP_ID / "config"
    config.mkdir(parents=True)
    for file in experiment.files:
        text = file.path.read_text(encoding="utf-8")
        (config / file.path.name).write_text(text if full else _small(file, text), encoding="utf-8")
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.suffix in DATA and path.is_file() and not any(p.startswith(".") for p in relative.parts):
            (repository / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, repository / relative)


def _small(file: Published, text: str) -> str:
    """Return a YAML file with smaller sizes, on the same lines where it has them."""
    for name, most in SIZES.items():
        text = re.sub(
            rf"(?m)^([^#\n]*\b{name}\s*:\s*)(\d+)",
            lambda found, most=most: f"{found[1]}{min(most, int(found[2]))}",
            text,
        )
    strategy = file.section("calibration").get("strategy") if file.kind == "modelset" else None
    if not isinstance(strategy, dict):
        return text
    options = strategy.get("options") if isinstance(strategy.get("options"), dict) else {}
    if missing := [n for n in METHODS.get(str(strategy.get("name")).lower(), ()) if n not in options]:
        content = yaml.safe_load(text)
        small = content["modelset"]["calibration"]["strategy"]
        small["options"] = {**(small.get("options") or {}), **{name: SIZES[name] for name in missing}}
        return yaml.safe_dump(content, sort_keys=False)
    return text


def _print_table(outcomes: list[Outcome]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("files", "result", "why"):
        table.add_column(title, overflow="fold")
    for each in outcomes:
        table.add_row(cell(each.experiment.name), each.verdict, cell(each.reason))
    console().print(table)
