"""How long tasks took and what memory they needed in earlier runs, here or in the bucket, in a few requests.

A finished run tells all in run_metadata.json; of one that is not, some of its summaries are read.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modeling.by_products import check_metadata, check_summary
from ops import gcloud
from ops.cloud.bucket import LIST_SECONDS, CloudRun, read_objects, runs_and_folders
from ops.cloud.bucket import by_product as object_or_none
from ops.cloud.inputs import find_manifest
from ops.failures import UserError
from ops.gcloud import GcloudError
from ops.laptop.run_files import LocalRun, by_product, find_runs, latest_run, read_json
from ops.names import check_exp_id, check_run_id
from ops.run_paths import METADATA, SUMMARIES, experiment_path, run_path
from ops.settings import Settings
from ops.shell import Shell
from ops.terminal import nearest

MOST_SUMMARIES = 200
MOST_UNFINISHED = 10  # of the newest runs, before an older one that ended is not looked for any more


@dataclass(frozen=True)
class TaskTimes:
    """What one input of stage B took, or the one task of another stage, on average."""

    seconds: float
    source: str  # "measured", "given" or "assumed"
    cpu_seconds: float | None = None
    peak_memory_mib: float | None = None  # the most of all
    retry_shares: dict[str, float] = field(default_factory=dict)  # tries again a task, by provisioning model


@dataclass(frozen=True)
class Measured:
    """What is known of earlier runs, and of which."""

    stages: dict[str, TaskTimes]
    workloads: int | None = None
    where: str = ""  # the run it is from
    spent_usd: float | None = None  # what that run was estimated to have cost when it ended


def given(seconds: float, measured: Measured | None) -> Measured:
    """Return what was measured with another time for an input of stage B, as the operator names it."""
    found = measured or Measured({})
    runner = found.stages.get("runner")
    peak = runner.peak_memory_mib if runner else None
    stages = found.stages | {"runner": TaskTimes(seconds, "given", peak_memory_mib=peak)}
    return Measured(stages, found.workloads, found.where, found.spent_usd)


def measured_here(settings: Settings, exp_id: str, run_id: str = "") -> Measured | None:
    """Return what a local run took, the newest with results where none is named; None where there is none."""
    if run_id:
        return _of_local_run(latest_run(settings, exp_id, run_id))
    for run in reversed(find_runs(settings, exp_id)):
        if run.is_built and (found := _of_local_run(run)):
            return found
    return None


def measured_beside_here(settings: Settings, exp_id: str) -> Measured | None:
    """Return what the newest local run took of another experiment in the same folder: of an earlier week."""
    for run in reversed(find_runs(settings)):
        if not (_are_beside(run.exp_id, exp_id) and run.is_built):
            continue
        try:
            if found := _of_local_run(run):
                return found
        except UserError as error:  # nobody asked for that run
            print(f"left out of the estimate: {error}", file=sys.stderr)
    return None


def _are_beside(exp_id: str, other: str) -> bool:
    """Tell whether experiments are in one folder, as flu/2026-w05 and flu/2026-w06; at the top is none."""
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
    return found and replace(found, workloads=run.manifest["num_workloads"])


def _of_metadata_or_none(metadata: dict[str, Any], where: str) -> Measured | None:
    """Return the times in run_metadata.json; None, with a warning, if it is damaged."""
    try:
        return of_metadata(metadata, where)
    except UserError as error:
        print(f"left out of the estimate: {error}", file=sys.stderr)
        return None


def _read_or_none(path: Path) -> Any:
    try:
        return check_summary(read_json(path))
    except (UserError, ValueError):
        return None  # and is said to be damaged with what holds something else


def measured_in_cloud(
    shell: Shell, settings: Settings, exp_id: str, run_id: str = "", inputs: int | None = None
) -> Measured | None:
    """Return what a run in the bucket took, the newest that ended without a run id; None where there is none.

    Parameters
    ----------
    inputs : int, optional
        How many the run has that is named, where that is known already.

    Raises
    ------
    UserError
        The bucket cannot be asked.
    """
    check_exp_id(exp_id)
    if run_id:
        check_run_id(run_id)
        run = CloudRun(exp_id, run_id)
        return _of_ended(shell, settings, run) or _of_unfinished(shell, settings, run, inputs)
    runs = _runs_below(shell, settings, experiment_path(settings, exp_id))
    return _of_newest(shell, settings, [run for run in runs if run.exp_id == exp_id])


def measured_beside_in_cloud(shell: Shell, settings: Settings, exp_id: str) -> Measured | None:
    """Return what the newest run in the bucket took of another experiment in the same folder; as above."""
    folder = exp_id.rpartition("/")[0]
    if not folder:
        return None
    runs = _runs_below(shell, settings, f"{experiment_path(settings, folder)}*/")
    return _of_newest(shell, settings, [run for run in runs if _are_beside(run.exp_id, exp_id)])


def _runs_below(shell: Shell, settings: Settings, pattern: str) -> list[CloudRun]:
    """Return the runs right below folders of experiments."""
    top = f"gs://{settings.bucket_name}/{settings.dir_prefix}"
    return runs_and_folders(_listed(shell, settings, pattern), top)[0]


def _of_newest(shell: Shell, settings: Settings, runs: Sequence[CloudRun]) -> Measured | None:
    """Return what the newest run took that has ended, else the newest of all."""
    newest = sorted(runs, key=lambda run: run.run_id, reverse=True)[:MOST_UNFINISHED]
    for run in newest:
        if found := _of_ended(shell, settings, run):
            return found
    return _of_unfinished(shell, settings, newest[0]) if newest else None


def _of_ended(shell: Shell, settings: Settings, run: CloudRun) -> Measured | None:
    path = run_path(settings, run.exp_id, run.run_id)
    held = object_or_none(shell, settings, path + METADATA, check_metadata)
    return _of_metadata_or_none(held, f"run {run.run_id} of {run.exp_id} in {path}") if held else None


def _of_unfinished(
    shell: Shell, settings: Settings, run: CloudRun, inputs: int | None = None
) -> Measured | None:
    """Return what the first tasks of a run took that has not ended; in a few requests, however many."""
    path = run_path(settings, run.exp_id, run.run_id)
    if inputs is None:
        manifest = find_manifest(shell, settings, path)
        if manifest is None:
            return None
        inputs = manifest.num_workloads
    zeros = "0" * (max(4, len(str(inputs - 1))) - 1)
    names = _listed(shell, settings, f"{path}{SUMMARIES}runner_{zeros}*.json")
    where = f"unfinished run {run.run_id} of {run.exp_id} in {path}"
    found = of_summaries(_read_each(shell, settings, names), where)
    return found and replace(found, workloads=inputs)


def _read_each(shell: Shell, settings: Settings, names: Sequence[str]) -> list[tuple[str, Any]]:
    """Return objects by name, asked for at once; where one is damaged one by one, with None for it."""
    if not names:
        return []
    try:
        found = read_objects(shell, settings, names)
        return [(name, check_summary(one)) for name, one in zip(names, found, strict=True)]
    except GcloudError:
        raise
    except (UserError, ValueError):  # no JSON, not one value for each name, or no summary
        if len(names) == 1:
            return [(names[0], None)]
    return [found for name in names for found in _read_each(shell, settings, [name])]


def of_metadata(metadata: dict[str, Any], where: str) -> Measured:
    """Return what run_metadata.json tells; of stage B what inputs took that ended well."""
    stages = {}
    try:
        models = {each["provisioning_model"] for each in metadata.get("machines", {}).get("runner", [])}
        for name, use in metadata["stages"].items():
            # older versions did not tell what ended well from what failed
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
            # a run that goes on has stages A and C again, but finds most of their work done
            seconds = done_seconds / done if is_runner else use["longest_seconds"]
            stages[name] = TaskTimes(
                seconds=max(seconds, 0.001),
                source="measured",
                cpu_seconds=done_cpu_seconds / done,
                peak_memory_mib=use["peak_memory_mib"],
                # of a run on both kinds of machines nobody knows which of them were taken away
                retry_shares=dict.fromkeys(models, use["retries"] / use["tasks"])
                if is_runner and len(models) == 1
                else {},
            )
        workloads = metadata["manifest"]["num_workloads"]
        spent = metadata.get("estimated_cost", {}).get("total_usd")
    except (KeyError, TypeError, AttributeError, ZeroDivisionError):
        raise UserError(
            f"{where}: its {METADATA} is damaged; invoke cost --task-seconds N goes without it"
        ) from None
    return Measured(stages, workloads, where, spent)


def of_summaries(summaries: Iterable[tuple[str, Any]], where: str) -> Measured | None:
    """Return what the tasks of stage B took that were done; None where none was.

    Parameters
    ----------
    summaries : iterable of (name, contents)
        What is no summary is left out, and said.
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
    return Measured({"runner": runner}, where=where)


def _is_summary(one: Any) -> bool:
    numbers = ("wall_seconds", "cpu_seconds", "peak_memory_mib")
    is_one = isinstance(one, dict) and isinstance(one.get("status"), str)
    return is_one and all(type(one.get(name)) in (int, float) for name in numbers)


def _mean(summaries: Sequence[dict[str, Any]], name: str) -> float:
    return sum(one[name] for one in summaries) / len(summaries)


def _some(things: Sequence) -> Sequence:
    """Return at most MOST_SUMMARIES of many, evenly spread: tasks of one place are alike."""
    return things[:: -(-len(things) // MOST_SUMMARIES) or 1]


def _listed(shell: Shell, settings: Settings, pattern: str) -> list[str]:
    """Return the names in the bucket that gcloud lists, none where there are none."""
    words = ["storage", "ls", pattern, "--project", settings.project_id]
    return gcloud.read_if_there(shell, words, timeout_seconds=LIST_SECONDS).splitlines()
