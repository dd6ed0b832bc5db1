"""Time and memory of tasks in earlier runs, on this machine or in the bucket, read in a few requests.

They are in run_metadata.json of a finished run; of an unfinished run, some summaries are read.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modeling.by_products import check_metadata, check_summary
from modeling.run_names import EPYDEMIX, METADATA, SUMMARIES
from ops.cloud.bucket import LIST_SECONDS, CloudRun, read_objects_or_none, runs_and_folders
from ops.cloud.bucket import by_product as object_or_none
from ops.cloud.cloud import Cloud
from ops.cloud.inputs import find_manifest
from ops.failures import UserError
from ops.laptop.run_files import LocalRun, by_product, find_runs, latest_run, read_json
from ops.names import check_exp_id, check_run_id
from ops.settings import Settings
from ops.terminal import nearest

MOST_SUMMARIES = 200
MOST_UNFINISHED = 10  # newest runs that are searched for one that has ended


@dataclass(frozen=True)
class TaskTimes:
    """Average time of one input of stage B, or of the task of another stage; and its memory."""

    seconds: float
    source: str  # "measured", "given" or "assumed"
    cpu_seconds: float | None = None
    peak_memory_mib: float | None = None  # highest of all tasks
    retry_shares: dict[str, float] = field(default_factory=dict)  # retries per task, by provisioning model


@dataclass(frozen=True)
class Measured:
    """Measured times, and the run that they are from."""

    stages: dict[str, TaskTimes]
    workloads: int | None = None
    where: str = ""  # the measured run
    spent_usd: float | None = None  # estimated cost of that run
    engine: str = ""  # of that run; "": unknown


def given(seconds: float, measured: Measured | None) -> Measured:
    """Return measured times with a given time for an input of stage B."""
    found = measured or Measured({})
    runner = found.stages.get("runner")
    peak = runner.peak_memory_mib if runner else None
    stages = found.stages | {"runner": TaskTimes(seconds, "given", peak_memory_mib=peak)}
    return replace(found, stages=stages, engine="")


def measured_here(settings: Settings, exp_id: str, run_id: str = "") -> Measured | None:
    """Return the times of a local run (default: the newest with results); None if there is none."""
    if run_id:
        return _of_local_run(latest_run(settings, exp_id, run_id))
    for run in reversed(find_runs(settings, exp_id)):
        if run.is_built and (found := _of_local_run(run)):
            return found
    return None


def measured_neighbour_here(settings: Settings, exp_id: str) -> Measured | None:
    """Return the times of the newest local run of another experiment in the same folder, e.g. last week's."""
    for run in reversed(find_runs(settings)):
        if not (_are_neighbours(run.exp_id, exp_id) and run.is_built):
            continue
        try:
            if found := _of_local_run(run):
                return found
        except UserError as error:  # the operator has not named that run
            print(f"left out of the estimate: {error}", file=sys.stderr)
    return None


def _are_neighbours(exp_id: str, other: str) -> bool:
    """Return whether two experiments are in the same folder, as flu/2026-w05 and flu/2026-w06."""
    folder, other_folder = exp_id.rpartition("/")[0], other.rpartition("/")[0]
    return exp_id != other and "" != folder == other_folder


def _of_local_run(run: LocalRun) -> Measured | None:
    where = f"run {run.run_id} of {run.exp_id} in {nearest(run.folder)}"
    path = run.folder / METADATA
    metadata = by_product(path, check_metadata)
    if metadata is not None and (found := _of_metadata_or_none(metadata, where)):
        return found
    paths = _some(sorted(run.folder.glob(f"{SUMMARIES}runner_*.json")))
    found = of_summaries(((nearest(path), _read_or_none(path)) for path in paths), where)
    return found and replace(found, workloads=run.manifest.num_workloads)


def _of_metadata_or_none(metadata: dict[str, Any], where: str) -> Measured | None:
    """Return the times in run_metadata.json; None, with a warning, if it is damaged."""
    try:
        return of_metadata(metadata, where)
    except UserError as error:
        print(f"left out of the estimate: {error}", file=sys.stderr)
        return None


def _read_or_none(path: Path) -> Any:
    try:
        return _summary_or_none(read_json(path))
    except UserError:
        return None  # of_summaries() warns


def _summary_or_none(content: Any) -> Any:
    try:
        return check_summary(content)
    except ValueError:
        return None  # of_summaries() warns


def measured_in_cloud(
    cloud: Cloud, exp_id: str, run_id: str = "", inputs: int | None = None
) -> Measured | None:
    """Return the times of a run in the bucket (default: the newest); None if there is none.

    Parameters
    ----------
    inputs : int, optional
        Number of inputs of the named run, if known.

    Raises
    ------
    UserError
        The bucket cannot be read.
    """
    check_exp_id(exp_id)
    if run_id:
        check_run_id(run_id)
        run = CloudRun(exp_id, run_id)
        return _of_ended(cloud, run) or _of_unfinished(cloud, run, inputs)
    runs = _runs_below(cloud, cloud.experiment_path(exp_id))
    return _of_newest(cloud, [run for run in runs if run.exp_id == exp_id])


def measured_neighbour_in_cloud(cloud: Cloud, exp_id: str) -> Measured | None:
    """Return the times of the newest run in the bucket of another experiment in the same folder."""
    folder = exp_id.rpartition("/")[0]
    if not folder:
        return None
    runs = _runs_below(cloud, f"{cloud.experiment_path(folder)}*/")
    return _of_newest(cloud, [run for run in runs if _are_neighbours(run.exp_id, exp_id)])


