"""The files of a run, through which the stages hand over their work.

config/model.yaml, modelset, output  the YAML files as used, named by kind
builder-artifacts/input_0000.pkl     one workload
builder-artifacts/inputs.sha256      digest of each input, one line of 65 bytes
builder-artifacts/inputs.csv         place and parameter set of each input (input_list.py)
builder-artifacts/pending-1a2b3c4d.txt  inputs to run; named by digest, so that a running job keeps its own
builder-artifacts/forecast.tar.gz    the forecasting repository as used, in the cloud (forecast_pack.py)
builder-artifacts/manifest.json      written last by stage A; the other stages start from it (manifest.py)
runner-artifacts/result_0000.pkl     one result
runner-artifacts/checkpoint_0000.pkl  a calibration under way (checkpoint_files.py)
summaries/*.json                     one a task
outputs/<UTC time>/*                 tables, charts and report; files.json is written last
run_metadata.json                    how the run was made (metadata.py)

RunFiles reads and writes what has no module of its own: manifest, configuration, summaries and outputs.
Inputs are in input_files.py, results in result_files.py, checkpoints in checkpoint_files.py.
"""

import hashlib
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modeling.by_products import MOST_SUMMARY_BYTES, check_summary, parse_json
from modeling.failures import UserError
from modeling.run_names import MANIFEST, METADATA, OUTPUT_LIST, SUMMARIES
from pipeline.environment import StageContext
from pipeline.manifest import Manifest
from pipeline.storage import FolderStorage, MissingFile, Storage, UnusableFile
from pipeline.summary import with_earlier

log = logging.getLogger("pipeline")

CONFIG_KINDS = ("model", "modelset", "output", "forecast")
MOST_DAMAGED_SHOWN = 10
_STAGE = re.compile("builder|output|runner_[0-9]{4,18}")


def open_storage(context: StageContext) -> Storage:
    """Return the bucket in the cloud, the folder on a laptop."""
    if context.mode == "cloud":
        from pipeline.bucket import BucketStorage

        return BucketStorage(context.bucket, verbose=context.storage_verbose)
    return FolderStorage(context.bucket_folder, verbose=context.storage_verbose)


