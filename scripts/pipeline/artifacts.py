"""The files of a run, which the stages hand each other: their names, and how they are read and written.

config/model.yaml, modelset, output  as used, by kind whatever their files were called
builder-artifacts/input_0000.pkl     one workload
builder-artifacts/inputs.sha256      one line of 65 bytes an input
builder-artifacts/inputs.csv         place and parameter set of each input (input_list.py)
builder-artifacts/pending-1a2b3c4d.txt  inputs to run; named by content, so that a running job keeps its own
builder-artifacts/forecast.tar.gz    the forecasting repository as used, in the cloud (forecast_pack.py)
builder-artifacts/manifest.json      written last by stage A: the hand-over
runner-artifacts/result_0000.pkl     one result
summaries/*.json                     one a task
outputs/<UTC time>/*                 files.json last
run_metadata.json
"""

import csv
import hashlib
import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modeling.bounds import MOST_WORKLOADS
from modeling.by_products import MOST_SUMMARY_BYTES, check_summary, parse_json
from modeling.failures import UserError
from modeling.workload import ForeignWorkload, Result, Workload
from pipeline.environment import SUITES, StageContext
from pipeline.input_list import InputEntry, entry_of, parse_entries, write_entries
from pipeline.manifest import Manifest, index_width
from pipeline.pickles import (
    DamagedResult,
    ForeignResult,
    check_result_file,
    decode_result,
    decode_workload,
    encode_result,
    encode_workload,
)
from pipeline.storage import FolderStorage, MissingFile, Storage, UnusableFile
from pipeline.summary import with_earlier

log = logging.getLogger("pipeline")

MANIFEST = "builder-artifacts/manifest.json"
DIGESTS = "builder-artifacts/inputs.sha256"
INPUT_LIST = "builder-artifacts/inputs.csv"
BUILDER = "builder-artifacts/"
_BUILD_AGAIN = "build the run again under a new RUN_ID (invoke: without --run-id)"
MOST_DAMAGED_SHOWN = 10
_STAGE = re.compile("builder|output|runner_[0-9]{4,18}")
_DIGEST = re.compile("[0-9a-f]{64}")
CONFIG_KINDS = ("model", "modelset", "output")
RUN_METADATA = "run_metadata.json"
HEADLINE = "headline.json"  # of an output folder, for the terminal
OUTPUT_LIST = "files.json"  # written last into an output folder


def open_storage(context: StageContext) -> Storage:
    """Return the bucket in the cloud, the folder on a laptop."""
    if context.mode == "cloud":
        from pipeline.bucket import BucketStorage

        return BucketStorage(context.bucket, verbose=context.storage_verbose)
    return FolderStorage(context.bucket_folder, verbose=context.storage_verbose)


@dataclass(frozen=True)
class WrittenInputs:
    """The digests of inputs.sha256 and inputs.csv, for the manifest."""

    digests_sha256: str
    list_sha256: str


