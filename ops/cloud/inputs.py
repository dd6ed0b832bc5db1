"""Inputs of a run in the bucket: which ones a job of stage B runs, and their names.

The stages read the same files with scripts/pipeline/artifacts.py, which ops/ does not import.
"""

import contextlib
import hashlib
import re
import tempfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from modeling.input_names import MOST_IN_A_LINE
from modeling.run_names import BUILDER, MANIFEST, RESULTS
from ops.cloud.bucket import LIST_SECONDS, read_objects
from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gcloud import GcloudError, is_no_match
from ops.input_names import (
    LIST,
    MOST_NAMED,
    file_names,
    index_in,
    known_files,
    missing_indices,
    named,
    names_in_files,
    recorded_names,
    unnamed,
)
from ops.manifests import MOST_TASKS, Manifest, Share, parsed_manifest, pending_inputs

MOST_DIGITS = 18
_RESULT = re.compile(r"/result_([0-9]{1,18})\.pkl$", re.MULTILINE)


def find_manifest(cloud: Cloud, run_path: str) -> Manifest | None:
    """Return the manifest of a run; None if it is not built yet, or in a dry run.

    Parameters
    ----------
    run_path : str
        gs://.../<run id>/
    """
    try:
        held = read_objects(cloud, [run_path + MANIFEST])
    except GcloudError as error:
        if not is_no_match(error):
            raise
        return None
    return _manifest(held, run_path) if held else None


def _manifest(held: list[Any], run_path: str) -> Manifest:
    """Return the manifest in a list of one object, checked against the path of its run."""
    above, _, run_id = run_path.rstrip("/").rpartition("/")
    found = held[0] if held else None
    exp_id = found.get("exp_id") if isinstance(found, dict) else None
    if not isinstance(exp_id, str) or not above.endswith(f"/{exp_id}"):
        exp_id = above.removeprefix("gs://").partition("/")[2]
    needed = ("num_pending", "workloads_per_task")
    return parsed_manifest(found, run_path + MANIFEST, exp_id, run_id, *needed)


def chosen_inputs(text: str) -> list[int]:
    """Return the inputs in the value of --only, such as 3,17,40 or 3,17-20, in order."""
    chosen: set[int] = set()
    for part in re.split(r"[,\s]+", text.strip(" ,")):
        parsed = re.fullmatch(rf"([0-9]{{1,{MOST_DIGITS}}})(?:-([0-9]{{1,{MOST_DIGITS}}}))?", part)
        first, last = (int(parsed[1]), int(parsed[2] or parsed[1])) if parsed else (1, 0)
        if not 0 <= last - first < MOST_TASKS:
            shown = text[:40] if text.strip() else '""'  # e.g. a shell variable that is not set
            raise UserError(f"--only {shown}: expected inputs counted from 0, such as 3,17,40 or 3-9")
        chosen |= set(range(first, last + 1))
    return sorted(chosen)


def inputs_with_results(cloud: Cloud, run_path: str) -> set[int]:
    """Return the inputs of a run that have a result."""
    words = ["storage", "ls", run_path + RESULTS, *cloud.in_project]
    listed = cloud.read_if_there(words, timeout_seconds=LIST_SECONDS)
    return {int(index) for index in _RESULT.findall(listed)}


@dataclass(frozen=True)
class Selection:
    """Inputs for a job of stage B, and the content of the pending file that names them."""

    share: Share
    content: bytes = b""  # empty: no pending file is needed, or stage A has written it


def unfinished_inputs(manifest: Manifest, finished: Collection[int]) -> Selection:
    """Return all inputs without a result.

    They may differ from the pending inputs in the manifest, which stage A wrote last: results may have been
    added or removed since.
    """
    left = [index for index in range(manifest.num_workloads) if index not in finished]
    if len(left) == manifest.num_workloads == manifest.num_pending:
        return Selection(manifest.share)
    return choose_inputs(manifest, left) if left else Selection(Share(0, 1))


def choose_inputs(manifest: Manifest, inputs: Iterable[int]) -> Selection:
    """Return some inputs of a run; their pending file is named by its content, so no other is overwritten.

    Raises
    ------
    UserError
        The run has no such input.
    """
    inputs = list(inputs)
    last = manifest.num_workloads - 1
    if unknown := [index for index in inputs if index > last]:
        raise UserError(f"--only {unknown[0]}: the inputs of this run are 0 to {last}")
    content = "".join(f"{index:0{len(str(last))}d}\n" for index in inputs).encode()
    name = f"pending-{hashlib.sha256(content).hexdigest()[:8]}.txt"
    if name == manifest.pending:
        return Selection(manifest.share)
    return Selection(Share.of(len(inputs), manifest.workloads_per_task, name), content)


def upload_pending(cloud: Cloud, run_path: str, selection: Selection) -> None:
    """Upload the pending file of a selection to its run, unless stage A has written it."""
    if not selection.content:
        return
    name = selection.share.pending_file
    with tempfile.TemporaryDirectory(prefix="pending-") as work:
        path = Path(work, name)
        path.write_bytes(selection.content)
        cloud.read(["storage", "cp", str(path), f"{run_path}{BUILDER}{name}", *cloud.in_project])


def inputs_of_tasks(
    cloud: Cloud, run_path: str, variables: dict[str, str], tasks: Iterable[int]
) -> dict[int, list[int]]:
    """Return the inputs of tasks of a job, from the variables of the job.

    Raises
    ------
    UserError
        A file of the run is missing.
    """
    name, each = variables.get("PENDING_FILE", ""), int(variables.get("WORKLOADS_PER_TASK") or 1)
    inputs: Any
    if name:
        path = f"{run_path}{BUILDER}{name}"
        words = ["storage", "cat", path, *cloud.in_project]
        inputs = pending_inputs(cloud.read(words, echo=False).encode(), name, path)
    else:
        manifest = _manifest(read_objects(cloud, [run_path + MANIFEST]), run_path)
        inputs, each = range(manifest.num_workloads), manifest.workloads_per_task
    return {task: list(inputs[task * each : (task + 1) * each]) for task in tasks}


def cloud_names(cloud: Cloud, run_path: str, indices: Iterable[int]) -> dict[int, str]:
    """Return the names of inputs of a run in the bucket, at most of the first MOST_NAMED.

    Parameters
    ----------
    run_path : str
        gs://.../<run id>/
    """
    wanted = list(islice(indices, MOST_NAMED))
    if not wanted:
        return {}
    urls = [f"{run_path}{BUILDER}{name}" for index in wanted for name in file_names(index)]
    urls.append(f"{run_path}{BUILDER}{LIST}")
    with tempfile.TemporaryDirectory(prefix="inputs-") as folder:
        words = ["storage", "cp", "--continue-on-error", *urls, folder, *cloud.in_project]
        with contextlib.suppress(UserError):  # only one of the possible names of a file exists
            cloud.read(words, echo=False)
        paths = [path for index in wanted for path in known_files(Path(folder), index)]
        return {index_in(path): name for path, name in names_in_files(cloud.shell, paths).items()}


def missing_names(cloud: Cloud, run_path: str, recorded: dict[str, Any]) -> list[str]:
    """Return the names of the first inputs that were missing, from the record of stage C."""
    first = missing_indices(recorded)[:MOST_IN_A_LINE]
    names = {index: name for index, (name, _) in recorded_names(recorded).items()}
    return named(first, names | cloud_names(cloud, run_path, unnamed(first, names)))
