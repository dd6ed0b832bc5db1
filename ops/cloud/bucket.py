"""The files of runs in the bucket, as gcloud lists them: what runs there are, how far they came, outputs.

Those on this machine are in run_files.py. Folders are listed, never all that is below them: a bucket may hold
thousands of runs, and a run 100,000 results.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from modeling.by_products import check_headline, check_json
from ops import gcloud
from ops.failures import UserError
from ops.gcloud import GcloudError, at_once, is_no_match
from ops.manifests import check_run, checked_manifest
from ops.names import RUN_ID, check_exp_id, check_run_id, is_exp_id
from ops.run_paths import CLAIM, HEADLINE, MANIFEST, OUTPUT_LIST, OUTPUTS, RUNNER, experiment_path, run_path
from ops.settings import Settings, need
from ops.shell import Shell
from ops.terminal import counted, warn_left_out

LIST_SECONDS = 900  # 1000 names a request
MOST_DEPTH = 4  # folders deep experiments are looked for, as flu/2026/w05: a bucket may hold other things
FOLDERS_A_CALL = 500  # of one gcloud: a name has up to 1024 bytes, all arguments together 2 MiB
RUNS_A_CALL = 100  # of one gcloud, which is given a few paths of each
MOST_WITHOUT_OUTPUTS = 10  # of the newest runs, before somebody has to name one
AN_EXP_ID, A_RUN_ID, A_TIME = "EXP_ID", "RUN_ID", "TIME"  # stand for them in a dry run, which does not ask
_RUN_FILE = re.compile(rf"(?P<exp_id>.+?)/(?P<run_id>{RUN_ID.pattern})/(?P<name>.+)")


@dataclass
class CloudRun:
    """A run in the bucket, as far as the names of its files, its manifest and its newest outputs tell."""

    exp_id: str
    run_id: str
    files: set[str] = field(default_factory=set)  # of those that tell how it stands
    manifest: dict[str, Any] = field(default_factory=dict)
    headline: dict[str, Any] = field(default_factory=dict)

    @property
    def is_built(self) -> bool:
        return MANIFEST in self.files

    @property
    def is_claimed(self) -> bool:
        """By an execution, which may have been cancelled since."""
        return CLAIM in self.files

    @property
    def outputs(self) -> str:
        """The name of the newest output folder that is finished; empty where there is none."""
        finished = [name.split("/")[1] for name in self.files if name.endswith(f"/{OUTPUT_LIST}")]
        return max(finished, default="")

    @property
    def inputs(self) -> int:
        return int(self.manifest.get("num_workloads", 0))

    @property
    def results(self) -> int:
        """How many results there are, or of a run that has outputs, how many these go by."""
        if self.outputs:
            return self.inputs - len(self.headline.get("missing", []))
        return sum(name.startswith(RUNNER) for name in self.files)


def newest_runs(
    shell: Shell, settings: Settings, exp_id: str = "", limit: int | None = None
) -> tuple[list[CloudRun], int]:
    """Return the newest runs of an experiment or of all, the newest first, and how many there are in all.

    Of flu those of flu itself, not of flu/2026-w05, as for runs on this machine.
    """
    need(settings, "project_id", "bucket_name")
    if exp_id:
        check_exp_id(exp_id)
    found = _experiment_runs(shell, settings, exp_id) if exp_id else _all_runs(shell, settings)
    if shell.dry_run:
        found = [CloudRun(exp_id or AN_EXP_ID, A_RUN_ID)]
    newest = sorted(found, key=lambda run: run.run_id, reverse=True)[:limit]
    for start in range(0, len(newest), RUNS_A_CALL):
        _learn(shell, settings, newest[start : start + RUNS_A_CALL])
    return newest, len(found)


def _experiment_runs(shell: Shell, settings: Settings, exp_id: str) -> list[CloudRun]:
    folders, _ = _folders(shell, settings, [experiment_path(settings, exp_id)])
    return [run for run in folders if run.exp_id == exp_id]


def _all_runs(shell: Shell, settings: Settings) -> list[CloudRun]:
    """Return the runs of all experiments, level by level of their folders."""
    runs, above = [], [f"gs://{settings.bucket_name}/{settings.dir_prefix}"]
    for _ in range(MOST_DEPTH + 1):
        found, above = _folders(shell, settings, above)
        runs += found
        if not above:
            return runs
    where = f"{counted(len(above), 'folder')} more than {MOST_DEPTH} levels deep, such as {above[0]}"
    print(f"not searched for runs: {where}; --exp-id finds those of one", file=sys.stderr)
    return runs


def _folders(shell: Shell, settings: Settings, above: Sequence[str]) -> tuple[list[CloudRun], list[str]]:
    """Return the runs right below some folders, and the other folders there that may hold some."""
    batches = [above[start : start + FOLDERS_A_CALL] for start in range(0, len(above), FOLDERS_A_CALL)]
    listed = at_once([lambda batch=batch: _below(shell, settings, batch) for batch in batches])
    top = f"gs://{settings.bucket_name}/{settings.dir_prefix}"
    return runs_and_folders([line for lines in listed for line in lines], top)


def _below(shell: Shell, settings: Settings, folders: Sequence[str]) -> list[str]:
    """Return what is right below some folders, of which one may just have gone."""
    words = ["storage", "ls", *folders, "--project", settings.project_id]
    try:
        said = gcloud.read(shell, words, timeout_seconds=LIST_SECONDS, echo=len(folders) == 1)
    except GcloudError as error:
        if not is_no_match(error):
            raise
        half = len(folders) // 2
        parts = (folders[:half], folders[half:]) if half else ()
        return [line for part in parts for line in _below(shell, settings, part)]
    return said.splitlines()


def runs_and_folders(listed: Iterable[str], top: str) -> tuple[list[CloudRun], list[str]]:
    """Return what runs and what other folders of experiments stand in lines of `gcloud storage ls`."""
    runs, others = [], []
    for line in listed:
        if not line.endswith("/"):
            continue
        exp_id, _, name = line.removeprefix(top).rstrip("/").rpartition("/")
        if RUN_ID.fullmatch(name):
            runs += [CloudRun(exp_id, name)] if is_exp_id(exp_id) else []
        elif is_exp_id(line.removeprefix(top).rstrip("/")):
            others.append(line)
    return runs, others


def _learn(shell: Shell, settings: Settings, runs: Sequence[CloudRun]) -> None:
    """Take note of how runs stand; only of those without outputs the results are counted."""
    _take_note_of(
        shell, settings, runs, (CLAIM, MANIFEST, f"{OUTPUTS}*/{OUTPUT_LIST}", f"{OUTPUTS}*/{HEADLINE}")
    )
    if unfinished := [run for run in runs if shell.dry_run or (run.is_built and not run.outputs)]:
        _take_note_of(shell, settings, unfinished, (f"{RUNNER}*.pkl",))
    wanted = {
        f"{run_path(settings, run.exp_id, run.run_id)}{name}": (run, what)
        for run in runs
        for what, name in (("manifest", MANIFEST), ("headline", f"{OUTPUTS}{run.outputs}/{HEADLINE}"))
        if name in run.files
    }
    for (path, (run, what)), held in zip(
        wanted.items(), objects_or_none(shell, settings, list(wanted)), strict=True
    ):
        setattr(run, what, _trusted(held, what, path, run))


def _trusted(held: Any, what: str, path: str, run: CloudRun) -> dict[str, Any]:
    """Return the manifest or the headline of a run; empty, with a warning, if it is damaged."""
    try:
        if what == "headline":
            return check_headline(held)
        manifest = checked_manifest(held, path)
        check_run(manifest, path, run.exp_id, run.run_id)
        return manifest
    except (UserError, ValueError) as error:
        warn_left_out(path, error)
        return {}


def objects_or_none(shell: Shell, settings: Settings, paths: Sequence[str]) -> list[Any]:
    """Return the contents of JSON objects; None for one that is damaged, or was just removed."""
    try:
        return read_objects(shell, settings, paths) if paths else []
    except UserError as error:
        if isinstance(error, GcloudError) and not is_no_match(error):
            raise
        if len(paths) == 1:
            return [None]
    alone = at_once([lambda path=path: objects_or_none(shell, settings, [path]) for path in paths])
    return [held for (held,) in alone]


def _take_note_of(shell: Shell, settings: Settings, runs: Sequence[CloudRun], names: Sequence[str]) -> None:
    """Ask which files of these names, which may hold a *, each of the runs has."""
    asked = [f"{run_path(settings, run.exp_id, run.run_id)}{name}" for run in runs for name in names]
    words = [
        "storage",
        "objects",
        "list",
        *asked,
        "--format",
        "value(name)",
        "--project",
        settings.project_id,
    ]
    by_id = {(run.exp_id, run.run_id): run for run in runs}
    for line in gcloud.read(shell, words, timeout_seconds=LIST_SECONDS, echo=False).splitlines():
        found = _RUN_FILE.fullmatch(line.strip().removeprefix(settings.dir_prefix))
        if found and (run := by_id.get((found["exp_id"], found["run_id"]))):
            run.files.add(found["name"])


def run_ids(shell: Shell, settings: Settings, exp_id: str) -> list[str]:
    """Return the ids of an experiment's runs, newest last.

    Raises
    ------
    UserError
        There is none.
    """
    found = runs_in_bucket(shell, settings, exp_id)
    if shell.dry_run:
        return [A_RUN_ID]
    if not found:
        raise no_runs(settings, exp_id)
    return found


def runs_in_bucket(shell: Shell, settings: Settings, exp_id: str) -> list[str]:
    """Return the ids of an experiment's runs, newest last; there may be none."""
    need(settings, "project_id", "bucket_name")
    check_exp_id(exp_id)
    return sorted(run.run_id for run in _experiment_runs(shell, settings, exp_id))


