"""The files of a run, which the stages hand each other: their names, and how they are read and written.

config/model.yaml, modelset, output  as used, by kind whatever their files were called
builder-artifacts/input_0000.pkl     one workload
builder-artifacts/inputs.sha256      one line of 65 bytes an input
builder-artifacts/pending-1a2b3c4d.txt  inputs to run; named by content, so that a running job keeps its own
builder-artifacts/forecast.tar.gz    the forecasting repository as used, in the cloud (forecast_pack.py)
builder-artifacts/manifest.json      written last by stage A: the hand-over
runner-artifacts/result_0000.pkl     one result
summaries/*.json                     one a task
outputs/<UTC time>/*                 files.json last
run_metadata.json
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from modeling.failures import UserError
from modeling.workload import ForeignWorkload, Result, Workload
from pipeline.manifest import Manifest, index_width
from pipeline.records import (
    DamagedResult,
    ForeignResult,
    check_result_file,
    decode_result,
    decode_workload,
    encode_result,
    encode_workload,
)
from pipeline.storage import MissingFile, Storage
from pipeline.summary import with_earlier

MANIFEST = "builder-artifacts/manifest.json"
DIGESTS = "builder-artifacts/inputs.sha256"
BUILDER = "builder-artifacts/"
CONFIG_KINDS = ("model", "modelset", "output")
RUN_METADATA = "run_metadata.json"
HEADLINE = "headline.json"  # of an output folder, for the terminal
OUTPUT_LIST = "files.json"  # written last into an output folder
DIGEST_LINE = 65  # 64 hexadecimal digits and a newline


class RunFiles:
    """The files of one run, handed over below one prefix and written below another (mostly the same).

    Stage A knows only out_prefix; B takes its inputs from in_prefix and has its results at
    out_prefix; C reads everything from in_prefix.
    """

    def __init__(self, storage: Storage, in_prefix: str, out_prefix: str):
        self.storage, self.in_prefix, self.out_prefix = storage, in_prefix, out_prefix

    # -- manifest

    def read_manifest(self) -> Manifest:
        path = self.storage.get_path(self.in_prefix + MANIFEST)
        try:
            return Manifest.from_json(self.storage.load_bytes(self.in_prefix + MANIFEST), path)
        except MissingFile:
            raise UserError(
                f"{path}: no such manifest; run stage A (builder) first, or check EXP_ID and RUN_ID"
            ) from None

    def find_manifest(self) -> Manifest | None:
        """Return the manifest of a run that was built before, else None."""
        if not self.storage.exists(self.out_prefix + MANIFEST):
            return None
        data = self.storage.load_bytes(self.out_prefix + MANIFEST)
        return Manifest.from_json(data, self.storage.get_path(self.out_prefix + MANIFEST))

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
            with suppress(MissingFile):
                found[kind] = self.storage.load_bytes(config_name(prefix, kind))
        return found

    # -- inputs

    def write_inputs(self, workloads: list[Workload | ForeignWorkload]) -> bytes:
        """Write every workload, then the file of their digests, and return that."""
        digests: list[str] = []
        width = index_width(len(workloads))

        def files() -> Iterator[tuple[str, bytes]]:
            for workload in workloads:
                data = encode_workload(workload)
                digests.append(hashlib.sha256(data).hexdigest())
                yield self.out_prefix + input_name(workload.index, width), data

        self.storage.save_many(files())
        lines = "".join(f"{digest}\n" for digest in digests).encode()
        self.storage.save_bytes(self.out_prefix + DIGESTS, lines)
        return lines

    def digest_of_input(self, index: int) -> str:
        try:
            line = self.storage.load_bytes(self.in_prefix + DIGESTS, index * DIGEST_LINE, DIGEST_LINE)
        except MissingFile:
            line = b""
        if len(line) != DIGEST_LINE or not line.endswith(b"\n"):
            path = self.storage.get_path(self.in_prefix + DIGESTS)
            raise UserError(f"{path}: no line for input {index}; build the run again under a new RUN_ID")
        return line[:-1].decode()

    def digests(self, manifest: Manifest) -> list[str]:
        """Return the digest of every input, checked against the manifest."""
        data = self.storage.load_bytes(self.in_prefix + DIGESTS)
        if hashlib.sha256(data).hexdigest() != manifest.inputs_sha256:
            path = self.storage.get_path(self.in_prefix + DIGESTS)
            raise UserError(f"{path} does not match {MANIFEST}; build the run again under a new RUN_ID")
        return data.decode().split()

    def read_workload(self, index: int, manifest: Manifest) -> Workload | ForeignWorkload:
        """Read one input; nothing is unpickled before its digest is checked."""
        name = self.in_prefix + input_name(index, manifest.width)
        try:
            data = self.storage.load_bytes(name)
        except MissingFile:
            raise UserError(
                f"{self.storage.get_path(name)}: input missing; build the run again under a new RUN_ID"
            ) from None
        if hashlib.sha256(data).hexdigest() != self.digest_of_input(index):
            raise UserError(
                f"{self.storage.get_path(name)} does not match {DIGESTS} (changed or cut short); "
                "build the run again under a new RUN_ID"
            )
        return decode_workload(data, self.storage.get_path(name))

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
        try:
            lines = self.storage.load_bytes(self.in_prefix + BUILDER + name).count(b"\n")
        except MissingFile as missing:
            raise UserError(f"{missing}; check PENDING_FILE, or run stage A (builder) again") from None
        each = workloads_per_task or manifest.workloads_per_task
        return replace(manifest, num_pending=lines, workloads_per_task=each, pending=name)

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
        name = self.in_prefix + BUILDER + manifest.pending
        line = len(str(manifest.num_workloads - 1)) + 1
        data = self.storage.load_bytes(name, first * line, (last - first) * line)
        try:
            indices = [int(text) for text in data.split()]
        except ValueError:
            indices = []
        if len(indices) != last - first or any(i >= manifest.num_workloads for i in indices):
            raise UserError(
                f"{self.storage.get_path(name)} does not match {MANIFEST}; run stage A (builder) again"
            )
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

    def has_result(self, index: int, manifest: Manifest) -> bool:
        """Tell whether a whole result of this very input is there, or one of another version of the code."""
        try:
            data = self.storage.load_bytes(self.out_prefix + result_name(index, manifest.width))
            check_result_file(data, self.digest_of_input(index), "")
        except ForeignResult:
            return True
        except UserError:
            return False
        return True

    def read_result(self, index: int, manifest: Manifest) -> Result:
        """Return a result that has_result knows of; ForeignResult where another version must read it."""
        name = self.out_prefix + result_name(index, manifest.width)
        data = self.storage.load_bytes(name)
        return decode_result(data, index, self.digest_of_input(index), self.storage.get_path(name))

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
        for index, (name, data) in zip(indices, self.storage.load_many(names), strict=True):
            if isinstance(data, MissingFile):
                yield index, data
                continue
            try:
                yield index, decode_result(data, index, digests[index], self.storage.get_path(name))
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
        """Return one summary, empty where there is none that can be read."""
        try:
            return _summary(self.storage.load_bytes(f"{self.out_prefix}summaries/{stage}.json"))
        except (MissingFile, ValueError):
            return {}

    def write_metadata(self, metadata: dict[str, Any]) -> None:
        self.storage.save_bytes(self.out_prefix + RUN_METADATA, json.dumps(metadata, indent=1).encode())

    def read_summaries(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield every summary as (stage, contents); one that cannot be read is passed over."""
        prefix = f"{self.in_prefix}summaries/"
        for name, data in self.storage.load_many(self.storage.list_files(prefix)):
            try:
                yield name.removeprefix(prefix).removesuffix(".json"), _summary(data)
            except (ValueError, TypeError):
                continue


def _summary(data: bytes) -> dict[str, Any]:
    """Return what a summary holds; ValueError where it is something else."""
    summary = json.loads(data)
    if not isinstance(summary, dict):
        raise ValueError("not a summary")
    return summary


def config_name(prefix: str, kind: str) -> str:
    return f"{prefix}config/{kind}.yaml"


def input_name(index: int, width: int) -> str:
    return f"builder-artifacts/input_{index:0{width}d}.pkl"


def result_name(index: int, width: int) -> str:
    return f"runner-artifacts/result_{index:0{width}d}.pkl"
