"""What the stages hand each other: names, manifest, digests, and records as files.

config/model.yaml, modelset, output  as used, by kind whatever their files were called
builder-artifacts/input_0000.pkl     one workload
builder-artifacts/inputs.sha256      one line of 65 bytes an input
builder-artifacts/pending-1a2b3c4d.txt  inputs to run; named by content, so that a running job keeps its own
builder-artifacts/manifest.json      written last by stage A: the hand-over
runner-artifacts/result_0000.pkl     one result
summaries/*.json                     one a task
outputs/<UTC time>/*                 files.json last
run_metadata.json
"""

import hashlib
import io
import json
import pickle
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from modeling.failures import UserError, listed
from modeling.workload import RECORDS, ForeignWorkload, Result, Workload
from pipeline.storage import MissingFile, Storage

MANIFEST = "builder-artifacts/manifest.json"
DIGESTS = "builder-artifacts/inputs.sha256"
BUILDER = "builder-artifacts/"
CONFIG_KINDS = ("model", "modelset", "output")
RUN_METADATA = "run_metadata.json"
HEADLINE = "headline.json"  # of an output folder, for the terminal
OUTPUT_LIST = "files.json"  # written last into an output folder
DIGEST_LINE = 65  # 64 hexadecimal digits and a newline
_RESULT_MAGIC = b"epymodelingsuite-cloud result 1\n"
_FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """The hand-over from stage A, under 1 KB whatever the number of workloads."""

    exp_id: str
    run_id: str
    suite: str
    workflow: str
    created_at: str
    seed: int | None
    num_workloads: int
    num_pending: int
    workloads_per_task: int
    inputs_sha256: str
    count: int | None = None  # as asked
    output_config_file: str = ""  # as asked
    pending: str = ""  # the file of the inputs to run; without it all are
    format: int = _FORMAT

    @property
    def task_count(self) -> int:
        """taskCount of a Batch job for what is pending."""
        return -(-self.num_pending // self.workloads_per_task)

    @property
    def width(self) -> int:
        return index_width(self.num_workloads)

    def to_json(self) -> bytes:
        return json.dumps(asdict(self) | {"task_count": self.task_count}, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes, path: str) -> "Manifest":
        try:
            fields = json.loads(data)
            fields.pop("task_count")
            manifest = cls(**fields)
            counts = (manifest.num_workloads, manifest.num_pending, manifest.workloads_per_task)
            if not all(isinstance(count, int) for count in counts):
                raise TypeError
        except (ValueError, TypeError, KeyError, AttributeError):
            raise UserError(f"{path}: not a manifest; build the run again under a new RUN_ID") from None
        if manifest.format != _FORMAT:
            raise UserError(
                f"{path}: format {manifest.format} is not {_FORMAT}; build the run again under a new RUN_ID"
            )
        return manifest


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
        """Tell whether a whole result of this very input is there."""
        try:
            data = self.storage.load_bytes(self.out_prefix + result_name(index, manifest.width))
            check_result_file(data, self.digest_of_input(index), "")
        except UserError:
            return False
        return True

    def read_results(
        self, manifest: Manifest, digests: list[str], indices: list[int]
    ) -> Iterator[tuple[int, Result | UserError]]:
        """Yield each result below in_prefix in order, or what is wrong with it; a few are read ahead."""
        names = (self.in_prefix + result_name(i, manifest.width) for i in indices)
        for index, (name, data) in zip(indices, self.storage.load_many(names), strict=True):
            if isinstance(data, MissingFile):
                yield index, data
                continue
            try:
                yield index, decode_result(data, digests[index], self.storage.get_path(name))
            except UserError as error:
                yield index, error

    def delete_result(self, index: int, manifest: Manifest) -> None:
        """Remove a result below in_prefix that stage C cannot use, so that the next run makes it anew."""
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

    def write_summary(self, stage: str, summary: dict[str, Any]) -> None:
        data = json.dumps(summary, indent=1, sort_keys=True).encode()
        self.storage.save_bytes(f"{self.out_prefix}summaries/{stage}.json", data)

    def write_metadata(self, metadata: dict[str, Any]) -> None:
        self.storage.save_bytes(self.out_prefix + RUN_METADATA, json.dumps(metadata, indent=1).encode())

    def read_summaries(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield every summary as (stage, contents); one that cannot be read is passed over."""
        prefix = f"{self.in_prefix}summaries/"
        for name, data in self.storage.load_many(self.storage.list_files(prefix)):
            try:
                yield name.removeprefix(prefix).removesuffix(".json"), json.loads(data)
            except (ValueError, TypeError):
                continue


def index_width(count: int) -> int:
    """Return the digits of an index in file names: four, or as many as the last one needs."""
    return max(4, len(str(count - 1)))


def config_name(prefix: str, kind: str) -> str:
    return f"{prefix}config/{kind}.yaml"


def input_name(index: int, width: int) -> str:
    return f"builder-artifacts/input_{index:0{width}d}.pkl"


def result_name(index: int, width: int) -> str:
    return f"runner-artifacts/result_{index:0{width}d}.pkl"


def encode_workload(workload: Workload | ForeignWorkload) -> bytes:
    return zlib.compress(pickle.dumps(workload, protocol=5), level=1)


def decode_workload(data: bytes, path: str) -> Workload | ForeignWorkload:
    """Return the workload in bytes whose digest was checked."""
    mend = "; build the run again under a new RUN_ID"
    workload = _unpack(data, path, mend)
    if not isinstance(workload, Workload | ForeignWorkload):
        raise UserError(f"{path}: not an input{mend}")
    return workload


def encode_result(result: Result, input_digest: str) -> bytes:
    """Return the file of a result: a magic line, a header line in JSON, and the packed record.

    Level 1 of zlib is half as long as level 6 and within 10 % of its size on trajectories.
    """
    packed = zlib.compress(pickle.dumps(result, protocol=5), level=1)
    header = {
        "index": result.index,
        "input_sha256": input_digest,
        "packed_bytes": len(packed),
        "packed_sha256": hashlib.sha256(packed).hexdigest(),
    }
    return _RESULT_MAGIC + json.dumps(header).encode() + b"\n" + packed


def check_result_file(data: bytes, input_digest: str, path: str) -> memoryview:
    """Return the packed record of a result file that is whole and belongs to the input.

    Raises
    ------
    UserError
        The file was cut short, changed, or made from another input. How to mend that is not said
        here: stage B makes it anew, stage C removes it.
    """
    magic, rest = data[: len(_RESULT_MAGIC)], data[len(_RESULT_MAGIC) :]
    line, _, packed = rest.partition(b"\n")
    if magic != _RESULT_MAGIC:
        raise UserError(f"{path}: not a result file")
    try:
        header = json.loads(line)
        whole = hashlib.sha256(packed).hexdigest() == header["packed_sha256"]
        same_input = header["input_sha256"] == input_digest
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: its header cannot be read") from None
    if not whole:
        raise UserError(f"{path}: cut short or changed")
    if not same_input:
        raise UserError(f"{path}: made from another input")
    return memoryview(packed)


def decode_result(data: bytes, input_digest: str, path: str) -> Result:
    packed = check_result_file(data, input_digest, path)
    result = _unpack(packed, path)
    if not isinstance(result, Result):
        raise UserError(f"{path}: not a result")
    return result


def _unpack(packed: bytes | memoryview, path: str, mend: str = "") -> Any:
    """Return the record in packed bytes; whatever is wrong with them is the file's fault."""
    try:
        return _PlainUnpickler(io.BytesIO(zlib.decompress(packed))).load()
    except UserError as error:
        raise UserError(f"{path}: {error}{mend}") from None
    except MemoryError:
        raise  # says nothing about the file
    except Exception as error:  # pickle raises what the bytes lead it to
        raise UserError(f"{path}: not a record ({error}){mend}") from None


class _PlainUnpickler(pickle.Unpickler):
    """Loads our records and numpy arrays, and nothing that could run code of somebody else's."""

    _ALLOWED: ClassVar[set[tuple[str, str]]] = {
        *(("modeling.workload", kind.__name__) for kind in RECORDS),
        ("datetime", "date"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
    }

    def find_class(self, module: str, name: str) -> Any:
        # exact names only: "np.load" of modeling.workload would reach everything that it imports
        if (module, name) in self._ALLOWED:
            return super().find_class(module, name)
        raise UserError(f"a record names {module}.{name}, which is not ours; it is not loaded")


def describe_indices(indices: Iterable[int], most: int = 10) -> str:
    """Return "3, 17, 40" for messages."""
    return listed(sorted(indices), most)