def no_runs(settings: Settings, exp_id: str) -> UserError:
    path = experiment_path(settings, exp_id)
    return UserError(f"no runs of {exp_id} in {path}", mend="invoke runs --cloud")


def newest_outputs(shell: Shell, settings: Settings, exp_id: str, run_id: str = "") -> tuple[str, str]:
    """Return a run, the newest that has outputs where none is named, and the name of its newest outputs.

    Raises
    ------
    UserError
        There are none.
    """
    if run_id:
        need(settings, "project_id", "bucket_name")
        check_exp_id(exp_id)
        check_run_id(run_id)
    tried = [run_id] if run_id else run_ids(shell, settings, exp_id)[-MOST_WITHOUT_OUTPUTS:]
    for each in reversed(tried):
        path = f"{run_path(settings, exp_id, each)}{OUTPUTS}*/{OUTPUT_LIST}"
        found = _below(shell, settings, [path])
        if found:
            return each, max(line.split("/")[-2] for line in found)
        if shell.dry_run:
            return each, A_TIME
        if not run_id:
            print(f"run {each} has no outputs yet; looking at the one before", flush=True)
    which = f"run {run_id} of {exp_id} has" if run_id else f"the newest runs of {exp_id} have"
    raise UserError(f"{which} no outputs in the bucket", mend=f"invoke runs --cloud --exp-id {exp_id}")


