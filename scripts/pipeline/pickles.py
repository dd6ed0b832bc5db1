"""Workloads, results and checkpoints as bytes; loading them runs no code from the file."""

import hashlib
import json
import pickle
import zlib

from modeling.by_products import parse_json
from modeling.failures import UserError
from modeling.result_checks import check_result
from modeling.workload import Checkpoint, ForeignWorkload, Result, Workload
from pipeline.input_list import InputEntry
from pipeline.plain_pickle import load_record

_RESULT_MAGIC = b"epymodelingsuite-cloud result 1\n"
_CHECKPOINT_MAGIC = b"epymodelingsuite-cloud checkpoint 1\n"
MOST_INPUT_BYTES = 512 << 20  # unpacked; real ones have about 100 KB
MOST_HEADER_BYTES = 10_000


class DamagedResult(UserError):
    """A result file that is cut short, changed, or of another input; it cannot be used."""


class ForeignResult(UserError):
    """A result file of another version of the code, which can read it; it may hold hours of work."""

    def __init__(self, path: str, reason: object):
        super().__init__(
            f"{path} was made by another version of the code ({reason}); write the outputs with the image "
            "that made it, or compute the results again with --force; nothing is deleted"
        )


def encode_workload(workload: Workload | ForeignWorkload) -> bytes:
    return zlib.compress(pickle.dumps(workload, protocol=5), level=1)


def decode_workload(data: bytes, path: str) -> Workload | ForeignWorkload:
    """Return the workload in bytes whose digest was checked before."""
    try:
        return load_record(_unpacked(data, MOST_INPUT_BYTES), Workload, ForeignWorkload)
    except UserError as error:
        raise UserError(f"{path}: {error}; build the run again under a new RUN_ID") from None


def encode_result(result: Result, input_digest: str) -> bytes:
    """Return the file of a result: a magic line, a header line in JSON, and the packed record.

    Level 1 of zlib is half as long as level 6 and within 10 % of its size on trajectories.
    """
    return _encoded(_RESULT_MAGIC, result, result.index, input_digest)


def encode_checkpoint(checkpoint: Checkpoint, index: int, input_digest: str) -> bytes:
    """Return the file of the checkpoint of an input, in the form of a result's."""
    return _encoded(_CHECKPOINT_MAGIC, checkpoint, index, input_digest)


def _encoded(magic: bytes, record: Result | Checkpoint, index: int, input_digest: str) -> bytes:
    packed = zlib.compress(pickle.dumps(record, protocol=5), level=1)
    header = {
        "index": index,
        "input_sha256": input_digest,
        "packed_bytes": len(packed),
        "packed_sha256": hashlib.sha256(packed).hexdigest(),
    }
    return magic + json.dumps(header).encode() + b"\n" + packed


def decode_checkpoint(data: bytes, input_digest: str, most_bytes: int, path: str) -> Checkpoint:
    """Return the checkpoint in the bytes of its file; whether it fits its calibration is checked there.

    Raises
    ------
    DamagedResult, ForeignResult
        As check_result_file.
    UserError
        Its record is not a checkpoint.
    """
    packed = check_result_file(data, input_digest, path, _CHECKPOINT_MAGIC)
    return load_record(_unpacked(packed, most_bytes), Checkpoint)


def check_result_file(data: bytes, input_digest: str, path: str, magic: bytes = _RESULT_MAGIC) -> memoryview:
    """Return the packed record of a result file that is whole and belongs to the input.

    Raises
    ------
    DamagedResult
        The file was cut short, changed, or made from another input. The message has no advice:
        stage B computes the result again, stage C removes the file.
    ForeignResult
        Its header is not that of this version, so that it cannot be checked here.
    """
    if magic.startswith(data):
        raise DamagedResult(f"{path}: cut short, before its header")
    if not data.startswith(magic):
        raise ForeignResult(path, "its first line differs")
    line, _, packed = data[len(magic) :].partition(b"\n")
    try:
        header = parse_json(line, MOST_HEADER_BYTES)
    except ValueError:
        raise DamagedResult(f"{path}: its header cannot be read") from None
    try:
        made_from, digest = header["input_sha256"], header["packed_sha256"]
    except (KeyError, TypeError):
        raise ForeignResult(path, "its header has other entries") from None
    if hashlib.sha256(packed).hexdigest() != digest:
        raise DamagedResult(f"{path}: cut short or changed")
    if made_from != input_digest:
        raise DamagedResult(f"{path}: made from another input")
    return memoryview(packed)


def decode_result(data: bytes, index: int, input_digest: str, entry: InputEntry, path: str) -> Result:
    """Return the result of input `index` in the bytes of its file, checked against its input.

    Raises
    ------
    DamagedResult, ForeignResult
        As check_result_file. Stage B checks what it writes, so a whole file whose result is not
        valid here was written by another version.
    """
    packed = check_result_file(data, input_digest, path)
    try:
        result = load_record(_unpacked(packed, entry.most_result_bytes), Result)
        if result.index != index:
            raise UserError(f"it holds the result of input {result.index}")
        entry.check(result)
        check_result(result)
    except UserError as error:
        raise ForeignResult(path, error) from None
    return result


def _unpacked(packed: bytes | memoryview, most_bytes: int) -> bytes:
    """Return the pickle in packed bytes; unpacking stops at `most_bytes`."""
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(packed, most_bytes + 1)
    except zlib.error as error:
        raise UserError(f"not a record: {error}") from None
    if len(data) > most_bytes:
        raise UserError(f"it unpacks to more than {most_bytes / 2**20:,.0f} MiB, the most that is possible")
    if not unpacking.eof or unpacking.unused_data:
        raise UserError("not a record: its compressed data are cut short, or followed by other bytes")
    return data
