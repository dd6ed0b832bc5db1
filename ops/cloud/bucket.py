"""Runs in the bucket as gcloud lists them: their files, manifests, headlines and outputs.

Runs on this machine are in laptop/run_files.py. Folders are listed level by level, never everything below
them: a bucket may hold thousands of runs, and a run 100,000 results.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from modeling.by_products import check_headline, check_json
from modeling.run_names import (
    CLAIM,
    HEADLINE,
    MANIFEST,
    OUTPUT_LIST,
    OUTPUTS,
    RUN_ID,
    RUNNER,
    is_exp_id,
    is_run_id,
)
from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gcloud import GcloudError, in_parallel, is_no_match
from ops.manifests import Manifest, parsed_manifest
from ops.names import check_exp_id, check_run_id
from ops.terminal import counted, warn_left_out

LIST_SECONDS = 900  # 1000 names per request
MOST_DEPTH = 4  # levels of folders searched for experiments (flu/2026/w05); a bucket may hold other things
FOLDERS_A_CALL = 500  # per gcloud call: a name has up to 1024 bytes, all arguments together 2 MiB
RUNS_A_CALL = 100  # per gcloud call, with a few paths each
MOST_WITHOUT_OUTPUTS = 10  # newest runs searched for outputs; then the operator has to name one
AN_EXP_ID, A_RUN_ID, A_TIME = "EXP_ID", "RUN_ID", "TIME"  # placeholders in a dry run, which asks nothing
_PROGRESS_FILES = (CLAIM, MANIFEST, f"{OUTPUTS}*/{OUTPUT_LIST}", f"{OUTPUTS}*/{HEADLINE}")
_RUN_FILE = re.compile(rf"(?P<exp_id>.+?)/(?P<run_id>{RUN_ID.pattern})/(?P<name>.+)")

Item = TypeVar("Item")


@dataclass(frozen=True)
class CloudRun:
    """A run in the bucket: the files that show its progress, its manifest, and its newest headline."""

    exp_id: str
    run_id: str
    files: frozenset[str] = frozenset()
    manifest: Manifest | None = None  # None: not built, or damaged
    headline: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        return self.exp_id, self.run_id

    @property
    def is_built(self) -> bool:
        return MANIFEST in self.files

    @property
    def is_claimed(self) -> bool:
        """Whether an execution has claimed the run; it may have been cancelled since."""
        return CLAIM in self.files

    @property
    def outputs(self) -> str:
        """Name of the newest finished output folder; "" without one."""
        finished = [name.split("/")[1] for name in self.files if name.endswith(f"/{OUTPUT_LIST}")]
        return max(finished, default="")

    @property
    def needs_results_listed(self) -> bool:
        return (self.is_built and not self.outputs) or self.run_id == A_RUN_ID

    @property
    def headline_file(self) -> str:
        return f"{OUTPUTS}{self.outputs}/{HEADLINE}"

    @property
    def inputs(self) -> int:
        return self.manifest.num_workloads if self.manifest else 0

    @property
    def results(self) -> int:
        """Number of results; for a run with outputs, the number of results in these."""
        if self.outputs:
            return self.inputs - len(self.headline.get("missing", []))
        return sum(name.startswith(RUNNER) for name in self.files)


def newest_runs(cloud: Cloud, exp_id: str = "", limit: int | None = None) -> tuple[list[CloudRun], int]:
    """Return the newest runs of one or all experiments, newest first, and the number of all runs.

    The runs of flu do not include those of flu/2026-w05; the same holds for runs on this machine.
    """
    if exp_id:
        check_exp_id(exp_id)
    found = _experiment_runs(cloud, exp_id) if exp_id else _all_runs(cloud)
    newest = sorted(found, key=lambda run: run.run_id, reverse=True)[:limit]
    described = [run for batch in _batches(newest, RUNS_A_CALL) for run in _described(cloud, batch)]
    return described, len(found)


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _experiment_runs(cloud: Cloud, exp_id: str) -> list[CloudRun]:
    runs, _ = _folders(cloud, [cloud.experiment_path(exp_id)])
    return [run for run in runs if run.exp_id == exp_id] or _example_run(cloud, exp_id)


def _example_run(cloud: Cloud, exp_id: str) -> list[CloudRun]:
    """Return the run that a dry run, which lists none, shows as an example; else an empty list."""
    return [CloudRun(exp_id, A_RUN_ID)] if cloud.shell.dry_run else []


def _all_runs(cloud: Cloud) -> list[CloudRun]:
    """Return the runs of all experiments, found level by level of their folders."""
    runs, above = [], [cloud.top]
    for _ in range(MOST_DEPTH + 1):
        found, above = _folders(cloud, above)
        runs += found
        if not above:
            return runs or _example_run(cloud, AN_EXP_ID)
    where = f"{counted(len(above), 'folder')} more than {MOST_DEPTH} levels deep, such as {above[0]}"
    print(f"not searched for runs: {where}; --exp-id finds the runs of one experiment", file=sys.stderr)
    return runs


def _folders(cloud: Cloud, above: Sequence[str]) -> tuple[list[CloudRun], list[str]]:
    """Return the runs directly below some folders, and the other folders there that may hold runs."""
    listed = in_parallel(
        [lambda batch=batch: _below(cloud, batch) for batch in _batches(above, FOLDERS_A_CALL)]
    )
    return runs_and_folders([line for lines in listed for line in lines], cloud.top)


def _below(cloud: Cloud, folders: Sequence[str]) -> list[str]:
    """Return the paths directly below some folders; none below a folder that was just removed."""
    words = ["storage", "ls", *folders, *cloud.in_project]
    try:
        listed = cloud.read(words, timeout_seconds=LIST_SECONDS, echo=len(folders) == 1)
    except GcloudError as error:
        if not is_no_match(error):
            raise
        half = len(folders) // 2
        parts = (folders[:half], folders[half:]) if half else ()
        return [line for part in parts for line in _below(cloud, part)]
    return listed.splitlines()


def runs_and_folders(listed: Iterable[str], top: str) -> tuple[list[CloudRun], list[str]]:
    """Return the runs, and the other folders of experiments, in lines of `gcloud storage ls`."""
    runs, others = [], []
    for line in listed:
        if not line.endswith("/"):
            continue
        exp_id, _, name = line.removeprefix(top).rstrip("/").rpartition("/")
        if is_run_id(name):
            runs += [CloudRun(exp_id, name)] if is_exp_id(exp_id) else []
        elif is_exp_id(line.removeprefix(top).rstrip("/")):
            others.append(line)
    return runs, others


def _described(cloud: Cloud, runs: Sequence[CloudRun]) -> list[CloudRun]:
    """Return runs with files, manifests and headlines; results are only listed for runs without outputs."""
    runs = _with_files(cloud, runs, _PROGRESS_FILES)
    unfinished = [run for run in runs if run.needs_results_listed]
    if unfinished:
        with_results = {run.key: run for run in _with_files(cloud, unfinished, (f"{RUNNER}*.pkl",))}
        runs = [with_results.get(run.key, run) for run in runs]
    return _with_contents(cloud, runs)


def _with_files(cloud: Cloud, runs: Sequence[CloudRun], patterns: Sequence[str]) -> list[CloudRun]:
    """Return runs with the names of files that match the patterns added."""
    paths = [f"{cloud.run_path(*run.key)}{pattern}" for run in runs for pattern in patterns]
    words = ["storage", "objects", "list", *paths, "--format", "value(name)", *cloud.in_project]
    names: dict[tuple[str, str], set[str]] = {run.key: set() for run in runs}
    for line in cloud.read(words, timeout_seconds=LIST_SECONDS, echo=False).splitlines():
        found = _RUN_FILE.fullmatch(line.strip().removeprefix(cloud.prefix))
        if found and (found["exp_id"], found["run_id"]) in names:
            names[found["exp_id"], found["run_id"]].add(found["name"])
    return [replace(run, files=run.files | names[run.key]) for run in runs]


def _with_contents(cloud: Cloud, runs: Sequence[CloudRun]) -> list[CloudRun]:
    """Return runs with their manifests and newest headlines, read in one request."""
    paths = [
        f"{cloud.run_path(*run.key)}{name}"
        for run in runs
        for name in (MANIFEST, run.headline_file)
        if name in run.files
    ]
    contents = dict(zip(paths, read_objects_or_none(cloud, paths), strict=True))
    return [
        replace(
            run,
            manifest=_manifest(run, f"{cloud.run_path(*run.key)}{MANIFEST}", contents),
            headline=_headline(f"{cloud.run_path(*run.key)}{run.headline_file}", contents),
        )
        for run in runs
    ]


def _manifest(run: CloudRun, path: str, contents: Mapping[str, Any]) -> Manifest | None:
    """Return the manifest of a run; None if it is missing or, with a warning, damaged."""
    if path not in contents:
        return None
    try:
        return parsed_manifest(contents[path], path, *run.key)
    except UserError as error:
        warn_left_out(path, error)
        return None


def _headline(path: str, contents: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headline of a run; empty if it is missing or, with a warning, damaged."""
    if path not in contents:
        return {}
    try:
        return check_headline(contents[path])
    except ValueError as error:
        warn_left_out(path, error)
        return {}