def read_objects(shell: Shell, settings: Settings, paths: Sequence[str]) -> list[Any]:
    """Return what JSON objects of the bucket hold, in the order of their paths, all asked for at once.

    Raises
    ------
    UserError
        One of them is not JSON, or not a single value.
    """
    values = _values(gcloud.read(shell, _cat(settings, paths), echo=False), paths)
    if len(values) != len(paths) and not shell.dry_run:
        where = paths[0] if len(paths) == 1 else f"one of {len(paths)} objects, the first of them {paths[0]}"
        raise UserError(f"{where}: not a single JSON value; it is damaged", exit_code=1)
    return values


def by_product(shell: Shell, settings: Settings, path: str, check: Callable[[Any], Any]) -> Any:
    """Return an object that no result depends on; None if it is missing or, with a warning, damaged.

    `check` is one of modeling/by_products.py.
    """
    try:
        found = find_object(shell, settings, path)
        return check(found[0]) if found else None
    except GcloudError:
        raise
    except (UserError, ValueError) as error:
        warn_left_out(path, error)
        return None


def find_object(shell: Shell, settings: Settings, path: str) -> list[Any]:
    """Return what a JSON object of the bucket holds, in a list that is empty where it is not there."""
    return _values(gcloud.read_if_there(shell, _cat(settings, [path])), [path])


def _cat(settings: Settings, paths: Sequence[str]) -> list[str]:
    return ["storage", "cat", *paths, "--project", settings.project_id]


def _values(said: str, paths: Sequence[str]) -> list[Any]:
    """Return the JSON values that were printed one behind the other."""
    decoder, values, at = json.JSONDecoder(), [], 0
    try:
        while at < len(said.rstrip()):
            value, at = decoder.raw_decode(said, at)
            values.append(check_json(value))
            at += len(said[at:]) - len(said[at:].lstrip())
    except (ValueError, RecursionError):
        path = paths[min(len(values), len(paths) - 1)]
        raise UserError(f"{path}: not JSON; it is damaged", exit_code=1) from None
    return values
