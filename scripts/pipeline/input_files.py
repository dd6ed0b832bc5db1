"""The inputs of a run: written by stage A, checked against the manifest before anything is unpickled.

Also the pending file, which divides the inputs that are to run among the tasks of a Batch job.
"""

import csv
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from modeling.bounds import MOST_WORKLOADS
from modeling.failures import UserError
from modeling.run_names import BUILDER, BUILT_IN, DIGESTS, INPUT_LIST, MANIFEST
from modeling.workload import ForeignWorkload
from pipeline.artifacts import RunFiles
from pipeline.input_list import InputEntry, entry_of, parse_entries, write_entries
from pipeline.manifest import Manifest, index_width
from pipeline.pickles import AnyWorkload, decode_workload, encode_workload
from pipeline.storage import MissingFile, UnusableFile

_DIGEST = re.compile("[0-9a-f]{64}")
_BUILD_AGAIN = "build the run again under a new RUN_ID (invoke: without --run-id)"
_STAGE_A_AGAIN = "run stage A (builder) again"


def input_file(index: int, width: int) -> str:
    return f"{BUILDER}input_{index:0{width}d}.pkl"


# -- writing


@dataclass(frozen=True)
class WrittenInputs:
    """Digests of inputs.sha256 and inputs.csv, for the manifest."""

    digests_sha256: str
    list_sha256: str


def write_inputs(files: RunFiles, workloads: list[AnyWorkload]) -> WrittenInputs:
    """Write every workload, then inputs.sha256 and inputs.csv."""
    if len(workloads) > MOST_WORKLOADS:
        raise UserError(f"{len(workloads):,} inputs are more than {MOST_WORKLOADS:,}; build fewer")
    listed = _list_of(workloads)
    digests: list[str] = []
    width = index_width(len(workloads))

    def encoded() -> Iterator[tuple[str, bytes]]:
        for workload in workloads:
            data = encode_workload(workload)
            digests.append(hashlib.sha256(data).hexdigest())
            yield files.out_prefix + input_file(workload.index, width), data

    files.storage.save_many(encoded())
    lines = "".join(f"{digest}\n" for digest in digests).encode()
    files.storage.save_bytes(files.out_prefix + DIGESTS, lines)
    files.storage.save_bytes(files.out_prefix + INPUT_LIST, listed)
    return WrittenInputs(hashlib.sha256(lines).hexdigest(), hashlib.sha256(listed).hexdigest())


def _list_of(workloads: list[AnyWorkload]) -> bytes:
    """Return inputs.csv; UserError for a population whose charts could not be named after it."""
    try:
        listed = write_entries(map(entry_of, workloads))
        parse_entries(listed, len(workloads))
    except ValueError as error:
        raise UserError(f"population {error}; give it another name") from None
    return listed


# -- reading


class Inputs:
    """The inputs of a built run; their digests are read, and checked against the manifest, at once.

    Parameters
    ----------
    prefix : str, optional
        Where the inputs are, in place of `files.in_prefix`.

    Raises
    ------
    UserError
        inputs.sha256 is missing, or another than the manifest says.
    """

    def __init__(self, files: RunFiles, manifest: Manifest, prefix: str | None = None):
        self.files, self.manifest = files, manifest
        self._prefix = files.in_prefix if prefix is None else prefix
        self.digests = self._read_digests()

    def read(self, index: int) -> AnyWorkload:
        """Return one input."""
        try:
            data: bytes | MissingFile = self.files.storage.load_bytes(self._name(index))
        except MissingFile as missing:
            data = missing
        return self._checked(index, data)

    def entries(self, indices: Sequence[int]) -> Iterator[InputEntry]:
        """Yield the entries of inputs.csv for some inputs, against which their results are checked.

        In a run that was built without that list, they are taken from the inputs.
        """
        if not self.manifest.input_list_sha256:
            loaded = self.files.storage.load_many(map(self._name, indices))
            for index, (_, data) in zip(indices, loaded, strict=True):
                yield entry_of(self._checked(index, data))
            return
        listed = self.all_entries()
        yield from (listed[index] for index in indices)

    def all_entries(self) -> list[InputEntry]:
        """Return the entries of inputs.csv."""
        name = self._prefix + INPUT_LIST
        data = self._load_listed_in_manifest(name, self.manifest.input_list_sha256)
        try:
            return parse_entries(data, self.manifest.num_workloads)
        except (ValueError, TypeError, csv.Error) as error:
            path = self.files.storage.get_path(name)
            raise UserError(f"{path}: not a list of the inputs ({error}); {_BUILD_AGAIN}") from None

    def _name(self, index: int) -> str:
        return self._prefix + input_file(index, self.manifest.width)

    def _read_digests(self) -> list[str]:
        name = self._prefix + DIGESTS
        data = self._load_listed_in_manifest(name, self.manifest.inputs_sha256)
        path = self.files.storage.get_path(name)
        lines = data.decode(errors="replace").split("\n")
        if lines.pop() or not all(map(_DIGEST.fullmatch, lines)):
            raise UserError(f"{path}: not a list of digests; {_BUILD_AGAIN}")
        if len(lines) != self.manifest.num_workloads:
            raise UserError(
                f"{path} has {len(lines)} lines, but {MANIFEST} names "
                f"{self.manifest.num_workloads} inputs (num_workloads); {_BUILD_AGAIN}"
            )
        return lines

    def _load_listed_in_manifest(self, name: str, sha256: str) -> bytes:
        """Return the contents of a file whose digest is in the manifest."""
        path = self.files.storage.get_path(name)
        try:
            data = self.files.storage.load_bytes(name)
        except UnusableFile:
            raise
        except MissingFile:
            raise UserError(f"{path}: no such file; {_BUILD_AGAIN}") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise UserError(f"{path} does not match {MANIFEST}; {_BUILD_AGAIN}")
        return data

    def _checked(self, index: int, data: bytes | MissingFile) -> AnyWorkload:
        """Return the workload in an input's bytes; nothing is unpickled before its digest is checked."""
        path = self.files.storage.get_path(self._name(index))
        if isinstance(data, MissingFile):
            raise UserError(f"{path}: input missing; {_BUILD_AGAIN}")
        if hashlib.sha256(data).hexdigest() != self.digests[index]:
            raise UserError(f"{path} does not match {DIGESTS} (changed or cut short); {_BUILD_AGAIN}")
        workload = decode_workload(data, path)
        suite = workload.suite if isinstance(workload, ForeignWorkload) else BUILT_IN
        if (workload.index, suite) != (index, self.manifest.suite):
            raise UserError(
                f"{path}: input {workload.index} of suite {suite}, where {MANIFEST} has input {index} "
                f"of {self.manifest.suite}; {_BUILD_AGAIN}"
            )
        return workload