class RunFiles:
    """The files of one run, handed over below one prefix and written below another (mostly the same).

    Stage A knows only out_prefix; B takes its inputs from in_prefix and has its results at
    out_prefix; C reads everything from in_prefix.
    """

    def __init__(self, storage: Storage, in_prefix: str, out_prefix: str, exp_id: str = "", run_id: str = ""):
        self.storage, self.in_prefix, self.out_prefix = storage, in_prefix, out_prefix
        self.exp_id, self.run_id = exp_id, run_id  # which the manifest must name; "" accepts any

    @classmethod
    def of(cls, context: StageContext) -> "RunFiles":
        """Return the files of the run that a stage works on."""
        storage = open_storage(context)
        return cls(storage, context.in_prefix, context.out_prefix, context.exp_id, context.run_id)

    def remove_left_files(self) -> None:
        """Remove files that killed stages left in the run; files that are being written are kept."""
        self.storage.remove_left_files(self.out_prefix)

    # -- manifest

    def read_manifest(self) -> Manifest:
        path = self.storage.get_path(self.in_prefix + MANIFEST)
        try:
            data = self.storage.load_bytes(self.in_prefix + MANIFEST)
        except UnusableFile:
            raise
        except MissingFile:
            raise UserError(
                f"{path}: no such manifest; run stage A (builder) first, or check EXP_ID and RUN_ID"
            ) from None
        return self._own(Manifest.from_json(data, path), self.in_prefix)

    def find_manifest(self) -> Manifest | None:
        """Return the manifest of a run that was built before, else None."""
        if not self.storage.exists(self.out_prefix + MANIFEST):
            return None
        data = self.storage.load_bytes(self.out_prefix + MANIFEST)
        manifest = Manifest.from_json(data, self.storage.get_path(self.out_prefix + MANIFEST))
        return self._own(manifest, self.out_prefix)

    def _own(self, manifest: Manifest, prefix: str) -> Manifest:
        """Return the manifest; refuse one of another run than the run of its folder.

        IN_PREFIX or OUT_PREFIX may name the folder of another run; the manifest must then be of that run.
        """
        run, asked = (manifest.exp_id, manifest.run_id), (self.exp_id, self.run_id)
        is_elsewhere = not _is_below(prefix, asked) and _is_below(prefix, run)
        if self.run_id and run != asked and not is_elsewhere:
            raise UserError(
                f"{self.storage.get_path(prefix + MANIFEST)} is of run {run[1]} of {run[0]}, not of "
                f"{asked[1]} of {asked[0]}; restore the right file, or start a new run"
            )
        return manifest

    def write_manifest(self, manifest: Manifest) -> None:
        self.storage.save_bytes(self.out_prefix + MANIFEST, manifest.to_json())

    # -- configuration

    def write_config(self, paths: dict[str, Path]) -> None:
        """Copy the YAML files as they were used, each to the name of its kind."""
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

    # -- inputs

    def write_inputs(self, workloads: list[Workload | ForeignWorkload]) -> WrittenInputs:
        """Write every workload, then inputs.sha256 and inputs.csv."""
        if len(workloads) > MOST_WORKLOADS:
            raise UserError(f"{len(workloads):,} inputs are more than {MOST_WORKLOADS:,}; build fewer")
        digests: list[str] = []
        width = index_width(len(workloads))
        try:
            listed = write_entries(map(entry_of, workloads))
            parse_entries(listed, len(workloads))
        except ValueError as error:
            raise UserError(f"population {error}; give it another name") from None

        def files() -> Iterator[tuple[str, bytes]]:
            for workload in workloads:
                data = encode_workload(workload)
                digests.append(hashlib.sha256(data).hexdigest())
                yield self.out_prefix + input_name(workload.index, width), data

        self.storage.save_many(files())
        lines = "".join(f"{digest}\n" for digest in digests).encode()
        self.storage.save_bytes(self.out_prefix + DIGESTS, lines)
        self.storage.save_bytes(self.out_prefix + INPUT_LIST, listed)
        return WrittenInputs(hashlib.sha256(lines).hexdigest(), hashlib.sha256(listed).hexdigest())

    def digests(self, manifest: Manifest, prefix: str | None = None) -> list[str]:
        """Return the digest of every input, checked against the manifest."""
        name = (self.in_prefix if prefix is None else prefix) + DIGESTS
        data = self._listed_in_manifest(name, manifest.inputs_sha256)
        lines = data.decode(errors="replace").split("\n")
        if lines.pop() or not all(map(_DIGEST.fullmatch, lines)):
            raise UserError(f"{self.storage.get_path(name)}: not a list of digests; {_BUILD_AGAIN}")
        if len(lines) != manifest.num_workloads:
            raise UserError(
                f"{self.storage.get_path(name)} has {len(lines)} lines, but {MANIFEST} names "
                f"{manifest.num_workloads} inputs (num_workloads); {_BUILD_AGAIN}"
            )
        return lines

    def entries(self, manifest: Manifest, digests: list[str], indices: Sequence[int]) -> Iterator[InputEntry]:
        """Yield the entries of inputs.csv for some inputs, against which their results are checked.

        In a run that was built without that list, they are taken from the inputs.
        """
        if not manifest.input_list_sha256:
            names = (self.in_prefix + input_name(index, manifest.width) for index in indices)
            loaded = self.storage.load_many(names)
            for index, (_, data) in zip(indices, loaded, strict=True):
                yield entry_of(self._checked_workload(index, data, digests[index], manifest))
            return
        entries = self.listed(manifest)
        yield from (entries[index] for index in indices)

    def listed(self, manifest: Manifest) -> list[InputEntry]:
        """Return what the list of inputs says of every input."""
        name = self.in_prefix + INPUT_LIST
        data = self._listed_in_manifest(name, manifest.input_list_sha256)
        try:
            return parse_entries(data, manifest.num_workloads)
        except (ValueError, TypeError, csv.Error) as error:
            path = self.storage.get_path(name)
            raise UserError(f"{path}: not a list of the inputs ({error}); {_BUILD_AGAIN}") from None

    def read_workload(self, index: int, manifest: Manifest, digest: str) -> Workload | ForeignWorkload:
        """Read one input; nothing is unpickled before its digest is checked."""
        try:
            data: bytes | MissingFile = self.storage.load_bytes(
                self.in_prefix + input_name(index, manifest.width)
            )
        except MissingFile as missing:
            data = missing
        return self._checked_workload(index, data, digest, manifest)

    def _listed_in_manifest(self, name: str, sha256: str) -> bytes:
        """Return the contents of a file, checked against its digest in the manifest."""
        path = self.storage.get_path(name)
        try:
            data = self.storage.load_bytes(name)
        except UnusableFile:
            raise
        except MissingFile:
            raise UserError(f"{path}: no such file; {_BUILD_AGAIN}") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise UserError(f"{path} does not match {MANIFEST}; {_BUILD_AGAIN}")
        return data

    def _checked_workload(
        self, index: int, data: bytes | MissingFile, digest: str, manifest: Manifest
    ) -> Workload | ForeignWorkload:
        path = self.storage.get_path(self.in_prefix + input_name(index, manifest.width))
        if isinstance(data, MissingFile):
            raise UserError(f"{path}: input missing; {_BUILD_AGAIN}")
        if hashlib.sha256(data).hexdigest() != digest:
            raise UserError(f"{path} does not match {DIGESTS} (changed or cut short); {_BUILD_AGAIN}")
        workload = decode_workload(data, path)
        suite = workload.suite if isinstance(workload, ForeignWorkload) else SUITES[0]
        if (workload.index, suite) != (index, manifest.suite):
            raise UserError(
                f"{path}: input {workload.index} of suite {suite}, where {MANIFEST} has input {index} "
                f"of {manifest.suite}; {_BUILD_AGAIN}"
            )
        return workload

    # -- pending

    def write_pending(self, indices: list[int], manifest: Manifest, workloads_per_task: int) -> Manifest:
        """Note which inputs are to run, and return the manifest that says how many and where."""
        width = len(str(manifest.num_workloads - 1))
        lines = "".join(f"{index:0{width}d}\n" for index in indices).encode()
        name = f"pending-{hashlib.sha256(lines).hexdigest()[:8]}.txt"
        self.storage.save_bytes(self.out_prefix + BUILDER + name, lines)
        return replace(
            manifest, num_pending=len(indices), workloads_per_task=workloads_per_task, pending=name
        )

    def pending_of_job(self, name: str, manifest: Manifest, workloads_per_task: int | None) -> Manifest:
        """Return the manifest as it was for a job that carries its own pending file."""
        number = len(self._pending(name, manifest))
        each = workloads_per_task or manifest.workloads_per_task
        return replace(manifest, num_pending=number, workloads_per_task=each, pending=name)

    def inputs_of_task(self, task: int, manifest: Manifest) -> list[int]:
        """Return the inputs that task number `task` of a Batch job runs."""
        if task >= manifest.task_count:
            source = manifest.pending or MANIFEST
            raise UserError(
                f"task {task}: {source} names {manifest.task_count} tasks (0 to {manifest.task_count - 1})"
            )
        first = task * manifest.workloads_per_task
        last = min(first + manifest.workloads_per_task, manifest.num_pending)
        if not manifest.pending:
            return list(range(first, last))
        indices = self._pending(manifest.pending, manifest)
        if len(indices) != manifest.num_pending:
            path = self.storage.get_path(self.in_prefix + BUILDER + manifest.pending)
            raise UserError(
                f"{path} names {len(indices)} inputs, {MANIFEST} {manifest.num_pending} (num_pending); "
                "run stage A (builder) again"
            )
        return indices[first:last]

    def _pending(self, name: str, manifest: Manifest) -> list[int]:
        """Return the inputs in a pending file, checked against the digest in its name."""
        place = self.in_prefix + BUILDER + name
        try:
            data = self.storage.load_bytes(place)
        except MissingFile as missing:
            raise UserError(f"{missing}; check PENDING_FILE, or run stage A (builder) again") from None
        path = self.storage.get_path(place)
        if hashlib.sha256(data).hexdigest()[:8] not in name:
            raise UserError(
                f"{path} does not match the digest in its name (changed or cut short); "
                "run stage A (builder) again"
            )
        width = len(str(manifest.num_workloads - 1))
        lines = data.decode(errors="replace").split("\n")
        if lines.pop() or not all(
            len(line) == width and line.isascii() and line.isdecimal() for line in lines
        ):
            raise UserError(f"{path}: not a list of inputs; run stage A (builder) again")
        indices = [int(line) for line in lines]
        if indices and (indices != sorted(set(indices)) or indices[-1] >= manifest.num_workloads):
            raise UserError(f"{path} does not match {MANIFEST}; run stage A (builder) again")
        return indices

    # -- results

    def finished(self, manifest: Manifest, prefix: str) -> set[int]:
        """Return the inputs that have a result below a run's prefix, by one listing."""
        prefix = f"{prefix}runner-artifacts/result_"
        found = set()
        for name in self.storage.list_files(prefix):
            digits = name.removeprefix(prefix).removesuffix(".pkl")
            if (
                digits.isascii()
                and digits.isdecimal()
                and len(digits) == manifest.width
                and int(digits) < manifest.num_workloads
            ):
                found.add(int(digits))
        return found

    def write_result(self, result: Result, input_digest: str, manifest: Manifest) -> str:
        name = self.out_prefix + result_name(result.index, manifest.width)
        self.storage.save_bytes(name, encode_result(result, input_digest))
        return self.storage.get_path(name)

    def has_result(self, index: int, manifest: Manifest, digest: str) -> bool:
        """Tell whether a whole result of this very input is there, or one of another version of the code."""
        try:
            data = self.storage.load_bytes(self.out_prefix + result_name(index, manifest.width))
            check_result_file(data, digest, "")
        except ForeignResult:
            return True
        except UserError:
            return False
        return True

    def read_result(self, index: int, manifest: Manifest, digests: list[str]) -> Result:
        """Return a result that has_result knows of; ForeignResult where another version must read it."""
        name = self.out_prefix + result_name(index, manifest.width)
        data = self.storage.load_bytes(name)
        (entry,) = self.entries(manifest, digests, [index])
        return decode_result(data, index, digests[index], entry, self.storage.get_path(name))

    def read_results(
        self, manifest: Manifest, digests: list[str], indices: list[int]
    ) -> Iterator[tuple[int, Result | MissingFile | DamagedResult]]:
        """Yield each result below in_prefix in order, or why there is none; a few are read ahead.

        Raises
        ------
        ForeignResult
            At the first that another version of the code made, for the others will be alike.
        """
        names = (self.in_prefix + result_name(i, manifest.width) for i in indices)
        entries = self.entries(manifest, digests, indices)
        for index, entry, (name, data) in zip(indices, entries, self.storage.load_many(names), strict=True):
            if isinstance(data, MissingFile):
                yield index, data
                continue
            try:
                yield index, decode_result(data, index, digests[index], entry, self.storage.get_path(name))
            except DamagedResult as damage:
                yield index, damage

    def delete_result(self, index: int, manifest: Manifest) -> None:
        """Remove a damaged result below in_prefix, or the next run would take it for done."""
        self.storage.delete_file(self.in_prefix + result_name(index, manifest.width))

    # -- outputs

    def new_output_prefix(self, timestamp: str) -> str:
        """Return outputs/<timestamp>/, or with -2, -3 behind it where that is taken."""
        prefix = f"{self.out_prefix}outputs/{timestamp}"
        number, chosen = 1, f"{prefix}/"
        while next(iter(self.storage.list_files(chosen)), None) is not None:
            number += 1
            chosen = f"{prefix}-{number}/"
        return chosen

    def publish_outputs(self, prefix: str, folder: Path) -> list[tuple[str, int]]:
        """Copy a folder of finished files, then the list of them: without the list, nothing counts.

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

    # -- summaries

    def write_summary(self, stage: str, summary: dict[str, Any]) -> dict[str, Any]:
        """Write the summary of a task and return it with what earlier tries of the same task used."""
        summary = with_earlier(summary, self.read_summary(stage))
        data = json.dumps(summary, indent=1, sort_keys=True).encode()
        self.storage.save_bytes(f"{self.out_prefix}summaries/{stage}.json", data)
        return summary

    def read_summary(self, stage: str) -> dict[str, Any]:
        """Return one summary; empty if there is none, or, with a warning, if it is damaged."""
        name = f"{self.out_prefix}summaries/{stage}.json"
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

    def write_metadata(self, metadata: dict[str, Any]) -> None:
        self.storage.save_bytes(self.out_prefix + RUN_METADATA, json.dumps(metadata, indent=1).encode())

    def read_summaries(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield every summary as (stage, contents); a damaged one is left out with a warning."""
        prefix, damaged = f"{self.in_prefix}summaries/", 0
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


def _is_below(prefix: str, run: tuple[str, str]) -> bool:
    return f"/{prefix}".endswith(f"/{run[0]}/{run[1]}/")


def config_name(prefix: str, kind: str) -> str:
    return f"{prefix}config/{kind}.yaml"


def input_name(index: int, width: int) -> str:
    return f"builder-artifacts/input_{index:0{width}d}.pkl"


def result_name(index: int, width: int) -> str:
    return f"runner-artifacts/result_{index:0{width}d}.pkl"