class RunFiles:
    """The files of one run: read below `in_prefix`, written below `out_prefix`, which are mostly the same.

    Stage A knows only `out_prefix`. Stage B takes its inputs from `in_prefix` and has its results at
    `out_prefix`. Stage C reads everything from `in_prefix`.
    """

    def __init__(self, storage: Storage, in_prefix: str, out_prefix: str, exp_id: str = "", run_id: str = ""):
        self.storage, self.in_prefix, self.out_prefix = storage, in_prefix, out_prefix
        self.exp_id, self.run_id = exp_id, run_id  # the manifest must name the same; "" accepts any

    @classmethod
    def of(cls, context: StageContext) -> "RunFiles":
        """Return the files of the run that a stage works on."""
        storage = open_storage(context)
        return cls(storage, context.in_prefix, context.out_prefix, context.exp_id, context.run_id)

    def remove_left_files(self) -> None:
        """Remove partial files of killed stages; files that are being written are kept."""
        self.storage.remove_left_files(self.out_prefix)

    # -- manifest

    def read_manifest(self) -> Manifest:
        """Return the manifest of a built run; UserError where it is missing, damaged or of another run."""
        try:
            return self._load_manifest(self.in_prefix)
        except UnusableFile:
            raise
        except MissingFile:
            path = self.storage.get_path(self.in_prefix + MANIFEST)
            raise UserError(
                f"{path}: no such manifest; run stage A (builder) first, or check EXP_ID and RUN_ID"
            ) from None

    def find_manifest(self) -> Manifest | None:
        """Return the manifest of a run that was built before, else None."""
        is_built = self.storage.exists(self.out_prefix + MANIFEST)
        return self._load_manifest(self.out_prefix) if is_built else None

    def write_manifest(self, manifest: Manifest) -> None:
        self.storage.save_bytes(self.out_prefix + MANIFEST, manifest.to_json())

    def _load_manifest(self, prefix: str) -> Manifest:
        """Return the manifest below a prefix; refuse one of another run.

        IN_PREFIX or OUT_PREFIX may name the folder of another run; the manifest must then be of that run.
        """
        path = self.storage.get_path(prefix + MANIFEST)
        manifest = Manifest.from_json(self.storage.load_bytes(prefix + MANIFEST), path)
        found, asked = (manifest.exp_id, manifest.run_id), (self.exp_id, self.run_id)
        is_elsewhere = not _is_below(prefix, asked) and _is_below(prefix, found)
        if self.run_id and found != asked and not is_elsewhere:
            raise UserError(
                f"{path} is of run {found[1]} of {found[0]}, not of {asked[1]} of {asked[0]}; "
                "restore the right file, or start a new run"
            )
        return manifest

    # -- configuration

    def write_config(self, paths: dict[str, Path]) -> None:
        """Copy the YAML files as used, each to the name of its kind."""
        self.storage.save_many((config_name(self.out_prefix, k), p.read_bytes()) for k, p in paths.items())
        # a builder that was killed before the manifest may have had one more
        for kind in set(CONFIG_KINDS) - set(paths):
            self.storage.delete_file(config_name(self.out_prefix, kind))

    def read_config(self, prefix: str) -> dict[str, bytes]:
        """Return the run's YAML files by kind."""
        found = {}
        for kind in CONFIG_KINDS:
            try:
                found[kind] = self.storage.load_bytes(config_name(prefix, kind))
            except UnusableFile:
                raise
            except MissingFile:
                continue
        return found

    # -- summaries

    def write_summary(self, stage: str, summary: dict[str, Any]) -> dict[str, Any]:
        """Write the summary of a task; return it with what earlier attempts of the same task used."""
        summary = with_earlier(summary, self.read_summary(stage))
        data = json.dumps(summary, indent=1, sort_keys=True).encode()
        self.storage.save_bytes(f"{self.out_prefix}{SUMMARIES}{stage}.json", data)
        return summary

    def read_summary(self, stage: str) -> dict[str, Any]:
        """Return one summary; empty if it is missing, or, with a warning, if it is damaged."""
        name = f"{self.out_prefix}{SUMMARIES}{stage}.json"
        try:
            return check_summary(parse_json(self.storage.load_bytes(name), MOST_SUMMARY_BYTES))
        except UnusableFile as unusable:
            log.warning("%s; it is left out", unusable)
            return {}
        except MissingFile:
            return {}
        except ValueError as error:
            log.warning("%s: %s; it is left out", self.storage.get_path(name), error)
            return {}

    def read_summaries(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield every summary as (stage, contents); a damaged one is left out with a warning."""
        prefix, damaged = f"{self.in_prefix}{SUMMARIES}", 0
        for name, data in self.storage.load_many(self.storage.list_files(prefix)):
            stage = name.removeprefix(prefix).removesuffix(".json")
            is_gone = isinstance(data, MissingFile) and not isinstance(data, UnusableFile)
            if is_gone or not _STAGE.fullmatch(stage):
                continue
            try:
                if isinstance(data, UnusableFile):
                    raise ValueError("not a file that can be read")
                summary = check_summary(parse_json(data, MOST_SUMMARY_BYTES))
            except ValueError as error:
                damaged += 1
                if damaged <= MOST_DAMAGED_SHOWN:
                    log.warning("%s: %s; it is left out", self.storage.get_path(name), error)
                continue
            yield stage, summary
        if damaged > MOST_DAMAGED_SHOWN:
            log.warning("%d more summaries are damaged and left out", damaged - MOST_DAMAGED_SHOWN)

    # -- outputs

    def new_output_prefix(self, timestamp: str) -> str:
        """Return outputs/<timestamp>/, with -2, -3 ... appended to the time where that folder exists."""
        prefix = f"{self.out_prefix}outputs/{timestamp}"
        number, chosen = 1, f"{prefix}/"
        while next(iter(self.storage.list_files(chosen)), None) is not None:
            number += 1
            chosen = f"{prefix}-{number}/"
        return chosen

    def publish_outputs(self, prefix: str, folder: Path) -> list[tuple[str, int]]:
        """Copy a folder of finished files, then their list: without the list the outputs do not count.

        Returns
        -------
        list of (name, bytes)
        """
        listed = []
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            name = path.relative_to(folder).as_posix()
            self.storage.save_file(prefix + name, path)
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            listed.append({"name": name, "bytes": path.stat().st_size, "sha256": digest})
        self.storage.save_bytes(prefix + OUTPUT_LIST, json.dumps(listed, indent=1).encode())
        return [(entry["name"], entry["bytes"]) for entry in listed]

    def write_metadata(self, metadata: dict[str, Any]) -> None:
        self.storage.save_bytes(self.out_prefix + METADATA, json.dumps(metadata, indent=1).encode())


def _is_below(prefix: str, run: tuple[str, str]) -> bool:
    return f"/{prefix}".endswith(f"/{run[0]}/{run[1]}/")


def config_name(prefix: str, kind: str) -> str:
    return f"{prefix}config/{kind}.yaml"