# -- pending


def write_pending(
    files: RunFiles, indices: list[int], manifest: Manifest, workloads_per_task: int
) -> Manifest:
    """Write the list of the inputs to run; return the manifest with their number and the list's name."""
    width = _pending_width(manifest)
    lines = "".join(f"{index:0{width}d}\n" for index in indices).encode()
    name = f"pending-{hashlib.sha256(lines).hexdigest()[:8]}.txt"
    files.storage.save_bytes(files.out_prefix + BUILDER + name, lines)
    return replace(manifest, num_pending=len(indices), workloads_per_task=workloads_per_task, pending=name)


def pending_of_job(
    files: RunFiles, name: str, manifest: Manifest, workloads_per_task: int | None
) -> Manifest:
    """Return the manifest as it was for a job that carries its own pending file."""
    number = len(_read_pending(files, name, manifest))
    each = workloads_per_task or manifest.workloads_per_task
    return replace(manifest, num_pending=number, workloads_per_task=each, pending=name)


def inputs_of_task(files: RunFiles, task: int, manifest: Manifest) -> list[int]:
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
    indices = _read_pending(files, manifest.pending, manifest)
    if len(indices) != manifest.num_pending:
        path = files.storage.get_path(files.in_prefix + BUILDER + manifest.pending)
        raise UserError(
            f"{path} names {len(indices)} inputs, {MANIFEST} {manifest.num_pending} (num_pending); "
            f"{_STAGE_A_AGAIN}"
        )
    return indices[first:last]


def _read_pending(files: RunFiles, name: str, manifest: Manifest) -> list[int]:
    """Return the inputs in a pending file, checked against the digest in its name."""
    place = files.in_prefix + BUILDER + name
    try:
        data = files.storage.load_bytes(place)
    except MissingFile as missing:
        raise UserError(f"{missing}; check PENDING_FILE, or {_STAGE_A_AGAIN}") from None
    path = files.storage.get_path(place)
    if hashlib.sha256(data).hexdigest()[:8] not in name:
        raise UserError(
            f"{path} does not match the digest in its name (changed or cut short); {_STAGE_A_AGAIN}"
        )
    width = _pending_width(manifest)
    lines = data.decode(errors="replace").split("\n")
    if lines.pop() or not all(len(line) == width and line.isascii() and line.isdecimal() for line in lines):
        raise UserError(f"{path}: not a list of inputs; {_STAGE_A_AGAIN}")
    indices = [int(line) for line in lines]
    if indices and (indices != sorted(set(indices)) or indices[-1] >= manifest.num_workloads):
        raise UserError(f"{path} does not match {MANIFEST}; {_STAGE_A_AGAIN}")
    return indices


def _pending_width(manifest: Manifest) -> int:
    """Return the digits of an index in a pending file: as many as the last one needs."""
    return len(str(manifest.num_workloads - 1))