def run_ids(cloud: Cloud, exp_id: str) -> list[str]:
    """Return the ids of an experiment's runs, newest last.

    Raises
    ------
    UserError
        The experiment has no runs.
    """
    found = runs_in_bucket(cloud, exp_id)
    if not found:
        raise no_runs(cloud, exp_id)
    return found


def runs_in_bucket(cloud: Cloud, exp_id: str) -> list[str]:
    """Return the ids of an experiment's runs, newest last; an empty list without any."""
    check_exp_id(exp_id)
    return sorted(run.run_id for run in _experiment_runs(cloud, exp_id))


def no_runs(cloud: Cloud, exp_id: str) -> UserError:
    return UserError(f"no runs of {exp_id} in {cloud.experiment_path(exp_id)}", fix="invoke runs --cloud")


def newest_outputs(cloud: Cloud, exp_id: str, run_id: str = "") -> tuple[str, str]:
    """Return a run and the name of its newest outputs; without `run_id`, of the newest run that has any.

    Raises
    ------
    UserError
        No outputs were found.
    """
    if run_id:
        check_exp_id(exp_id)
        check_run_id(run_id)
    candidates = [run_id] if run_id else run_ids(cloud, exp_id)[-MOST_WITHOUT_OUTPUTS:]
    for each in reversed(candidates):
        found = _below(cloud, [f"{cloud.run_path(exp_id, each)}{OUTPUTS}*/{OUTPUT_LIST}"])
        if found:
            return each, max(line.split("/")[-2] for line in found)
        if cloud.shell.dry_run:
            return each, A_TIME
        if not run_id:
            print(f"run {each} has no outputs yet; looking at the previous run", flush=True)
    which = f"run {run_id} of {exp_id} has" if run_id else f"the newest runs of {exp_id} have"
    raise UserError(f"{which} no outputs in the bucket", fix=f"invoke runs --cloud --exp-id {exp_id}")


