"""The files of runs on this machine: manifests, results, outputs. Reads JSON only."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeling.by_products import MOST_BYTES, check_headline, parse_json
from modeling.run_names import (
    BUILDER,
    DIGESTS,
    HEADLINE,
    MANIFEST,
    OUTPUT_LIST,
    OUTPUTS,
    RESULTS,
    is_exp_id,
    is_run_id,
)
from ops.failures import UserError, did_you_mean
from ops.folders import check_writable
from ops.manifests import DIGEST_BYTES, Manifest, parsed_manifest, pending_inputs
from ops.names import check_exp_id, check_run_id
from ops.settings import Settings
from ops.terminal import nearest, warn_left_out


@dataclass(frozen=True)
class LocalRun:
    """One run below LOCAL_DATA_PATH/bucket."""

    exp_id: str
    run_id: str
    folder: Path
    logs: Path

    @property
    def manifest(self) -> Manifest:
        """The manifest that stage A wrote.

        Raises
        ------
        UserError
            It is not a manifest, is of another run, or does not match inputs.sha256 in the number of inputs.
        """
        path, digests = self.folder / MANIFEST, self.folder / DIGESTS
        found = read_json(path)
        manifest = parsed_manifest(found, nearest(path), self.exp_id, self.run_id, "num_pending")
        number = manifest.num_workloads
        if digests.is_file() and digests.stat().st_size != number * DIGEST_BYTES:
            lines = digests.stat().st_size / DIGEST_BYTES
            raise UserError(
                f"{nearest(path)} lists {number} inputs, but {DIGESTS} {lines:g}; start a new run"
            )
        return manifest

    @property
    def is_built(self) -> bool:
        return (self.folder / MANIFEST).is_file()

    def results(self) -> set[int]:
        """Return the inputs that have a result."""
        digits = (path.stem.removeprefix("result_") for path in self.folder.glob(RESULTS))
        return {int(text) for text in digits if text.isascii() and text.isdecimal()}

    def pending(self) -> list[int]:
        """Return the inputs that had no result when stage A ran."""
        manifest = self.manifest
        if manifest.num_pending == manifest.num_workloads:
            return list(range(manifest.num_workloads))
        path = self.folder / BUILDER / manifest.pending
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UserError(
                f"{nearest(path)}: cannot be read ({error}); run stage A (builder) again"
            ) from None
        inputs = pending_inputs(data, path.name, nearest(path), manifest.num_workloads)
        if len(inputs) != manifest.num_pending:
            raise UserError(f"{nearest(path)} does not match the manifest; run stage A (builder) again")
        return inputs

    def outputs(self) -> list[Path]:
        """Return the finished output folders, oldest first; a folder without its list is not finished."""
        found = self.folder.glob(f"{OUTPUTS}*/{OUTPUT_LIST}")
        return [path.parent for path in sorted(found, key=lambda p: p.stat().st_mtime_ns)]

    @staticmethod
    def headline(outputs: Path) -> dict[str, Any]:
        """Return the headline of an output folder: the forecast in brief, and the missing inputs."""
        return by_product(outputs / HEADLINE, check_headline) or {}


def run_named(settings: Settings, exp_id: str, run_id: str) -> LocalRun:
    """Return the files of a run, built or not.

    Raises
    ------
    UserError
        A name is wrong.
    """
    check_exp_id(exp_id)
    check_run_id(run_id)
    return _run_called(settings, exp_id, run_id)


def _run_called(settings: Settings, exp_id: str, run_id: str) -> LocalRun:
    below = Path(settings.dir_prefix, exp_id, run_id)
    root = settings.local_data_path
    return LocalRun(exp_id, run_id, root / "bucket" / below, root / "logs" / below)


def find_runs(settings: Settings, exp_id: str = "") -> list[LocalRun]:
    """Return the runs of one or all experiments, built or not, newest last.

    The runs of flu do not include those of flu/2026-w05: listed runs may be deleted.

    Raises
    ------
    UserError
        A name is wrong, or LOCAL_DATA_PATH cannot be made.
    """
    if not os.path.isdir(settings.local_data_path):
        check_writable(settings)
    if exp_id:
        check_exp_id(exp_id)
    top = settings.local_data_path / "bucket" / settings.dir_prefix
    runs = []
    for parent, folders, _ in os.walk(top / exp_id):
        name = Path(parent).relative_to(top).as_posix()
        run_ids = [folder for folder in folders if is_run_id(folder)]
        if is_exp_id(name):  # other folders may have any name
            runs += [_run_called(settings, name, run_id) for run_id in run_ids]
        folders[:] = [] if exp_id else [folder for folder in folders if folder not in run_ids]
    return sorted(runs, key=lambda run: run.run_id)


def known_runs(settings: Settings, exp_id: str = "") -> list[LocalRun]:
    """Return runs as find_runs() does; refuse an experiment without runs.

    Raises
    ------
    UserError
        As find_runs(); or the experiment has no runs.
    """
    runs = find_runs(settings, exp_id)
    if exp_id and not runs:
        near = did_you_mean(exp_id, {run.exp_id for run in find_runs(settings)})
        raise UserError(f"no runs of {exp_id}{near} below {nearest(settings.local_data_path)}")
    return runs


def latest_run(settings: Settings, exp_id: str, run_id: str = "") -> LocalRun:
    """Return a run by its id, or the newest of an experiment.

    Raises
    ------
    UserError
        The run does not exist, or the experiment has no run.
    """
    if run_id:
        run = run_named(settings, exp_id, run_id)
        if run.is_built:
            return run
        raise UserError(
            f"{nearest(run.folder)}: no such run; `invoke runs --local --exp-id {exp_id}` lists them"
        )
    check_exp_id(exp_id)
    runs = [run for run in find_runs(settings, exp_id) if run.is_built]
    if not runs:
        near = did_you_mean(exp_id, {run.exp_id for run in find_runs(settings)})
        raise UserError(
            f"no run of {exp_id}{near} below {nearest(settings.local_data_path)}; "
            f"`invoke run --exp-id {exp_id}` starts one"
        )
    return runs[-1]


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; UserError if it cannot be read."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"larger than {MOST_BYTES:,} bytes")
        return parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{nearest(path)}: cannot be read ({error}); the run is damaged") from None


def by_product(path: Path, check: Callable[[Any], Any]) -> Any:
    """Return a file that no result depends on; None if it is missing or, with a warning, damaged.

    Parameters
    ----------
    check : callable
        One of modeling/by_products.py.
    """
    if not path.is_file():
        return None
    try:
        return check(read_json(path))
    except (UserError, ValueError) as error:
        warn_left_out(nearest(path), error)
        return None