def _runs_below(cloud: Cloud, pattern: str) -> list[CloudRun]:
    """Return the runs directly below folders of experiments."""
    return runs_and_folders(_listed(cloud, pattern), cloud.top)[0]


def _of_newest(cloud: Cloud, runs: Sequence[CloudRun]) -> Measured | None:
    """Return the times of the newest run that has ended, else of the newest run."""
    newest = sorted(runs, key=lambda run: run.run_id, reverse=True)[:MOST_UNFINISHED]
    for run in newest:
        if found := _of_ended(cloud, run):
            return found
    return _of_unfinished(cloud, newest[0]) if newest else None


def _of_ended(cloud: Cloud, run: CloudRun) -> Measured | None:
    path = cloud.run_path(run.exp_id, run.run_id)
    held = object_or_none(cloud, path + METADATA, check_metadata)
    return _of_metadata_or_none(held, f"run {run.run_id} of {run.exp_id} in {path}") if held else None


def _of_unfinished(cloud: Cloud, run: CloudRun, inputs: int | None = None) -> Measured | None:
    """Return the times of the first tasks of an unfinished run, in a few requests."""
    path = cloud.run_path(run.exp_id, run.run_id)
    if inputs is None:
        manifest = find_manifest(cloud, path)
        if manifest is None:
            return None
        inputs = manifest.num_workloads
    zeros = "0" * (max(4, len(str(inputs - 1))) - 1)
    names = _listed(cloud, f"{path}{SUMMARIES}runner_{zeros}*.json")
    where = f"unfinished run {run.run_id} of {run.exp_id} in {path}"
    contents = map(_summary_or_none, read_objects_or_none(cloud, names))
    found = of_summaries(zip(names, contents, strict=True), where)
    return found and replace(found, workloads=inputs)


def of_metadata(metadata: dict[str, Any], where: str) -> Measured:
    """Return the times in run_metadata.json; for stage B those of inputs that succeeded."""
    stages = {}
    try:
        models = {each["provisioning_model"] for each in metadata.get("machines", {}).get("runner", [])}
        for name, use in metadata["stages"].items():
            # older versions did not count successful attempts separately
            done, done_seconds, done_cpu_seconds = (
                use.get(f"done{what}", use.get(older))
                for what, older in (
                    ("", "tries"),
                    ("_seconds", "wall_seconds"),
                    ("_cpu_seconds", "cpu_seconds"),
                )
            )
            if done == 0:
                continue
            is_runner = name == "runner"
            # resuming a run repeats stages A and C, when most of their work is done
            seconds = done_seconds / done if is_runner else use["longest_seconds"]
            stages[name] = TaskTimes(
                seconds=max(seconds, 0.001),
                source="measured",
                cpu_seconds=done_cpu_seconds / done,
                peak_memory_mib=use["peak_memory_mib"],
                # for a run on both kinds of machines it is not known which kind was preempted
                retry_shares=dict.fromkeys(models, use["retries"] / use["tasks"])
                if is_runner and len(models) == 1
                else {},
            )
        workloads = metadata["manifest"]["num_workloads"]
        engine = metadata["manifest"].get("engine", EPYDEMIX)
        spent = metadata.get("estimated_cost", {}).get("total_usd")
    except (KeyError, TypeError, AttributeError, ZeroDivisionError):
        raise UserError(
            f"{where}: its {METADATA} is damaged; invoke cost --task-seconds N works without it"
        ) from None
    return Measured(stages, workloads, where, spent, engine)


def of_summaries(summaries: Iterable[tuple[str, Any]], where: str) -> Measured | None:
    """Return the times of the successful tasks of stage B; None if there are none.

    Parameters
    ----------
    summaries : iterable of (name, contents)
        Contents other than a summary are left out with a warning.
    """
    done = []
    for name, one in summaries:
        if not _is_summary(one):
            print(f"{name}: damaged, and left out of the estimate", file=sys.stderr)
        elif one["status"] == "done":
            done.append(one)
    if not done:
        return None
    runner = TaskTimes(
        seconds=max(_mean(done, "wall_seconds"), 0.001),
        source="measured",
        cpu_seconds=_mean(done, "cpu_seconds"),
        peak_memory_mib=max(one["peak_memory_mib"] for one in done),
    )
    return Measured({"runner": runner}, where=where, engine=done[0].get("engine", EPYDEMIX))


def _is_summary(one: Any) -> bool:
    numbers = ("wall_seconds", "cpu_seconds", "peak_memory_mib")
    is_one = isinstance(one, dict) and isinstance(one.get("status"), str)
    return is_one and all(type(one.get(name)) in (int, float) for name in numbers)


def _mean(summaries: Sequence[dict[str, Any]], name: str) -> float:
    return sum(one[name] for one in summaries) / len(summaries)


def _some(things: Sequence) -> Sequence:
    """Return at most MOST_SUMMARIES items, evenly spread, because tasks of one place are similar."""
    return things[:: -(-len(things) // MOST_SUMMARIES) or 1]


def _listed(cloud: Cloud, pattern: str) -> list[str]:
    """Return the names in the bucket that match a pattern."""
    words = ["storage", "ls", pattern, *cloud.in_project]
    return cloud.read_if_there(words, timeout_seconds=LIST_SECONDS).splitlines()