def read_objects(cloud: Cloud, paths: Sequence[str]) -> list[Any]:
    """Return the contents of JSON objects in the bucket, in the order of their paths, in one request.

    Raises
    ------
    UserError
        One of them is not JSON, or not a single value.
    """
    values = _values(cloud.read(_cat(cloud, paths), echo=False), paths)
    if len(values) != len(paths) and not cloud.shell.dry_run:
        where = paths[0] if len(paths) == 1 else f"one of {len(paths)} objects, the first is {paths[0]}"
        raise UserError(f"{where}: not a single JSON value; it is damaged", exit_code=1)
    return values


def read_objects_or_none(cloud: Cloud, paths: Sequence[str]) -> list[Any]:
    """Return the contents of JSON objects as read_objects(); None for a damaged or missing one.

    They are read in one request, or one by one if that fails.
    """
    try:
        return read_objects(cloud, paths) if paths else []
    except UserError as error:
        if isinstance(error, GcloudError) and not is_no_match(error):
            raise
        if len(paths) == 1:
            return [None]
    each_alone = in_parallel([lambda path=path: read_objects_or_none(cloud, [path]) for path in paths])
    return [content for (content,) in each_alone]


def by_product(cloud: Cloud, path: str, check: Callable[[Any], Any]) -> Any:
    """Return an object that no result depends on; None if it is missing or, with a warning, damaged.

    `check` is one of modeling/by_products.py.
    """
    try:
        found = find_object(cloud, path)
        return check(found[0]) if found else None
    except GcloudError:
        raise
    except (UserError, ValueError) as error:
        warn_left_out(path, error)
        return None


def find_object(cloud: Cloud, path: str) -> list[Any]:
    """Return the content of a JSON object as a list of one; an empty list if it does not exist."""
    return _values(cloud.read_if_there(_cat(cloud, [path])), [path])


def _cat(cloud: Cloud, paths: Sequence[str]) -> list[str]:
    return ["storage", "cat", *paths, *cloud.in_project]


def _values(text: str, paths: Sequence[str]) -> list[Any]:
    """Return the JSON values that follow one another in a text."""
    decoder, values, at = json.JSONDecoder(), [], 0
    try:
        while at < len(text.rstrip()):
            value, at = decoder.raw_decode(text, at)
            values.append(check_json(value))
            at += len(text[at:]) - len(text[at:].lstrip())
    except (ValueError, RecursionError):
        path = paths[min(len(values), len(paths) - 1)]
        raise UserError(f"{path}: not JSON; it is damaged", exit_code=1) from None
    return values
