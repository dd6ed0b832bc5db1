"""Which inputs of a run in the bucket a job of stage B runs: those the manifest names, or a few chosen ones.

The stages read the same files in scripts/pipeline/artifacts.py, which ops/ does not import.
"""

import hashlib
import re
import tempfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops import gcloud
from ops.cloud.bucket import LIST_SECONDS, read_objects
from ops.failures import UserError
from ops.gcloud import GcloudError, is_no_match
from ops.manifests import check_run, checked_manifest, pending_inputs
from ops.run_paths import BUILDER, MANIFEST, RESULTS
from ops.settings import Settings
from ops.shell import Shell

MOST_TASKS = 100_000  # of one job of Batch
MOST_DIGITS = 18
_RESULT = re.compile(r"/result_([0-9]{1,18})\.pkl$", re.MULTILINE)


@dataclass(frozen=True)
class Share:
    """The inputs of stage B shared out among the tasks of a job."""

    num_tasks: int
    workloads_per_task: int
    pending_file: str = ""  # which of the inputs; without it all

    @classmethod
    def of(cls, inputs: int, workloads_per_task: int, pending_file: str = "") -> "Share":
        """Share out inputs; a task takes as many as it must where a job could not hold its tasks."""
        each = max(workloads_per_task, -(-inputs // MOST_TASKS))
        return cls(-(-inputs // each), each, pending_file)


@dataclass(frozen=True)
class Manifest:
    """What is needed here of a run's manifest."""

    num_workloads: int
    num_pending: int
    workloads_per_task: int
    pending: str
    output_config_file: str = ""  # that it was built with

    @property
    def share(self) -> Share:
        return Share.of(self.num_pending, self.workloads_per_task, self.pending)


def find_manifest(shell: Shell, settings: Settings, run_path: str) -> Manifest | None:
    """Return the manifest of a run, None where it is not built yet (or in a dry run).

    Parameters
    ----------
    run_path : str
        gs://.../<run id>/
    """
    try:
        held = read_objects(shell, settings, [run_path + MANIFEST])
    except GcloudError as error:
        if not is_no_match(error):
            raise
        return None
    return None if shell.dry_run else _manifest(held, run_path)


def _manifest(held: list[Any], run_path: str) -> Manifest:
    counted = ("num_workloads", "num_pending", "workloads_per_task")
    found = checked_manifest(held[0] if held else None, run_path + MANIFEST, *counted)
    above, _, run_id = run_path.rstrip("/").rpartition("/")
    exp_id = found.get("exp_id", "")
    if not above.endswith(f"/{exp_id}"):
        exp_id = above.removeprefix("gs://").partition("/")[2]
    check_run(found, run_path + MANIFEST, exp_id, run_id)
    counts = [found[name] for name in counted]
    return Manifest(*counts, **{name: found.get(name, "") for name in ("pending", "output_config_file")})


def chosen_inputs(text: str) -> list[int]:
    """Return the inputs that --only names, in order: 3,17,40 or 3,17-20."""
    chosen: set[int] = set()
    for part in re.split(r"[,\s]+", text.strip(" ,")):
        named = re.fullmatch(rf"([0-9]{{1,{MOST_DIGITS}}})(?:-([0-9]{{1,{MOST_DIGITS}}}))?", part)
        first, last = (int(named[1]), int(named[2] or named[1])) if named else (1, 0)
        if not 0 <= last - first < MOST_TASKS:
            shown = text[:40] if text.strip() else '""'  # as of a shell's variable that is not set
            raise UserError(f"--only {shown}: inputs are needed, counted from 0, such as 3,17,40 or 3-9")
        chosen |= set(range(first, last + 1))
    return sorted(chosen)


def inputs_with_results(shell: Shell, settings: Settings, run_path: str) -> set[int]:
    """Return the inputs of a run that have a result, by one listing of names."""
    words = ["storage", "ls", run_path + RESULTS, "--project", settings.project_id]
    listed = gcloud.read_if_there(shell, words, timeout_seconds=LIST_SECONDS)
    return {int(index) for index in _RESULT.findall(listed)}


def unfinished_inputs(
    shell: Shell, settings: Settings, run_path: str, manifest: Manifest, finished: Collection[int]
) -> Share:
    """Return how a job takes the inputs that have no result: as the manifest says, where these are the same.

    The manifest's list is of the last stage A: results have come since, and one may have been removed.
    """
    left = [index for index in range(manifest.num_workloads) if index not in finished]
    if len(left) == manifest.num_workloads == manifest.num_pending:
        return manifest.share
    return choose_inputs(shell, settings, run_path, manifest, left) if left else Share(0, 1)


def choose_inputs(
    shell: Shell, settings: Settings, run_path: str, manifest: Manifest, inputs: Iterable[int]
) -> Share:
    """Put a pending file of these inputs into the run, and return how a job takes them.

    It is named by its content, so that a job that runs keeps its own.
    """
    inputs = list(inputs)
    last = manifest.num_workloads - 1
    if unknown := [index for index in inputs if index > last]:
        raise UserError(f"--only {unknown[0]}: the inputs of this run are 0 to {last}")
    lines = "".join(f"{index:0{len(str(last))}d}\n" for index in inputs).encode()
    name = f"pending-{hashlib.sha256(lines).hexdigest()[:8]}.txt"
    if name == manifest.pending:  # stage A has put it there
        return manifest.share
    with tempfile.TemporaryDirectory(prefix="pending-") as work:
        path = Path(work, name)
        path.write_bytes(lines)
        words = ["storage", "cp", str(path), f"{run_path}{BUILDER}{name}", "--project", settings.project_id]
        gcloud.read(shell, words)
    return Share.of(len(inputs), manifest.workloads_per_task, name)


def inputs_of_tasks(
    shell: Shell, settings: Settings, run_path: str, variables: dict[str, str], tasks: Iterable[int]
) -> dict[int, list[int]]:
    """Return the inputs of some tasks of a job by task, from the job's variables.

    Raises
    ------
    UserError
        The run's files are not there (any more).
    """
    name, each = variables.get("PENDING_FILE", ""), int(variables.get("WORKLOADS_PER_TASK") or 1)
    inputs: Any
    if name:
        path = f"{run_path}{BUILDER}{name}"
        words = ["storage", "cat", path, "--project", settings.project_id]
        inputs = pending_inputs(gcloud.read(shell, words, echo=False).encode(), name, path)
    else:
        manifest = _manifest(read_objects(shell, settings, [run_path + MANIFEST]), run_path)
        inputs, each = range(manifest.num_workloads), manifest.workloads_per_task
    return {task: list(inputs[task * each : (task + 1) * each]) for task in tasks}
