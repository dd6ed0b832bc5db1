"""How long tasks took and what memory they needed in earlier runs, here or in the bucket, in a few requests.

A finished run tells all in run_metadata.json; of one that is not, some of its summaries are read.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ops import gcloud
from ops.failures import UserError
from ops.gcloud import GcloudError, is_no_match
from ops.jobs.cloud_inputs import find_manifest
from ops.laptop.run_files import LocalRun, find_runs, latest_run, read_json
from ops.names import RUN_ID, check_exp_id, check_run_id
from ops.run_paths import METADATA, SUMMARIES
from ops.settings import Settings
from ops.shell import Shell
from ops.shown import nearest
from ops.watching.cloud_files import experiment_path, read_objects

MOST_SUMMARIES = 200


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


def _of_local_run(run: LocalRun) -> Measured | None:
    where = f"run {run.run_id} in {nearest(run.folder)}"
    path = run.folder / METADATA
    if path.is_file():
        return of_metadata(read_json(path), where)
    paths = _some(sorted(run.folder.glob(f"{SUMMARIES}runner_*.json")))
    found = of_summaries(((nearest(path), _read_or_none(path)) for path in paths), where)
    return found and replace(found, workloads=run.manifest["num_workloads"])


def _read_or_none(path: Path) -> Any:
    try:
        return read_json(path)
    except UserError:
        return None  # and is said to be damaged with what holds something else


def measured_in_cloud(shell: Shell, settings: Settings, exp_id: str, run_id: str = "") -> Measured | None:
    """Return what a run in the bucket took, the newest that ended without a run id; None where there is none.

    Raises
    ------
    UserError
        The bucket cannot be asked.
    """
    check_exp_id(exp_id)
    if run_id:
        check_run_id(run_id)
    top = experiment_path(settings, exp_id)
    run_id = run_id or _newest(_listed(shell, settings, f"{top}*/{METADATA}"))
    if run_id:
        where, name = f"run {run_id} in {top}{run_id}/", f"{top}{run_id}/{METADATA}"
        if said := _found(shell, settings, "cat", name):
            return of_metadata(_json(said, name), where)
    run_id = run_id or _newest(_listed(shell, settings, top))
    return _of_summaries_in_cloud(shell, settings, f"{top}{run_id}/") if run_id else None


def _of_summaries_in_cloud(shell: Shell, settings: Settings, path: str) -> Measured | None:
    """Return what the first tasks of a run took that has not ended; in a few requests, however many."""
    manifest = find_manifest(shell, settings, path)
    if manifest is None:
        return None
    zeros = "0" * (max(4, len(str(manifest.num_workloads - 1))) - 1)
    names = _listed(shell, settings, f"{path}{SUMMARIES}runner_{zeros}*.json")
    found = of_summaries(_read_each(shell, settings, names), f"unfinished run in {path}")
    return found and replace(found, workloads=manifest.num_workloads)


def _read_each(shell: Shell, settings: Settings, names: Sequence[str]) -> list[tuple[str, Any]]:
    """Return objects by name, asked for at once; where one is damaged one by one, with None for it."""
    if not names:
        return []
    try:
        return list(zip(names, read_objects(shell, settings, names), strict=True))
    except GcloudError:
        raise
    except (UserError, ValueError):  # no JSON, or not one value for each name
        if len(names) == 1:
            return [(names[0], None)]
    return [found for name in names for found in _read_each(shell, settings, [name])]


def of_metadata(metadata: dict[str, Any], where: str) -> Measured:
    """Return what run_metadata.json tells."""
    stages = {}
    try:
        models = {each["provisioning_model"] for each in metadata.get("machines", {}).get("runner", [])}
        for name, use in metadata["stages"].items():
            tasks, tries = use["tasks"], use.get("tries", use["tasks"])
            is_runner = name == "runner"
            # a run that goes on has stages A and C again, but finds most of their work done
            seconds = use["wall_seconds"] / tries if is_runner else use["longest_seconds"]
            stages[name] = TaskTimes(
                seconds=max(seconds, 0.001),
                source="measured",
                cpu_seconds=use["cpu_seconds"] / tries,
                peak_memory_mib=use["peak_memory_mib"],
                # of a run on both kinds of machines nobody knows which of them were taken away
                retry_shares=dict.fromkeys(models, use["retries"] / tasks)
                if is_runner and len(models) == 1
                else {},
            )
        workloads = metadata["manifest"]["num_workloads"]
        spent = metadata.get("estimated_cost", {}).get("total_usd")
    except (KeyError, TypeError, AttributeError, ZeroDivisionError):
        raise UserError(
            f"{where}: its {METADATA} is damaged; say what an input takes with --task-seconds"
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
    return _found(shell, settings, "ls", pattern).split()


def _found(shell: Shell, settings: Settings, verb: str, name: str) -> str:
    """Return what gcloud says of names in the bucket, empty where there are none."""
    try:
        return gcloud.read(
            shell, ["storage", verb, name, "--project", settings.project_id], echo=False, timeout_seconds=60
        )
    except GcloudError as error:
        if is_no_match(error):
            return ""
        raise


def _newest(names: Iterable[str]) -> str:
    """Return the newest run id in names of a bucket: they sort by time."""
    parts = {part for name in names for part in name.split("/")}
    return max((part for part in parts if RUN_ID.fullmatch(part)), default="")


def _json(text: str, name: str) -> dict[str, Any]:
    try:
        return json.loads(text)
    except ValueError:
        raise UserError(f"{name}: no JSON in it; say what an input takes with --task-seconds") from None
