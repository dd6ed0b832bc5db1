"""The files of runs in the bucket, as gcloud lists them: what runs there are, how far they came, outputs.

Those on this machine are in run_files.py. One list tells of all runs of an experiment: none is asked for.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ops import gcloud
from ops.artifact_names import MANIFEST, OUTPUT_LIST
from ops.failures import UserError
from ops.gcloud import GcloudError, is_no_match
from ops.names import RUN_ID, check_exp_id, check_run_id, is_exp_id
from ops.settings import Settings, need
from ops.shell import Shell

LIST_SECONDS = 900  # 1000 names a request; a bucket may hold millions
MOST_WITHOUT_OUTPUTS = 10  # of the newest runs, before somebody has to name one
A_RUN_ID = "RUN_ID"  # stands for one in a dry run, which does not ask
_LONG = re.compile(r"\s*(\d+)\s+(\S+)\s+gs://[^/]+/(.+)")
_RUN_FILE = re.compile(rf"(?P<exp_id>.+?)/(?P<run_id>{RUN_ID.pattern})/(?P<name>.+)")


@dataclass
class CloudRun:
    """A run in the bucket, as far as the names of its files tell."""

    exp_id: str
    run_id: str
    built_at: str = ""  # empty where stage A has not ended
    inputs: int = 0
    results: int = 0
    is_claimed: bool = False  # by an execution, which may have been cancelled since
    outputs: set[str] = field(default_factory=set)  # the finished output folders

    def add(self, name: str, time: str) -> None:
        """Take note of a file of the run."""
        folder, _, file = name.rpartition("/")
        if name == MANIFEST:
            self.built_at = time
        elif name == "execution.json":
            self.is_claimed = True
        elif folder == "builder-artifacts":
            self.inputs += file.startswith("input_")
        elif folder == "runner-artifacts":
            self.results += file.startswith("result_")
        elif file == OUTPUT_LIST and folder.startswith("outputs/"):
            self.outputs.add(folder.removeprefix("outputs/"))


def experiment_path(settings: Settings, exp_id: str) -> str:
    """Return where the runs of an experiment are, ending with /."""
    return f"gs://{settings.bucket_name}/{settings.dir_prefix}{exp_id}/"


def list_runs(shell: Shell, settings: Settings, exp_id: str = "") -> list[CloudRun]:
    """Return the runs of an experiment or of all, newest last.

    Of flu those of flu itself, not of flu/2026-w05, as for runs on this machine.
    """
    need(settings, "project_id", "bucket_name")
    if exp_id:
        check_exp_id(exp_id)
    top = f"gs://{settings.bucket_name}/{settings.dir_prefix}"
    where = f"{experiment_path(settings, exp_id) if exp_id else top}**"
    listed = _matching(shell, ["--long", where, "--project", settings.project_id], LIST_SECONDS)
    return runs_of(listed, settings.dir_prefix, exp_id)


def runs_of(listed: Iterable[str], dir_prefix: str, exp_id: str = "") -> list[CloudRun]:
    """Return the runs whose files stand in lines of `gcloud storage ls --long`."""
    runs: dict[tuple[str, str], CloudRun] = {}
    for line in listed:
        long = _LONG.fullmatch(line)
        found = long and _RUN_FILE.fullmatch(long[3].removeprefix(dir_prefix))
        if not found or (exp_id and found["exp_id"] != exp_id) or not is_exp_id(found["exp_id"]):
            continue
        key = (found["exp_id"], found["run_id"])
        runs.setdefault(key, CloudRun(*key)).add(found["name"], long[2])
    return sorted(runs.values(), key=lambda run: run.run_id)


def run_ids(shell: Shell, settings: Settings, exp_id: str) -> list[str]:
    """Return the ids of an experiment's runs, newest last.

    Raises
    ------
    UserError
        There is none.
    """
    need(settings, "project_id", "bucket_name")
    check_exp_id(exp_id)
    path = experiment_path(settings, exp_id)
    lines = _matching(shell, [path, "--project", settings.project_id])
    names = [line.removeprefix(path).rstrip("/") for line in lines]
    found = sorted(name for name in names if RUN_ID.fullmatch(name))
    if shell.dry_run:
        return [A_RUN_ID]
    if not found:
        raise UserError(f"no runs of {exp_id} in {path}", mend="invoke runs --cloud")
    return found


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
        path = f"{experiment_path(settings, exp_id)}{each}/outputs/*/{OUTPUT_LIST}"
        found = _matching(shell, [path, "--project", settings.project_id])
        if found:
            return each, max(line.split("/")[-2] for line in found)
        if shell.dry_run:
            return each, "TIME"
        if not run_id:
            print(f"run {each} has no outputs yet; looking at the one before", flush=True)
    which = f"run {run_id} of {exp_id} has" if run_id else f"the newest runs of {exp_id} have"
    raise UserError(f"{which} no outputs in the bucket", mend=f"invoke runs --cloud --exp-id {exp_id}")


def read_objects(shell: Shell, settings: Settings, paths: Sequence[str]) -> list[Any]:
    """Return what JSON objects of the bucket hold, in the order of their paths, all asked for at once."""
    said = gcloud.read(shell, ["storage", "cat", *paths, "--project", settings.project_id])
    decoder, values, at = json.JSONDecoder(), [], 0
    try:
        while at < len(said.rstrip()):
            value, at = decoder.raw_decode(said, at)
            values.append(value)
            at += len(said[at:]) - len(said[at:].lstrip())
    except ValueError:
        raise UserError(f"{paths[len(values)]}: not JSON; it is damaged", exit_code=1) from None
    return values


def _matching(shell: Shell, words: Sequence[str], timeout_seconds: float = gcloud.CALL_SECONDS) -> list[str]:
    """Return what gcloud lists, nothing where no name matches."""
    try:
        return gcloud.read(shell, ["storage", "ls", *words], timeout_seconds=timeout_seconds).splitlines()
    except GcloudError as error:
        if not is_no_match(error):
            raise
        return []
