"""The files of local runs as the operator sees them: manifests, results, outputs. Reads JSON only."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.failures import UserError
from ops.folders import check_writable
from ops.names import RUN_ID, check_exp_id, check_run_id
from ops.settings import Settings
from ops.shown import nearest


@dataclass(frozen=True)
class LocalRun:
    """One run below LOCAL_DATA_PATH/bucket."""

    exp_id: str
    run_id: str
    folder: Path
    logs: Path

    @property
    def manifest(self) -> dict[str, Any]:
        return read_json(self.folder / "builder-artifacts" / "manifest.json")

    @property
    def is_built(self) -> bool:
        return (self.folder / "builder-artifacts" / "manifest.json").is_file()

    def results(self) -> set[int]:
        """Return the indices of the inputs that have a result."""
        names = (self.folder / "runner-artifacts").glob("result_*.pkl")
        digits = (path.stem.removeprefix("result_") for path in names)
        return {int(text) for text in digits if text.isascii() and text.isdecimal()}

    def pending(self) -> list[int]:
        """Return the inputs that stage A found without a result."""
        manifest = self.manifest
        if manifest["num_pending"] == manifest["num_workloads"]:
            return list(range(manifest["num_workloads"]))
        path = self.folder / "builder-artifacts" / manifest["pending"]
        try:
            return [int(line) for line in path.read_text().split()]
        except (OSError, ValueError) as error:
            raise UserError(
                f"{nearest(path)}: cannot be read ({error}); run stage A (builder) again"
            ) from None

    def outputs(self) -> list[Path]:
        """Return the finished output folders, oldest first; without files.json one is not finished."""
        found = (self.folder / "outputs").glob("*/files.json")
        return [path.parent for path in sorted(found, key=lambda p: p.stat().st_mtime_ns)]

    @staticmethod
    def headline(outputs: Path) -> dict[str, Any]:
        """Return the forecast in short of an output folder, and the inputs it goes without."""
        path = outputs / "headline.json"
        return read_json(path) if path.is_file() else {}


def local_run(settings: Settings, exp_id: str, run_id: str) -> LocalRun:
    """Return the files of a run, built or not.

    Raises
    ------
    UserError
        A name that leads elsewhere.
    """
    check_exp_id(exp_id)
    check_run_id(run_id)
    prefix = settings.dir_prefix.rstrip("/")
    root = settings.local_data_path
    return LocalRun(
        exp_id, run_id, root / "bucket" / prefix / exp_id / run_id, root / "logs" / exp_id / run_id
    )


def find_runs(settings: Settings, exp_id: str = "") -> list[LocalRun]:
    """Return every built run, newest last, of one experiment or of all.

    Of flu those of flu itself, not of flu/2026-w05: what is listed may be deleted.

    Raises
    ------
    UserError
        A name that leads elsewhere, or a LOCAL_DATA_PATH that is not there and cannot be.
    """
    if not os.path.isdir(settings.local_data_path):
        check_writable(settings)
    top = settings.local_data_path / "bucket" / settings.dir_prefix.rstrip("/")
    if exp_id:
        check_exp_id(exp_id)
        manifests = (top / exp_id).glob("*/builder-artifacts/manifest.json")
    else:
        manifests = top.glob("**/builder-artifacts/manifest.json")
    folders = [path.parent.parent for path in manifests if RUN_ID.fullmatch(path.parent.parent.name)]
    runs = [local_run(settings, f.parent.relative_to(top).as_posix(), f.name) for f in folders]
    return sorted(runs, key=lambda run: run.run_id)


def latest_run(settings: Settings, exp_id: str, run_id: str = "") -> LocalRun:
    """Return a run by its id, or the newest of an experiment.

    Raises
    ------
    UserError
        There is none.
    """
    if run_id:
        run = local_run(settings, exp_id, run_id)
        if run.is_built:
            return run
        raise UserError(f"{nearest(run.folder)}: no such run; `invoke runs --exp-id {exp_id}` lists them")
    check_exp_id(exp_id)
    runs = find_runs(settings, exp_id)
    if not runs:
        raise UserError(
            f"no run of {exp_id} below {nearest(settings.local_data_path)}; "
            f"`invoke run --exp-id {exp_id}` starts one"
        )
    return runs[-1]


def read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{nearest(path)}: cannot be read ({error}); the run is damaged") from None
